import { describe, expect, test } from 'vitest';
import { LearnedLimit, type LearnedLimitData } from '../../src/keys/learned-limit.ts';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';

const NOW = Date.UTC(2026, 10, 20, 12);
const MINUTE_MS = 60_000;
const NOBODY = { requests: 0, tokens: 0 };

function limit(): LearnedLimit {
  return new LearnedLimit('requests', undefined);
}

function told(left: number, resetAt = NOW + MINUTE_MS, more: Partial<LearnedLimitData> = {}): LearnedLimitData {
  return { counts: 'requests', limit: 10, windowMs: MINUTE_MS, remaining: left, left, resetAt, spanMs: MINUTE_MS, heardFrom: 'ann', ...more };
}

function heard(left: number, resetAt = NOW + MINUTE_MS): LearnedLimit {
  const own = limit();
  own.hear({ counts: 'requests', limit: 10, remaining: left, windowMs: MINUTE_MS, resetAt }, { at: NOW, ordinal: 3, key: { id: 'ann' } }, NOBODY, NOW, undefined);
  return own;
}

describe('a limit that another process has heard of', () => {
  test('holds here until its reset', () => {
    const own = limit();
    own.adopt(told(0), 0, NOW);
    expect(own.availableAt(1, NOW)).toBe(NOW + MINUTE_MS);
    expect(own.use(NOW)).toEqual({ limit: 10, left: 0, resetAt: NOW + MINUTE_MS });
    expect(own.use(NOW + MINUTE_MS).left).toBeUndefined();
  });

  test('is counted down from by attempts that begin later', () => {
    const own = limit();
    own.adopt(told(2), 0, NOW);
    own.take(1, NOW);
    own.take(1, NOW);
    expect(own.availableAt(1, NOW)).toBe(NOW + MINUTE_MS);
    own.adjust(-1, 0, { at: NOW, ordinal: 1 }, NOW);
    expect(own.availableAt(1, NOW)).toBe(NOW);
  });

  test('of the same window: the smaller figure counts', () => {
    const own = heard(5);
    own.adopt(told(7), 4, NOW);
    expect(own.use(NOW).left).toBe(5);
    own.adopt(told(3, NOW + MINUTE_MS + 900), 4, NOW);
    expect(own.use(NOW).left).toBe(3);
  });

  test('of a later window takes the place of what was heard; of an earlier one it says nothing', () => {
    const own = heard(5);
    own.adopt(told(0, NOW + MINUTE_MS / 2), 4, NOW);
    expect(own.use(NOW).left).toBe(5);
    own.adopt(told(9, NOW + 2 * MINUTE_MS), 4, NOW);
    expect(own.use(NOW)).toEqual({ limit: 10, left: 9, resetAt: NOW + 2 * MINUTE_MS });
  });

  test('of a window that is over only its size is of use', () => {
    const own = limit();
    own.adopt(told(0, NOW - 1, { limit: 20 }), 0, NOW);
    expect(own.use(NOW)).toEqual({ limit: 20, left: undefined, resetAt: undefined });
    expect(own.availableAt(1, NOW)).toBe(NOW);
  });

  test('that is only named is counted here', () => {
    const own = limit();
    own.adopt({ counts: 'requests', limit: 2, windowMs: MINUTE_MS }, 0, NOW);
    own.take(1, NOW);
    own.take(1, NOW);
    expect(own.availableAt(1, NOW)).toBe(NOW + MINUTE_MS + ON_THE_WAY_MS);
  });

  test('that is only named there changes nothing about what is known better here, but its size', () => {
    const own = heard(5);
    own.adopt({ counts: 'requests', limit: 0, windowMs: 0 }, 4, NOW);
    expect(own.use(NOW)).toMatchObject({ limit: 10, left: 5 });
    own.adopt({ counts: 'requests', limit: 30, windowMs: MINUTE_MS }, 4, NOW);
    expect(own.use(NOW)).toMatchObject({ limit: 30, left: 5 });
  });

  test('lies no further ahead than a day, whatever is told', () => {
    const own = limit();
    own.adopt(told(0, NOW + 1e12, { spanMs: 1e12 }), 0, NOW);
    expect(own.availableAt(1, NOW)).toBe(NOW + 86_400_000);
  });

  test('is no contradiction to the next figure of the same key', () => {
    const own = limit();
    own.adopt(told(9), 0, NOW);
    const next = { counts: 'requests', limit: 50, remaining: 40, resetAt: NOW + MINUTE_MS };
    expect(own.contradicts(next, 'ann', NOW)).toBe(false);
    expect(own.contradicts(next, 'ben', NOW)).toBe(true);
  });
});
