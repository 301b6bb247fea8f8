import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { meterOf, type Meter } from '../../src/simulate/meter.ts';
import type { SimulatedQuota } from '../../src/simulate/scenario.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const START = Date.UTC(2026, 10, 20, 6, 0, 17);

type Form = SimulatedQuota['form'];

const quotaOf = (form: Form, limit: number, per: SimulatedQuota['per'] = 'minute'): SimulatedQuota => ({
  of: 'key',
  counts: 'requests',
  limit,
  per,
  form,
});

interface Added {
  readonly at: number;
  readonly amount: number;
}

/** What comes: how long after the one before, and how much of it. */
const arrivals = (byMs: number, most: number) =>
  fc.array(fc.tuple(fc.nat(byMs), fc.integer({ min: 1, max: most })), { minLength: 1, maxLength: 80 });

/** Adds whatever fits when it comes, as a provider does. */
function serve(
  meter: Meter,
  comings: readonly (readonly [number, number])[],
  look: (now: number, amount: number) => void,
): Added[] {
  const added: Added[] = [];
  let now = START;
  for (const [gapMs, amount] of comings) {
    now += gapMs;
    look(now, amount);
    if (meter.fitsAt(amount, now) > now) continue;
    meter.add(amount, now);
    added.push({ at: now, amount });
  }
  return added;
}

const sum = (added: readonly Added[]): number => added.reduce((total, { amount }) => total + amount, 0);

/** The first ms from `now` on at which it fits, by looking at one after the other. */
function firstFit(used: (at: number) => number, amount: number, limit: number, times: readonly number[]): number {
  return [...times].sort((a, b) => a - b).find(at => used(at) + amount <= limit) ?? Infinity;
}

describe('a sliding limit', () => {
  test('is never exceeded in any span of its period, and counts as one counts by hand', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), arrivals(30_000, 4), (limit, comings) => {
        const meter = meterOf(quotaOf('sliding', limit));
        const added: Added[] = [];
        let now = START;
        for (const [gapMs, amount] of comings) {
          now += gapMs;
          const usedAt = (at: number): number => sum(added.filter(each => each.at + MINUTE_MS > at));
          expect(meter.used(now)).toBe(usedAt(now));
          const times = [now, ...added.map(({ at }) => at + MINUTE_MS).filter(at => at > now)];
          expect(meter.fitsAt(amount, now)).toBe(amount > limit ? Infinity : firstFit(usedAt, amount, limit, times));
          const last = added.at(-1);
          expect(meter.wholeAt(now)).toBe(last && last.at + MINUTE_MS > now ? last.at + MINUTE_MS : now);
          if (meter.fitsAt(amount, now) > now) continue;
          meter.add(amount, now);
          added.push({ at: now, amount });
        }
        for (const { at } of added) {
          expect(sum(added.filter(each => each.at >= at && each.at < at + MINUTE_MS))).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });

  test('of a day lasts one, and goes on counting after thousands', () => {
    const meter = meterOf(quotaOf('sliding', 1_000_000, 'day'));
    for (let call = 0; call < 5000; call++) meter.add(1, START + call * MINUTE_MS);
    const now = START + 4999 * MINUTE_MS;
    expect(meter.used(now)).toBe(1440);
    expect(meter.fitsAt(999_000, now)).toBe(START + (4999 - 1440 + 441) * MINUTE_MS + DAY_MS - MINUTE_MS);
    expect(meter.used(now + DAY_MS)).toBe(0);
  });

  test('fits at once after more was added than the limit and all of it has gone', () => {
    const meter = meterOf(quotaOf('sliding', 2));
    meter.add(5, START);
    expect(meter.fitsAt(1, START)).toBe(START + MINUTE_MS);
    expect(meter.fitsAt(1, START + MINUTE_MS)).toBe(START + MINUTE_MS);
  });

  test('is whole now where what was added amounts to nothing', () => {
    const meter = meterOf(quotaOf('sliding', 2));
    meter.add(0, START);
    expect(meter.wholeAt(START)).toBe(START);
  });
});

