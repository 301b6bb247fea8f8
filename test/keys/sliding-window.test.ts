import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SlidingWindow } from '../../src/keys/sliding-window.ts';

const WINDOW_MS = 60_000;
const T0 = 1_700_000_000_000;

/** Every event kept for ever, every answer found by looking at them all. */
class ExactLog {
  readonly events: { at: number; weight: number }[] = [];

  used(now: number): number {
    return this.events.reduce((sum, { at, weight }) => (at + WINDOW_MS > now ? sum + weight : sum), 0);
  }

  availableAt(weight: number, limit: number, now: number): number {
    if (weight > limit) return Infinity;
    const candidates = [now, ...this.events.map(({ at }) => at + WINDOW_MS)].filter(time => time >= now);
    return candidates.sort((a, b) => a - b).find(time => this.used(time) + weight <= limit) ?? Infinity;
  }
}

describe('a sliding window', () => {
  test('admits up to its limit and says when it will admit more', () => {
    const window = new SlidingWindow(3, WINDOW_MS);
    for (const at of [T0, T0 + 100, T0 + 200]) {
      expect(window.availableAt(1, at)).toBe(at);
      window.add(1, at);
    }
    expect(window.used(T0 + 300)).toBe(3);
    expect(window.availableAt(1, T0 + 300)).toBe(T0 + WINDOW_MS);
    expect(window.availableAt(2, T0 + 300)).toBe(T0 + 100 + WINDOW_MS);
    expect(window.availableAt(3, T0 + 300)).toBe(T0 + 200 + WINDOW_MS);
    expect(window.availableAt(4, T0 + 300)).toBe(Infinity);
    expect(window.availableAt(1, T0 + WINDOW_MS - 1)).toBe(T0 + WINDOW_MS);
    expect(window.availableAt(1, T0 + WINDOW_MS)).toBe(T0 + WINDOW_MS);
    expect(window.used(T0 + WINDOW_MS)).toBe(2);
  });

  test('follows a limit that changes while events count', () => {
    const window = new SlidingWindow(10, WINDOW_MS);
    window.add(5, T0);
    window.limit = 4;
    expect(window.availableAt(0, T0 + 1)).toBe(T0 + WINDOW_MS);
    expect(window.availableAt(5, T0 + 1)).toBe(Infinity);
    window.limit = 6;
    expect(window.availableAt(1, T0 + 1)).toBe(T0 + 1);
  });

  test('admits nothing under a limit that is not a number', () => {
    const window = new SlidingWindow(NaN, WINDOW_MS);
    expect(window.availableAt(1, T0)).toBe(Infinity);
  });

  test('refuses a length that is no length', () => {
    for (const windowMs of [0, -1, NaN]) expect(() => new SlidingWindow(1, windowMs)).toThrow(RangeError);
  });

  test('is exact for any history of up to 128 events', () => {
    const step = fc.record({ wait: fc.integer({ min: 0, max: 3_000 }), weight: fc.integer({ min: 0, max: 9 }) });
    fc.assert(fc.property(fc.array(step, { maxLength: 128 }), fc.integer({ min: 1, max: 30 }), (steps, limit) => {
      const window = new SlidingWindow(limit, WINDOW_MS);
      const exact = new ExactLog();
      let now = T0;
      for (const { wait, weight } of steps) {
        now += wait;
        const availableAt = exact.availableAt(weight, limit, now);
        expect(window.availableAt(weight, now)).toBe(availableAt);
        if (availableAt === now) {
          window.add(weight, now);
          exact.events.push({ at: now, weight });
        }
        expect(window.used(now)).toBe(exact.used(now));
      }
    }));
  });

  test('never exceeds its limit in any span, nor holds back for longer than 1/64 of it, however busy', () => {
    const step = fc.record({ wait: fc.integer({ min: 0, max: 400 }), weight: fc.integer({ min: 1, max: 20 }) });
    const steps = fc.array(step, { minLength: 200, maxLength: 1_200, size: 'max' });
    fc.assert(fc.property(steps, fc.integer({ min: 300, max: 5_000 }), (steps, limit) => {
      const window = new SlidingWindow(limit, WINDOW_MS);
      const exact = new ExactLog();
      let now = T0;
      for (const { wait, weight } of steps) {
        now += wait;
        const at = window.availableAt(weight, now);
        expect(window.used(now)).toBeGreaterThanOrEqual(exact.used(now));
        expect(window.used(now)).toBeLessThanOrEqual(exact.used(now - WINDOW_MS / 64));
        const due = exact.availableAt(weight, limit, now);
        expect(at).toBeGreaterThanOrEqual(due);
        expect(at).toBeLessThanOrEqual(due + WINDOW_MS / 64);
        if (at > now) continue;
        window.add(weight, now);
        exact.events.push({ at: now, weight });
        expect(exact.used(now)).toBeLessThanOrEqual(limit);
      }
    }), { numRuns: 10, endOnFailure: true });
  });

  test('frees a steady stream event by event, not when the stream pauses', () => {
    const window = new SlidingWindow(Infinity, WINDOW_MS);
    let now = T0;
    for (let i = 0; i < 20_000; i++) window.add(1, now += 10);
    expect(window.used(now)).toBeGreaterThanOrEqual(6_000);
    expect(window.used(now)).toBeLessThanOrEqual(6_000 * (1 + 1 / 64));
  });

  test('settles exactly what was reserved, at whatever time', () => {
    const reservation = fc.record({
      wait: fc.integer({ min: 0, max: 900 }),
      reserved: fc.integer({ min: 0, max: 1_000 }),
      actual: fc.integer({ min: 0, max: 1_500 }),
      settleAfter: fc.integer({ min: 0, max: 40_000 }),
    });
    fc.assert(fc.property(fc.array(reservation, { maxLength: 300, size: 'max' }), reservations => {
      const window = new SlidingWindow(Infinity, WINDOW_MS);
      const exact = new ExactLog();
      const events: { at: number; run: () => void }[] = [];
      let at = T0;
      for (const { wait, reserved, actual, settleAfter } of reservations) {
        const start = at += wait;
        const event = { at: start, weight: reserved };
        events.push({ at: start, run: () => { window.add(reserved, start); exact.events.push(event); } });
        const end = start + settleAfter;
        events.push({ at: end, run: () => { window.adjust(start, actual - reserved, end); event.weight = actual; } });
      }
      events.sort((a, b) => a.at - b.at);
      for (const { at, run } of events) {
        run();
        expect(window.used(at)).toBeGreaterThanOrEqual(exact.used(at));
        expect(window.used(at)).toBeLessThanOrEqual(exact.used(at - WINDOW_MS / 64));
      }
    }), { numRuns: 50, endOnFailure: true });
  });

  test('ignores the settlement of what has slid out', () => {
    const window = new SlidingWindow(10, WINDOW_MS);
    window.add(5, T0);
    window.add(3, T0 + 1_000);
    window.adjust(T0, -5, T0 + WINDOW_MS);
    window.adjust(T0, 5, T0 + WINDOW_MS);
    expect(window.used(T0 + WINDOW_MS)).toBe(3);
    window.adjust(T0, 5, T0 + 3 * WINDOW_MS);
    expect(window.used(T0 + 3 * WINDOW_MS)).toBe(0);
  });

  test('never refunds more than was added', () => {
    const window = new SlidingWindow(10, WINDOW_MS);
    window.adjust(T0, -5, T0);
    window.add(2, T0);
    window.add(4, T0 + 10);
    window.adjust(T0, -5, T0 + 20);
    window.adjust(T0 + 15, -1, T0 + 20);
    expect(window.used(T0 + 20)).toBe(4);
  });

  test('counts what a reservation of nothing turns out to have used', () => {
    for (const reserve of [true, false]) {
      const window = new SlidingWindow(1_000, WINDOW_MS);
      if (reserve) window.add(0, T0);
      window.adjust(T0, 700, T0 + 5_000);
      expect(window.used(T0 + 5_000)).toBe(700);
      expect(window.availableAt(700, T0 + 5_000)).toBe(T0 + WINDOW_MS);
    }
  });

  test('is not thrown off by weights that are no weights', () => {
    const window = new SlidingWindow(10, WINDOW_MS);
    window.add(NaN, T0);
    window.add(-5, T0);
    window.adjust(T0, NaN, T0);
    expect(window.used(T0)).toBe(0);
    window.add(Infinity, T0);
    expect(window.availableAt(1, T0)).toBe(T0 + WINDOW_MS);
    expect(window.used(T0 + WINDOW_MS)).toBe(0);
    expect(window.availableAt(1, T0 + WINDOW_MS)).toBe(T0 + WINDOW_MS);
  });

  test('never goes below zero over fractions', () => {
    const window = new SlidingWindow(1, WINDOW_MS);
    for (let i = 0; i < 10; i++) window.add(0.1, T0 + i);
    for (let i = 0; i < 10; i++) expect(window.used(T0 + WINDOW_MS + i)).toBeGreaterThanOrEqual(0);
    expect(window.used(T0 + WINDOW_MS + 9)).toBe(0);
  });

  describe('and a clock that goes back', () => {
    test('a stale reading frees nothing and admits nothing more', () => {
      const window = new SlidingWindow(2, WINDOW_MS);
      window.add(1, T0);
      window.add(1, T0 - 500);
      expect(window.used(T0 - 1_000)).toBe(2);
      expect(window.availableAt(1, T0 - 1_000)).toBe(T0 + WINDOW_MS);
      expect(window.used(T0 + WINDOW_MS - 1)).toBe(2);
      expect(window.used(T0 + WINDOW_MS)).toBe(0);
    });

    test('a clock set back by a day does not stall the window', () => {
      const window = new SlidingWindow(2, WINDOW_MS);
      window.add(1, T0 - 40_000);
      window.add(1, T0);
      const set = T0 - 86_400_000;
      expect(window.used(set)).toBe(2);
      expect(window.availableAt(1, set)).toBe(set + 20_000);
      expect(window.availableAt(2, set)).toBe(set + WINDOW_MS);
      expect(window.used(set + WINDOW_MS)).toBe(0);
      window.add(2, set + WINDOW_MS);
      window.adjust(set + WINDOW_MS, -1, set + WINDOW_MS + 5);
      expect(window.used(set + WINDOW_MS + 5)).toBe(1);
    });

    test('a busy window goes on freeing event by event', () => {
      const window = new SlidingWindow(Infinity, WINDOW_MS);
      let now = T0;
      for (let i = 0; i < 6_000; i++) window.add(1, now += 10);
      now -= 86_400_000;
      for (let i = 0; i < 6_500; i++) window.add(1, now += 10);
      expect(window.used(now)).toBeGreaterThanOrEqual(6_000);
      expect(window.used(now)).toBeLessThanOrEqual(6_000 * (1 + 1 / 64));
    });

    test('a reading older than a minute is still just stale to a window that is longer', () => {
      const window = new SlidingWindow(2, 86_400_000);
      window.add(2, T0);
      expect(window.used(T0 - 7_200_000)).toBe(2);
      expect(window.used(T0 + 86_399_999)).toBe(2);
      expect(window.used(T0 + 86_400_000)).toBe(0);
    });

    test('an empty window just follows', () => {
      const window = new SlidingWindow(1, WINDOW_MS);
      expect(window.availableAt(1, T0)).toBe(T0);
      expect(window.availableAt(1, T0 - 86_400_000)).toBe(T0 - 86_400_000);
      window.add(1, T0 - 86_400_000);
      expect(window.availableAt(1, T0 - 86_400_000)).toBe(T0 - 86_400_000 + WINDOW_MS);
    });

    test('any jumble of times keeps to the limit, and the window is free again within two of its lengths', () => {
      const times = fc.array(fc.integer({ min: -3 * WINDOW_MS, max: 3 * WINDOW_MS }), { maxLength: 300, size: 'max' });
      fc.assert(fc.property(times, steps => {
        const window = new SlidingWindow(5, WINDOW_MS);
        let now = T0;
        for (const step of steps) {
          now += step;
          const at = window.availableAt(1, now);
          expect(at).toBeGreaterThanOrEqual(now);
          expect(at).toBeLessThanOrEqual(now + 2 * WINDOW_MS);
          if (at === now) window.add(1, now);
          expect(window.used(now)).toBeLessThanOrEqual(5);
        }
        expect(window.used(now + 2 * WINDOW_MS)).toBe(0);
      }), { numRuns: 50, endOnFailure: true });
    });
  });
});

describe('a provider that has counted less', () => {
  test('lets go of the oldest first', () => {
    const window = new SlidingWindow(10, WINDOW_MS);
    for (const at of [T0, T0 + 100, T0 + 200]) window.add(3, at);
    window.lower(4, T0 + 300);
    expect(window.used(T0 + 300)).toBe(4);
    expect(window.used(T0 + WINDOW_MS + 99)).toBe(4);
    expect(window.used(T0 + WINDOW_MS + 100)).toBe(3);
  });

  test('adds nothing, and does not go below nothing', () => {
    const window = new SlidingWindow(10, WINDOW_MS);
    window.lower(0, T0);
    window.add(3, T0);
    window.lower(5, T0);
    expect(window.used(T0)).toBe(3);
    window.lower(-1, T0);
    expect(window.used(T0)).toBe(0);
    window.add(1, T0 + 1);
    expect(window.used(T0 + 1)).toBe(1);
  });
});
