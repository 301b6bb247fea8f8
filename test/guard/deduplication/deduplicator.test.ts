import { AsyncLocalStorage } from 'node:async_hooks';
import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AbortedError, DeadlineError } from '../../../src/guard/errors.ts';
import { Deduplicator, type DeduplicatorOptions } from '../../../src/guard/deduplication/deduplicator.ts';

/** A deduplicator on a clock that moves only when told. */
function setUp(options: DeduplicatorOptions = {}) {
  const time = { now: 0 };
  const noTimers = () => { throw new Error('a timer was set'); };
  const clock = { now: () => time.now, setTimeout: noTimers, clearTimeout: noTimers };
  return { time, deduplicator: new Deduplicator({ clock, ...options }) };
}

/** A call that settles when told, and counts how often it was made. */
class Upstream<T = unknown> {
  calls = 0;
  readonly #open: { resolve: (value: T) => void; reject: (error: unknown) => void }[] = [];

  readonly execute = (): Promise<T> => {
    this.calls += 1;
    return new Promise((resolve, reject) => this.#open.push({ resolve, reject }));
  };

  resolve(value: T): void {
    this.#open.shift()!.resolve(value);
  }

  reject(error: unknown): void {
    this.#open.shift()!.reject(error);
  }
}

const answering = <T>(value: T) => {
  const execute = () => {
    execute.calls += 1;
    return Promise.resolve(value);
  };
  execute.calls = 0;
  return execute;
};

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('equal calls in flight', () => {
  test('run once and share the answer', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const calls = [1, 2, 3].map(() => deduplicator.run('k', undefined, upstream.execute));
    upstream.resolve('answer');
    expect(await Promise.all(calls)).toEqual(['answer', 'answer', 'answer']);
    expect(upstream.calls).toBe(1);
  });

  test('of different keys run apart', async () => {
    const { deduplicator } = setUp();
    expect(await Promise.all([
      deduplicator.run('a', undefined, answering('A')),
      deduplicator.run('b', undefined, answering('B')),
    ])).toEqual(['A', 'B']);
  });

  test('each get a copy of their own, the leader the original', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<{ list: number[] }>();
    const [leader, first, second] = [1, 2, 3].map(() => deduplicator.run('k', undefined, upstream.execute));
    const original = { list: [1] };
    upstream.resolve(original);
    expect(await leader).toBe(original);
    (await leader)!.list.push(2);
    (await first)!.list.push(3);
    expect((await second)!.list).toEqual([1]);
    expect(original.list).toEqual([1, 2]);
    expect((await deduplicator.run('k', undefined, upstream.execute)).list).toEqual([1]);
  });

  test('a mutation in the first continuation of the leader reaches nobody', async () => {
    const { deduplicator } = setUp();
    const execute = answering({ n: 1 });
    const leader = deduplicator.run('k', undefined, execute).then((answer) => { answer.n = 2; });
    const follower = deduplicator.run('k', undefined, execute);
    await leader;
    expect(await follower).toEqual({ n: 1 });
    expect(await deduplicator.run('k', undefined, execute)).toEqual({ n: 1 });
  });

  test.each<[string, () => unknown]>([
    ['undefined', () => undefined],
    ['a Response', () => new Response('text')],
    ['a stream', () => new ReadableStream()],
    ['an instance', () => new (class Answer { text = 'text'; })()],
  ])('whose answer is %s make their own calls, side by side', async (_, make) => {
    const { deduplicator } = setUp();
    const upstream = new Upstream();
    const calls = [1, 2, 3].map(() => deduplicator.run('k', undefined, upstream.execute));
    const answers = [make(), make(), make()];
    upstream.resolve(answers[0]);
    await settled();
    expect(upstream.calls).toBe(3);
    upstream.resolve(answers[1]);
    upstream.resolve(answers[2]);
    const received = await Promise.all(calls);
    received.forEach((answer, i) => expect(answer).toBe(answers[i]));
    expect(deduplicator.stats()).toMatchObject({ totalCachedRequests: 0, totalDuplicateRequestsBlocked: 0 });
  });

