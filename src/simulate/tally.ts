import type { Cause } from './dialects/dialect.ts';
import { GuardError } from '../index.ts';
import { Refused, SimulatedFailure } from './policy.ts';
import type { AskedCall } from './traffic.ts';
import { isOfKeys, type Upstream } from './upstream.ts';

/** A cause that so many attempts met within so long was not noticed; one now and then is a trial. */
const UNNOTICED = 3;
const UNNOTICED_MS = 10_000;

/** What came of a run, in figures. Times are in ms. */
export interface Figures {
  /** Calls whose callers stayed. */
  readonly asked: number;
  /** Answered before their callers had left. */
  readonly served: number;
  /** Ended without an answer from the provider, or with one that came too late. */
  readonly refused: number;
  /** Ended with a failure of the provider's. */
  readonly errors: number;
  /** Of those, with the fault of a key, although another key could have served. */
  readonly keyFaults: number;
  /** At the provider. */
  readonly attempts: number;
  readonly failures: Readonly<Record<string, number>>;
  /** Failed attempts whose cause was known, or could have been, when they were made. */
  readonly avoidable: number;
  /** `avoidable` over `attempts`. */
  readonly waste: number;
  /** Failed attempts over served calls, the unavoidable ones included. */
  readonly failedPerServed: number;
  /** From the first failure for a trouble to the last of three within ten seconds; the median over troubles. */
  readonly noticeMs: number | undefined;
  /** From the end of a trouble to the first answer; the median over troubles. */
  readonly recoverMs: number | undefined;
  /** Jain's index of what the keys without troubles have served, by what they could: 1 is even. */
  readonly fairness: number;
  /** Until the attempt that was answered began. */
  readonly waitP50Ms: number;
  readonly waitP99Ms: number;
  /** The share of attempts for which the provider remembered the prompt. */
  readonly cached: number;
}

interface Trace {
  readonly firstAt: number;
  lastAt: number;
  /** When it was met of late. */
  readonly metAt: number[];
  readonly endsAt: number;
  recoveredAt: number | undefined;
}

/** Counts what happens in a run. */
export class Tally {
  private readonly upstreams: ReadonlyMap<string, Upstream>;
  private readonly known = new Map<string, number>();
  private readonly traces = new Map<string, Trace>();
  private readonly servedBy = new Map<string, number>();
  private readonly startedAt = new Map<number, number>();
  private readonly waits: number[] = [];
  private readonly failures: Record<string, number> = {};
  private readonly counts = { asked: 0, served: 0, refused: 0, errors: 0, keyFaults: 0, attempts: 0, avoidable: 0, cached: 0 };

  constructor(upstreams: ReadonlyMap<string, Upstream>) {
    this.upstreams = upstreams;
  }

  asked(call: AskedCall): void {
    if (stays(call)) this.counts.asked++;
  }

  admitted(isCached: boolean): void {
    this.counts.attempts++;
    if (isCached) this.counts.cached++;
  }

  succeeded(call: AskedCall, keyId: string, startedAt: number, now: number): void {
    this.startedAt.set(call.id, startedAt);
    const key = `${call.provider} ${keyId}`;
    this.servedBy.set(key, (this.servedBy.get(key) ?? 0) + 1);
    for (const [id, trace] of this.traces) {
      if (trace.recoveredAt !== undefined || startedAt < trace.endsAt) continue;
      if (id.endsWith(` ${keyId}`) || id.startsWith(`${call.provider} o`)) trace.recoveredAt = now;
    }
  }

  failed(call: AskedCall, cause: Cause, startedAt: number, now: number): void {
    const { counts, failures, known } = this;
    counts.attempts++;
    failures[cause.kind] = (failures[cause.kind] ?? 0) + 1;
    if (this.isAvoidable(call, cause, startedAt)) counts.avoidable++;
    if (!known.has(cause.id)) known.set(cause.id, now);
    if (cause.kind === 'quota') return;
    const trace = this.traces.get(cause.id);
    if (!trace) {
      const { untilMs = Infinity } = cause.trouble;
      const endsAt = this.upstreams.get(call.provider)!.startAt + untilMs;
      this.traces.set(cause.id, { firstAt: now, lastAt: now, metAt: [now], endsAt, recoveredAt: undefined });
      return;
    }
    trace.metAt.push(now);
    if (trace.metAt.length > UNNOTICED) trace.metAt.shift();
    if (trace.metAt.length === UNNOTICED && now - trace.metAt[0]! < UNNOTICED_MS) trace.lastAt = now;
  }

