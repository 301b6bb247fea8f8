import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Evidence } from '../../src/faults/fault.ts';
import { headerReader } from '../../src/faults/headers.ts';
import { retryAtOf } from '../../src/faults/retry-at.ts';

const NOW = Date.UTC(2026, 10, 20, 11, 0, 0);

describe('retryAtOf', () => {
  function evidence(headers: Record<string, string>, rest: Partial<Evidence> = {}): Evidence {
    const header = headerReader(headers);
    if (!header) throw new Error('unreadable headers');
    return { status: 429, header, text: '', timedOut: false, aborted: false, ...rest };
  }
  const delayOf = (headers: Record<string, string>, rest?: Partial<Evidence>): number | undefined => {
    const at = retryAtOf(evidence(headers, rest), NOW);
    return at === undefined ? undefined : at - NOW;
  };
  const retryInfo = (retryDelay: unknown): unknown => ({
    error: { code: 429, details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }] },
  });

  test('says nothing where the provider says nothing', () => {
    expect(delayOf({})).toBeUndefined();
  });

  test('prefers the surer source: retry-after-ms, retry-after, body, exhausted limit, words', () => {
    const headers: Record<string, string> = {
      'retry-after-ms': '1500',
      'retry-after': '2',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '4s',
    };
    const rest = { body: retryInfo('3s'), text: 'Please try again in 5s.' };
    expect(delayOf(headers, rest)).toBe(1500);
    delete headers['retry-after-ms'];
    expect(delayOf(headers, rest)).toBe(2000);
    delete headers['retry-after'];
    expect(delayOf(headers, rest)).toBe(3000);
    expect(delayOf(headers, { text: rest.text })).toBe(4000);
    expect(delayOf({}, { text: rest.text })).toBe(5000);
  });

  test('a zero, garbage or a time gone by leaves the word to the next source', () => {
    expect(delayOf({ 'retry-after': '0' }, { text: 'Try again in 20s' })).toBe(20_000);
    expect(delayOf({ 'retry-after-ms': 'soon', 'retry-after': '-3' }, { body: retryInfo('7s') })).toBe(7000);
    expect(delayOf({ 'retry-after': '0' })).toBeUndefined();
  });

  test("reads AWS's header in milliseconds, before the standard one in seconds", () => {
    expect(delayOf({ 'x-amz-retry-after': '1700', 'retry-after': '2' })).toBe(1700);
  });

  test("looks at a profile's own headers in the place of the usual ones", () => {
    const limits = [{ counts: 'tokens', remaining: 'left', reset: 'whole-again' }];
    const headers = {
      left: '0',
      'whole-again': '9s',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '90s',
    };
    expect(retryAtOf(evidence(headers), NOW, limits)).toBe(NOW + 9000);
    expect(retryAtOf(evidence({ ...headers, left: '1' }), NOW, limits)).toBeUndefined();
  });

  test("reads an HTTP date against the response's own Date", () => {
    const headers = { date: 'Sun, 06 Nov 1994 08:49:37 GMT', 'retry-after': 'Sun, 06 Nov 1994 08:50:07 GMT' };
    expect(delayOf(headers)).toBe(30_000);
  });

  test('looks at the reset of no limit but the exhausted one', () => {
    const headers = {
      'x-ratelimit-limit-requests': '10000',
      'x-ratelimit-remaining-requests': '9999',
      'x-ratelimit-reset-requests': '8.64s',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '6m0s',
    };
    expect(delayOf(headers)).toBe(360_000);
    expect(delayOf({ ...headers, 'x-ratelimit-remaining-tokens': '-1' })).toBeUndefined();
    expect(delayOf({ ...headers, 'x-ratelimit-remaining-tokens': '' })).toBeUndefined();
  });

  test('waits for the last of several exhausted limits', () => {
    expect(
      delayOf({
        'anthropic-ratelimit-requests-remaining': '0',
        'anthropic-ratelimit-requests-reset': '2026-11-20T11:00:10Z',
        'anthropic-ratelimit-input-tokens-remaining': '0',
        'anthropic-ratelimit-input-tokens-reset': '2026-11-20T11:00:42Z',
        'anthropic-ratelimit-output-tokens-remaining': '8000',
        'anthropic-ratelimit-output-tokens-reset': '2026-11-20T11:30:00Z',
      }),
    ).toBe(42_000);
  });

  test('reads the headers of the IETF draft, old and new', () => {
    expect(delayOf({ 'ratelimit-remaining': '0', 'ratelimit-reset': '50' })).toBe(50_000);
    expect(delayOf({ ratelimit: '"burst";r=5;t=3, "day";r=0;t=30, "hour";r=0;t=20' })).toBe(30_000);
    expect(delayOf({ ratelimit: '"default";r=50;t=30' })).toBeUndefined();
    expect(delayOf({ ratelimit: '"default";r=0;t=soon' })).toBeUndefined();
  });

  test.each([
    ['Rate limit reached for gpt-4o. Please try again in 6m0s. Visit our site.', 360_000],
    ['Please try again in 20s.', 20_000],
    ['Please try again in 1.5s.', 1500],
    ['Please try again in 350ms.', 350],
    ['quota exceeded\nPlease retry in 20.04466179s.', 20_044.661_79],
    ['Your quota will reset after 4h28m20s.', 16_100_000],
    ['Please retry after 7 seconds.', 7000],
    ['Try again in 2 minutes.', 120_000],
    ['Retry in a while, retry in 5 laps. Please TRY AGAIN IN 3S', 3000],
  ])('understands "%s"', (text, delayMs) => {
    expect(delayOf({}, { text })).toBeCloseTo(delayMs, 1);
  });

  test.each(['Please try again later.', 'try again in 20', 'retry in 5smooth', 'limit 20s'])(
    'makes no time of "%s"',
    (text) => {
      expect(delayOf({}, { text })).toBeUndefined();
    },
  );

  test('never gives a time that is not after now, whatever the headers and the body', () => {
    const values = fc.oneof(fc.string(), fc.integer().map(String), fc.constantFrom('0', '1s', '-1', '1e99'));
    const names = fc.constantFrom(
      'retry-after', 'retry-after-ms', 'date', 'x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens', 'ratelimit',
    );
    fc.assert(
      fc.property(fc.dictionary(names, values), fc.jsonValue(), fc.string(), (headers, body, text) => {
        const at = retryAtOf(evidence(headers, { body, text }), NOW);
        if (at !== undefined) expect(at).toBeGreaterThan(NOW);
      }),
    );
  });
});