  test('each follower that works by side effect does its own work', async () => {
    const { deduplicator } = setUp();
    const done: string[] = [];
    const work = (name: string) => deduplicator.run('k', undefined, () => {
      done.push(name);
      return Promise.resolve(undefined);
    });
    await Promise.all([work('a'), work('b'), work('c')]);
    expect(done).toEqual(['a', 'b', 'c']);
  });

  test('share one failure, the same object, and it is not kept', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream();
    const calls = [1, 2, 3].map(() => deduplicator.run('k', undefined, upstream.execute));
    const outage = new Error('outage');
    upstream.reject(outage);
    for (const result of await Promise.allSettled(calls)) {
      expect(result).toEqual({ status: 'rejected', reason: outage });
    }
    expect(upstream.calls).toBe(1);
    expect(await deduplicator.run('k', undefined, answering('fine'))).toBe('fine');
  });

  test('a thrown null is passed on as it is', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream();
    const calls = [1, 2].map(() => deduplicator.run('k', undefined, upstream.execute));
    upstream.reject(null);
    for (const result of await Promise.allSettled(calls)) expect(result).toEqual({ status: 'rejected', reason: null });
  });

  test('a call that throws at once, or returns no promise, leaves nothing behind', async () => {
    const { deduplicator } = setUp({ ttlSeconds: 0 });
    const boom = () => { throw new Error('boom'); };
    await expect(deduplicator.run('k', undefined, boom)).rejects.toThrow('boom');
    const careless = (() => 'plain') as unknown as () => Promise<string>;
    expect(await deduplicator.run('k', undefined, careless)).toBe('plain');
    expect(await deduplicator.run('k', undefined, answering('next'))).toBe('next');
  });

  test('followers run in their own async context', async () => {
    const { deduplicator } = setUp();
    const tenant = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const call = () => deduplicator.run('k', undefined, async () => {
      await Promise.resolve();
      seen.push(tenant.getStore());
    });
    await Promise.all([tenant.run('a', call), tenant.run('b', call), tenant.run('c', call)]);
    expect(seen).toEqual(['a', 'b', 'c']);
  });
});

