import { expect, test } from 'vitest';
import { Trials } from '../../src/keys/trials.ts';

const NOW = Date.UTC(2026, 10, 20, 12);
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** When the next trial may begin, as seen at `now`, where there is room in a day. */
const nextOf = (trials: Trials, now: number): number => trials.availableBefore(now + 24 * HOUR_MS, now) - now;

test('a likely limit is tried after five seconds, a proven one after two windows', () => {
  const trials = new Trials(MINUTE_MS, NOW);
  expect(nextOf(trials, NOW)).toBe(5000);
  trials.proven(NOW);
  expect(nextOf(trials, NOW)).toBe(2 * MINUTE_MS);
});

test('each that is refused doubles the time to the next, up to an hour', () => {
  const trials = new Trials(MINUTE_MS, NOW);
  let now = NOW;
  const waits = Array.from({ length: 11 }, () => {
    const waitMs = nextOf(trials, now);
    now += waitMs;
    trials.begin(now);
    trials.refused(now);
    return waitMs / 1000;
  });
  expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]);
});

test('a burst that was refused did not put the next trial off for an hour', () => {
  const trials = new Trials(MINUTE_MS, NOW);
  trials.proven(NOW);
  for (let call = 0; call < 50; call++) trials.refused(NOW + call * 100);
  expect(nextOf(trials, NOW + 5000)).toBeLessThan(5 * MINUTE_MS);
});

test('each that is let through makes room for twice as many, and the next may follow at once', () => {
  const trials = new Trials(MINUTE_MS, NOW);
  trials.begin(NOW + 5000);
  expect(trials.isOf(NOW + 5000)).toBe(true);
  expect([trials.succeeded(NOW + 6000), trials.succeeded(NOW + 7000), trials.succeeded(NOW + 8000)]).toEqual([1, 2, 4]);
  expect(nextOf(trials, NOW + 9000)).toBe(0);
});

test('one at a time; an answer that does not come is not waited for', () => {
  const trials = new Trials(MINUTE_MS, NOW);
  trials.begin(NOW + 5000);
  expect(trials.isUnderWay(NOW + 6000)).toBe(true);
  expect(nextOf(trials, NOW + 6000)).toBe(29_000);
});

test('none is made when there is room soon, nor right after another request, unless no other moment comes', () => {
  const trials = new Trials(MINUTE_MS, NOW);
  const due = NOW + 5000;
  expect(trials.availableBefore(due + 400, due)).toBe(due + 400);
  trials.taken(due);
  expect(nextOf(trials, due)).toBe(250);
  trials.taken(due + MINUTE_MS);
  expect(trials.availableBefore(due + MINUTE_MS + 10, due + MINUTE_MS)).toBe(due + MINUTE_MS);
});
