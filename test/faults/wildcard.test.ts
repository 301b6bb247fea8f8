import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fitsWildcard } from '../../src/faults/wildcard.ts';

test.each([
  ['rate_limit', 'rate_limit', true],
  ['rate_limit', 'rate_limit_exceeded', false],
  ['rate_limit*', 'rate_limit_exceeded', true],
  ['rate_limit*', 'rate_limit', true],
  ['*_spend_limit_exceeded', 'project_spend_limit_exceeded', true],
  ['*_spend_limit_exceeded', 'project_spend_limit_exceeded_', false],
  ['*PerDay*', 'RequestsPerDayPerProject', true],
  ['*PerDay*', 'RequestsPerday', false],
  ['E*:Rate limit', 'EAPI:Rate limit', true],
  ['E.*', 'EAPI', false],
  ['*', 'two\nlines', true],
])('%s, %s: %s', (pattern, text, fits) => {
  expect(fitsWildcard(pattern, text)).toBe(fits);
  expect(fitsWildcard(pattern, text)).toBe(fits);
});

test('without a star, a pattern fits itself alone, whatever its characters', () => {
  const texts = fc.string().filter((text) => !text.includes('*'));
  fc.assert(
    fc.property(texts, texts, (pattern, text) => {
      expect(fitsWildcard(pattern, pattern)).toBe(true);
      expect(fitsWildcard(pattern, text)).toBe(pattern === text);
      expect(fitsWildcard(`${pattern}*`, pattern + text)).toBe(true);
      expect(fitsWildcard(`*${pattern}`, text + pattern)).toBe(true);
    }),
  );
});
