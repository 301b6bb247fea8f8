import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LatencyHistogram } from '../../src/keys/latency-histogram.ts';

function histogramOf(latencies: readonly number[]): LatencyHistogram {
  const histogram = new LatencyHistogram();
  for (const latencyMs of latencies) histogram.record(latencyMs);
  return histogram;
}

/** The smallest latency that so many percent of all do not exceed. */
function exactPercentile(latencies: readonly number[], percentage: number): number {
  const sorted = [...latencies].sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil((percentage / 100) * sorted.length)) - 1]!;
}

describe('a percentile', () => {
  test('is right to one per cent, or to a millisecond, wherever the latencies lie', () => {
    const latencies = fc.array(fc.double({ min: 0, max: 3_600_000, noNaN: true }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(latencies, fc.constantFrom(0, 50, 95, 99, 100), (list, percentage) => {
        const exact = exactPercentile(list, percentage);
        const told = histogramOf(list).percentile(percentage);
        expect(Math.abs(told - exact)).toBeLessThanOrEqual(Math.max(1, exact * 0.011 + 0.5));
      }),
    );
  });

  test('of answers that all took the same is that time', () => {
    const histogram = histogramOf(Array.from({ length: 100 }, () => 40));
    expect([50, 95, 99].map(percentage => histogram.percentile(percentage))).toEqual([40, 40, 40]);
  });

  test('is 0 before the first answer', () => {
    expect(new LatencyHistogram().percentile(99)).toBe(0);
  });

  test('counts an answer of more than an hour as an hour', () => {
    const percentile = histogramOf([86_400_000]).percentile(50);
    expect(Math.abs(percentile - 3_600_000)).toBeLessThanOrEqual(36_000);
  });
});

test('a key that has answered more often than a bucket can count still tells fast answers from slow ones', () => {
  const histogram = new LatencyHistogram();
  for (let i = 0; i < 200_000; i++) histogram.record(i % 10 === 0 ? 2000 : 100);
  expect(histogram.percentile(50)).toBeLessThan(110);
  expect(histogram.percentile(99)).toBeGreaterThan(1900);
});
