import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readLimits } from '../../src/faults/limits.ts';
import type { LimitReading } from '../../src/faults/limits.ts';
import { profiles } from '../../src/faults/profiles.ts';

const NOW = Date.UTC(2026, 10, 20, 11, 0, 0);

function read(headers: Record<string, string>): LimitReading[] {
  const container = new Headers(headers);
  return readLimits({ status: 200, header: (name) => container.get(name) ?? undefined }, NOW);
}

describe('readLimits', () => {
  test('reads OpenAI\'s headers of a success', () => {
    expect(
      read({
        'x-ratelimit-limit-requests': '500',
        'x-ratelimit-remaining-requests': '499',
        'x-ratelimit-reset-requests': '120ms',
        'x-ratelimit-limit-tokens': '30000',
        'x-ratelimit-remaining-tokens': '29900',
        'x-ratelimit-reset-tokens': '6m0s',
      }),
    ).toEqual([
      { counts: 'requests', limit: 500, remaining: 499, resetAt: NOW + 120 },
      { counts: 'tokens', limit: 30_000, remaining: 29_900, resetAt: NOW + 360_000 },
    ]);
  });

  test("reads Anthropic's headers, by the clock of the server", () => {
    expect(
      read({
        date: 'Fri, 20 Nov 2026 12:00:00 GMT',
        'anthropic-ratelimit-input-tokens-limit': '50000',
        'anthropic-ratelimit-input-tokens-remaining': '0',
        'anthropic-ratelimit-input-tokens-reset': '2026-11-20T12:00:30Z',
      }),
    ).toEqual([{ counts: 'input-tokens', limit: 50_000, remaining: 0, resetAt: NOW + 30_000 }]);
  });

  test('reads the IETF draft: the state of each policy, and what the policy allows', () => {
    expect(
      read({
        'ratelimit-policy': '"burst";q=100;qu="requests";w=60, "day";q=1000;w=86400;pk=:x:',
        ratelimit: '"burst";r=50;t=30, "day";r=0, "other";r=1;t=5',
      }),
    ).toEqual([
      { counts: 'burst', windowMs: 60_000, limit: 100, remaining: 50, resetAt: NOW + 30_000 },
      { counts: 'day', windowMs: 86_400_000, limit: 1000, remaining: 0 },
      { counts: 'other', remaining: 1, resetAt: NOW + 5000 },
    ]);
  });

  test("reads the draft's older headers", () => {
    expect(read({ 'ratelimit-limit': '100', 'ratelimit-remaining': '7', 'ratelimit-reset': '50' })).toEqual([
      { counts: 'requests', limit: 100, remaining: 7, resetAt: NOW + 50_000 },
    ]);
  });

  test.each(['-1', '', 'many', '1e3', 'NaN', 'Infinity', '9'.repeat(400)])('makes no figure of "%s"', (figure) => {
    expect(read({ 'x-ratelimit-remaining-tokens': figure, 'x-ratelimit-reset-tokens': '5s' })).toEqual([]);
    expect(read({ ratelimit: `"a";r=${figure};t=5` })).toEqual([]);
  });

  test('figures are never negative nor without end, whatever the headers', () => {
    const names = fc.constantFrom(
      'x-ratelimit-limit', 'x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens', 'ratelimit', 'ratelimit-policy',
      'anthropic-ratelimit-tokens-remaining', 'x-mbx-used-weight-1m', 'date',
    );
    const values = fc.oneof(fc.string(), fc.integer().map(String), fc.constantFrom('"a";r=0;t=9', '"a";q=1;w=9'));
    fc.assert(
      fc.property(fc.dictionary(names, values), fc.constantFrom(...profiles), (headers, { limits }) => {
        const readings = readLimits({ header: (name) => headers[name] }, NOW, limits);
        for (const { counts, resetAt = NOW, ...figures } of readings) {
          expect(counts).toBeTypeOf('string');
          expect(Number.isFinite(resetAt) && resetAt >= NOW).toBe(true);
          for (const figure of Object.values(figures)) expect(figure).toBeGreaterThanOrEqual(0);
        }
      }),
    );
  });
});
