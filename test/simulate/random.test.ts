import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Random } from '../../src/clock.ts';
import { exponential, logNormal, seeded } from '../../src/simulate/random.ts';

const DRAWS = 20_000;
const seeds = fc.integer({ min: 0, max: 2 ** 32 - 1 });

const drawn = (draw: () => number, count = DRAWS): number[] => Array.from({ length: count }, draw);
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

describe('seeded chance', () => {
  test('is the same on every machine', () => {
    const random = seeded(1);
    // mulberry32 with the seed 1.
    expect(drawn(random, 3)).toEqual([0.6270739405881613, 0.002735721180215478, 0.5274470399599522]);
  });

  test('is the same for the same seed and part, and another for any other', () => {
    fc.assert(
      fc.property(seeds, fc.string(), fc.string(), (seed, part, other) => {
        const numbers = drawn(seeded(seed, part), 20);
        expect(drawn(seeded(seed, part), 20)).toEqual(numbers);
        expect(drawn(seeded((seed + 1) >>> 0, part), 20)).not.toEqual(numbers);
        if (/^[a-z ]+$/.test(part) && /^[a-z ]+$/.test(other) && part !== other) {
          expect(drawn(seeded(seed, other), 20)).not.toEqual(numbers);
        }
      }),
    );
    expect(drawn(seeded(1, 'traffic 0'), 20)).not.toEqual(drawn(seeded(1, 'traffic 1'), 20));
    expect(drawn(seeded(1, 'network'), 20)).not.toEqual(drawn(seeded(1), 20));
  });

  test('is spread evenly from 0 to 1, 1 excluded', () => {
    fc.assert(
      fc.property(seeds, seed => {
        const numbers = drawn(seeded(seed));
        expect(numbers.every(number => number >= 0 && number < 1)).toBe(true);
        for (let tenth = 0; tenth < 10; tenth++) {
          const share = numbers.filter(number => Math.floor(number * 10) === tenth).length / DRAWS;
          expect(share).toBeGreaterThan(0.085);
          expect(share).toBeLessThan(0.115);
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe('times between events', () => {
  test('are never below zero, and have the mean asked for, and its memorylessness', () => {
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 100_000 }), (seed, wanted) => {
        const random = seeded(seed);
        const times = drawn(() => exponential(random, wanted));
        expect(Math.min(...times)).toBeGreaterThanOrEqual(0);
        expect(mean(times) / wanted).toBeGreaterThan(0.95);
        expect(mean(times) / wanted).toBeLessThan(1.05);
        const rests = times.filter(time => time > wanted).map(time => time - wanted);
        expect(mean(rests) / wanted).toBeGreaterThan(0.9);
        expect(mean(rests) / wanted).toBeLessThan(1.1);
      }),
      { numRuns: 20 },
    );
  });

  test('are finite for the least and the greatest number', () => {
    const of = (number: number): Random => () => number;
    expect(exponential(of(0), 100)).toBeCloseTo(0);
    expect(exponential(of(1 - 2 ** -32), 100)).toBeLessThan(2300);
  });
});

describe('times of answers', () => {
  test('have the median asked for, half of them on each side, and are all above zero', () => {
    const sigmas = fc.double({ min: 0.1, max: 1, noNaN: true });
    fc.assert(
      fc.property(seeds, fc.integer({ min: 1, max: 10_000 }), sigmas, (seed, wanted, sigma) => {
        const random = seeded(seed);
        const times = drawn(() => logNormal(random, wanted, sigma));
        expect(Math.min(...times)).toBeGreaterThan(0);
        expect(Math.abs(Math.log(median(times) / wanted))).toBeLessThan(0.05 * sigma);
        const logs = times.map(time => Math.log(time / wanted) / sigma);
        const deviation = Math.sqrt(mean(logs.map(log => log * log)));
        expect(deviation).toBeGreaterThan(0.95);
        expect(deviation).toBeLessThan(1.05);
      }),
      { numRuns: 20 },
    );
  });

  test('are all the median where nothing is left to chance', () => {
    const random = seeded(3);
    expect(new Set(drawn(() => logNormal(random, 800, 0), 100))).toEqual(new Set([800]));
  });
});
