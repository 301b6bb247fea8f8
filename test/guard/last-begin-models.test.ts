import { expect, test } from 'vitest';
import { OK, poolBench, type PoolBench } from '../guard/keys-bench.ts';
import { held, settle } from '../guard/support.ts';

async function answer(bench: PoolBench, answerMs: number, options: object = {}): Promise<void> {
  const running = held();
  bench.replies['a'] = running.fn;
  bench.call(options);
  await bench.clock.advance(answerMs);
  running.finish('ok from a');
  await settle();
}

test('one very slow answer among fast ones does not turn away who could well be answered', async () => {
  const bench = poolBench([{ id: 'a', limits: { rpm: 10 } }]);
  for (let n = 0; n < 9; n++) await answer(bench, 100);
  await answer(bench, 20_000);
  bench.replies['a'] = 'ok';
  // A place is free after some 39 s; answers take 0.1 s, but for one.
  const call = bench.call({ deadlineMs: 55_000 });
  await bench.clock.advance(55_000);
  expect(call).toEqual(OK('a'));
});

test('a fast model is not turned away for the slowness of another model of its provider', async () => {
  const bench = poolBench([{ id: 'a', limits: { rpm: 10 } }]);
  for (let n = 0; n < 5; n++) {
    await answer(bench, 8_000, { model: 'slow' });
    await answer(bench, 100, { model: 'fast' });
  }
  bench.replies['a'] = 'ok';
  const call = bench.call({ deadlineMs: 30_000, model: 'fast' });
  await bench.clock.advance(30_000);
  expect(call).toEqual(OK('a'));
});

test('what was forgotten of a provider is forgotten of how long its answers take', async () => {
  const bench = poolBench([{ id: 'a', limits: { rpm: 1 } }]);
  await answer(bench, 20_000);
  bench.guard.clearAllRecords();
  bench.replies['a'] = 'ok';
  // Nothing is known of its answers: it may wait until its deadline. A place is free after some 40 s.
  const call = bench.call({ deadlineMs: 50_000 });
  await bench.clock.advance(50_000);
  expect(call).toEqual(OK('a'));
});
