import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  ExecutionGuard,
  GuardError,
  type CallContext,
  type ExecuteOptions,
  type ExecutionGuardConfig,
} from '../../src/index.ts';
import { ManualClock } from '../support/manual-clock.ts';

const PROVIDER = 'openai';
const MINUTE_MS = 60_000;

/** What one attempt with a key comes to. `ms` is the time it takes. */
type Outcome =
  | { readonly kind: 'ok' | 'hang' | 'reset'; readonly ms: number }
  | {
      readonly kind: 'status';
      readonly ms: number;
      readonly status: number;
      readonly code?: string | undefined;
      readonly retryAfter?: number | undefined;
      /** Returned as a Response; thrown as an SDK's error where false. */
      readonly returned: boolean;
    };

interface KeyPlan {
  readonly group: number;
  readonly concurrency: number | undefined;
  readonly rpm: number | undefined;
  /** In turn, over and over. An honest key answers every time. */
  readonly outcomes: readonly Outcome[];
}

/** What a person does while calls are under way. */
type Intervention = 'disable' | 'enable' | 'remove' | 'reset' | 'breaker' | 'lanes' | 'limits' | 'clear';

interface CallPlan {
  /** Since the call before. */
  readonly afterMs: number;
  /** Done just before the call. */
  readonly intervention: Intervention | undefined;
  readonly options: Omit<ExecuteOptions, 'providerName' | 'signal'>;
  readonly abortAfterMs: number | undefined;
}

interface Plan {
  readonly keys: readonly KeyPlan[];
  /** Keys that always answer, each in a group of its own, and without limits. */
  readonly honest: number;
  readonly calls: readonly CallPlan[];
  readonly config: ExecutionGuardConfig;
  readonly strategy: 'round-robin' | 'random' | 'weighted' | 'least-used' | 'health-based' | 'priority';
  readonly maxWaitMs: number;
  readonly seed: number;
}

const ms = fc.integer({ min: 0, max: 300 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });

const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('ok' as const), ms }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('hang' as const, 'reset' as const), ms }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('status' as const),
      ms,
      status: fc.constantFrom(400, 401, 402, 403, 404, 408, 429, 429, 500, 503),
      code: fc.constantFrom(
        undefined,
        'invalid_api_key',
        'account_deactivated',
        'insufficient_quota',
        'rate_limit_exceeded',
        'model_not_found',
      ),
      retryAfter: maybe(fc.integer({ min: 0, max: 90 })),
      returned: fc.boolean(),
    }),
  },
);

const keyPlan: fc.Arbitrary<KeyPlan> = fc.record({
  group: fc.integer({ min: 0, max: 2 }),
  concurrency: maybe(fc.integer({ min: 1, max: 3 })),
  rpm: maybe(fc.integer({ min: 1, max: 6 })),
  outcomes: fc.array(outcome, { minLength: 1, maxLength: 5 }),
});

const callPlan: fc.Arbitrary<CallPlan> = fc.record({
  intervention: fc.oneof(
    { weight: 4, arbitrary: fc.constant(undefined) },
    {
      weight: 1,
      arbitrary: fc.constantFrom<Intervention>(
        'disable', 'enable', 'remove', 'reset', 'breaker', 'lanes', 'limits', 'clear',
      ),
    },
  ),
  afterMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: 90_000 })),
  options: fc.record({
    model: fc.constantFrom(undefined, undefined, 'small', 'large'),
    priority: fc.integer({ min: 0, max: 2 }),
    skipQueue: fc.boolean(),
    idempotent: fc.boolean(),
    // Without it, a provider that hangs hangs its caller: that is the caller's to bound.
    attemptTimeoutMs: fc.integer({ min: 400, max: 5000 }),
    deadlineMs: maybe(fc.integer({ min: 0, max: 40_000 })),
  }),
  abortAfterMs: maybe(fc.integer({ min: 0, max: 5000 })),
});

