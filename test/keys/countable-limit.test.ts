import { expect, test } from 'vitest';
import type { LimitReading } from '../../src/faults/limits.ts';
import { LearnedQuota } from '../../src/keys/learned-quota.ts';

const NOW = Date.UTC(2026, 10, 20, 12);
const NOTHING = { requests: 0, tokens: 0 };
const DAY_MS = 86_400_000;

/** What windows of one's own would count, once these were heard one after the other. */
function countable(...readings: LimitReading[]) {
  const quota = new LearnedQuota(undefined);
  for (const [ordinal, reading] of readings.entries()) {
    quota.hear('m', reading, { at: NOW, ordinal, key: { id: 'k' } }, NOTHING, NOW, undefined);
  }
  return quota.countable('m');
}

const told = (counts: string, more: Partial<LimitReading> = {}): LimitReading => ({
  counts,
  limit: 100,
  remaining: 60,
  resetAt: NOW + 50_000,
  ...more,
});

test.each<[string, LimitReading[], object | undefined]>([
  ['a window that is told', [told('requests', { windowMs: 60_000, resetAt: NOW + 5000 })], { rpm: 100 }],
  ['a window of a day', [told('tokens', { windowMs: DAY_MS })], { tpd: 100 }],
  ['a reset that is nearly a minute ahead', [told('requests'), told('tokens', { limit: 5000 })], { rpm: 100, tpm: 5000 }],
  ['a reset that may be that of any window', [told('requests', { resetAt: NOW + 5000 })], undefined],
  ['a reset that is further ahead than a minute', [told('requests', { resetAt: NOW + 300_000 })], undefined],
  ['a size that is not told', [{ counts: 'requests', remaining: 60, resetAt: NOW + 50_000 }], undefined],
  ['a limit that our calls are no measure of', [told('input-tokens')], undefined],
  ['tokens beside tokens read', [told('tokens'), told('input-tokens'), told('requests')], { rpm: 100 }],
])('%s', (_, readings, expected) => {
  expect(countable(...readings)).toEqual(expected);
});

test('how long a limit that a refusal told is believed outlives the process, and travels with it', () => {
  const quota = new LearnedQuota(undefined);
  quota.hear('m', { counts: 'requests', limit: 5, windowMs: 60_000 }, { at: NOW, ordinal: 0, key: { id: 'k' } }, NOTHING, NOW, NOW + 1000);
  const [figures] = quota.told('m').map(limit => limit.figures);
  expect(figures).toMatchObject({ limit: 5, toldAt: NOW });
  const later = NOW + 2 * DAY_MS;
  const restored = new LearnedQuota(undefined);
  restored.restore(quota.snapshot(NOW)!, 0, later - 1);
  const adopted = new LearnedQuota(undefined);
  adopted.adopt('m', [figures!], 0, later - 1);
  for (const each of [restored, adopted]) {
    expect(each.countable('m')).toEqual({ rpm: 5 });
    expect(each.availableAt('m', 1, later)).toBe(later);
    expect(each.countable('m')).toBeUndefined();
  }
});

test('nothing is known of a model that nobody has spoken of', () => {
  expect(new LearnedQuota(undefined).countable('m')).toBeUndefined();
});
