import { expect, test } from 'vitest';
import { OK, poolBench } from './keys-bench.ts';
import { held, httpError, settle } from './support.ts';

const HOUR_MS = 3_600_000;
const limited = (seconds: number): Error => httpError(429, { 'retry-after': String(seconds) });

test('a cool-down is as long as it was', async () => {
  const bench = poolBench(['a', 'b'], { maxWaitMs: 0, guard: { retry: { enabled: false } } });
  bench.replies.a = [limited(5), 'ok'];
  bench.replies.b = [limited(5), 'ok'];
  await bench.ask({ model: 'one' });
  bench.clock.set(bench.clock.now() - HOUR_MS);
  expect(await bench.ask({ model: 'one' }, 4999)).toMatchObject({ state: 'rejected' });
  expect(await bench.ask({ model: 'one' })).toMatchObject({ state: 'rejected' });
  await bench.clock.advance(1);
  expect(await bench.ask({ model: 'one' })).toEqual(OK('a'));
});

test('a call that waits for it is woken in time, and waits no longer than it may', async () => {
  const bench = poolBench(['a'], { maxWaitMs: 10_000, guard: { retry: { enabled: false } } });
  bench.replies.a = [limited(5), held().fn];
  await bench.ask();
  const first = bench.call();
  const second = bench.call();
  await settle();
  bench.clock.set(bench.clock.now() - HOUR_MS);
  await bench.clock.advance(5000);
  expect(bench.asked).toEqual(['a', 'a']);
  expect([first.state, second.state]).toEqual(['pending', 'pending']);
  await bench.clock.advance(5000);
  expect([first.state, second.state]).toEqual(['pending', 'rejected']);
});

test('a lease, and the probe it stands for, end when they would have ended', async () => {
  const bench = poolBench([{ id: 'a', limits: { concurrency: 1 } }], { leaseMs: 60_000, guard: { retry: { enabled: false } } });
  bench.replies.a = [limited(5), held().fn, 'ok'];
  await bench.ask();
  await bench.clock.advance(5000);
  bench.call();
  await settle();
  bench.clock.set(bench.clock.now() - HOUR_MS);
  expect(await bench.ask({ deadlineMs: 120_000 }, 59_999)).toMatchObject({ state: 'pending' });
  expect(await bench.ask({}, 1)).toEqual(OK('a'));
});

test('a reading of some seconds ago is no such thing', async () => {
  const bench = poolBench(['a'], { maxWaitMs: 0, guard: { retry: { enabled: false } } });
  bench.replies.a = [limited(5), 'ok'];
  await bench.ask();
  bench.clock.set(bench.clock.now() - 3000);
  expect(await bench.ask({}, 7999)).toMatchObject({ state: 'rejected' });
  expect(await bench.ask({}, 0)).toMatchObject({ state: 'rejected' });
  await bench.clock.advance(1);
  expect(await bench.ask()).toEqual(OK('a'));
});
