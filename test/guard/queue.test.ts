import { AsyncLocalStorage } from 'node:async_hooks';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Held } from './support.ts';
import { benchOf, fateOf, heard, held, httpError, rejectionOf, scripted, settle } from './support.ts';

describe('concurrency', () => {
  test('is unlimited where nothing is said: calls run side by side', async () => {
    const { guard } = benchOf();
    const calls = Array.from({ length: 50 }, () => held());
    const results = calls.map(({ fn }) => guard.execute(fn, 'p'));
    expect(calls.every(({ runs }) => runs() === 1)).toBe(true);
    for (const { finish } of calls) finish('x');
    await Promise.all(results);
  });

  test('bounds the attempts of a provider', async () => {
    const { guard } = benchOf({ queue: { concurrency: 2 } });
    const calls = [held(), held(), held(), held()];
    const results = calls.map(({ fn }) => guard.execute(fn, 'p'));
    await settle();
    expect(calls.map(({ runs }) => runs())).toEqual([1, 1, 0, 0]);
    calls[1]!.finish('b');
    await settle();
    expect(calls.map(({ runs }) => runs())).toEqual([1, 1, 1, 0]);
    for (const { finish } of calls) finish('x');
    await Promise.all(results);
    expect(calls.map(({ runs }) => runs())).toEqual([1, 1, 1, 1]);
  });

  test('is per provider: one provider does not wait for another', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 } });
    const slow = held();
    const first = guard.execute(slow.fn, 'slow');
    expect(await guard.execute(() => 'at once', 'fast')).toBe('at once');
    slow.finish('x');
    await first;
  });

  test('is freed by a call that fails, whichever way it does', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 }, retry: { enabled: false } });
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'p'));
    await rejectionOf(
      guard.execute(() => {
        throw new Error('sync');
      }, 'p'),
    );
    expect(await guard.execute(() => 'next', 'p')).toBe('next');
  });

  test('a call in back-off holds no slot', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1 }, retry: { initialBackoffMs: 1000 } });
    const failing = scripted(httpError(503), 'recovered');
    const first = guard.execute(failing.fn, 'p');
    await settle();
    expect(await guard.execute(() => 'meanwhile', 'p')).toBe('meanwhile');
    await clock.advance(1000);
    expect(await first).toBe('recovered');
  });

  test('is never exceeded, nor is a slot lost, whatever calls do', async () => {
    const plan = fc.record({
      skipQueue: fc.boolean(),
      priority: fc.integer({ min: 0, max: 2 }),
      ends: fc.constantFrom('resolves', 'fails', 'aborted'),
      afterMs: fc.integer({ min: 0, max: 50 }),
    });
    const plansOfCalls = fc.array(plan, { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(plansOfCalls, fc.integer({ min: 1, max: 4 }), async (plans, concurrency) => {
        const { guard, clock } = benchOf({ queue: { concurrency, maxQueueSize: 1000 }, retry: { enabled: false } });
        let running = 0;
        let most = 0;
        const results = plans.map(({ skipQueue, priority, ends, afterMs }) => {
          const controller = new AbortController();
          const fn = (): Promise<string> => {
            if (!skipQueue) most = Math.max(most, ++running);
            return new Promise((resolve, reject) => {
              clock.setTimeout(() => {
                if (!skipQueue) running--;
                if (ends === 'resolves') resolve('x');
                else reject(httpError(500));
              }, afterMs);
            });
          };
          if (ends === 'aborted') clock.setTimeout(() => controller.abort(), afterMs * 2 + 200);
          return fateOf(guard.execute(fn, { providerName: 'p', skipQueue, priority, signal: controller.signal }));
        });
        await clock.advance(10_000);
        expect(results.every(({ state }) => state !== 'pending')).toBe(true);
        expect(most).toBeLessThanOrEqual(concurrency);
        expect(guard.getStats().queue).toMatchObject({ currentSize: 0, processing: false });
        expect(clock.pending).toEqual({ foreground: 0, background: 0 });
      }),
      { numRuns: 50 },
    );
  });
});