describe('a fixed limit', () => {
  test('of a minute is counted by the minutes of the clock', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), arrivals(30_000, 3), (limit, comings) => {
        const meter = meterOf(quotaOf('fixed', limit));
        const minute = (at: number): number => Math.floor(at / MINUTE_MS);
        const before: Added[] = [];
        const added = serve(meter, comings, (now, amount) => {
          const used = sum(before.filter(({ at }) => minute(at) === minute(now)));
          expect(meter.used(now)).toBe(used);
          const next = (minute(now) + 1) * MINUTE_MS;
          expect(meter.wholeAt(now)).toBe(next);
          const fitsAt = amount > limit ? Infinity : used + amount <= limit ? now : next;
          expect(meter.fitsAt(amount, now)).toBe(fitsAt);
          if (fitsAt === now) before.push({ at: now, amount });
        });
        expect(added).toEqual(before);
      }),
    );
  });

  test('may be used up twice within seconds, on both sides of the full minute', () => {
    const meter = meterOf(quotaOf('fixed', 2));
    const full = Math.ceil(START / MINUTE_MS) * MINUTE_MS;
    meter.add(2, full - 1);
    expect(meter.fitsAt(1, full - 1)).toBe(full);
    expect(meter.fitsAt(2, full)).toBe(full);
  });

  test.each([
    ['UTC where no zone is named', undefined, '2026-11-20T06:00:00Z', '2026-11-21T00:00:00Z'],
    ['Pacific midnight in summer', 'America/Los_Angeles', '2026-07-01T06:59:59.999Z', '2026-07-01T07:00:00Z'],
    ['Pacific midnight in winter', 'America/Los_Angeles', '2026-12-01T07:59:59.999Z', '2026-12-01T08:00:00Z'],
    ['the day that is an hour shorter', 'America/Los_Angeles', '2026-03-08T08:00:00Z', '2026-03-09T07:00:00Z'],
    ['the day that is an hour longer', 'America/Los_Angeles', '2026-11-01T07:00:00Z', '2026-11-02T08:00:00Z'],
    ['the day before the clock goes forward', 'America/Los_Angeles', '2026-03-07T08:00:00Z', '2026-03-08T08:00:00Z'],
    ['the day before the clock goes back', 'America/Los_Angeles', '2026-10-31T07:00:00Z', '2026-11-01T07:00:00Z'],
  ])('of a day ends at midnight: %s', (_name, timeZone, now, midnight) => {
    const meter = meterOf({ ...quotaOf('fixed', 3, 'day'), ...(timeZone !== undefined && { timeZone }) });
    const at = Date.parse(now);
    const end = Date.parse(midnight);
    meter.add(3, at);
    expect(meter.used(end - 1)).toBe(3);
    expect(meter.fitsAt(1, at)).toBe(end);
    expect(meter.wholeAt(at)).toBe(end);
    expect(meter.used(end)).toBe(0);
    expect(meter.fitsAt(3, end)).toBe(end);
  });
});

describe('a limit that refills', () => {
  test('gives no span more than it holds and what has flown in, and fits at the earliest ms', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), arrivals(8000, 4), (limit, comings) => {
        const meter = meterOf(quotaOf('refill', limit));
        const perMs = limit / MINUTE_MS;
        let level = 0;
        let at = START;
        const added = serve(meter, comings, (now, amount) => {
          level = Math.max(0, level - (now - at) * perMs);
          at = now;
          expect(meter.used(now)).toBeCloseTo(level, 6);
          const fitsAt = meter.fitsAt(amount, now);
          if (amount > limit) expect(fitsAt).toBe(Infinity);
          else {
            const roomAt = (time: number): number => limit - Math.max(0, level - (time - now) * perMs);
            expect(roomAt(fitsAt)).toBeGreaterThanOrEqual(amount - 1e-6);
            if (fitsAt > now) expect(roomAt(fitsAt - 1)).toBeLessThan(amount);
          }
          if (fitsAt === now) level += amount;
        });
        for (const [first, { at: from }] of added.entries()) {
          let total = 0;
          for (const { amount, at: until } of added.slice(first)) {
            total += amount;
            expect(total).toBeLessThanOrEqual(limit + (until - from) * perMs + 1e-6);
          }
        }
      }),
    );
  });

  test('fits at the time it names, however odd its rate', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 997 }), fc.integer({ min: 1, max: 50 }), (limit, rounds) => {
        const meter = meterOf(quotaOf('refill', limit, 'day'));
        let now = START;
        meter.add(limit, now);
        for (let round = 0; round < rounds; round++) {
          const at = meter.fitsAt(1, now);
          expect(at).toBeGreaterThan(now);
          now = at;
          expect(meter.fitsAt(1, now)).toBe(now);
          meter.add(1, now);
        }
        expect((now - START) / ((rounds * DAY_MS) / limit)).toBeCloseTo(1, 3);
      }),
    );
  });

  test('is whole when all has come back', () => {
    const meter = meterOf(quotaOf('refill', 60));
    expect(meter.wholeAt(START)).toBe(START);
    meter.add(7, START);
    expect(meter.wholeAt(START)).toBe(START + 7000);
    expect(meter.used(START + 2500)).toBe(4.5);
    expect(meter.wholeAt(START + 2500)).toBe(START + 7000);
  });
});

describe('scale', () => {
  test.each(['sliding', 'fixed', 'refill'] as const)('multiplies the limit of a key: %s', form => {
    const quota = quotaOf(form, 10);
    const meter = meterOf(quota, 2.5);
    expect(meter.limit).toBe(25);
    expect(meter.quota).toBe(quota);
    expect(meter.fitsAt(25, START)).toBe(START);
    expect(meter.fitsAt(26, START)).toBe(Infinity);
    expect(meterOf(quota).limit).toBe(10);
  });
});
