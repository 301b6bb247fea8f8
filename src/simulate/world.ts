import { DIALECTS } from './dialects/index.ts';
import type { Cause } from './dialects/dialect.ts';
import { SimulatedFailure, type Policy, type RunningPolicy, type SimulatedAnswer } from './policy.ts';
import { seeded } from './random.ts';
import type { Scenario } from './scenario.ts';
import { SimClock } from './sim-clock.ts';
import { Tally } from './tally.ts';
import type { AskedCall } from './traffic.ts';
import { Upstream } from './upstream.ts';

const DEFAULT_UPLINK = [5, 40] as const;
/** How long a refusal takes. */
const REFUSAL_MS = 50;
/** What is under way at the end may finish. */
const OUTRUN_MS = 600_000;

/** Runs one policy against one scenario. */
export class World {
  readonly clock: SimClock;
  readonly tally: Tally;
  private readonly scenario: Scenario;
  private readonly upstreams: ReadonlyMap<string, Upstream>;
  private readonly random: () => number;
  private readonly startAt: number;
  private mistake: { readonly error: unknown } | undefined;

  constructor(scenario: Scenario, seed: number) {
    this.scenario = scenario;
    this.startAt = Date.parse(scenario.startAt);
    this.clock = new SimClock(this.startAt);
    this.random = seeded(seed, 'network');
    this.upstreams = new Map(
      Object.entries(scenario.providers).map(([name, model]) => [name, new Upstream(name, model, this.startAt)]),
    );
    this.tally = new Tally(this.upstreams);
  }

  /** Rejects with what the policy did wrong. */
  async run(policy: Policy, calls: readonly AskedCall[], seed: number): Promise<void> {
    const { clock, scenario } = this;
    const running = policy.start({
      scenario,
      clock,
      random: seeded(seed, policy.name),
      attempt: (call, keyId, signal) => this.attempt(call, keyId, signal),
    });
    const comes = (index: number): void => {
      const call = calls[index];
      if (!call) return;
      clock.at(call.at, () => {
        comes(index + 1);
        this.ask(running, call);
      });
    };
    comes(0);
    const lastLeaves = calls.reduce((latest, { leavesAt }) => Math.max(latest, leavesAt), this.startAt + scenario.durationMs);
    await clock.runUntil(lastLeaves + OUTRUN_MS);
    running.close?.();
    if (this.mistake) throw this.mistake.error;
  }

  private ask(running: RunningPolicy, call: AskedCall): void {
    const { clock, tally } = this;
    tally.asked(call);
    let leave: AbortController | undefined;
    if (call.leavesAt < call.at + call.patienceMs) {
      leave = new AbortController();
      clock.at(call.leavesAt, () => leave?.abort());
    }
    const process = call.id % (this.scenario.processes ?? 1);
    running
      .call(call, process, leave?.signal)
      .then(
        () => tally.answered(call, clock.now()),
        (error: unknown) => tally.rejected(call, error, clock.now()),
      )
      .catch((error: unknown) => (this.mistake ??= { error }));
  }

  private attempt(call: AskedCall, keyId: string, signal: AbortSignal | undefined): Promise<SimulatedAnswer> {
    const { clock, tally } = this;
    const upstream = this.upstreams.get(call.provider);
    if (!upstream) return Promise.reject(new RangeError(`no provider ${JSON.stringify(call.provider)}`));
    const startedAt = clock.now();
    const [least, most] = upstream.model.uplinkMs ?? DEFAULT_UPLINK;
    const uplinkMs = Math.round(least + this.random() * (most - least));
    return new Promise((resolve, reject) => {
      const leave = (): void => reject(signal?.reason);
      signal?.addEventListener('abort', leave, { once: true });
      const end = (settle: () => void): void => {
        signal?.removeEventListener('abort', leave);
        settle();
      };
      clock.setTimeout(() => {
        const now = clock.now();
        const isCached = upstream.isCached(keyId, call.session, now);
        const cause = upstream.admit(keyId, call, now);
        const answer = wordingOf(upstream, cause, call, keyId, now);
        if (cause) {
          clock.setTimeout(() => end(() => {
            tally.failed(call, cause, startedAt, clock.now());
            reject(new SimulatedFailure(answer.status, answer.headers, answer.body));
          }), REFUSAL_MS);
          return;
        }
        const tokens = isCached ? Math.ceil(call.tokens / 10) : call.tokens;
        tally.admitted(isCached);
        clock.setTimeout(() => end(() => {
          tally.succeeded(call, keyId, startedAt, clock.now());
          resolve({ status: 200, headers: answer.headers, usage: { inputTokens: tokens, outputTokens: 0 } });
        }), call.serviceMs * upstream.slownessOf(keyId, now));
      }, uplinkMs);
    });
  }
}

function wordingOf(upstream: Upstream, cause: Cause | undefined, call: AskedCall, keyId: string, now: number) {
  const dialect = DIALECTS[upstream.model.dialect];
  const { id, organization = `of-${id}` } = upstream.keyOf(keyId);
  const subject = { model: call.model ?? 'model', organization, meters: upstream.metersOf(keyId, call) };
  const wording = cause && dialect.refuse(cause, subject, now);
  // Nothing comes back from who is out.
  if (cause?.kind === 'outage') return { status: undefined, headers: {}, body: undefined };
  const headers = { ...dialect.headers(subject, now), ...wording?.headers };
  return { status: wording?.status, headers, body: wording?.body };
}
