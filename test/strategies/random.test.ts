import { expect, test } from 'vitest';
import { random } from '../../src/strategies/random.ts';
import { keyAt } from './key-at.ts';
import { counts, seeded, TestPool } from './pool-of.ts';

test('random gives every ready key its share', () => {
  const keys = [0, 1, 2, 3].map(position => keyAt(position));
  const pool = new TestPool(random(seeded(1)), keys);
  pool.away(keys[2]!);
  const [a, b, c, d] = counts(pool.run(3_000), 4);
  expect(c).toBe(0);
  for (const count of [a, b, d]) expect(Math.abs(count! - 1_000)).toBeLessThan(100);
});
