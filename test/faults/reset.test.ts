import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDuration, parseReset } from '../../src/faults/reset.ts';

const NOW = Date.UTC(2026, 10, 20, 11, 0, 0);

describe('parseReset', () => {
  test.each([
    ['30', 30_000],
    ['1.5', 1500],
    ['.5', 500],
    ['0', 0],
    [' 20 ', 20_000],
    ['999999999', 999_999_999_000],
    ['1s', 1000],
    ['6m0s', 360_000],
    ['1h2m3.5s', 3_723_500],
    ['12ms', 12],
    ['250us', 0.25],
    ['250µs', 0.25],
    ['1d', 86_400_000],
    ['38s', 38_000],
    ['20.04466179s', 20_044.661_79],
    ['2026-11-20T11:00:30Z', 30_000],
    ['2026-11-20t11:00:30.250z', 30_250],
    ['2026-11-20T12:00:30+01:00', 30_000],
    ['Fri, 20 Nov 2026 11:01:00 GMT', 60_000],
    ['Friday, 20-Nov-26 11:01:00 GMT', 60_000],
    ['Fri Nov 20 11:01:00 2026', 60_000],
  ])('%s', (value, delayMs) => {
    expect(parseReset(value, NOW)).toBeCloseTo(NOW + delayMs, 1);
  });

  test('a large number is a time, in seconds or in milliseconds', () => {
    expect(parseReset(String(NOW / 1000 + 90), NOW)).toBe(NOW + 90_000);
    expect(parseReset(String(NOW + 90_000), NOW)).toBe(NOW + 90_000);
  });

  test.each(['-5', '-6m0s', '2020-01-01T00:00:00Z', 'Mon, 01 Jan 2024 00:00:00 GMT', '1500000000'])(
    'what lies in the past, %s, is now',
    (value) => {
      expect(parseReset(value, NOW)).toBe(NOW);
    },
  );

  test.each([
    '', 'soon', 'NaN', 'Infinity', '1e3', '0x10', '5, 5', '6m0', 's', '5 s', '1h foo', 'foo 1',
    '2026-11-20', '2026-13-45T99:99:99Z', '2026-11-20T11:00:30', '9'.repeat(400), `${'9'.repeat(400)}h`,
  ])('%s says nothing', (value) => {
    expect(parseReset(value, NOW)).toBeUndefined();
  });

  test("a server's time is taken against the server's own clock", () => {
    const serverNow = NOW + 3_600_000;
    expect(parseReset('Fri, 20 Nov 2026 12:00:30 GMT', NOW, serverNow)).toBe(NOW + 30_000);
    expect(parseReset('2026-11-20T12:00:30Z', NOW, serverNow)).toBe(NOW + 30_000);
    expect(parseReset('30', NOW, serverNow)).toBe(NOW + 30_000);
  });

  test('never gives a time before now, nor NaN, for any text', () => {
    const clockLike = fc.stringMatching(/^-?[0-9hmsdT:.+Zµu -]{0,30}$/);
    const dates = fc.date({ noInvalidDate: true }).map((date) => date.toUTCString());
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), clockLike, dates, fc.double().map(String), fc.integer().map(String)),
        fc.integer({ min: 0, max: 4e12 }),
        fc.option(fc.integer({ min: 0, max: 4e12 }), { nil: undefined }),
        (value, now, serverNow) => {
          const at = parseReset(value, now, serverNow);
          if (at !== undefined) expect(Number.isFinite(at) && at >= now).toBe(true);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('a Go duration reads back what it was made of', () => {
    fc.assert(
      fc.property(fc.nat(99), fc.nat(59), fc.nat(59), fc.nat(999), (h, m, s, ms) => {
        const text = `${h}h${m}m${s}s${ms}ms`;
        expect(parseDuration(text)).toBe(h * 3_600_000 + m * 60_000 + s * 1000 + ms);
        expect(parseDuration(`-${text}`)).toBe(-(h * 3_600_000 + m * 60_000 + s * 1000 + ms));
      }),
    );
  });

  test('a hostile megabyte says nothing', () => {
    expect(parseReset(`${'1s'.repeat(500_000)}!`, NOW)).toBeUndefined();
    expect(parseReset('1'.repeat(1_000_000) + 'x', NOW)).toBeUndefined();
  });
});