const plan: fc.Arbitrary<Plan> = fc.record({
  keys: fc.array(keyPlan, { maxLength: 4 }),
  honest: fc.integer({ min: 0, max: 2 }),
  calls: fc.array(callPlan, { minLength: 1, maxLength: 25 }),
  config: fc.record({
    deduplication: fc.constant({ enabled: false }),
    retry: fc.record({
      enabled: fc.boolean(),
      maxRetries: fc.integer({ min: 0, max: 4 }),
      initialBackoffMs: fc.integer({ min: 0, max: 2000 }),
      jitterMs: fc.integer({ min: 0, max: 500 }),
    }),
    circuitBreaker: fc.record({
      enabled: fc.boolean(),
      failureThreshold: fc.integer({ min: 1, max: 5 }),
      recoveryTimeMs: fc.integer({ min: 1, max: 60_000 }),
    }),
    queue: fc.record({
      enabled: fc.boolean(),
      concurrency: fc.constantFrom(1, 2, 5, Infinity),
      minDelayMs: fc.constantFrom(0, 0, 100),
      maxQueueSize: fc.constantFrom(0, 3, 100),
    }),
  }),
  strategy: fc.constantFrom('round-robin', 'random', 'weighted', 'least-used', 'health-based', 'priority'),
  maxWaitMs: fc.constantFrom(0, 1000, 90_000),
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
});

/** A generator of chance that repeats itself (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A provider in the same process: does what the plan says, and checks what reaches it. */
class ScriptedProvider {
  readonly running = new Map<string, number>();
  readonly starts = new Map<string, number[]>();
  readonly violations: string[] = [];
  mostUnderWay = 0;
  private readonly turns = new Map<string, number>();
  private readonly clock: ManualClock;
  private readonly plans: ReadonlyMap<string, KeyPlan>;

  constructor(clock: ManualClock, plans: ReadonlyMap<string, KeyPlan>) {
    this.clock = clock;
    this.plans = plans;
  }

  get underWay(): number {
    return [...this.running.values()].reduce((sum, count) => sum + count, 0);
  }

  call({ keyId, apiKey, signal }: CallContext): Promise<unknown> {
    const id = keyId ?? 'none';
    const key = this.plans.get(id);
    if (!key || apiKey !== secretOf(id)) {
      this.violations.push(`${id} came with the wrong secret`);
      return Promise.resolve('ok');
    }
    const turn = this.turns.get(id) ?? 0;
    this.turns.set(id, turn + 1);
    const starts = this.starts.get(id) ?? [];
    starts.push(this.clock.now());
    this.starts.set(id, starts);
    const now = (this.running.get(id) ?? 0) + 1;
    this.running.set(id, now);
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    if (key.concurrency !== undefined && now > key.concurrency) this.violations.push(`${id} runs ${now} at once`);
    const recent = starts.filter(at => at > this.clock.now() - MINUTE_MS).length;
    if (key.rpm !== undefined && recent > key.rpm) this.violations.push(`${id} made ${recent} requests in a minute`);
    return this.answer(key.outcomes[turn % key.outcomes.length]!, signal).finally(() => {
      this.running.set(id, this.running.get(id)! - 1);
    });
  }

  private answer(next: Outcome, signal: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const timer =
        next.kind === 'hang'
          ? undefined
          : this.clock.setTimeout(() => {
              signal.removeEventListener('abort', stop);
              settleAs(next, resolve, reject);
            }, next.ms);
      const stop = (): void => {
        this.clock.clearTimeout(timer);
        reject(signal.reason);
      };
      if (signal.aborted) stop();
      else signal.addEventListener('abort', stop, { once: true });
    });
  }
}

function settleAs(next: Outcome, resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
  if (next.kind === 'ok') resolve('ok');
  else if (next.kind === 'reset') reject(new TypeError('fetch failed', { cause: { code: 'ECONNRESET' } }));
  else if (next.kind === 'status') {
    const { status, code, retryAfter, returned } = next;
    const headers: Record<string, string> = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
    const error = { message: 'no', code: code ?? null };
    if (returned) resolve(Response.json({ error }, { status, headers }));
    else reject(Object.assign(new Error('no'), { status, headers, error }));
  }
}

const secretOf = (id: string): string => `secret-of-${id}`;

