import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PoolExhaustedError } from '../../src/index.ts';
import { OK, poolBench, type PoolBench } from './keys-bench.ts';
import { held, httpError, settle } from './support.ts';

/** A pool of one key that is used up by calls one after the other, whose answers have taken so long. */
async function usedUp(answersMs: readonly number[]): Promise<PoolBench> {
  const bench = poolBench([{ id: 'a', limits: { rpm: answersMs.length } }]);
  for (const answerMs of answersMs) await answer(bench, answerMs);
  bench.replies.a = 'ok';
  return bench;
}

async function answer(bench: PoolBench, answerMs: number): Promise<void> {
  const running = held();
  bench.replies.a = running.fn;
  bench.call();
  await bench.clock.advance(answerMs);
  running.finish('ok from a');
  await settle();
}

/** In how many ms the key has room again. */
async function freeAfter(bench: PoolBench): Promise<number> {
  const { value } = await bench.ask();
  return value instanceof PoolExhaustedError ? (value.retryAfterMs ?? Number.NaN) : Number.NaN;
}

describe('a call with a deadline that waits for a key', () => {
  test('is not begun when there is no time left for a usual answer: no quota is spent on it', async () => {
    // One answer took a second: the next takes a second, give or take half a one, and rarely more than three and a half.
    const bench = await usedUp([1000]);
    const freeMs = await freeAfter(bench);
    const short = bench.call({ deadlineMs: freeMs + 3499 });
    const enough = bench.call({ deadlineMs: freeMs + 3500 });
    await settle();
    expect(short).toMatchObject({ state: 'rejected', value: { code: 'POOL_EXHAUSTED', retryAfterMs: freeMs } });
    expect(enough.state).toBe('pending');
    const asked = bench.asked.length;
    await bench.clock.advance(freeMs);
    expect(enough).toEqual(OK('a'));
    expect(bench.asked).toHaveLength(asked + 1);
  });

  test('is not begun either where its turn comes too late, behind others', async () => {
    const bench = await usedUp([1000]);
    const freeMs = await freeAfter(bench);
    const deadlineMs = freeMs + 3500;
    const calls = [0, 1, 2].map(() => bench.call({ deadlineMs }));
    const asked = bench.asked.length;
    await bench.clock.advance(freeMs);
    expect(calls.map(({ state }) => state).sort()).toEqual(['rejected', 'rejected', 'resolved']);
    const rejected = calls.filter(({ state }) => state === 'rejected');
    for (const { value } of rejected) expect(value).toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect(bench.asked).toHaveLength(asked + 1);
  });

  test('may wait until its deadline while no answer is known', async () => {
    const bench = poolBench([{ id: 'a', limits: { rpm: 1 } }]);
    bench.replies.a = [held().fn, 'ok'];
    bench.call();
    await settle();
    const freeMs = await freeAfter(bench);
    const late = bench.call({ deadlineMs: freeMs - 1 });
    const call = bench.call({ deadlineMs: freeMs + 1 });
    await settle();
    expect(late).toMatchObject({ state: 'rejected', value: { code: 'POOL_EXHAUSTED' } });
    await bench.clock.advance(freeMs);
    expect(call).toEqual(OK('a'));
  });

  test('waits for half its time at least, however slow answers are: some calls take less than others did', async () => {
    const bench = await usedUp([20_000]);
    const freeMs = await freeAfter(bench);
    const call = bench.call({ deadlineMs: 2 * freeMs });
    const short = bench.call({ deadlineMs: 2 * freeMs - 2 });
    await settle();
    expect(short.state).toBe('rejected');
    await bench.clock.advance(freeMs);
    expect(call).toEqual(OK('a'));
  });

  test('leaves little more time than answers take that take as long as ever', async () => {
    const bench = await usedUp(Array.from({ length: 20 }, () => 1000));
    const freeMs = await freeAfter(bench);
    const call = bench.call({ deadlineMs: freeMs + 1100 });
    await bench.clock.advance(freeMs);
    expect(call).toEqual(OK('a'));
  });

  test('that was begun in time, and refused, is given a little longer: its caller is to get an answer', async () => {
    const bench = poolBench([{ id: 'a' }]);
    await answer(bench, 1000);
    bench.replies.a = [httpError(429, { 'retry-after': '5' }), 'ok'];
    const refused = bench.call({ deadlineMs: 8000 });
    await settle();
    expect(refused.state).toBe('pending');
    await bench.clock.advance(5000);
    expect(refused).toEqual(OK('a'));
  });

  test('is never begun with less time than few answers take', async () => {
    const times = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(times, fc.nat(9000), async (answersMs, moreMs) => {
        const bench = await usedUp(answersMs);
        const freeMs = await freeAfter(bench);
        let mean = 0;
        let deviation = 0;
        for (const [index, answerMs] of answersMs.entries()) {
          if (index === 0) [mean, deviation] = [answerMs, answerMs / 2];
          else {
            const byMs = Math.min(answerMs, 2 * (mean + 5 * deviation)) - mean;
            mean += 0.2 * byMs;
            deviation += 0.2 * (Math.abs(byMs) - deviation);
          }
        }
        const call = bench.call({ deadlineMs: freeMs + moreMs });
        await bench.clock.advance(freeMs);
        const isEnough = moreMs >= Math.min(mean + 5 * deviation, (freeMs + moreMs) / 2);
        expect(call.state).toBe(isEnough ? 'resolved' : 'rejected');
      }),
      { numRuns: 25 },
    );
  });
});