describe('skipQueue', () => {
  test('neither waits for a slot nor takes one', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 } });
    const first = held();
    const running = guard.execute(first.fn, 'p');
    const urgent = held();
    const skipping = guard.execute(urgent.fn, { providerName: 'p', skipQueue: true });
    expect(urgent.runs()).toBe(1);
    first.finish('x');
    await running;
    expect(await guard.execute(() => 'free again', 'p')).toBe('free again');
    urgent.finish('y');
    await skipping;
  });

  test('ignores the spacing, too', async () => {
    const { guard } = benchOf({ queue: { minDelayMs: 1000 } });
    await guard.execute(() => 1, 'p');
    expect(await guard.execute(() => 2, { providerName: 'p', skipQueue: true })).toBe(2);
  });

  test('is let in where the queue is full, and does not count as one that waits', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1, maxQueueSize: 1 }, retry: { initialBackoffMs: 1000 } });
    const first = held();
    const calls = [guard.execute(first.fn, 'p'), guard.execute(() => 'second', 'p')];
    const skipping = guard.execute(scripted(httpError(503), 'skipped').fn, { providerName: 'p', skipQueue: true });
    await settle();
    expect(guard.getStats().queue.currentSize).toBe(1);
    first.finish('first');
    await clock.advance(1000);
    expect(await Promise.all([...calls, skipping])).toEqual(['first', 'second', 'skipped']);
  });
});

describe('minDelayMs', () => {
  test('spaces the starts of attempts at one provider, and of no other', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 1000 } });
    const startedAt = clock.now();
    const starts: [string, number][] = [];
    const calls = ['a', 'a', 'b', 'a', 'b'].map(provider =>
      guard.execute(() => starts.push([provider, clock.now() - startedAt]), provider),
    );
    await clock.advance(5000);
    await Promise.all(calls);
    expect(starts).toEqual([
      ['a', 0],
      ['b', 0],
      ['a', 1000],
      ['b', 1000],
      ['a', 2000],
    ]);
  });

  test('is measured from start to start, so a call after a pause goes at once', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 1000 } });
    await guard.execute(() => 1, 'p');
    await clock.advance(1000);
    expect(await guard.execute(() => 2, 'p')).toBe(2);
  });

  test('holds for retries, too', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 5000 }, retry: { initialBackoffMs: 100 } });
    const { fn, runs } = scripted(httpError(503), 'fine');
    const call = guard.execute(fn, 'p');
    await clock.advance(4999);
    expect(runs()).toBe(1);
    await clock.advance(1);
    expect(await call).toBe('fine');
  });

  test('survives a clock that is set back', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 1000 } });
    await guard.execute(() => 1, 'p');
    clock.set(clock.now() - 3_600_000);
    const call = guard.execute(() => 2, 'p');
    await clock.advance(1000);
    expect(await call).toBe(2);
  });
});