/** Interventions are made at the first key of the plan, which is never an honest one. */
function intervene(guard: ExecutionGuard, what: Intervention, plans: ReadonlyMap<string, KeyPlan>): void {
  const id = 'k0';
  const plan = plans.get(id);
  if (!plan) return;
  const isThere = guard.getStats().keys[PROVIDER]!.keys.some(key => key.id === id && key.state !== 'draining');
  if (isThere && what === 'disable') guard.keys.disable(PROVIDER, id);
  if (isThere && what === 'enable') guard.keys.enable(PROVIDER, id);
  if (isThere && what === 'remove') guard.keys.remove(PROVIDER, id);
  if (isThere && what === 'reset') guard.keys.resetCooldown(PROVIDER, id);
  if (what === 'breaker') guard.resetCircuitBreaker(PROVIDER);
  if (what === 'lanes') guard.updateConfig({ queue: { concurrency: 3, minDelayMs: 10 } });
  if (what === 'limits') guard.updateConfig({ keyManagement: { maxWaitMs: 5000 } });
  if (what === 'clear') guard.clearAllRecords();
}

interface End {
  readonly tried: readonly string[];
  readonly value?: unknown;
  readonly error?: unknown;
}

function plansOf({ keys, honest }: Pick<Plan, 'keys' | 'honest'>): Map<string, KeyPlan> {
  const plans = new Map(keys.map((key, at) => [`k${at}`, key]));
  const answers: KeyPlan = { group: 0, concurrency: undefined, rpm: undefined, outcomes: [{ kind: 'ok', ms: 20 }] };
  for (let at = 0; at < honest; at++) plans.set(`honest${at}`, { ...answers, group: 100 + at });
  return plans;
}

/** Runs the plan until nothing is left to happen. */
async function run(it: Plan) {
  const clock = new ManualClock();
  const plans = plansOf(it);
  const provider = new ScriptedProvider(clock, plans);
  const guard = new ExecutionGuard(
    {
      ...it.config,
      keyManagement: {
        providers: {
          [PROVIDER]: {
            strategy: it.strategy,
            maxWaitMs: it.maxWaitMs,
            keys: [...plans].map(([id, { group, concurrency, rpm }], at) => ({
              id,
              key: secretOf(id),
              group: `g${group}`,
              limits: { concurrency, rpm },
              weight: at + 1,
              priority: at % 2,
            })),
          },
        },
      },
    },
    { clock, random: randomFrom(it.seed), env: {}, warn: () => undefined },
  );
  const harmed: string[] = [];
  guard.on('key', ({ keyId, to, reason }) => {
    if (keyId.startsWith('honest') && (to === 'disabled' || to === 'suspect')) harmed.push(`${keyId} ${to}: ${reason}`);
  });

  const ends: (End | undefined)[] = it.calls.map(() => undefined);
  for (const [at, { afterMs, intervention, options, abortAfterMs }] of it.calls.entries()) {
    await clock.advance(afterMs);
    if (intervention) intervene(guard, intervention, plans);
    const tried: string[] = [];
    const caller = new AbortController();
    const abort = abortAfterMs === undefined ? undefined : clock.setTimeout(() => caller.abort(), abortAfterMs);
    const ended = (end: End): void => {
      clock.clearTimeout(abort);
      ends[at] = end;
    };
    guard
      .execute(
        context => {
          tried.push(context.keyId ?? 'none');
          return provider.call(context);
        },
        { ...options, providerName: PROVIDER, ...(abortAfterMs !== undefined && { signal: caller.signal }) },
      )
      .then(
        value => ended({ tried, value }),
        (error: unknown) => ended({ tried, error }),
      );
  }
  for (let left = 60; left > 0 && ends.includes(undefined); left -= 0.01) await clock.advance(0.01 * MINUTE_MS);
  return { clock, guard, provider, plans, ends, harmed };
}

function statusOf({ value, error }: End): number | undefined {
  if (value instanceof Response) return value.status;
  return typeof error === 'object' && error !== null && 'status' in error ? Number(error.status) : undefined;
}

const RUNS = { numRuns: 200 };
/** These tests have no time in them, only work. */
const PLENTY_MS = 120_000;