describe('aborting', () => {
  test('a follower rejects at once and disturbs nobody', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const controller = new AbortController();
    const leader = deduplicator.run('k', undefined, upstream.execute);
    const aborted = deduplicator.run('k', controller.signal, upstream.execute);
    const other = deduplicator.run('k', undefined, upstream.execute);
    const reason = new Error('user left');
    controller.abort(reason);
    const error: unknown = await aborted.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(AbortedError);
    expect(error).toMatchObject({ code: 'ABORTED', cause: reason });
    upstream.resolve('answer');
    expect(await Promise.all([leader, other])).toEqual(['answer', 'answer']);
    expect(upstream.calls).toBe(1);
  });

  test('the leader kills no follower: one takes over, the others follow it', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const controller = new AbortController();
    const leader = deduplicator.run('k', controller.signal, upstream.execute);
    const followers = [1, 2, 3].map(() => deduplicator.run('k', undefined, upstream.execute));
    controller.abort();
    upstream.reject(controller.signal.reason);
    await expect(leader).rejects.toBe(controller.signal.reason);
    await settled();
    expect(upstream.calls).toBe(2);
    const late = deduplicator.run('k', undefined, upstream.execute);
    upstream.resolve('answer');
    expect(await Promise.all([...followers, late])).toEqual(['answer', 'answer', 'answer', 'answer']);
    expect(upstream.calls).toBe(2);
    expect(await deduplicator.run('k', undefined, upstream.execute)).toBe('answer');
  });

  test('one leader after the other may abort', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const [first, second] = [new AbortController(), new AbortController()];
    const calls = [first, second, undefined, undefined].map((controller) =>
      deduplicator.run('k', controller?.signal, upstream.execute));
    for (const [i, controller] of [first, second].entries()) {
      controller.abort();
      upstream.reject(controller.signal.reason);
      await expect(calls[i]).rejects.toBe(controller.signal.reason);
      await settled();
      expect(upstream.calls).toBe(i + 2);
    }
    upstream.resolve('answer');
    expect(await Promise.all(calls.slice(2))).toEqual(['answer', 'answer']);
    expect(upstream.calls).toBe(3);
  });

  test('an heir that aborts before its turn passes the lead on', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const [first, heir] = [new AbortController(), new AbortController()];
    const leader = deduplicator.run('k', first.signal, () => upstream.execute().catch((error: unknown) => {
      // Runs after the leader's failure is known and before the heir has started.
      queueMicrotask(() => queueMicrotask(() => heir.abort()));
      throw error;
    }));
    const second = deduplicator.run('k', heir.signal, upstream.execute);
    const third = deduplicator.run('k', undefined, upstream.execute);
    first.abort();
    upstream.reject(first.signal.reason);
    await expect(leader).rejects.toBeDefined();
    await expect(second).rejects.toBeInstanceOf(AbortedError);
    await settled();
    upstream.resolve('answer');
    expect(await third).toBe('answer');
  });

  test('the leader alone leaves nothing behind', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const controller = new AbortController();
    const leader = deduplicator.run('k', controller.signal, upstream.execute);
    controller.abort();
    upstream.reject(controller.signal.reason);
    await expect(leader).rejects.toBeDefined();
    expect(await deduplicator.run('k', undefined, answering('next'))).toBe('next');
  });

  test('the deadline of the leader is not that of its followers', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const leader = deduplicator.run('k', undefined, upstream.execute);
    const follower = deduplicator.run('k', undefined, upstream.execute);
    upstream.reject(new DeadlineError());
    await expect(leader).rejects.toBeInstanceOf(DeadlineError);
    await settled();
    upstream.resolve('answer');
    expect(await follower).toBe('answer');
  });

  test('a call aborted before it began is not made, nor served', async () => {
    const { deduplicator } = setUp();
    const upstream = answering('answer');
    await deduplicator.run('k', undefined, upstream);
    await expect(deduplicator.run('k', AbortSignal.abort(), upstream)).rejects.toBeInstanceOf(AbortedError);
    await expect(deduplicator.run('other', AbortSignal.abort(), upstream)).rejects.toBeInstanceOf(AbortedError);
    expect(upstream.calls).toBe(1);
  });

  test('signals are let go when the wait is over', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const { signal } = new AbortController();
    const calls = Array.from({ length: 20 }, () => deduplicator.run('k', signal, upstream.execute));
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    upstream.resolve('answer');
    await Promise.all(calls);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('the result cache', () => {
  test('answers for the whole TTL, not five seconds, and not longer', async () => {
    const { deduplicator, time } = setUp({ ttlSeconds: 30 });
    const execute = answering('answer');
    await deduplicator.run('k', undefined, execute);
    for (time.now of [4999, 5001, 29_999]) await deduplicator.run('k', undefined, execute);
    expect(execute.calls).toBe(1);
    time.now = 30_001;
    await deduplicator.run('k', undefined, execute);
    expect(execute.calls).toBe(2);
  });

  test('counts the TTL from when the answer came', async () => {
    const { deduplicator, time } = setUp({ ttlSeconds: 1 });
    const upstream = new Upstream<string>();
    const call = deduplicator.run('k', undefined, upstream.execute);
    time.now = 60_000;
    upstream.resolve('answer');
    await call;
    time.now = 60_900;
    expect(await deduplicator.run('k', undefined, answering('other'))).toBe('answer');
  });

  test('a clock that is set back does not keep an answer alive', async () => {
    const { deduplicator, time } = setUp({ ttlSeconds: 30 });
    time.now = 1_000_000;
    await deduplicator.run('k', undefined, answering('old'));
    time.now = 500_000;
    expect(await deduplicator.run('k', undefined, answering('new'))).toBe('new');
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['0', 0],
    ['false', false],
    ['an empty text', ''],
    ['a BigInt', 12n],
    ['a Date', new Date(5)],
    ['a Map', new Map([['a', 1n]])],
    ['a Buffer', Buffer.from('a')],
  ])('gives %s back as it is', async (_, value) => {
    const { deduplicator } = setUp();
    const execute = answering(value);
    await deduplicator.run('k', undefined, execute);
    expect(await deduplicator.run('k', undefined, execute)).toStrictEqual(value);
    expect(execute.calls).toBe(1);
  });

  test('a caller who changes a cached answer changes nobody else\'s', async () => {
    const { deduplicator } = setUp();
    const execute = answering({ list: [1] });
    (await deduplicator.run('k', undefined, execute)).list.push(2);
    (await deduplicator.run('k', undefined, execute)).list.push(3);
    expect(await deduplicator.run('k', undefined, execute)).toEqual({ list: [1] });
  });

  test('keeps the answers used last', async () => {
    const { deduplicator } = setUp({ maxCacheSize: 2 });
    const [a, b, c] = [answering('A'), answering('B'), answering('C')];
    await deduplicator.run('a', undefined, a);
    await deduplicator.run('b', undefined, b);
    await deduplicator.run('a', undefined, a);
    await deduplicator.run('c', undefined, c);
    await deduplicator.run('a', undefined, a);
    await deduplicator.run('b', undefined, b);
    expect([a.calls, b.calls, c.calls]).toEqual([1, 2, 1]);
    expect(deduplicator.stats().totalCachedRequests).toBe(2);
  });

  test.each([1, 2, 3, 10])('holds no more than %i answers, whatever comes', async (maxCacheSize) => {
    const { deduplicator } = setUp({ maxCacheSize });
    for (let i = 0; i < 50; i += 1) {
      await deduplicator.run(`k${i}`, undefined, answering(i));
      await deduplicator.run(`k${i >>> 1}`, undefined, answering(i));
      expect(deduplicator.stats().totalCachedRequests).toBeLessThanOrEqual(maxCacheSize);
    }
    expect(deduplicator.stats().totalCachedRequests).toBeGreaterThan(0);
  });

  test('keeps an answer that is asked for again and again, however many others come', async () => {
    const { deduplicator } = setUp({ maxCacheSize: 10 });
    const popular = answering('popular');
    for (let i = 0; i < 100; i += 1) {
      await deduplicator.run('popular', undefined, popular);
      for (let j = 0; j < 4; j += 1) await deduplicator.run(`${i} ${j}`, undefined, answering(j));
    }
    expect(popular.calls).toBe(1);
  });

  test('keeps an answer that was long in coming as long as any other', async () => {
    const { deduplicator } = setUp({ maxCacheSize: 4 });
    const upstream = new Upstream<string>();
    const slow = deduplicator.run('slow', undefined, upstream.execute);
    for (let i = 0; i < 10; i += 1) await deduplicator.run(`before ${i}`, undefined, answering(i));
    upstream.resolve('slow');
    await slow;
    await deduplicator.run('after', undefined, answering('after'));
    expect(await deduplicator.run('slow', undefined, upstream.execute)).toBe('slow');
  });

  test.each([0, 1, 2, 1000])('of %i answers or less shares any number of calls in flight', async (maxCacheSize) => {
    const { deduplicator } = setUp({ maxCacheSize });
    const upstream = new Upstream<number>();
    const keys = Array.from({ length: 3000 }, (_, i) => i);
    const run = (key: number) => deduplicator.run(`k${key}`, undefined, upstream.execute);
    const calls = [...keys.map(run), ...keys.map(run)];
    expect(upstream.calls).toBe(3000);
    for (const key of keys) upstream.resolve(key);
    expect(await Promise.all(calls)).toEqual([...keys, ...keys]);
    expect(deduplicator.stats().totalCachedRequests).toBeLessThanOrEqual(maxCacheSize);
  });

  test.each([{ ttlSeconds: 0 }, { maxCacheSize: 0 }])('with %j only calls in flight are shared', async (options) => {
    const { deduplicator } = setUp(options);
    const execute = answering('answer');
    await Promise.all([deduplicator.run('k', undefined, execute), deduplicator.run('k', undefined, execute)]);
    expect(execute.calls).toBe(1);
    await deduplicator.run('k', undefined, execute);
    expect(execute.calls).toBe(2);
    expect(deduplicator.stats()).toMatchObject({ totalCachedRequests: 0, memoryUsage: 0 });
  });

  test('a fraction of a millisecond is a TTL', async () => {
    const { deduplicator } = setUp({ ttlSeconds: 0.0001 });
    const execute = answering('answer');
    await deduplicator.run('k', undefined, execute);
    await deduplicator.run('k', undefined, execute);
    expect(execute.calls).toBe(1);
  });
});

describe('configure', () => {
  test('a longer TTL keeps the answers, and serves them longer', async () => {
    const { deduplicator, time } = setUp({ ttlSeconds: 10 });
    const execute = answering('answer');
    await deduplicator.run('k', undefined, execute);
    time.now = 5000;
    deduplicator.configure({ ttlSeconds: 20 });
    time.now = 19_000;
    await deduplicator.run('k', undefined, execute);
    expect(execute.calls).toBe(1);
    time.now = 21_000;
    await deduplicator.run('k', undefined, execute);
    expect(execute.calls).toBe(2);
  });

  test('a shorter TTL drops what is too old for it', async () => {
    const { deduplicator, time } = setUp({ ttlSeconds: 10 });
    await deduplicator.run('old', undefined, answering('old'));
    time.now = 5000;
    await deduplicator.run('new', undefined, answering('new'));
    time.now = 6000;
    deduplicator.configure({ ttlSeconds: 2 });
    expect(deduplicator.stats().totalCachedRequests).toBe(1);
    expect(await deduplicator.run('new', undefined, answering('newer'))).toBe('new');
    time.now = 7500;
    expect(await deduplicator.run('new', undefined, answering('newer'))).toBe('newer');
  });

  test('a smaller cache holds no more than it may, and what came last', async () => {
    const { deduplicator } = setUp();
    for (const key of ['a', 'b', 'c']) await deduplicator.run(key, undefined, answering(key));
    deduplicator.configure({ maxCacheSize: 2 });
    expect(deduplicator.stats().totalCachedRequests).toBe(2);
    expect(await deduplicator.run('c', undefined, answering('again'))).toBe('c');
    expect(await deduplicator.run('a', undefined, answering('again'))).toBe('again');
  });

  test('a smaller cache loses no call under way', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
    const calls = keys.map((key) => deduplicator.run(key, undefined, upstream.execute));
    deduplicator.configure({ maxCacheSize: 2 });
    const followers = keys.map((key) => deduplicator.run(key, undefined, upstream.execute));
    expect(upstream.calls).toBe(20);
    for (const key of keys) upstream.resolve(key);
    expect(await Promise.all([...calls, ...followers])).toEqual([...keys, ...keys]);
    expect(deduplicator.stats().totalCachedRequests).toBe(2);
  });

  test('what is not named stays; naming the same changes nothing', async () => {
    const { deduplicator, time } = setUp({ ttlSeconds: 10, maxCacheSize: 1 });
    await deduplicator.run('k', undefined, answering('answer'));
    deduplicator.configure({});
    deduplicator.configure({ ttlSeconds: undefined, maxCacheSize: undefined });
    deduplicator.configure({ ttlSeconds: 10 });
    expect(await deduplicator.run('k', undefined, answering('again'))).toBe('answer');
    time.now = 10_001;
    expect(await deduplicator.run('k', undefined, answering('again'))).toBe('again');
  });

  test('switched off and on again it starts empty', async () => {
    const { deduplicator } = setUp();
    await deduplicator.run('k', undefined, answering('old'));
    deduplicator.configure({ ttlSeconds: 0 });
    deduplicator.configure({ ttlSeconds: 30 });
    expect(await deduplicator.run('k', undefined, answering('new'))).toBe('new');
  });

  test('a call under way is kept by the new rules', async () => {
    const { deduplicator } = setUp({ ttlSeconds: 0 });
    const upstream = new Upstream<string>();
    const call = deduplicator.run('k', undefined, upstream.execute);
    deduplicator.configure({ ttlSeconds: 30 });
    upstream.resolve('answer');
    await call;
    expect(await deduplicator.run('k', undefined, answering('again'))).toBe('answer');
  });
});

