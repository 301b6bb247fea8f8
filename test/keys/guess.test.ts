import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Guess, type GuessForm } from '../../src/keys/guess.ts';

const START = Date.UTC(2026, 10, 20, 12);
const MINUTE_MS = 60_000;

interface Provider {
  /** True where it lets a request through. */
  admits(now: number): boolean;
}

function sliding(limit: number): Provider {
  let log: number[] = [];
  return {
    admits(now) {
      log = log.filter(at => at + MINUTE_MS > now);
      if (log.length >= limit) return false;
      log.push(now);
      return true;
    },
  };
}

function clock(limit: number): Provider {
  let minute = -1;
  let count = 0;
  return {
    admits(now) {
      if (Math.floor(now / MINUTE_MS) !== minute) {
        minute = Math.floor(now / MINUTE_MS);
        count = 0;
      }
      if (count >= limit) return false;
      count++;
      return true;
    },
  };
}

/** Asks one at a time, after these gaps. */
function ask(guess: Guess, provider: Provider, gapsMs: readonly number[]): void {
  let now = START;
  for (const gapMs of gapsMs) {
    now += gapMs;
    const count = guess.window.used(now);
    if (provider.admits(now)) {
      guess.window.add(1, now);
      guess.admitted(count, now, now + 10);
    } else {
      guess.refused(count, now + 10);
    }
  }
}

// No request comes within what may be on its way at the edge of a window.
const gaps = fc.array(fc.integer({ min: 1, max: 8 }).map(seconds => seconds * 1000), { minLength: 100, maxLength: 300 });

describe('what a silent provider counts', () => {
  test.each([
    ['sliding', sliding],
    ['clock', clock],
  ] as const)('is never taken to be less than it lets through: %s', (form: GuessForm, provider) => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 12 }), gaps, (limit, gapsMs) => {
        const guess = new Guess(form, MINUTE_MS, START);
        ask(guess, provider(limit), gapsMs);
        if (guess.isLikely) expect(guess.limit).toBeGreaterThanOrEqual(limit - 1);
        if (guess.isLikely) expect(guess.limit).toBeLessThanOrEqual(limit + 1);
      }),
    );
  });

  test('is found where more is asked than there is', () => {
    const everySecond = Array.from({ length: 300 }, () => 1000);
    for (const limit of [5, 20, 50]) {
      const guess = new Guess('sliding', MINUTE_MS, START);
      ask(guess, sliding(limit), everySecond);
      expect(guess.isProven).toBe(true);
      expect(Math.abs(guess.limit - limit)).toBeLessThanOrEqual(1);
    }
    const guess = new Guess('clock', MINUTE_MS, START);
    ask(guess, clock(20), everySecond);
    // What is sent as a window begins is counted in the one before.
    expect(Math.abs(guess.limit - 20)).toBeLessThanOrEqual(1);
  });
});

describe('a guess', () => {
  test('says nothing of what was sent before it began to count', () => {
    const guess = new Guess('sliding', MINUTE_MS, START);
    expect(guess.refused(7, START + MINUTE_MS - 1)).toBe(false);
    expect(guess.isLikely).toBe(false);
    expect(guess.refused(7, START + MINUTE_MS)).toBe(true);
    expect(guess.limit).toBe(7);
  });

  test('that nothing is let through is none: it would never heal', () => {
    const guess = new Guess('sliding', MINUTE_MS, START);
    for (let minute = 1; minute < 9; minute++) expect(guess.refused(0, START + minute * MINUTE_MS)).toBe(false);
    expect(guess.isLikely).toBe(false);
  });

  test('of a window of the clock wants refusals of two windows', () => {
    const guess = new Guess('clock', MINUTE_MS, START);
    const at = START + 2 * MINUTE_MS;
    guess.refused(5, at);
    guess.admitted(4, at + 10, at + 10);
    expect(guess.refused(5, at + 20)).toBe(false);
    guess.admitted(4, at + MINUTE_MS, at + MINUTE_MS);
    expect(guess.refused(5, at + MINUTE_MS + 20)).toBe(true);
  });

  test('outlives two refusals of another cause, and not three', () => {
    const guess = new Guess('sliding', MINUTE_MS, START);
    const at = START + MINUTE_MS;
    guess.admitted(9, at, at);
    guess.refused(10, at + 10);
    guess.admitted(9, at + 20, at + 20);
    guess.refused(10, at + 30);
    expect(guess.isProven).toBe(true);
    expect(guess.refused(3, at + 40)).toBe(false);
    expect(guess.refused(3, at + 50)).toBe(false);
    expect(guess.limit).toBe(10);
    guess.refused(3, at + 60);
    expect(guess.isLikely).toBe(false);
  });

  test('waits for a clock that is behind, for some seconds at most', () => {
    const guess = new Guess('clock', MINUTE_MS, START);
    expect([guess.postponed(), guess.postponed(), guess.postponed(), guess.postponed(), guess.postponed()]).toEqual([500, 500, 1000, 2000, undefined]);
  });
});
