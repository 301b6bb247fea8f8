import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Slide } from '../../src/keys/slide.ts';

const START = Date.UTC(2026, 10, 20, 12);
const MINUTE_MS = 60_000;

/** How a provider tells at `at` when its limit is whole, as it is read at `now`. */
type Telling = (resetAt: number, at: number, now: number) => number;
const TELLINGS: Readonly<Record<string, Telling>> = {
  'as a time': resetAt => Math.ceil(resetAt),
  'in ms from now': (resetAt, at, now) => now + Math.ceil(resetAt - at),
  'in seconds from now': (resetAt, at, now) => now + Math.ceil((resetAt - at) / 1000) * 1000,
  'as a time in seconds': resetAt => Math.ceil(resetAt / 1000) * 1000,
};
const tellings = fc.constantFrom(...Object.values(TELLINGS));
const gaps = fc.array(fc.integer({ min: 0, max: 9000 }), { minLength: 3, maxLength: 80 });
const limits = fc.integer({ min: 3, max: 300 });
const latencies = fc.integer({ min: 0, max: 150 });

function heard(windowMs: number, limit: number, gapsMs: readonly number[], latencyMs: number, told: Telling): (number | undefined)[] {
  const slide = new Slide();
  let at = START;
  let entries: number[] = [];
  return gapsMs.map(gapMs => {
    at += gapMs;
    entries = entries.filter(entry => entry + windowMs > at);
    if (entries.length < limit) entries.push(at);
    const resetAt = entries[entries.length - 1]! + windowMs;
    slide.hear(limit, entries.length, told(resetAt, at, at + latencyMs), at - latencyMs, at + latencyMs);
    return slide.windowMs;
  });
}

describe('a window that slides', () => {
  test.each(Object.entries(TELLINGS))('is found out while little of it is used: told %s', (_name, told) => {
    fc.assert(
      fc.property(limits, latencies, (limit, latencyMs) => {
        const gapsMs = Array.from({ length: Math.ceil(limit / 2) + 10 }, () => 2500);
        expect(heard(MINUTE_MS, Math.max(50, limit), gapsMs, latencyMs, told).at(-1)).toBe(MINUTE_MS);
      }),
    );
  });

  test('stays known, and is never another one, whatever comes', () => {
    fc.assert(
      fc.property(limits, gaps, latencies, tellings, (limit, gapsMs, latencyMs, told) => {
        const known = heard(MINUTE_MS, limit, gapsMs, latencyMs, told);
        const first = known.findIndex(each => each !== undefined);
        if (first >= 0) expect(known.slice(first).every(each => each === MINUTE_MS)).toBe(true);
      }),
    );
  });
});

describe('is not taken for one that slides:', () => {
  test('a window of the clock', () => {
    fc.assert(
      fc.property(limits, gaps, latencies, tellings, fc.boolean(), (limit, gapsMs, latencyMs, told, isOfFirst) => {
        const slide = new Slide();
        let at = START;
        let count = 0;
        let end = 0;
        for (const gapMs of gapsMs) {
          at += gapMs;
          if (at >= end) {
            count = 0;
            end = isOfFirst ? at + MINUTE_MS : (Math.floor(at / MINUTE_MS) + 1) * MINUTE_MS;
          }
          if (count >= limit) continue;
          count++;
          slide.hear(limit, count, told(end, at, at + latencyMs), at - latencyMs, at + latencyMs);
          expect(slide.windowMs).toBeUndefined();
        }
      }),
    );
  });

  test('a limit that refills', () => {
    fc.assert(
      fc.property(limits, gaps, latencies, tellings, (limit, gapsMs, latencyMs, told) => {
        const slide = new Slide();
        const unitMs = MINUTE_MS / limit;
        let at = START;
        let level = 0;
        for (const gapMs of gapsMs) {
          at += gapMs;
          level = Math.max(0, level - gapMs / unitMs);
          if (level + 1 > limit) continue;
          level++;
          const used = limit - Math.floor(limit - level);
          slide.hear(limit, used, told(at + level * unitMs, at, at + latencyMs), at - latencyMs, at + latencyMs);
          expect(slide.windowMs).toBeUndefined();
        }
      }),
    );
  });
});

test('an answer that took long fits too much to say anything', () => {
  const slide = new Slide();
  for (const second of [0, 10, 20]) slide.hear(60, 5, START + second * 1000 + MINUTE_MS, START + second * 1000 - 40_000, START + second * 1000);
  expect(slide.windowMs).toBeUndefined();
});

test('is forgotten when a figure contradicts it', () => {
  const slide = new Slide();
  for (const second of [0, 5, 10]) slide.hear(60, 5, START + second * 1000 + MINUTE_MS, START + second * 1000, START + second * 1000);
  expect(slide.windowMs).toBe(MINUTE_MS);
  slide.hear(60, 6, START + 40_000, START + 12_000, START + 12_000);
  expect(slide.windowMs).toBeUndefined();
});