describe('clear', () => {
  test('forgets the answers, and those still to come', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    await deduplicator.run('done', undefined, answering('old'));
    const call = deduplicator.run('k', undefined, upstream.execute);
    const follower = deduplicator.run('k', undefined, upstream.execute);
    deduplicator.clear();
    const fresh = deduplicator.run('k', undefined, upstream.execute);
    expect(upstream.calls).toBe(2);
    upstream.resolve('old');
    expect(await Promise.all([call, follower])).toEqual(['old', 'old']);
    const joined = deduplicator.run('k', undefined, upstream.execute);
    upstream.resolve('fresh');
    expect(await Promise.all([fresh, joined])).toEqual(['fresh', 'fresh']);
    expect(await deduplicator.run('k', undefined, upstream.execute)).toBe('fresh');
    expect(await deduplicator.run('done', undefined, answering('new'))).toBe('new');
  });

  test('a lead handed on after it is not stored either', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const controller = new AbortController();
    const leader = deduplicator.run('k', controller.signal, upstream.execute);
    const follower = deduplicator.run('k', undefined, upstream.execute);
    deduplicator.clear();
    controller.abort();
    upstream.reject(controller.signal.reason);
    await expect(leader).rejects.toBeDefined();
    await settled();
    upstream.resolve('answer');
    expect(await follower).toBe('answer');
    expect(deduplicator.stats().totalCachedRequests).toBe(0);
  });

  test('an answer to nobody after it is dropped', async () => {
    const { deduplicator } = setUp();
    const upstream = new Upstream<string>();
    const call = deduplicator.run('k', undefined, upstream.execute);
    deduplicator.clear();
    upstream.resolve('answer');
    expect(await call).toBe('answer');
    expect(deduplicator.stats().totalCachedRequests).toBe(0);
  });
});

