import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { freeFirst } from './free-first.ts';
import { keyAt } from './key-at.ts';
import { TestPool } from './pool-of.ts';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

test('the example of a strategy of your own is the one that compiles here', () => {
  const source = read('../../src/strategies/strategy.ts').replaceAll(/^ \* ?/gm, '');
  const [, example] = /```ts\n([^]*?)```/.exec(source) ?? [];
  expect(example).toContain('SelectionStrategy');
  expect(read('./free-first.ts')).toContain(example);
});

test('a strategy of your own needs a name and a select, nothing else', () => {
  const pool = new TestPool(freeFirst, [keyAt(0), keyAt(1, { tier: 'free' }), keyAt(2)]);
  expect(pool.run(2)).toEqual([1, 1]);
  pool.away(pool.ready.at(1)!);
  expect(pool.run(2)).toEqual([0, 0]);
});