  /** @throws RangeError where the provider has answered nobody for it */
  answered(call: AskedCall, now: number): void {
    const startedAt = this.startedAt.get(call.id);
    if (startedAt === undefined) throw new RangeError(`call ${call.id} was answered, but none of its attempts was`);
    this.startedAt.delete(call.id);
    if (!stays(call)) return;
    if (now > call.leavesAt) {
      this.counts.refused++;
      return;
    }
    this.counts.served++;
    this.waits.push(startedAt - call.at);
  }

  /** @throws what is no word of the provider's, nor a refusal */
  rejected(call: AskedCall, error: unknown, now: number): void {
    if (!stays(call)) return;
    const { counts } = this;
    if (!(error instanceof SimulatedFailure)) {
      if (!(error instanceof GuardError) && !(error instanceof Refused)) throw error;
      counts.refused++;
      return;
    }
    counts.errors++;
    const upstream = this.upstreams.get(call.provider)!;
    const isKeyFault = error.status !== undefined && error.status < 500;
    if (!isKeyFault || now > call.leavesAt) return;
    if (upstream.model.keys.some(({ id }) => upstream.isGood(id, call, now))) counts.keyFaults++;
  }

  figures(): Figures {
    const { asked, attempts, avoidable, cached, errors, keyFaults, refused, served } = this.counts;
    const failed = Object.values(this.failures).reduce((sum, count) => sum + count, 0);
    const waits = this.waits.sort((a, b) => a - b);
    const traces = [...this.traces.values()];
    return {
      asked,
      served,
      refused,
      errors,
      keyFaults,
      attempts,
      failures: this.failures,
      avoidable,
      waste: attempts === 0 ? 0 : avoidable / attempts,
      failedPerServed: served === 0 ? failed : failed / served,
      noticeMs: middle(traces.map(({ firstAt, lastAt }) => lastAt - firstAt)),
      recoverMs: middle(traces.flatMap(({ endsAt, recoveredAt }) => (recoveredAt === undefined ? [] : [recoveredAt - endsAt]))),
      fairness: this.fairness(),
      waitP50Ms: waits[Math.floor(waits.length / 2)] ?? 0,
      waitP99Ms: waits[Math.floor(waits.length * 0.99)] ?? 0,
      cached: attempts === 0 ? 0 : cached / attempts,
    };
  }

  private isAvoidable(call: AskedCall, cause: Cause, startedAt: number): boolean {
    if (cause.kind !== 'quota' && cause.trouble.attempts !== undefined) return false;
    if (cause.kind === 'quota') {
      const { limits, groups } = this.upstreams.get(call.provider)!.model.told ?? {};
      const isShared = cause.meter.quota.of !== 'key';
      if (limits && (!isShared || (groups && cause.meter.quota.of !== 'address'))) return true;
    }
    return startedAt > (this.known.get(cause.id) ?? Infinity);
  }

  private fairness(): number {
    const shares: number[] = [];
    for (const [provider, { model }] of this.upstreams) {
      const troubled = new Set((model.troubles ?? []).flatMap(trouble => (isOfKeys(trouble) || trouble.keys ? (trouble.keys ?? []) : [])));
      for (const { id, scale = 1 } of model.keys) {
        if (!troubled.has(id)) shares.push((this.servedBy.get(`${provider} ${id}`) ?? 0) / scale);
      }
    }
    const sum = shares.reduce((total, share) => total + share, 0);
    const squares = shares.reduce((total, share) => total + share * share, 0);
    return squares === 0 ? 1 : (sum * sum) / (shares.length * squares);
  }
}

function stays({ at, leavesAt, patienceMs }: AskedCall): boolean {
  return leavesAt >= at + patienceMs;
}

function middle(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
