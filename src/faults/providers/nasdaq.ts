import { DAY_MS, lasting } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';

const ERRORS = 'https://docs.data.nasdaq.com/docs/error-codes';
const RATE_LIMITS = 'https://docs.data.nasdaq.com/docs/rate-limits-1';

/** Nasdaq Data Link, which was Quandl. */
export const nasdaq: FaultProfile = {
  name: 'nasdaq',
  aliases: ['quandl'],
  providers: ['*nasdaq*', '*quandl*'],
  hosts: ['data.nasdaq.com', 'www.quandl.com'],
  rules: [
    {
      name: 'invalid-key',
      source: ERRORS,
      match: { code: 'QEAx01' },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
    },
    {
      name: 'rate-limit',
      source: RATE_LIMITS,
      match: { status: 429, code: 'QELx*' },
      kind: 'rate_limit',
      scope: 'key',
      action: 'cool',
      coolMs: 10_000,
    },
    {
      name: 'not-subscribed',
      source: ERRORS,
      match: { status: 403, code: 'QEP*' },
      kind: 'permission',
      scope: 'key+model',
      action: 'cool',
      ...lasting(DAY_MS),
    },
  ],
};