describe('stats', () => {
  test('are numbers from the start', () => {
    expect(setUp().deduplicator.stats()).toEqual({
      totalCachedRequests: 0, totalDuplicateRequestsBlocked: 0, cacheHitRate: 0, memoryUsage: 0,
    });
  });

  test('count who was served by another\'s outcome', async () => {
    const { deduplicator, time } = setUp();
    const execute = answering('answer');
    await Promise.all([1, 2].map(() => deduplicator.run('k', undefined, execute)));
    await deduplicator.run('k', undefined, execute);
    await deduplicator.run('other', undefined, execute);
    expect(deduplicator.stats()).toMatchObject({
      totalCachedRequests: 2, totalDuplicateRequestsBlocked: 2, cacheHitRate: 0.5,
    });
    time.now = 30_001;
    expect(deduplicator.stats()).toMatchObject({ totalCachedRequests: 0, memoryUsage: 0 });
  });

  test('memory grows with the answers', async () => {
    const { deduplicator } = setUp();
    for (let i = 0; i < 100; i += 1) await deduplicator.run(`k${i}`, undefined, answering('x'.repeat(1000)));
    expect(deduplicator.stats().memoryUsage).toBeGreaterThan(200_000);
    expect(deduplicator.stats().memoryUsage).toBeLessThan(300_000);
  });
});

