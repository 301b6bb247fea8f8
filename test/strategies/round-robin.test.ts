import { describe, expect, test } from 'vitest';
import { roundRobin } from '../../src/strategies/round-robin.ts';
import { keyAt } from './key-at.ts';
import { TestPool } from './pool-of.ts';

describe('round-robin', () => {
  test('takes the keys strictly in pool order', () => {
    const pool = new TestPool(roundRobin(), [2, 0, 5, 1].map(position => keyAt(position)));
    expect(pool.run(9)).toEqual([0, 1, 2, 5, 0, 1, 2, 5, 0]);
  });

  test('asking moves nothing', () => {
    const pool = new TestPool(roundRobin(), [keyAt(0), keyAt(1)]);
    for (let i = 0; i < 5; i++) expect(pool.proposal()?.position).toBe(0);
  });

  test('goes on behind whichever key was leased', () => {
    const keys = [0, 1, 2, 3].map(position => keyAt(position));
    const pool = new TestPool(roundRobin(), keys);
    expect(pool.lease(key => key.position >= 2)?.position).toBe(2);
    expect(pool.lease()?.position).toBe(3);
    pool.occupy(keys[1]!);
    expect(pool.lease()?.position).toBe(2);
  });

  test('steps over keys that are away and takes them up again in their place', () => {
    const keys = [0, 1, 2].map(position => keyAt(position));
    const pool = new TestPool(roundRobin(), keys);
    pool.away(keys[1]!);
    expect(pool.run(3)).toEqual([0, 2, 0]);
    pool.return(keys[1]!);
    expect(pool.run(3)).toEqual([1, 2, 0]);
  });
});