describe('maxQueueSize', () => {
  test('is the number of calls that wait: one more is rejected at once', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1, maxQueueSize: 2 } });
    const first = held();
    const calls = [first.fn, () => 'b', () => 'c'].map(fn => guard.execute<string>(fn, 'p'));
    expect(await rejectionOf(guard.execute(() => 'd', 'p'))).toMatchObject({ code: 'QUEUE_FULL', provider: 'p' });
    expect(await guard.execute(() => 'elsewhere', 'other')).toBe('elsewhere');
    first.finish('a');
    expect(await Promise.all(calls)).toEqual(['a', 'b', 'c']);
    expect(await guard.execute(() => 'e', 'p')).toBe('e');
  });

  test('of 0 still lets calls in that need not wait', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1, maxQueueSize: 0 } });
    const first = held();
    const call = guard.execute(first.fn, 'p');
    expect(await rejectionOf(guard.execute(() => 1, 'p'))).toMatchObject({ code: 'QUEUE_FULL' });
    first.finish('x');
    await call;
    expect(await guard.execute(() => 2, 'p')).toBe(2);
  });

  test('of 0 does not lock a provider for good behind an attempt that never settles', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1, maxQueueSize: 0, stallMs: 1000 } });
    const never = held();
    const stuck = fateOf(guard.execute(never.fn, 'p'));
    await clock.advance(1000);
    expect(await guard.execute(() => 'next', 'p')).toBe('next');
    expect(stuck.state).toBe('pending');
  });

  test('bounds calls that wait for a rate limit', async () => {
    const { guard, clock } = benchOf({
      queue: { maxQueueSize: 2 },
      rateLimiting: { onLimit: 'wait', rules: { burst: 1 } },
    });
    const calls = [1, 2, 3].map(n => guard.execute(() => n, 'p'));
    expect(await rejectionOf(guard.execute(() => 4, 'p'))).toMatchObject({ code: 'QUEUE_FULL' });
    await clock.advance(20_000);
    expect(await Promise.all(calls)).toEqual([1, 2, 3]);
  });

  test('bounds calls that wait for a key', async () => {
    const { guard, clock } = benchOf({
      queue: { maxQueueSize: 1 },
      keyManagement: { providers: { p: { keys: [{ key: 'secret', limits: { concurrency: 1 } }] } } },
    });
    const first = held();
    const calls = [guard.execute(first.fn, 'p'), guard.execute(() => 'b', 'p')];
    await settle();
    expect(await rejectionOf(guard.execute(() => 'c', 'p'))).toMatchObject({ code: 'QUEUE_FULL' });
    first.finish('a');
    await clock.advance(0);
    expect(await Promise.all(calls)).toEqual(['a', 'b']);
  });

  test('does not end a call that has tried already: it may wait to try again', async () => {
    const { guard, clock } = benchOf({ queue: { maxQueueSize: 1 }, retry: { initialBackoffMs: 1000 } });
    const calls = [1, 2, 3].map(n => fateOf(guard.execute(scripted(httpError(503), n).fn, 'p')));
    await settle();
    expect(guard.getStats().queue.currentSize).toBe(3);
    await clock.advance(1000);
    expect(calls.map(({ value }) => value)).toEqual([1, 2, 3]);
  });

  test('does not end a call that has waited already, and must wait for the next thing', async () => {
    const { guard, clock } = benchOf({
      queue: { maxQueueSize: 1, concurrency: 1 },
      retry: { initialBackoffMs: 60_000, maxBackoffMs: 60_000 },
      rateLimiting: { onLimit: 'wait', rules: { burst: 1 } },
    });
    await guard.execute(() => 0, { providerName: 'p', sessionId: 'a' });
    const patient = fateOf(guard.execute(() => 'patient', { providerName: 'p', sessionId: 'a' }));
    fateOf(guard.execute(scripted(httpError(503), 'x').fn, { providerName: 'p', sessionId: 'b' }));
    await settle();
    const slow = held();
    fateOf(guard.execute(slow.fn, { providerName: 'p', sessionId: 'c' }));
    // The limit has room now; the slot is taken, and another call waits by then.
    await clock.advance(10_000);
    expect(patient.state).toBe('pending');
    slow.finish('x');
    await settle();
    expect(patient.value).toBe('patient');
  });

  test('costs a rejected call neither its rate limit nor anything else', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1, maxQueueSize: 0 }, rateLimiting: { rules: { burst: 2 } } });
    const first = held();
    const call = guard.execute(first.fn, 'p');
    for (let i = 0; i < 5; i++) await rejectionOf(guard.execute(() => i, 'p'));
    expect(guard.getStats().rateLimiting.rulesUsage.burstUsage.current).toBe(1);
    expect(guard.isProviderHealthy('p')).toBe(true);
    first.finish('x');
    await call;
  });

  test('is a matter of the queue: without it calls are never turned away', async () => {
    const { guard, clock } = benchOf({
      queue: { enabled: false, maxQueueSize: 0 },
      rateLimiting: { onLimit: 'wait', rules: { burst: 1 } },
    });
    const calls = [1, 2].map(n => guard.execute(() => n, 'p'));
    await clock.advance(10_000);
    expect(await Promise.all(calls)).toEqual([1, 2]);
  });
});

