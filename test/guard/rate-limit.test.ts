import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { benchOf, fateOf, held, httpError, rejectionOf, scripted, settle } from './support.ts';

const LIMITED = { code: 'RATE_LIMITED' };

describe('asking', () => {
  test('consumes nothing', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    for (let i = 0; i < 100; i++) expect(guard.canMakeRequest()).toBe(true);
    await guard.execute(() => 1);
    expect(guard.canMakeRequest()).toBe(false);
  });

  test('makes no session', () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    for (let i = 0; i < 100; i++) guard.canMakeRequest({ sessionId: `s${i}` });
    expect(guard.getStats().rateLimiting.totalRequestsTracked).toBe(0);
  });

  test('is told yes where the rules are switched off', async () => {
    for (const update of [{ rateLimiting: { enabled: false } }, { enabled: false }]) {
      const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
      await guard.execute(() => 1);
      guard.updateConfig(update);
      expect(guard.canMakeRequest()).toBe(true);
      expect(guard.checkRateLimit()).toEqual({ limited: false, reason: undefined, retryAfterMs: 0 });
      expect(await guard.execute(() => 2)).toBe(2);
    }
  });

  test('says which rule and when to come back', async () => {
    const { guard, clock } = benchOf({ rateLimiting: { rules: { burst: 1, perMinute: 5 } } });
    await guard.execute(() => 1, { sessionId: 's' });
    await clock.advance(4000);
    expect(guard.checkRateLimit({ sessionId: 's' })).toEqual({
      limited: true,
      reason: '1 requests per 10s',
      retryAfterMs: 6000,
    });
    await clock.advance(6000);
    expect(guard.checkRateLimit({ sessionId: 's' }).limited).toBe(false);
  });
});

