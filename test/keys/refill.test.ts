import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Refill } from '../../src/keys/refill.ts';

const START = Date.UTC(2026, 10, 20, 12);
const MINUTE_MS = 60_000;

/** How a provider tells at `at` when its limit is whole, as it is read at `now`: to the ms, or in whole seconds. */
type Telling = (resetAt: number, at: number, now: number) => number;
const TELLINGS: Readonly<Record<string, Telling>> = {
  'as a time': resetAt => Math.ceil(resetAt),
  'in ms from now': (resetAt, at, now) => now + Math.ceil(resetAt - at),
  'in seconds from now': (resetAt, at, now) => now + Math.ceil((resetAt - at) / 1000) * 1000,
  'as a time in seconds': resetAt => Math.ceil(resetAt / 1000) * 1000,
};
const tellings = fc.constantFrom(...Object.values(TELLINGS));

interface Reading {
  readonly used: number;
  readonly resetAt: number;
  readonly tookMs: number;
  readonly now: number;
}

/** A bucket, as its provider sees it when a request arrives, and as it reads when the answer has come. */
function bucketReadings(
  limit: number,
  windowMs: number,
  gapsMs: readonly number[],
  latencyMs: number,
  told: Telling,
): Reading[] {
  const unitMs = windowMs / limit;
  let level = 0;
  let at = START;
  return gapsMs.flatMap(gapMs => {
    level = Math.max(0, level - gapMs / unitMs);
    at += gapMs;
    if (level + 1 > limit) return [];
    level += 1;
    const remaining = Math.floor(limit - level);
    // What is told is true when the request arrives, half way.
    const now = at + latencyMs;
    const resetAt = told(at + level * unitMs, at, now);
    return [{ used: limit - remaining, resetAt, tookMs: 2 * latencyMs, now }];
  });
}

function hearAll(refill: Refill, limit: number, readings: readonly Reading[]): (number | undefined)[] {
  return readings.map(({ used, resetAt, tookMs, now }) => {
    refill.hear(limit, used, resetAt, tookMs, now);
    return refill.unitMs;
  });
}

describe('a limit that comes back bit by bit', () => {
  test.each(Object.entries(TELLINGS))('is found out, with the right time of a unit: told %s', (_name, told) => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 600 }), fc.integer({ min: 0, max: 150 }), (limit, latencyMs) => {
        const refill = new Refill();
        const unitMs = MINUTE_MS / limit;
        const gapsMs = Array.from({ length: limit - 2 }, () => 1);
        hearAll(refill, limit, bucketReadings(limit, MINUTE_MS, gapsMs, latencyMs, told));
        expect(refill.unitMs).toBeDefined();
        expect(refill.unitMs! / unitMs).toBeCloseTo(1, 6);
      }),
    );
  });

  test('is known exactly where it comes back in one of the usual times, and about where not', () => {
    for (const windowMs of [1000, 60_000, 3_600_000, 86_400_000, 7 * 60_000]) {
      const limit = 100;
      const refill = new Refill();
      const gapsMs = Array.from({ length: 60 }, () => windowMs / 10_000);
      hearAll(refill, limit, bucketReadings(limit, windowMs, gapsMs, 0, TELLINGS['as a time']!));
      if (windowMs === 7 * 60_000) expect(refill.unitMs! / (windowMs / limit)).toBeCloseTo(1.02, 1);
      else expect(refill.unitMs).toBe(windowMs / limit);
    }
  });

  test('is never told another unit than it has, whatever comes, however it is told', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 2000 }),
        fc.array(fc.integer({ min: 0, max: 2000 }), { minLength: 3, maxLength: 80 }),
        fc.integer({ min: 0, max: 150 }),
        tellings,
        (limit, gapsMs, latencyMs, told) => {
          const unitMs = MINUTE_MS / limit;
          const units = hearAll(new Refill(), limit, bucketReadings(limit, MINUTE_MS, gapsMs, latencyMs, told));
          for (const unit of units) if (unit !== undefined) expect(unit / unitMs).toBeCloseTo(1, 6);
          // Once it is known, nothing of the same bucket contradicts it.
          const firstKnown = units.findIndex(unit => unit !== undefined);
          if (firstKnown >= 0) expect(units.slice(firstKnown)).not.toContain(undefined);
        },
      ),
    );
  });
});