describe('order', () => {
  test('is that of arrival, and higher priorities go first', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 } });
    const order: string[] = [];
    const first = held();
    const calls: Promise<unknown>[] = [guard.execute(first.fn, 'p')];
    const enqueue = (name: string, priority?: number): void => {
      calls.push(guard.execute(() => order.push(name), { providerName: 'p', priority }));
    };
    enqueue('a');
    enqueue('low', -1);
    enqueue('high', 5);
    enqueue('b', 0);
    enqueue('higher', 10);
    await settle();
    first.finish('x');
    await Promise.all(calls);
    expect(order).toEqual(['higher', 'high', 'a', 'b', 'low']);
  });

  test('holds for calls that wait for a rate limit', async () => {
    const burst = { requests: 1, windowMs: 100 };
    const { guard, clock } = benchOf({ rateLimiting: { onLimit: 'wait', rules: { burst } } });
    const order: string[] = [];
    const calls = [guard.execute(() => order.push('first'))];
    for (const [name, priority] of [['a', 0], ['b', 0], ['urgent', 1]] as const) {
      calls.push(guard.execute(() => order.push(name), { priority }));
    }
    await clock.advance(1000);
    await Promise.all(calls);
    expect(order).toEqual(['first', 'urgent', 'a', 'b']);
  });

  test('holds for calls that wait for a key', async () => {
    const { guard, clock } = benchOf({
      keyManagement: { providers: { p: { keys: [{ key: 'secret', limits: { concurrency: 1 } }] } } },
    });
    const order: string[] = [];
    const first = held();
    const calls: Promise<unknown>[] = [guard.execute(first.fn, 'p')];
    for (const [name, priority] of [['a', 0], ['b', 0], ['urgent', 1]] as const) {
      calls.push(guard.execute(() => order.push(name), { providerName: 'p', priority }));
    }
    await settle();
    first.finish('x');
    await clock.advance(10);
    await Promise.all(calls);
    expect(order).toEqual(['urgent', 'a', 'b']);
  });

  test('a call that comes as a slot is freed does not overtake those that wait', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 } });
    const order: string[] = [];
    const first = held();
    const running = guard.execute(first.fn, 'p').then(() => guard.execute(() => order.push('latecomer'), 'p'));
    const waiting = guard.execute(() => order.push('waiting'), 'p');
    first.finish('x');
    await Promise.all([running, waiting]);
    expect(order).toEqual(['waiting', 'latecomer']);
  });
});

