import { describe, expect, test } from 'vitest';
import { leastUsed } from '../../src/strategies/least-used.ts';
import { keyAt } from './key-at.ts';
import { counts, longestRun, TestPool } from './pool-of.ts';

const MINUTE_MS = 60_000;
const keysOf = (count: number) => Array.from({ length: count }, (_, position) => keyAt(position));

describe('least-used', () => {
  test('takes the key with the fewest attempts under way', () => {
    const keys = keysOf(3);
    const pool = new TestPool(leastUsed(), keys);
    expect([pool.lease(), pool.lease(), pool.lease(), pool.lease()]).toEqual([keys[0], keys[1], keys[2], keys[0]]);
    pool.settle(keys[2]!);
    expect(pool.lease()).toBe(keys[2]);
    pool.settle(keys[1]!);
    expect(pool.lease()).toBe(keys[1]);
  });

  test('of those the one least used lately, then the first in pool order', () => {
    const keys = keysOf(3);
    const pool = new TestPool(leastUsed(), keys);
    for (const index of [0, 0, 1, 2, 2, 2]) {
      pool.occupy(keys[index]!);
      pool.settle(keys[index]!);
    }
    expect(pool.run(4)).toEqual([1, 0, 1, 2]);
  });

  test('forgets: a busy minute an hour ago weighs less than one call now', () => {
    const keys = keysOf(2);
    const pool = new TestPool(leastUsed(), keys);
    for (let i = 0; i < 1_000; i++) {
      pool.occupy(keys[0]!);
      pool.settle(keys[0]!);
    }
    pool.now += 60 * MINUTE_MS;
    pool.occupy(keys[1]!);
    pool.settle(keys[1]!);
    expect(pool.proposal()).toBe(keys[0]);
  });

  test('goes by half-lives of a minute', () => {
    const keys = keysOf(2);
    const pool = new TestPool(leastUsed(), keys);
    const use = (key: number, times: number): void => {
      for (let i = 0; i < times; i++) {
        pool.occupy(keys[key]!);
        pool.settle(keys[key]!);
      }
    };
    use(0, 100);
    pool.now += MINUTE_MS;
    use(1, 49);
    expect(pool.proposal()).toBe(keys[1]);
    use(1, 2);
    expect(pool.proposal()).toBe(keys[0]);
  });

  test('spreads steady traffic evenly, for years', () => {
    const pool = new TestPool(leastUsed(), keysOf(4));
    pool.now += 10 * 365 * 86_400_000;
    expect(counts(pool.run(400), 4)).toEqual([100, 100, 100, 100]);
  });

  test('a key that joins or comes back is next, but is not flooded', () => {
    const keys = keysOf(3);
    const pool = new TestPool(leastUsed(), keys);
    pool.away(keys[2]!);
    pool.run(500);
    pool.return(keys[2]!);
    const joined = pool.run(30);
    expect(joined[0]).toBe(2);
    expect(longestRun(joined, 2)).toBe(1);
    expect(counts(joined, 3)).toEqual([10, 10, 10]);
  });

  test('being out of sight for one lease costs a key neither its place nor its share', () => {
    const pool = new TestPool(leastUsed(), keysOf(3));
    const first = pool.proposal();
    const second = pool.lease(key => key !== first)!;
    expect(second).not.toBe(first);
    pool.settle(second);
    expect(pool.proposal()).toBe(first);
    let call = 0;
    const seen = pool.run(3_000, key => key.position !== 0 || call++ % 2 === 0);
    for (const count of counts(seen, 3)) expect(Math.abs(count - 1_000)).toBeLessThanOrEqual(20);
  });

  test('does not take a new key for the one that had its position', () => {
    const keys = keysOf(2);
    const pool = new TestPool(leastUsed(), keys);
    for (let i = 0; i < 3; i++) {
      pool.occupy(keys[0]!);
    }
    pool.ready.remove(keys[0]!);
    const successor = keyAt(0, { id: 'successor' });
    pool.return(successor);
    pool.settle(keys[0]!);
    pool.away(keys[0]!);
    expect(pool.proposal()).toBe(successor);
    expect(pool.run(2)).toEqual([0, 1]);
  });

  test('finds the least used of a selection the hooks were not told of', () => {
    const keys = keysOf(4);
    const pool = new TestPool(leastUsed(), keys);
    pool.run(1);
    for (const key of [keys[1]!, keys[2]!]) pool.ready.remove(key);
    expect(pool.proposal()).toBe(keys[3]);
    expect(leastUsed().select(pool.ready, { model: undefined, tokens: 0, now: 0 })).toBe(keys[0]);
    const empty = new TestPool(leastUsed(), []);
    expect(empty.proposal()).toBeUndefined();
  });
});
