import { describe, expect, test } from 'vitest';
import { priority } from '../../src/strategies/priority.ts';
import { keyAt } from './key-at.ts';
import { TestPool } from './pool-of.ts';

const keysOf = (...priorities: number[]) => priorities.map((priority, position) => keyAt(position, { priority }));

describe('priority', () => {
  test('takes the lowest priority, then the first in pool order, for as long as it is ready', () => {
    const keys = keysOf(2, 1, 0, 1, 0);
    const pool = new TestPool(priority(), keys);
    const order: number[] = [];
    for (let key = pool.lease(); key !== undefined; key = pool.lease()) {
      expect(pool.lease()).toBe(key);
      order.push(key.position);
      pool.away(key);
    }
    expect(order).toEqual([2, 4, 1, 3, 0]);
    pool.return(keys[3]!);
    expect(pool.proposal()).toBe(keys[3]);
    pool.return(keys[2]!);
    expect(pool.proposal()).toBe(keys[2]);
  });

  test('follows a priority that changes', () => {
    const keys = keysOf(0, 1);
    const pool = new TestPool(priority(), keys);
    keys[0]!.priority = 5;
    pool.away(keys[0]!);
    pool.return(keys[0]!);
    expect(pool.proposal()).toBe(keys[1]);
    keys[0]!.priority = -1;
    pool.strategy.onReady?.(keys[0]!);
    expect(pool.proposal()).toBe(keys[0]);
  });

  test('is right of a selection the hooks were not told of', () => {
    const keys = keysOf(0, 3, 2, Infinity);
    const pool = new TestPool(priority(), keys);
    pool.ready.remove(keys[0]!);
    expect(pool.proposal()).toBe(keys[2]);
    expect(priority().select(pool.ready, { model: undefined, tokens: 0, now: 0 })).toBe(keys[2]);
  });
});