describe('an attempt that stalls', () => {
  test('gives its slot away, and its own answer still counts when it comes', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1, stallMs: 1000 } });
    const slow = held();
    const first = guard.execute(slow.fn, 'p');
    const second = fateOf(guard.execute(() => 'second', 'p'));
    await clock.advance(999);
    expect(second.state).toBe('pending');
    await clock.advance(1);
    expect(second).toEqual({ state: 'resolved', value: 'second' });
    slow.finish('late');
    expect(await first).toBe('late');
    expect(guard.getStats().queue.processing).toBe(false);
  });

  test('keeps its slot while nobody wants it', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1, stallMs: 1000 } });
    const slow = held();
    const first = guard.execute(slow.fn, 'p');
    await clock.advance(5000);
    expect(guard.getStats().queue.processing).toBe(true);
    slow.finish('late');
    expect(await first).toBe('late');
  });

  test('does not widen the lane for good', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1, stallMs: 1000 } });
    const calls: Held<string>[] = [held(), held(), held()];
    const results = calls.map(({ fn }) => guard.execute(fn, 'p'));
    await clock.advance(1000);
    expect(calls.map(({ runs }) => runs())).toEqual([1, 1, 0]);
    // The stalled one ends now: the slot is not its own any more.
    calls[0]!.finish('a');
    await settle();
    expect(calls[2]!.runs()).toBe(0);
    calls[1]!.finish('b');
    calls[2]!.finish('c');
    expect(await Promise.all(results)).toEqual(['a', 'b', 'c']);
  });

  test('is one after another, when all of them never settle', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 2, stallMs: 1000 } });
    const calls = Array.from({ length: 7 }, () => held());
    for (const { fn } of calls) fateOf(guard.execute(fn, 'p'));
    const last = guard.execute(() => 'got through', 'p');
    await clock.advance(10_000);
    expect(await last).toBe('got through');
  });

  test('is noticed where it began before there was a limit', async () => {
    const { guard, clock } = benchOf({ queue: { stallMs: 1000 } });
    const never = held();
    fateOf(guard.execute(never.fn, 'p'));
    guard.updateConfig({ queue: { concurrency: 1 } });
    const call = fateOf(guard.execute(() => 'next', 'p'));
    await clock.advance(999);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call.state).toBe('resolved');
  });

  test('is noticed behind one that has timed out but never settled', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1, stallMs: 1000 }, retry: { enabled: false } });
    const [hung, stalled] = [held(), held()];
    await Promise.all([
      rejectionOf(guard.execute(hung.fn, { providerName: 'p', attemptTimeoutMs: 100 })),
      clock.advance(100),
    ]);
    fateOf(guard.execute(stalled.fn, 'p'));
    const call = fateOf(guard.execute(() => 'next', 'p'));
    await clock.advance(1000);
    expect(call.state).toBe('resolved');
  });

  test('that skipped the queue is left alone', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1, stallMs: 1000 } });
    const [skipping, slow] = [held(), held()];
    const calls = [
      guard.execute(skipping.fn, { providerName: 'p', skipQueue: true }),
      guard.execute(slow.fn, 'p'),
      guard.execute(() => 'third', 'p'),
    ];
    await clock.advance(2000);
    skipping.finish('skipped');
    slow.finish('slow');
    expect(await Promise.all(calls)).toEqual(['skipped', 'slow', 'third']);
  });
});

describe('an update while calls wait', () => {
  test('a raised concurrency starts them', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 } });
    const calls = [held(), held(), held()];
    const results = calls.map(({ fn }) => guard.execute(fn, 'p'));
    await settle();
    guard.updateConfig({ queue: { concurrency: 3 } });
    await settle();
    expect(calls.map(({ runs }) => runs())).toEqual([1, 1, 1]);
    for (const { finish } of calls) finish('x');
    await Promise.all(results);
  });

  test('a lowered concurrency lets those finish that run', async () => {
    const { guard } = benchOf({ queue: { concurrency: 2 } });
    const calls = [held(), held(), held()];
    const results = calls.map(({ fn }) => guard.execute(fn, 'p'));
    guard.updateConfig({ queue: { concurrency: 1 } });
    calls[0]!.finish('a');
    await settle();
    expect(calls[2]!.runs()).toBe(0);
    calls[1]!.finish('b');
    await settle();
    expect(calls[2]!.runs()).toBe(1);
    calls[2]!.finish('c');
    expect(await Promise.all(results)).toEqual(['a', 'b', 'c']);
  });

  test('a shorter minDelayMs takes effect at once, a longer one from the last start', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 10_000 } });
    await guard.execute(() => 1, 'p');
    const second = fateOf(guard.execute(() => 2, 'p'));
    await settle();
    guard.updateConfig({ minDelayMs: 500 });
    await clock.advance(499);
    expect(second.state).toBe('pending');
    await clock.advance(1);
    expect(second.state).toBe('resolved');
    guard.updateConfig({ minDelayMs: 2000 });
    const third = fateOf(guard.execute(() => 3, 'p'));
    await clock.advance(1999);
    expect(third.state).toBe('pending');
    await clock.advance(1);
    expect(third.state).toBe('resolved');
  });

  test('switching the queue off lets all of them go', async () => {
    for (const update of [{ queue: { enabled: false } }, { enabled: false }]) {
      const { guard } = benchOf({ queue: { concurrency: 1, minDelayMs: 60_000 } });
      const calls = [held(), held(), held()];
      const results = calls.map(({ fn }) => guard.execute(fn, 'p'));
      await settle();
      guard.updateConfig(update);
      await settle();
      expect(calls.map(({ runs }) => runs())).toEqual([1, 1, 1]);
      for (const { finish } of calls) finish('x');
      await Promise.all(results);
      expect(guard.getStats().queue.processing).toBe(false);
    }
  });

  test('a smaller maxQueueSize keeps those that wait', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 } });
    const first = held();
    const calls = [first.fn, () => 'b', () => 'c'].map(fn => guard.execute<string>(fn, 'p'));
    guard.updateConfig({ maxQueueSize: 1 });
    expect(await rejectionOf(guard.execute(() => 'd', 'p'))).toMatchObject({ code: 'QUEUE_FULL' });
    first.finish('a');
    expect(await Promise.all(calls)).toEqual(['a', 'b', 'c']);
  });
});

