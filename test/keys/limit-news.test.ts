import { expect, test } from 'vitest';
import { LearnedLimit } from '../../src/keys/learned-limit.ts';
import { LimitNews } from '../../src/keys/limit-news.ts';

const NOW = Date.UTC(2026, 10, 20, 12);
const NOBODY = { requests: 0, tokens: 0 };
let ordinal = 0;

function hear(limit: LearnedLimit, remaining: number | undefined, at = NOW, resetAt = NOW + 60_000, size = 100): void {
  const reading = { counts: 'requests', limit: size, ...(remaining !== undefined && { remaining }), windowMs: 60_000, resetAt };
  limit.hear(reading, { at, ordinal: ordinal++, key: { id: 'ann' } }, NOBODY, at, undefined);
}

/** True where it is told. */
function tell(news: LimitNews, limit: LearnedLimit, now = NOW): boolean {
  const isNews = news.isNews(limit, now);
  if (isNews) news.note(limit);
  return isNews;
}

test('told is what is new: a limit, another size of it, half of what was left, nothing left', () => {
  const [news, limit] = [new LimitNews(), new LearnedLimit('requests', undefined)];
  const told: number[] = [];
  for (let left = 100; left >= 0; left--) {
    hear(limit, left);
    if (tell(news, limit)) told.push(left);
  }
  expect(told).toEqual([100, 50, 25, 12, 6, 3, 1, 0]);
  hear(limit, 0);
  expect(tell(news, limit)).toBe(false);
  hear(limit, 0, NOW, NOW + 300_000);
  expect(tell(news, limit)).toBe(true);
  hear(limit, 0, NOW, NOW + 300_000, 50);
  expect(tell(news, limit)).toBe(true);
});

test('in a new window nothing is news before half of the limit is used', () => {
  const [news, limit] = [new LimitNews(), new LearnedLimit('requests', undefined)];
  hear(limit, 0);
  expect(tell(news, limit)).toBe(true);
  const later = NOW + 60_000;
  for (const [left, isNews] of [[99, false], [51, false], [50, true], [49, false]] as const) {
    hear(limit, left, later, later + 60_000);
    expect(tell(news, limit, later)).toBe(isNews);
  }
});

test('of a limit whose size nobody names what is left is told as well, window by window', () => {
  const [news, limit] = [new LimitNews(), new LearnedLimit('requests', undefined)];
  const told = (remaining: number, now: number): boolean => {
    const reading = { counts: 'requests', remaining, resetAt: now + 60_000 };
    limit.hear(reading, { at: NOW, ordinal: ordinal++, key: { id: 'ann' } }, NOBODY, now, undefined);
    return tell(news, limit, now);
  };
  expect([told(10, NOW), told(6, NOW), told(5, NOW), told(4, NOW)]).toEqual([true, false, true, false]);
  expect(told(10, NOW + 60_000)).toBe(true);
});

test('figures that come for a limit that was only named are news', () => {
  const [news, limit] = [new LimitNews(), new LearnedLimit('requests', undefined)];
  hear(limit, undefined);
  expect(tell(news, limit)).toBe(true);
  hear(limit, 90);
  expect(tell(news, limit)).toBe(false);
  hear(limit, 40);
  expect(tell(news, limit)).toBe(true);
});

test('of a limit that is only named its size is told, once', () => {
  const [news, limit] = [new LimitNews(), new LearnedLimit('requests', undefined)];
  hear(limit, undefined);
  expect(tell(news, limit)).toBe(true);
  hear(limit, undefined);
  expect(tell(news, limit)).toBe(false);
  hear(limit, undefined, NOW, undefined, 200);
  expect(tell(news, limit)).toBe(true);
});

test('that it refills is news', () => {
  const [news, limit] = [new LimitNews(), new LearnedLimit('requests', undefined)];
  const told = [10, 12, 20, 22].map((used, i) => {
    hear(limit, 100 - used, NOW + i, NOW + i + used * 600 + 7);
    return tell(news, limit, NOW + i);
  });
  expect(told).toEqual([true, false, true, false]);
  expect(limit.countable).toEqual({ rpm: 100, rpmRefills: { wholeAt: NOW + 3 + 22 * 600 } });
});
