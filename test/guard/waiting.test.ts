import { describe, expect, test } from 'vitest';
import { OK, poolBench, PROVIDER } from './keys-bench.ts';
import { held, httpError, settle } from './support.ts';

const limited = (seconds: number): Error => httpError(429, { 'retry-after': String(seconds) });
const only = (id: string, model: string) => ({ id, models: [model] });

describe('a call that was woken for a key', () => {
  test('does not keep it from other providers of the pool while its own queue is full', async () => {
    const bench = poolBench([only('a', 'one'), only('b', 'two')], { guard: { queue: { concurrency: 1 } } });
    bench.replies.a = [limited(5), 'ok'];
    bench.replies.b = held().fn;
    await bench.ask({ model: 'one', deadlineMs: 1 }, 1);
    const stuck = bench.call({ model: 'one' });
    await settle();
    bench.call({ model: 'two' });
    const other = bench.call({ providerName: 'vendor-y', model: 'one' });
    await bench.clock.advance(6000);
    expect(other).toEqual(OK('a'));
    expect(stuck.state).toBe('pending');
  });
});

describe('a call that comes to a pool others wait for', () => {
  test('has the key that serves none of their models at once, however many they are', async () => {
    const bench = poolBench([{ ...only('a', 'one'), limits: { rpm: 1 } }, only('b', 'two')], {
      guard: { queue: { maxQueueSize: 3 } },
      maxWaitMs: 600_000,
    });
    for (let i = 0; i < 4; i++) bench.call({ model: 'one' });
    await settle();
    expect(await bench.ask({ model: 'two' })).toEqual(OK('b'));
    expect(await bench.ask({ model: 'one' })).toMatchObject({ state: 'rejected', value: { code: 'QUEUE_FULL' } });
  });

  test('leaves them the key they could have', async () => {
    const bench = poolBench([{ id: 'a', limits: { tpm: 100 } }], { guard: { queue: { maxQueueSize: 1 } }, maxWaitMs: 600_000 });
    await bench.ask({ tokens: 60 });
    bench.call({ tokens: 90, model: 'one' });
    await settle();
    expect(await bench.ask({ tokens: 30, model: 'two' })).toMatchObject({ value: { code: 'QUEUE_FULL' } });
  });

  test('is served from the environment where the pool allows it', async () => {
    const env = { VENDOR_API_KEY: 'secret-of-the-environment' };
    const bench = poolBench(['a'], { fallbackBehavior: 'useEnvironment', env });
    bench.replies.a = [limited(20), 'ok'];
    bench.call();
    await settle();
    expect(await bench.ask()).toEqual(OK('none'));
  });
});

test('a call served from the environment after it has waited holds nobody up', async () => {
  const env: Record<string, string> = {};
  const bench = poolBench(['a'], { fallbackBehavior: 'useEnvironment', env });
  bench.replies.a = [limited(20), 'ok'];
  const first = bench.call();
  await settle();
  const second = bench.call();
  const third = bench.call();
  await settle();
  bench.replies.none = held().fn;
  env.VENDOR_API_KEY = 'secret-of-the-environment';
  bench.guard.keys.add(PROVIDER, { id: 'b', key: 'secret-of-b-0123456789', models: ['another'] });
  bench.guard.keys.disable(PROVIDER, 'b');
  await bench.clock.advance(25_000);
  expect([first.state, second.state, third.state].filter(state => state === 'pending')).toHaveLength(0);
});

describe('a call that has no retry left', () => {
  const bounded = (id: string) => ({ id, limits: { concurrency: 1 } });

  test.each([{ maxRetries: 0 }, { enabled: false }])('waits for a good key that is merely busy: %o', async retry => {
    const bench = poolBench([bounded('a'), bounded('b')], { guard: { retry } });
    const busy = held();
    bench.replies.a = 401;
    bench.replies.b = [busy.fn, 'ok'];
    bench.call({ keyId: 'b' });
    await settle();
    const call = bench.call({ keyId: 'a' });
    await settle();
    expect(call.state).toBe('pending');
    busy.finish('done');
    await settle();
    expect(call).toEqual(OK('b'));
    expect(bench.guard.getStats().retry.totalRetries).toBe(0);
  });

  test.each([
    { restS: 5, end: OK('b') },
    { restS: 60, end: { state: 'rejected', value: { status: 401 } } },
  ])('waits for one that is back in time: $restS s', async ({ restS, end }) => {
    const bench = poolBench(['a', 'b'], { guard: { retry: { enabled: false } }, maxWaitMs: 10_000 });
    bench.replies.b = [limited(restS), 'ok'];
    bench.replies.a = ['ok', 401];
    expect(await bench.ask({ keyId: 'b' })).toEqual(OK('a'));
    expect(await bench.ask({ keyId: 'a' }, 6000)).toMatchObject(end);
  });
});