describe('the async context of a caller', () => {
  test.each([
    ['waits for a slot', { queue: { concurrency: 1 } }],
    ['waits for its turn', { queue: { minDelayMs: 100 } }],
    ['waits for a rate limit', { rateLimiting: { onLimit: 'wait', rules: { burst: { requests: 1, windowMs: 100 } } } }],
    ['waits for a key', { keyManagement: { providers: { p: { keys: [{ key: 's', limits: { concurrency: 1 } }] } } } }],
  ] as const)('is intact in its callback where it %s', async (_name, config) => {
    const { guard, clock } = benchOf(config);
    const storage = new AsyncLocalStorage<string>();
    const first = held();
    const seen: unknown[] = [];
    const calls: Promise<unknown>[] = [storage.run('first', () => guard.execute(first.fn, 'p'))];
    for (const name of ['a', 'b', 'c']) {
      calls.push(
        storage.run(name, async () => {
          await guard.execute(() => seen.push(storage.getStore()), 'p');
          expect(storage.getStore()).toBe(name);
        }),
      );
    }
    await clock.advance(50);
    storage.run('finisher', () => first.finish('x'));
    await clock.advance(1000);
    await Promise.all(calls);
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  test('is intact after a back-off', async () => {
    const { guard, clock } = benchOf({ retry: { initialBackoffMs: 100 } });
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const { fn } = scripted(httpError(503), 'fine');
    const call = storage.run('mine', () =>
      guard.execute(() => {
        seen.push(storage.getStore());
        return fn();
      }),
    );
    await clock.advance(100);
    await call;
    expect(seen).toEqual(['mine', 'mine']);
  });
});

test('queue events tell who waits, goes on, gives up and is turned away', async () => {
  const { guard } = benchOf({ queue: { concurrency: 1, maxQueueSize: 2 } });
  const events = heard(guard, 'queue');
  const first = held();
  const controller = new AbortController();
  const calls = [
    guard.execute(first.fn, 'p'),
    guard.execute(() => 'b', 'p'),
    rejectionOf(guard.execute(() => 'c', { providerName: 'p', signal: controller.signal })),
    rejectionOf(guard.execute(() => 'd', 'p')),
  ];
  await settle();
  controller.abort();
  await settle();
  first.finish('a');
  await Promise.all(calls);
  expect(events.map(({ what, size }) => [what, size])).toEqual([
    ['waiting', 1],
    ['waiting', 2],
    ['full', 2],
    ['left', 1],
    ['started', 0],
  ]);
});
