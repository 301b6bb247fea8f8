import { describe, expect, test } from 'vitest';
import { healthBased } from '../../src/strategies/health-based.ts';
import { keyAt, type TestKey } from './key-at.ts';
import { counts, seeded, TestPool } from './pool-of.ts';

const sharesOf = (...traits: Partial<TestKey>[]): number[] => {
  const keys = traits.map((each, position) => keyAt(position, each));
  return counts(new TestPool(healthBased(seeded(42)), keys).run(10_000), keys.length).map(count => count / 10_000);
};

describe('health-based', () => {
  test('gives a faster, a more reliable and a less loaded key more', () => {
    for (const [better, worse] of [
      [{ latencyMs: 100 }, { latencyMs: 900 }],
      [{ latencyMs: 100 }, { latencyMs: 100, errorRate: 0.3 }],
      [{ latencyMs: 100 }, { latencyMs: 100, inFlight: 3 }],
      [{ latencyMs: 300 }, { latencyMs: 100, errorRate: 0.5 }],
    ] satisfies [Partial<TestKey>, Partial<TestKey>][]) {
      expect(sharesOf(better, worse)[0]).toBeGreaterThan(0.95);
      expect(sharesOf(worse, better)[1]).toBeGreaterThan(0.95);
    }
  });

  test('never gives up on a key: a slow or failing one is tried now and then', () => {
    for (const worse of [{ latencyMs: 5_000 }, { latencyMs: 100, errorRate: 1 }]) {
      const share = sharesOf({ latencyMs: 100 }, worse)[1];
      expect(share).toBeGreaterThan(0.005);
      expect(share).toBeLessThan(0.03);
    }
  });

  test('no key gets everything in a pool of many, however good', () => {
    const shares = sharesOf({ latencyMs: 1 }, ...Array<Partial<TestKey>>(9).fill({ latencyMs: 100 }));
    expect(shares[0]).toBeGreaterThan(0.15);
    expect(shares[0]).toBeLessThan(0.25);
  });

  test('tries an untried key gladly, but does not pile calls on it before it has answered', () => {
    const keys = [keyAt(0, { latencyMs: 100 }), keyAt(1)];
    const pool = new TestPool(healthBased(() => 0.5), keys);
    expect(pool.lease()).toBe(keys[1]);
    const next = [1, 2, 3, 4].map(() => pool.lease()!.position);
    expect(next).toContain(0);
  });

  test('treats keys alike of which nothing is known', () => {
    for (const share of sharesOf({}, {}, {}, {})) expect(Math.abs(share - 0.25)).toBeLessThan(0.03);
    expect(sharesOf({}, { errorRate: 0.5 })[0]).toBeGreaterThan(0.95);
  });

  test('takes the only key there is, and none where there is none', () => {
    expect(sharesOf({ latencyMs: 9_000, errorRate: 1 })).toEqual([1]);
    expect(new TestPool(healthBased(seeded(1)), []).proposal()).toBeUndefined();
  });
});