describe('whatever providers do', () => {
  test('every call ends, no limit is broken, and nothing is left behind', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async it => {
        const { clock, guard, provider, ends } = await run(it);
        expect(ends.filter(end => end === undefined)).toEqual([]);
        expect(provider.violations).toEqual([]);
        expect(provider.underWay).toBe(0);
        const stats = guard.getStats();
        for (const { keys, waiting } of Object.values(stats.keys)) {
          expect(waiting).toBe(0);
          for (const { id, inFlight } of keys) expect(inFlight, id).toBe(0);
        }
        expect(stats.queue).toMatchObject({ currentSize: 0, processing: false });
        expect(clock.pending).toEqual({ foreground: 0, background: 0 });
      }),
      RUNS,
    );
  }, PLENTY_MS);

  test('no more attempts run at once, nor closer together, than the queue allows', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async it => {
        const config = { ...it.config, queue: { ...it.config.queue, enabled: true } };
        const calls = it.calls.map(({ options, ...call }) => ({
          ...call,
          intervention: undefined,
          options: { ...options, skipQueue: false },
        }));
        const { provider } = await run({ ...it, calls, config });
        const { concurrency, minDelayMs = 0 } = config.queue;
        expect(provider.mostUnderWay).toBeLessThanOrEqual(concurrency ?? Infinity);
        const starts = [...provider.starts.values()].flat().sort((a, b) => a - b);
        for (let at = 1; at < starts.length; at++) {
          expect(starts[at]! - starts[at - 1]!).toBeGreaterThanOrEqual(minDelayMs);
        }
      }),
      RUNS,
    );
  }, PLENTY_MS);

  test('nobody gets an error of the guard that says nothing', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async it => {
        const { ends, plans } = await run(it);
        const { retry } = it.config;
        const most = plans.size * (1 + (retry?.maxRetries ?? 0)) + (retry?.maxRetries ?? 0);
        for (const end of ends) {
          expect(end?.tried.length).toBeLessThanOrEqual(most);
          if (end?.error instanceof GuardError) {
            expect(end.error.code).toMatch(
              /^(POOL_EXHAUSTED|NO_KEY|CIRCUIT_OPEN|QUEUE_FULL|ABORTED|DEADLINE_EXCEEDED|ATTEMPT_TIMEOUT)$/,
            );
          } else if (end?.error !== undefined) {
            expect(end.error).toMatchObject({ message: expect.stringMatching(/^(no|fetch failed)$/) as unknown });
          }
        }
      }),
      RUNS,
    );
  }, PLENTY_MS);

  test('a key that always answers is never taken out of use', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async it => {
        const { guard, harmed } = await run({ ...it, honest: it.honest + 1 });
        expect(harmed).toEqual([]);
        for (const { id, state } of guard.getStats().keys[PROVIDER]!.keys) {
          if (id.startsWith('honest')) expect(`${id} ${state}`).toBe(`${id} ready`);
        }
      }),
      RUNS,
    );
  }, PLENTY_MS);

  test('no caller sees a refused key while one that answers is free, unless three projects were refused', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async it => {
        const { ends, plans } = await run({ ...it, honest: it.honest + 1 });
        for (const end of ends) {
          if (!end || ![401, 403].includes(statusOf(end) ?? 0)) continue;
          expect(new Set(end.tried.map(id => plans.get(id)?.group)).size).toBeGreaterThanOrEqual(3);
        }
      }),
      RUNS,
    );
  }, PLENTY_MS);

  test('dead keys cost their pool a call each, and its callers at most one in three of those', async () => {
    const dead = fc.record({
      status: fc.constantFrom(401, 403),
      code: fc.constantFrom(undefined, 'invalid_api_key'),
      returned: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(dead, { maxLength: 7 }),
        fc.integer({ min: 1, max: 3 }),
        plan,
        async (deadKeys, honest, it) => {
          const { ends } = await run({
            ...it,
            keys: deadKeys.map((each, at) => ({
              group: at,
              concurrency: undefined,
              rpm: undefined,
              outcomes: [{ kind: 'status', ms: 5, ...each }],
            })),
            honest,
            // One after the other, within the minutes before the first is asked again.
            calls: Array.from({ length: 20 }, () => ({
              afterMs: 200,
              intervention: undefined,
              options: { attemptTimeoutMs: 1000 },
              abortAfterMs: undefined,
            })),
            config: { deduplication: { enabled: false } },
          });
          const refused = ends.filter(end => end && (end.error !== undefined || end.value !== 'ok'));
          expect(refused.length).toBeLessThanOrEqual(Math.floor(deadKeys.length / 3));
          const wasted = ends.flatMap(end => end?.tried ?? []).filter(id => id.startsWith('k'));
          // Those that were refused together are asked once more, alone.
          expect(wasted.length).toBeLessThanOrEqual(deadKeys.length * 2);
        },
      ),
      { numRuns: 100 },
    );
  }, PLENTY_MS);
});