describe('a window that comes back at once', () => {
  test('is not taken for one that refills: fixed, of the clock', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 500 }),
        fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 3, maxLength: 80 }),
        fc.integer({ min: 0, max: 150 }),
        tellings,
        (limit, gapsMs, latencyMs, told) => {
          const refill = new Refill();
          let at = START;
          let count = 0;
          let end = 0;
          for (const gapMs of gapsMs) {
            at += gapMs;
            if (at >= end) {
              count = 0;
              end = (Math.floor(at / MINUTE_MS) + 1) * MINUTE_MS;
            }
            if (count >= limit) continue;
            count++;
            refill.hear(limit, count, told(end, at, at + latencyMs), 2 * latencyMs, at + latencyMs);
            if (end - at > 5000) expect(refill.unitMs).toBeUndefined();
          }
        },
      ),
    );
  });

  test('is not taken for one that refills: sliding, told by its newest or its oldest request', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 500 }),
        fc.array(fc.integer({ min: 0, max: 3000 }), { minLength: 3, maxLength: 80 }),
        fc.integer({ min: 0, max: 150 }),
        fc.boolean(),
        (limit, gapsMs, latencyMs, isNewest) => {
          const refill = new Refill();
          let at = START;
          let entries: number[] = [];
          for (const gapMs of gapsMs) {
            at += gapMs;
            entries = entries.filter(entry => entry + MINUTE_MS > at);
            if (entries.length >= limit) continue;
            entries.push(at);
            const resetAt = (isNewest ? at : entries[0]!) + MINUTE_MS;
            refill.hear(limit, entries.length, resetAt, 2 * latencyMs, at + latencyMs);
            expect(refill.unitMs).toBeUndefined();
          }
        },
      ),
    );
  });
});

describe('what was found out', () => {
  const hear = (refill: Refill, used: number, unitMs: number): void => {
    refill.hear(60, used, START + 3 + used * unitMs, 0, START + 10);
  };
  const known = (): Refill => {
    const refill = new Refill();
    for (const used of [2, 4, 6, 8]) hear(refill, used, 1000);
    expect(refill.unitMs).toBe(1000);
    return refill;
  };

  test('needs three figures, the largest of twice as much as the smallest', () => {
    const refill = new Refill();
    for (const used of [10, 11, 12, 13, 14]) hear(refill, used, 1000);
    expect(refill.unitMs).toBeUndefined();
    hear(refill, 20, 1000);
    expect(refill.unitMs).toBe(1000);
    const two = new Refill();
    for (const used of [10, 20]) hear(two, used, 1000);
    expect(two.unitMs).toBeUndefined();
  });

  test('is forgotten when a figure contradicts it, and found anew', () => {
    const refill = known();
    hear(refill, 10, 5000);
    expect(refill.unitMs).toBeUndefined();
    for (const used of [10, 20, 30]) hear(refill, used, 500);
    // No usual window: the longest that the figures allow, 30 having to be 29 at least.
    expect(refill.unitMs! / 500).toBeGreaterThan(1);
    expect(refill.unitMs! / 500).toBeLessThan(1.05);
  });

  test('is forgotten when the limit comes back sooner than it could', () => {
    const refill = known();
    hear(refill, 30, 0);
    expect(refill.unitMs).toBeUndefined();
  });

  test('is not touched by a full limit, which says nothing', () => {
    const refill = known();
    refill.hear(60, 0, START + 60_000, 0, START);
    expect(refill.unitMs).toBe(1000);
  });
});