describe('rules', () => {
  test('slide: a call leaves its window when its time is over, not when the minute is', async () => {
    const { guard, clock } = benchOf({ rateLimiting: { rules: { burst: { requests: 2, windowMs: 1000 } } } });
    await guard.execute(() => 1);
    await clock.advance(600);
    await guard.execute(() => 2);
    await clock.advance(399);
    expect(await rejectionOf(guard.execute(() => 3))).toMatchObject({ ...LIMITED, retryAfterMs: 1 });
    await clock.advance(1);
    expect(await guard.execute(() => 3)).toBe(3);
    expect(await rejectionOf(guard.execute(() => 4))).toMatchObject({ ...LIMITED, retryAfterMs: 600 });
  });

  test('all have to agree, and the one that lasts longest is named', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1, perMinute: 1, perHour: 9 } } });
    await guard.execute(() => 1);
    expect(await rejectionOf(guard.execute(() => 2))).toMatchObject({
      rule: { name: 'perMinute', requests: 1, windowMs: 60_000 },
      retryAfterMs: 60_000,
    });
  });

  test('that are a bare number have their usual window', async () => {
    const { guard, clock } = benchOf({ rateLimiting: { rules: { perHour: 1 } } });
    await guard.execute(() => 1);
    await clock.advance(3_599_999);
    expect(guard.canMakeRequest()).toBe(false);
    await clock.advance(1);
    expect(guard.canMakeRequest()).toBe(true);
  });

  test('are kept where an update names another one', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { perMinute: 1 } } });
    guard.updateConfig({ rateLimiting: { rules: { perHour: 100 } } });
    await guard.execute(() => 1);
    expect(await rejectionOf(guard.execute(() => 2))).toMatchObject({ rule: { name: 'perMinute' } });
  });

  test('of which there is none limit nothing', async () => {
    const { guard } = benchOf();
    for (let i = 0; i < 1000; i++) await guard.execute(() => i);
    expect(guard.canMakeRequest()).toBe(true);
  });

  test('count calls, not attempts', async () => {
    const { guard, clock } = benchOf({ rateLimiting: { rules: { burst: 2 } }, retry: { initialBackoffMs: 10 } });
    const call = guard.execute(scripted(httpError(503), httpError(503), 'fine').fn);
    await clock.advance(1000);
    await call;
    expect(guard.getStats().rateLimiting.rulesUsage.burstUsage.current).toBe(1);
  });

  test('do not count calls that another one answers', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    const options = { req: { url: '/a' } };
    for (let i = 0; i < 5; i++) expect(await guard.execute(() => 'shared', options)).toBe('shared');
  });

  test('never show more than 100 % use', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 10 } } });
    for (let i = 0; i < 8; i++) await guard.execute(() => i);
    guard.updateConfig({ rateLimiting: { rules: { burst: 4 } } });
    const { burstUsage } = guard.getStats().rateLimiting.rulesUsage;
    expect(burstUsage).toMatchObject({ current: 4, limit: 4, percentage: 100 });
  });

  test('hold: no window of any session ever has more calls than its rule allows', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ session: fc.constantFrom('a', 'b'), afterMs: fc.integer({ min: 0, max: 40 }) }), {
          maxLength: 60,
        }),
        fc.constantFrom('reject' as const, 'wait' as const),
        async (arrivals, onLimit) => {
          const { guard, clock } = benchOf({
            rateLimiting: { onLimit, rules: { burst: { requests: 3, windowMs: 100 } } },
            queue: { maxQueueSize: 1000 },
          });
          const starts = new Map<string, number[]>();
          const calls = [];
          for (const { session, afterMs } of arrivals) {
            await clock.advance(afterMs);
            const run = (): void => {
              starts.set(session, [...(starts.get(session) ?? []), clock.now()]);
            };
            calls.push(fateOf(guard.execute(run, { sessionId: session })));
          }
          await clock.advance(100_000);
          for (const times of starts.values()) {
            for (let i = 3; i < times.length; i++) expect(times[i]! - times[i - 3]!).toBeGreaterThanOrEqual(100);
          }
          expect(calls.every(({ state }) => state !== 'pending')).toBe(true);
          if (onLimit === 'wait') expect(calls.every(({ state }) => state === 'resolved')).toBe(true);
          expect(clock.pending).toEqual({ foreground: 0, background: 0 });
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('a call that never reaches its provider gives its place back', () => {
  test('where the breaker is open', async () => {
    const { guard } = benchOf({
      retry: { enabled: false },
      circuitBreaker: { failureThreshold: 1 },
      rateLimiting: { rules: { burst: 2 } },
    });
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'p'));
    for (let i = 0; i < 5; i++) {
      expect(await rejectionOf(guard.execute(() => 1, 'p'))).toMatchObject({ code: 'CIRCUIT_OPEN' });
    }
    expect(await guard.execute(() => 'fine', 'other')).toBe('fine');
  });

  test('where it is aborted in the queue', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 }, rateLimiting: { rules: { burst: 2 } } });
    const first = held();
    const running = guard.execute(first.fn);
    const controller = new AbortController();
    const waiting = rejectionOf(guard.execute(() => 1, { signal: controller.signal }));
    expect(guard.canMakeRequest()).toBe(false);
    controller.abort();
    await waiting;
    expect(guard.canMakeRequest()).toBe(true);
    first.finish('x');
    await running;
  });

  test('and one that does wait for a place may have it at once', async () => {
    const { guard } = benchOf({
      queue: { concurrency: 1 },
      rateLimiting: { onLimit: 'wait', rules: { burst: 2 } },
    });
    const first = held();
    const running = guard.execute(first.fn);
    const controller = new AbortController();
    const inQueue = rejectionOf(guard.execute(() => 1, { signal: controller.signal }));
    const waiting = fateOf(guard.execute(() => 'got its place', { skipQueue: true }));
    await settle();
    expect(waiting.state).toBe('pending');
    controller.abort();
    await inQueue;
    await settle();
    expect(waiting.value).toBe('got its place');
    first.finish('x');
    await running;
  });
});

