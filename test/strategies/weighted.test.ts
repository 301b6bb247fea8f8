import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { weighted } from '../../src/strategies/weighted.ts';
import { keyAt } from './key-at.ts';
import { counts, longestRun, seeded, TestPool } from './pool-of.ts';

const poolOf = (...weights: number[]): TestPool =>
  new TestPool(weighted(), weights.map((weight, position) => keyAt(position, { weight })));

describe('weighted', () => {
  test('interleaves: a heavy key neither starts nor ends with a burst', () => {
    expect(poolOf(5, 1, 1).run(14)).toEqual([0, 1, 0, 0, 2, 0, 0, 0, 1, 0, 0, 2, 0, 0]);
    const [heavy] = [poolOf(100, ...Array<number>(100).fill(1)).run(1_000)];
    expect(longestRun(heavy, 0)).toBeLessThanOrEqual(2);
  });

  test('keeps the proportions exactly, within one turn at any time', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 8 });
    fc.assert(fc.property(weights, weights => {
      const pool = poolOf(...weights);
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const taken = weights.map(() => 0);
      for (let turn = 1; turn <= 3 * total; turn++) {
        taken[pool.run(1)[0]!]!++;
        weights.forEach((weight, i) => {
          expect(Math.abs(taken[i]! - turn * weight / total)).toBeLessThan(1 + 1e-6);
        });
      }
    }), { numRuns: 20 });
  });

  test('holds fractions as it holds whole numbers', () => {
    expect(counts(poolOf(0.5, 0.3, 0.2).run(10_000), 3)).toEqual([5_000, 3_000, 2_000]);
    expect(counts(poolOf(5e-9, 3e-9, 2e-9).run(10_000), 3)).toEqual([5_000, 3_000, 2_000]);
    expect(counts(poolOf(5e307, 3e307, 2e307).run(10_000), 3)).toEqual([5_000, 3_000, 2_000]);
    expect(counts(poolOf(0.1, 0.1, 0.1).run(30_000), 3)).toEqual([10_000, 10_000, 10_000]);
  });

  test('takes keys of weight 0 in turn, and only when no other is ready', () => {
    const keys = [0, 1, 2].map(position => keyAt(position, { weight: position === 1 ? 3 : 0 }));
    const pool = new TestPool(weighted(), keys);
    expect(pool.run(4)).toEqual([1, 1, 1, 1]);
    pool.away(keys[1]!);
    expect(pool.run(4)).toEqual([0, 2, 0, 2]);
    pool.return(keys[1]!);
    expect(pool.run(2)).toEqual([1, 1]);
  });

  test('survives any weight', () => {
    const weight = fc.oneof(
      fc.double(),
      fc.constantFrom(0, 1, 1e308, 1e-9, Infinity, -1, NaN, Number.MIN_VALUE, Number.MAX_VALUE),
    );
    fc.assert(fc.property(fc.array(weight, { minLength: 1, maxLength: 6 }), weights => {
      const pool = poolOf(...weights);
      const some = weights.some(each => each > 0);
      for (const position of pool.run(60)) expect(weights[position!]! > 0).toBe(some);
    }));
  });

  test('a key a billion times lighter does not stop the others, and works alone', () => {
    const keys = [1e308, 5, 1e-9].map((weight, position) => keyAt(position, { weight }));
    const pool = new TestPool(weighted(), keys);
    const all = pool.run(100);
    expect(counts(all, 3)[0]).toBeGreaterThanOrEqual(98);
    pool.away(keys[0]!);
    // Beside a weight of 1e308 both are lightest, hence alike; and on their own for long enough to wear out a number.
    expect(counts(pool.run(2_000), 3)).toEqual([0, 1_000, 1_000]);
    pool.return(keys[0]!);
    expect(counts(pool.run(100), 3)[0]).toBeGreaterThanOrEqual(98);
  });

  test('a key that comes back makes up for nothing', () => {
    const keys = [keyAt(0), keyAt(1)];
    const pool = new TestPool(weighted(), keys);
    pool.away(keys[1]!);
    pool.run(1_000);
    pool.return(keys[1]!);
    expect(longestRun(pool.run(10), 1)).toBe(1);
  });

  test('a key that joins starts level', () => {
    const pool = poolOf(1, 1);
    pool.run(1_001);
    pool.return(keyAt(2));
    expect(counts(pool.run(9), 3)).toEqual([3, 3, 3]);
  });

  test('leaving and coming back gains a key nothing', () => {
    const keys = [keyAt(0, { weight: 100 }), keyAt(1, { weight: 1 })];
    const pool = new TestPool(weighted(), keys);
    let light = 0;
    for (let i = 0; i < 1_010; i++) {
      if (pool.run(1)[0] === 1) light++;
      pool.away(keys[1]!);
      if (i % 3 === 0) pool.run(2, key => key.position === 0);
      pool.return(keys[1]!);
    }
    expect(light).toBeLessThanOrEqual(18);
  });

  test('being out of sight for one lease costs a key neither its place nor its share', () => {
    const keys = [5, 3, 2].map((weight, position) => keyAt(position, { weight }));
    const pool = new TestPool(weighted(), keys);
    const plain = poolOf(5, 3, 2);
    for (let i = 0; i < 500; i++) {
      for (const key of keys) {
        if ((i + key.position) % 2 === 0) continue;
        pool.away(key);
        pool.return(key);
      }
      expect(pool.run(1)).toEqual(plain.run(1));
    }
    // One call in ten fits no key but the lightest, which is half of what is due to it.
    const seen: (number | undefined)[] = [];
    for (let i = 0; i < 1_000; i++) seen.push(...pool.run(1, key => i % 10 !== 0 || key.position === 2));
    const [a, b, c] = counts(seen, 3);
    for (const [count, due] of [[a, 500], [b, 300], [c, 200]]) expect(Math.abs(count! - due!)).toBeLessThanOrEqual(5);
  });

  test('neither credit nor debt of a one-sided time is paid back in a burst', () => {
    const pool = poolOf(1, 1);
    pool.run(1_000, key => key.position === 0);
    expect(longestRun(pool.run(20), 1)).toBeLessThanOrEqual(5);
  });

  test('follows a weight that changes', () => {
    const keys = [keyAt(0, { weight: 1 }), keyAt(1, { weight: 4 })];
    const pool = new TestPool(weighted(), keys);
    pool.run(100);
    keys[0]!.weight = 4;
    pool.strategy.onReady?.(keys[0]!);
    expect(counts(pool.run(100), 2)).toEqual([50, 50]);
    keys[1]!.weight = 400;
    pool.away(keys[1]!);
    pool.return(keys[1]!);
    expect(counts(pool.run(101), 2)).toEqual([1, 100]);
    keys[1]!.weight = 0;
    pool.strategy.onReady?.(keys[1]!);
    expect(counts(pool.run(10), 2)).toEqual([10, 0]);
    keys[1]!.weight = 4;
    pool.strategy.onReady?.(keys[1]!);
    expect(counts(pool.run(10), 2)).toEqual([5, 5]);
  });

  test('keeps the order of turns while a pool shrinks and grows, over keys in the hundreds', () => {
    const random = seeded(7);
    const keys = Array.from({ length: 300 }, (_, position) => keyAt(position, { weight: 1 + position % 7 }));
    const pool = new TestPool(weighted(), keys);
    for (let i = 0; i < 5_000; i++) {
      const key = keys[Math.floor(random() * keys.length)]!;
      if (pool.ready.has(key) && pool.ready.size > 1) pool.away(key);
      else if (!pool.ready.has(key)) pool.return(key);
      expect(pool.ready.at(pool.run(1)[0]!)).toBeDefined();
    }
    for (const key of keys) if (!pool.ready.has(key)) pool.return(key);
    pool.run(1_200);
    const seen = counts(pool.run(12_000), 300);
    const total = keys.reduce((sum, { weight }) => sum + weight, 0);
    for (const { position, weight } of keys) {
      expect(Math.abs(seen[position]! - 12_000 * weight / total)).toBeLessThanOrEqual(2);
    }
  });

  test('finds the next of a selection the hooks were not told of', () => {
    const keys = [1, 0, 2, 0].map((weight, position) => keyAt(position, { weight }));
    const pool = new TestPool(weighted(), keys);
    pool.run(1);
    const request = { model: undefined, tokens: 0, now: 0 };
    const among = (...positions: number[]): number | undefined => {
      const some = new TestPool({ name: 'none', select: () => undefined }, positions.map(position => keys[position]!));
      return pool.strategy.select(some.ready, request)?.position;
    };
    expect(among(0, 1)).toBe(0);
    expect(among(1, 2, 3)).toBe(2);
    expect(among(0, 2)).toBe(0);
    expect(among(3, 1)).toBe(1);
    expect(among()).toBeUndefined();
    const stranger = keyAt(9);
    const mixed = new TestPool({ name: 'none', select: () => undefined }, [stranger, keys[0]!]);
    expect(pool.strategy.select(mixed.ready, request)).toBe(keys[0]);
    mixed.away(keys[0]!);
    expect(pool.strategy.select(mixed.ready, request)).toBe(stranger);
    pool.strategy.onLease?.(stranger, 0);
    expect(weighted().select(pool.ready, request)?.position).toBe(0);
  });
});
