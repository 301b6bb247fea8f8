import { DAY_MS, HOUR_MS, lasting, MINUTE_MS } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';
import { property } from '../safe-read.ts';

const SUPPORT = 'https://www.alphavantage.co/support/';
const PREMIUM = 'https://www.alphavantage.co/premium/';
const DOCUMENTATION = 'https://www.alphavantage.co/documentation/';

const ERROR_FIELDS = ['Information', 'Note', 'Error Message'];

/** Alpha Vantage answers everything with 200, and says what is wrong in one of three fields. */
export const alphavantage: FaultProfile = {
  name: 'alphavantage',
  providers: ['*alphavantage*', '*alpha-vantage*', '*alpha_vantage*'],
  hosts: ['www.alphavantage.co', 'alphavantage.co'],
  errorInSuccess: (body) => (ERROR_FIELDS.some((name) => typeof property(body, name) === 'string') ? body : undefined),
  rules: [
    {
      // First of all: these words are followed by the daily limit and by an offer of premium plans.
      name: 'burst',
      source: PREMIUM,
      match: { message: /\bmore sparingly\b|\bspreading out\b/i },
      kind: 'rate_limit',
      scope: 'key',
      action: 'cool',
      certainty: 'likely',
      coolMs: 1200,
    },
    {
      name: 'note',
      source: SUPPORT,
      match: { test: ({ body }) => typeof property(body, 'Note') === 'string', testMeans: 'the body has a `Note`' },
      kind: 'rate_limit',
      scope: 'key',
      action: 'cool',
      certainty: 'likely',
      coolMs: MINUTE_MS,
    },
    {
      name: 'day-quota',
      source: PREMIUM,
      match: { message: /\brequests per day\b/i },
      kind: 'day_quota',
      scope: 'key',
      action: 'cool',
      certainty: 'likely',
      ...lasting(6 * HOUR_MS),
    },
    {
      name: 'premium-endpoint',
      source: PREMIUM,
      match: { message: /\bpremium\b/i },
      kind: 'permission',
      scope: 'key+model',
      action: 'cool',
      certainty: 'likely',
      ...lasting(DAY_MS),
    },
    {
      name: 'invalid-key',
      source: SUPPORT,
      match: { message: /\bapikey is invalid or missing\b/i },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
      certainty: 'likely',
    },
    {
      name: 'invalid-call',
      source: DOCUMENTATION,
      match: { message: /\bInvalid API call\b/i },
      kind: 'rejected',
      scope: 'request',
      action: 'fail',
      certainty: 'likely',
    },
  ],
};
