import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ExecuteOptions, ExecutionGuardConfig } from '../../src/index.ts';
import { benchOf, fateOf, httpError, networkError } from './support.ts';

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });

const keyLimits = fc.record({ concurrency: maybe(fc.constantFrom(1, 2)), rpm: maybe(fc.constantFrom(3, 30)) });

const config: fc.Arbitrary<ExecutionGuardConfig> = fc.record({
  queue: fc.record({
    enabled: fc.boolean(),
    concurrency: fc.constantFrom(1, 3, Infinity),
    minDelayMs: fc.constantFrom(0, 20),
    maxQueueSize: fc.constantFrom(0, 3, 1000),
    stallMs: fc.constantFrom(100, 600_000),
  }),
  retry: fc.record({ enabled: fc.boolean(), maxRetries: fc.nat(3), initialBackoffMs: fc.constantFrom(5, 50) }),
  circuitBreaker: fc.record({
    enabled: fc.boolean(),
    failureThreshold: fc.constantFrom(1, 3),
    recoveryTimeMs: fc.constantFrom(0, 100),
  }),
  rateLimiting: fc.record({
    onLimit: fc.constantFrom('reject' as const, 'wait' as const),
    rules: fc.record({ burst: fc.constantFrom(null, { requests: 3, windowMs: 100 }) }),
  }),
  deduplication: fc.record({ enabled: fc.boolean(), ttlSeconds: fc.constantFrom(0, 1) }),
  keyManagement: fc.record({
    maxWaitMs: fc.constantFrom(0, 200),
    providers: fc.record({
      p: fc.record({
        keys: fc.array(keyLimits, { maxLength: 3 }).map(list =>
          list.map((limits, i) => ({ id: `k${i}`, key: `secret-${i}`, limits })),
        ),
        fallbackBehavior: fc.constantFrom('fail' as const, 'useFirst' as const),
        cooldown: fc.constant({ initialMs: 50, maxMs: 500 }),
      }),
    }),
  }),
});

const OUTCOMES = {
  value: () => ({ a: 1 }),
  nothing: () => undefined,
  response: () => new Response('fine'),
  busy: () => new Response('busy', { status: 503 }),
  limited: () => {
    throw httpError(429, { 'retry-after-ms': '30' });
  },
  refused: () => {
    throw httpError(401);
  },
  failing: () => {
    throw httpError(500);
  },
  reset: () => {
    throw networkError();
  },
  bug: () => {
    throw new Error('bug');
  },
};

const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('call' as const),
      provider: fc.constantFrom('p', 'q'),
      outcomes: fc.array(fc.constantFrom(...(Object.keys(OUTCOMES) as (keyof typeof OUTCOMES)[])), {
        minLength: 1,
        maxLength: 4,
      }),
      takesMs: fc.constantFrom(0, 10, 80),
      abortAfterMs: maybe(fc.constantFrom(0, 15, 60)),
      deadlineMs: maybe(fc.constantFrom(0, 25, 1000)),
      attemptTimeoutMs: maybe(fc.constantFrom(5, 50)),
      isDuplicate: fc.boolean(),
      skipQueue: fc.boolean(),
      priority: fc.integer({ min: -1, max: 1 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(0, 10, 100) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('update' as const), config }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const) }) },
);

test('whatever happens, every call ends, and nothing stays behind', async () => {
  await fc.assert(
    fc.asyncProperty(config, fc.array(step, { maxLength: 40 }), fc.boolean(), async (initial, steps, closes) => {
      const { guard, clock } = benchOf(initial);
      const fates: ReturnType<typeof fateOf>[] = [];
      let running = 0;
      for (const each of steps) {
        if (each.kind === 'wait') {
          await clock.advance(each.ms);
        } else if (each.kind === 'update') {
          guard.updateConfig(each.config);
        } else if (each.kind === 'clear') {
          guard.clearAllRecords();
        } else if (each.kind === 'reset') {
          guard.resetCircuitBreaker();
        } else {
          const { provider, outcomes, takesMs, abortAfterMs, isDuplicate, ...limits } = each;
          const controller = new AbortController();
          if (abortAfterMs !== undefined) clock.setTimeout(() => controller.abort(), abortAfterMs);
          let attempt = 0;
          const fn = async (): Promise<unknown> => {
            const outcome = outcomes[Math.min(attempt++, outcomes.length - 1)]!;
            running++;
            await new Promise<void>(resolve => clock.setTimeout(resolve, takesMs));
            running--;
            return OUTCOMES[outcome]();
          };
          const options: ExecuteOptions = {
            providerName: provider,
            ...(abortAfterMs !== undefined && { signal: controller.signal }),
            ...(isDuplicate && { req: { url: '/same' } }),
            ...limits,
          };
          // Nobody holds a key by a stream here: bodies are read to their end.
          const read = (value: unknown): unknown => (value instanceof Response ? value.text() : value);
          fates.push(fateOf(guard.execute(fn, options).then(read)));
        }
      }
      if (closes) guard.close();
      await clock.advance(3_600_000);
      expect(fates.filter(({ state }) => state === 'pending')).toEqual([]);
      expect(running).toBe(0);
      const { queue, rateLimiting, keys } = guard.getStats();
      expect(queue).toMatchObject({ currentSize: 0, processing: false });
      expect(rateLimiting.totalRequestsTracked).toBeGreaterThanOrEqual(0);
      for (const pool of Object.values(keys)) {
        expect(pool.waiting).toBe(0);
        expect(pool.keys.map(({ inFlight }) => inFlight)).toEqual(pool.keys.map(() => 0));
      }
      expect(clock.pending).toEqual({ foreground: 0, background: 0 });
      for (const { value } of fates) {
        // Bugs of the guard itself would show as errors nobody has thrown.
        if (value instanceof TypeError || value instanceof RangeError || value instanceof ReferenceError) throw value;
      }
    }),
    { numRuns: 150 },
  );
});
