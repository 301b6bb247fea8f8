import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextMidnight, nextMonth } from '../../src/faults/calendar.ts';

const HOUR_MS = 3_600_000;
const ZONES = [
  'UTC',
  'America/Los_Angeles',
  'America/New_York',
  'America/Sao_Paulo',
  'America/Havana',
  'Africa/Cairo',
  'Asia/Beirut',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
  'Europe/Berlin',
  'Pacific/Chatham',
  'Pacific/Kiritimati',
];

const at = (iso: string): number => Date.parse(iso);

/** The end of the day before, wherever that lies. */
function startOfDay(now: number, timeZone: string): number {
  return nextMidnight(nextMidnight(now, timeZone) - 26 * HOUR_MS, timeZone);
}

function local(time: number, timeZone: string): string {
  return new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' }).format(time);
}

function localDay(time: number, timeZone: string): string {
  return local(time, timeZone).slice(0, 10);
}

describe('nextMidnight', () => {
  test.each([
    ['a plain day', 'UTC', '2026-11-20T11:00:00Z', '2026-11-21T00:00:00Z'],
    ['midnight itself belongs to the new day', 'UTC', '2026-11-21T00:00:00Z', '2026-11-22T00:00:00Z'],
    ['winter in California', 'America/Los_Angeles', '2026-11-20T11:00:00Z', '2026-11-21T08:00:00Z'],
    ['summer in California', 'America/Los_Angeles', '2026-07-01T06:59:59.999Z', '2026-07-01T07:00:00Z'],
    ['the 23 h day', 'America/Los_Angeles', '2026-03-08T08:00:00Z', '2026-03-09T07:00:00Z'],
    ['the 25 h day', 'America/Los_Angeles', '2026-11-01T07:00:00Z', '2026-11-02T08:00:00Z'],
    ['a midnight that is skipped', 'America/Sao_Paulo', '2018-11-03T12:00:00Z', '2018-11-04T03:00:00Z'],
    ['a midnight that is skipped', 'Asia/Beirut', '2024-03-30T12:00:00Z', '2024-03-30T22:00:00Z'],
    ['a midnight that is put off by an hour', 'America/Sao_Paulo', '2018-02-17T12:00:00Z', '2018-02-18T03:00:00Z'],
    ['a day that was left out', 'Pacific/Apia', '2011-12-29T20:00:00Z', '2011-12-30T10:00:00Z'],
    ['an odd offset', 'Asia/Kathmandu', '2026-01-01T00:00:00Z', '2026-01-01T18:15:00Z'],
  ])('%s (%s, %s)', (_, zone, now, expected) => {
    expect(new Date(nextMidnight(at(now), zone)).toISOString()).toBe(new Date(at(expected)).toISOString());
  });

  test('where midnight is skipped, the day begins at 01:00', () => {
    const zone = 'America/Sao_Paulo';
    expect(local(nextMidnight(at('2018-11-03T12:00:00Z'), zone), zone)).toContain('01:00:00');
  });
});

describe('nextMonth', () => {
  test.each([
    ['UTC', '2026-11-20T11:00:00Z', '2026-12-01T00:00:00Z'],
    ['UTC', '2026-12-31T23:59:59.999Z', '2027-01-01T00:00:00Z'],
    ['UTC', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    ['America/Los_Angeles', '2026-11-01T06:59:59Z', '2026-11-01T07:00:00Z'],
    ['America/Los_Angeles', '2026-03-01T08:00:00Z', '2026-04-01T07:00:00Z'],
  ])('%s %s', (zone, now, expected) => {
    expect(nextMonth(at(now), zone)).toBe(at(expected));
  });
});

describe('a day', () => {
  const times = fc.integer({ min: at('1990-01-01T00:00:00Z'), max: at('2040-01-01T00:00:00Z') });

  test('begins at its first instant and ends at the first of the next, wherever and whenever', () => {
    fc.assert(
      fc.property(times, fc.constantFrom(...ZONES), (now, zone) => {
        const start = startOfDay(now, zone);
        const end = nextMidnight(now, zone);
        expect(start).toBeLessThanOrEqual(now);
        expect(end).toBeGreaterThan(now);
        expect(end - start).toBeLessThanOrEqual(25 * HOUR_MS);
        expect(end - start).toBeGreaterThanOrEqual(23 * HOUR_MS);
        expect(localDay(start, zone)).toBe(localDay(now, zone));
        for (const first of [start, end]) {
          expect(localDay(first - 1, zone)).not.toBe(localDay(first, zone));
          expect(local(first, zone)).toMatch(/ 0[01]:00:00$/);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('is the same when it is asked for again, and another one when time has stepped back', () => {
    const now = at('2026-11-20T11:00:00Z');
    expect(startOfDay(now, 'Europe/Berlin')).toBe(startOfDay(now + HOUR_MS, 'Europe/Berlin'));
    expect(startOfDay(now - 24 * HOUR_MS, 'Europe/Berlin')).toBe(startOfDay(now, 'Europe/Berlin') - 24 * HOUR_MS);
    expect(startOfDay(now + 0.5, 'Europe/Berlin')).toBe(startOfDay(now, 'Europe/Berlin'));
  });

  test('the month after a time begins at the first instant of a first', () => {
    fc.assert(
      fc.property(times, fc.constantFrom(...ZONES), (now, zone) => {
        const first = nextMonth(now, zone);
        expect(first).toBeGreaterThan(now);
        expect(localDay(first, zone)).toMatch(/-01$/);
        expect(localDay(first - 1, zone).slice(0, 7)).toBe(localDay(now, zone).slice(0, 7));
      }),
      { numRuns: 200 },
    );
  });

  test('of an unknown zone is an error', () => {
    expect(() => nextMidnight(0, 'Mars/Olympus_Mons')).toThrow(RangeError);
  });
});