describe('whatever happens', () => {
  test('every call settles with an outcome of its own key, and nothing is left', async () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b'),
      abort: fc.option(fc.nat({ max: 3 }), { nil: undefined }),
      outcome: fc.constantFrom('value', 'undefined', 'error'),
      turns: fc.nat({ max: 3 }),
      gap: fc.nat({ max: 2 }),
    });
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.boolean(), async (steps, cached) => {
      const { deduplicator } = setUp({ ttlSeconds: cached ? 30 : 0 });
      const turns = async (count: number) => {
        for (let i = 0; i < count; i += 1) await settled();
      };
      const calls: Promise<void>[] = [];
      const signals: AbortSignal[] = [];
      for (const { key, abort, outcome, turns: duration, gap } of steps) {
        const controller = new AbortController();
        signals.push(controller.signal);
        const call = deduplicator.run(key, controller.signal, async () => {
          await turns(duration);
          controller.signal.throwIfAborted();
          if (outcome === 'error') throw new Error(key);
          return outcome === 'value' ? key : undefined;
        });
        calls.push(call.then(
          (value) => expect([key, undefined]).toContain(value),
          (error: unknown) => {
            if (!controller.signal.aborted) expect(error).toMatchObject({ message: key });
          },
        ));
        if (abort !== undefined) calls.push(turns(abort).then(() => controller.abort()));
        await turns(gap);
      }
      await Promise.all(calls);
      for (const signal of signals) expect(getEventListeners(signal, 'abort')).toHaveLength(0);
      deduplicator.clear();
      expect(await deduplicator.run('a', undefined, answering('fresh'))).toBe('fresh');
    }), { numRuns: 200 });
  });
});
