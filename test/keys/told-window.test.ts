import { expect, test } from 'vitest';
import { ToldWindow } from '../../src/keys/told-window.ts';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';

const NOW = Date.UTC(2026, 10, 20, 12);
const MINUTE_MS = 60_000;

function sent(...seconds: readonly number[]): ToldWindow {
  const window = new ToldWindow(10, MINUTE_MS);
  for (const second of seconds) window.add(1, NOW + second * 1000);
  return window;
}

test('what is sent comes back one by one, a window later', () => {
  const window = sent(0, 5, 10, 15, 20, 25, 30, 35, 40, 45);
  expect(window.availableAt(1, NOW + 50_000)).toBe(NOW + MINUTE_MS + ON_THE_WAY_MS);
  expect(window.availableAt(2, NOW + 50_000)).toBe(NOW + 5000 + MINUTE_MS + ON_THE_WAY_MS);
});

test('what is told beyond what was sent by then is used by others, and counts from now on', () => {
  const window = sent(0, 5, 10);
  window.told(8, NOW + 10_000, 0, NOW + 11_000);
  expect(window.used(NOW + 11_000)).toBe(8);
  expect(window.used(NOW + MINUTE_MS + 10_500)).toBe(5);
});

test('what others have used counts once, although several answers tell of it', () => {
  const window = sent(0, 5, 10);
  window.told(8, NOW + 10_000, undefined, NOW + 11_000);
  window.told(7, NOW + 5000, undefined, NOW + 12_000);
  expect(window.used(NOW + 12_000)).toBe(8);
});

test('what has left while an answer was under way is nobody else’s', () => {
  const window = sent(0, 0.5, 1, 1.5, 2, 59);
  window.told(6, NOW + 59_000, 0, NOW + 63_000);
  expect(window.used(NOW + 63_000)).toBe(1);
});

test('what the provider has let go of is free, with what may have come after it taken off', () => {
  const window = sent(0, 5, 10, 15);
  window.told(2, NOW + 10_000, 1, NOW + 16_000);
  expect(window.used(NOW + 16_000)).toBe(3);
});

test('of several sent together none tells that there is more', () => {
  const window = sent(0, 5, 10, 10.1);
  window.told(2, NOW + 10_000, 1, NOW + 16_000);
  expect(window.used(NOW + 16_000)).toBe(4);
});

test('the figure of an answer that was overtaken frees nothing', () => {
  const window = sent(0, 5, 10);
  window.told(1, NOW + 5000, undefined, NOW + 16_000);
  expect(window.used(NOW + 16_000)).toBe(3);
});