describe("onLimit: 'wait'", () => {
  const config = { rateLimiting: { onLimit: 'wait', rules: { burst: { requests: 1, windowMs: 1000 } } } } as const;

  test('holds a call until its session has room', async () => {
    const { guard, clock } = benchOf(config);
    await guard.execute(() => 1);
    const call = fateOf(guard.execute(() => 2));
    await clock.advance(999);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call).toEqual({ state: 'resolved', value: 2 });
  });

  test('holds no other session', async () => {
    const { guard, clock } = benchOf(config);
    await guard.execute(() => 1, { sessionId: 'a' });
    const waiting = guard.execute(() => 2, { sessionId: 'a' });
    expect(await guard.execute(() => 3, { sessionId: 'b' })).toBe(3);
    await clock.advance(1000);
    expect(await waiting).toBe(2);
  });

  test('lets calls run side by side once they are through', async () => {
    const { guard, clock } = benchOf({
      rateLimiting: { onLimit: 'wait', rules: { burst: { requests: 2, windowMs: 1000 } } },
    });
    const calls = Array.from({ length: 4 }, () => held());
    const results = calls.map(({ fn }) => guard.execute(fn));
    await clock.advance(1000);
    expect(calls.map(({ runs }) => runs())).toEqual([1, 1, 1, 1]);
    for (const { finish } of calls) finish('x');
    await Promise.all(results);
  });

  test('serves those that wait before one that comes just as there is room', async () => {
    const { guard, clock } = benchOf(config);
    const order: string[] = [];
    await guard.execute(() => 1);
    const waiting = guard.execute(() => order.push('waited'));
    await settle();
    // The window has room now, but the timer of the one that waits has not run yet.
    clock.set(clock.now() + 1000);
    const latecomer = guard.execute(() => order.push('came late'));
    await clock.advance(2000);
    await Promise.all([waiting, latecomer]);
    expect(order).toEqual(['waited', 'came late']);
  });

  test('rejects at once where the wait would be longer than rateLimiting.maxWaitMs, or the deadline', async () => {
    const { guard } = benchOf({ rateLimiting: { onLimit: 'wait', maxWaitMs: 5000, rules: { burst: 1 } } });
    await guard.execute(() => 1);
    expect(await rejectionOf(guard.execute(() => 2))).toMatchObject({ ...LIMITED, retryAfterMs: 10_000 });
    expect(await rejectionOf(guard.execute(() => 2, { deadlineMs: 9999 }))).toMatchObject(LIMITED);
  });

  test('lets a call with a longer deadline wait as long as that', async () => {
    const { guard, clock } = benchOf({ rateLimiting: { onLimit: 'wait', maxWaitMs: 5000, rules: { burst: 1 } } });
    await guard.execute(() => 1);
    const call = guard.execute(() => 2, { deadlineMs: 10_001 });
    await clock.advance(10_000);
    expect(await call).toBe(2);
  });

  test('counts a call that waited at the time it went, so the spacing after it holds', async () => {
    const { guard, clock } = benchOf({ ...config, queue: { minDelayMs: 700 } });
    const startedAt = clock.now();
    const starts: number[] = [];
    const calls = [1, 2, 3].map(() => guard.execute(() => starts.push(clock.now() - startedAt)));
    await clock.advance(10_000);
    await Promise.all(calls);
    expect(starts).toEqual([0, 1000, 2000]);
  });
});

describe('an update while calls wait', () => {
  const config = { rateLimiting: { onLimit: 'wait', rules: { burst: 1 } } } as const;

  test.each([
    ['a raised limit lets them go', { rateLimiting: { rules: { burst: 5 } } }],
    ['a rule taken away lets them go', { rateLimiting: { rules: { burst: null } } }],
    ['the limits switched off let them go', { rateLimiting: { enabled: false } }],
    ['the guard switched off lets them go', { enabled: false }],
  ])('%s', async (_name, update) => {
    const { guard, clock } = benchOf(config);
    await guard.execute(() => 0);
    const calls = [1, 2, 3].map(n => guard.execute(() => n));
    await settle();
    guard.updateConfig(update);
    await clock.advance(0);
    expect(await Promise.all(calls)).toEqual([1, 2, 3]);
    expect(clock.pending.foreground).toBe(0);
  });

  test('cleared records let them go', async () => {
    const { guard, clock } = benchOf(config);
    await guard.execute(() => 0);
    const call = guard.execute(() => 1);
    await settle();
    guard.clearAllRecords();
    await clock.advance(0);
    expect(await call).toBe(1);
  });

  test('what was counted goes on under the new limit of the same window', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 5 } } });
    for (let i = 0; i < 4; i++) await guard.execute(() => i);
    guard.updateConfig({ rateLimiting: { rules: { burst: { requests: 4, windowMs: 10_000 } } } });
    expect(guard.canMakeRequest()).toBe(false);
    guard.updateConfig({ rateLimiting: { rules: { burst: { requests: 4, windowMs: 20_000 } } } });
    expect(guard.canMakeRequest()).toBe(true);
  });
});

describe('sessions', () => {
  test('are bounded: the one idle for longest is forgotten', async () => {
    const { guard } = benchOf({ rateLimiting: { maxSessions: 2, rules: { burst: 1 } } });
    for (const sessionId of ['a', 'b', 'c']) await guard.execute(() => 1, { sessionId });
    expect(guard.canMakeRequest({ sessionId: 'a' })).toBe(true);
    expect(guard.canMakeRequest({ sessionId: 'c' })).toBe(false);
  });

  test('are kept, newest first, where fewer are allowed', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    for (const sessionId of ['a', 'b', 'c']) await guard.execute(() => 1, { sessionId });
    guard.updateConfig({ rateLimiting: { maxSessions: 2 } });
    expect(['a', 'b', 'c'].map(sessionId => guard.canMakeRequest({ sessionId }))).toEqual([true, false, false]);
  });

  test('may have any name', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    for (const sessionId of ['constructor', '__proto__', 'toString', '']) {
      expect(await guard.execute(() => sessionId, { sessionId })).toBe(sessionId);
    }
  });
});
