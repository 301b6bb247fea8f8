import { expect, test } from 'vitest';
import { OK, PATTERN, poolBench, secretOf } from './keys-bench.ts';
import { catching } from './support.ts';

const DAY_MS = 86_400_000;

test('keys take turns however many models are asked for, where the same keys serve them', async () => {
  const bench = poolBench([{ id: 'a', models: ['*'] }, 'b', 'c', { id: 'd', models: ['only-d'] }]);
  for (let i = 0; i < 300; i++) await bench.ask({ model: `model-${i % 100}` });
  const counts = ['a', 'b', 'c', 'd'].map(id => bench.asked.filter(asked => asked === id).length);
  expect(counts).toEqual([100, 100, 100, 0]);
  for (let i = 0; i < 4; i++) await bench.ask({ model: 'only-d' });
  expect(bench.asked.slice(-4).sort()).toEqual(['a', 'b', 'c', 'd']);
});

test('a model refused at a key is away there alone, and one that comes later finds its keys', async () => {
  const bench = poolBench([{ id: 'a', models: ['*'] }]);
  await bench.ask({ model: 'one' });
  bench.guard.keys.add(PATTERN, { id: 'b', key: secretOf('b'), models: ['two'] });
  bench.asked.length = 0;
  for (let i = 0; i < 2; i++) await bench.ask({ model: 'one' });
  expect(bench.asked).toEqual(['a', 'a']);
  for (let i = 0; i < 2; i++) await bench.ask({ model: 'two' });
  expect(bench.asked.slice(2).sort()).toEqual(['a', 'b']);
});

test('an overlap longer than a timer ends when it is over', async () => {
  const bench = poolBench(['a']);
  bench.guard.keys.replace(PATTERN, 'a', secretOf('b'), { id: 'b', overlapMs: 30 * DAY_MS });
  await bench.clock.advance(30 * DAY_MS - 1);
  expect(bench.states()).toEqual({ a: 'ready', b: 'ready' });
  await bench.clock.advance(1);
  expect(bench.states()).toEqual({ b: 'ready' });
  expect(await bench.ask()).toEqual(OK('b'));
});

test.each([Number.NaN, -1])('an overlap of %d is refused, and nothing has changed', overlapMs => {
  const bench = poolBench(['a']);
  expect(catching(() => bench.guard.keys.replace(PATTERN, 'a', secretOf('b'), { overlapMs }))).toMatchObject({
    code: 'CONFIG_INVALID',
  });
  expect(bench.states()).toEqual({ a: 'ready' });
});
