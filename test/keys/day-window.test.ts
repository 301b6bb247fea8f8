import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DayWindow } from '../../src/keys/day-window.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MIDNIGHT = 19_700 * DAY_MS;
const nextMidnight = (now: number): number => (Math.floor(now / DAY_MS) + 1) * DAY_MS;

describe('a day window', () => {
  test('frees everything at the reset of the provider, and nothing before', () => {
    const window = new DayWindow(3, nextMidnight);
    expect(window.availableAt(1, MIDNIGHT - 10)).toBe(MIDNIGHT - 10);
    window.add(3, MIDNIGHT - 10);
    expect(window.availableAt(1, MIDNIGHT - 1)).toBe(MIDNIGHT);
    expect(window.availableAt(1, MIDNIGHT)).toBe(MIDNIGHT);
    window.add(2, MIDNIGHT + HOUR_MS);
    expect(window.used(MIDNIGHT + 23 * HOUR_MS)).toBe(2);
    expect(window.availableAt(2, MIDNIGHT + 23 * HOUR_MS)).toBe(MIDNIGHT + DAY_MS);
    expect(window.availableAt(4, MIDNIGHT)).toBe(Infinity);
  });

  test('counts like a tally per day', () => {
    const step = fc.record({ wait: fc.integer({ min: 0, max: 9 * HOUR_MS }), weight: fc.integer({ min: 0, max: 5 }) });
    fc.assert(fc.property(fc.array(step), fc.integer({ min: 1, max: 9 }), (steps, limit) => {
      const window = new DayWindow(limit, nextMidnight);
      const tally = new Map<number, number>();
      let now = MIDNIGHT;
      for (const { wait, weight } of steps) {
        now += wait;
        const used = tally.get(nextMidnight(now)) ?? 0;
        expect(window.used(now)).toBe(used);
        const due = used + weight <= limit ? now : nextMidnight(now);
        expect(window.availableAt(weight, now)).toBe(weight > limit ? Infinity : due);
        if (used + weight > limit) continue;
        window.add(weight, now);
        tally.set(nextMidnight(now), used + weight);
      }
    }));
  });

  test('asks for the reset once a day, and not before something counts', () => {
    let asked = 0;
    const window = new DayWindow(100, now => {
      asked++;
      return nextMidnight(now);
    });
    window.used(MIDNIGHT);
    window.availableAt(1, MIDNIGHT);
    expect(asked).toBe(0);
    for (let i = 0; i < 50; i++) window.add(1, MIDNIGHT + i);
    expect(asked).toBe(1);
  });

  test('settles a reservation of today, and not one of yesterday', () => {
    const window = new DayWindow(1_000, nextMidnight);
    window.add(500, MIDNIGHT - 100);
    window.add(300, MIDNIGHT + 100);
    window.adjust(MIDNIGHT - 100, -500, MIDNIGHT + 200);
    window.adjust(MIDNIGHT - 100, 500, MIDNIGHT + 200);
    expect(window.used(MIDNIGHT + 200)).toBe(300);
    window.adjust(MIDNIGHT + 100, -120, MIDNIGHT + 300);
    expect(window.used(MIDNIGHT + 300)).toBe(180);
    window.adjust(MIDNIGHT + 100, -999, MIDNIGHT + 300);
    expect(window.used(MIDNIGHT + 300)).toBe(0);
    window.adjust(MIDNIGHT + 100, 70, MIDNIGHT + 300);
    expect(window.used(MIDNIGHT + 300)).toBe(70);
  });

  test('counts what a reservation of nothing turns out to have used', () => {
    const window = new DayWindow(1_000, nextMidnight);
    window.adjust(MIDNIGHT + 50, 200, MIDNIGHT + 100);
    expect(window.used(MIDNIGHT + 100)).toBe(200);
    window.adjust(MIDNIGHT + 20, 100, MIDNIGHT + 200);
    expect(window.used(MIDNIGHT + 200)).toBe(300);
    expect(window.used(MIDNIGHT + DAY_MS)).toBe(0);
    window.adjust(MIDNIGHT + 60, 100, MIDNIGHT + DAY_MS + 5);
    expect(window.used(MIDNIGHT + DAY_MS + 5)).toBe(0);
  });

  test('is not thrown off by weights that are no weights, nor by a limit that is none', () => {
    const window = new DayWindow(10, nextMidnight);
    for (const weight of [NaN, -4]) window.add(weight, MIDNIGHT);
    window.adjust(MIDNIGHT, NaN, MIDNIGHT);
    expect(window.used(MIDNIGHT)).toBe(0);
    window.add(Infinity, MIDNIGHT);
    expect(window.availableAt(1, MIDNIGHT)).toBe(MIDNIGHT + DAY_MS);
    expect(new DayWindow(NaN, nextMidnight).availableAt(1, MIDNIGHT)).toBe(Infinity);
  });

  test('takes a reset that is not ahead for a day from now', () => {
    for (const reset of [() => NaN, (now: number) => now, () => 0]) {
      const window = new DayWindow(1, reset);
      window.add(1, MIDNIGHT);
      expect(window.availableAt(1, MIDNIGHT + 1)).toBe(MIDNIGHT + DAY_MS);
    }
  });

  test('takes the word of a provider that has counted less, and of none that has counted more', () => {
    const window = new DayWindow(10, nextMidnight);
    window.add(6, MIDNIGHT);
    window.lower(8, MIDNIGHT);
    expect(window.used(MIDNIGHT)).toBe(6);
    window.lower(2, MIDNIGHT);
    expect(window.used(MIDNIGHT)).toBe(2);
  });

  describe('and a clock that goes back', () => {
    test('a stale reading does not open the day before again', () => {
      const window = new DayWindow(2, nextMidnight);
      window.add(2, MIDNIGHT + 5);
      expect(window.availableAt(1, MIDNIGHT - 5)).toBe(MIDNIGHT + DAY_MS);
      expect(window.used(MIDNIGHT + 10)).toBe(2);
    });

    test('a clock that was a month ahead does not block the key for a month', () => {
      const window = new DayWindow(2, nextMidnight);
      window.add(2, MIDNIGHT + 30 * DAY_MS);
      const set = MIDNIGHT + HOUR_MS;
      expect(window.availableAt(1, set)).toBe(MIDNIGHT + DAY_MS);
      window.adjust(set, -1, set);
      expect(window.used(set)).toBe(1);
      expect(window.used(MIDNIGHT + DAY_MS)).toBe(0);
    });

    test('an empty day just follows', () => {
      const window = new DayWindow(2, nextMidnight);
      window.used(MIDNIGHT + 30 * DAY_MS);
      window.add(2, MIDNIGHT);
      expect(window.availableAt(1, MIDNIGHT)).toBe(MIDNIGHT + DAY_MS);
    });
  });
});
