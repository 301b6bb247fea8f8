import { DAY_MS, lasting, MINUTE_MS } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';

const AUTHENTICATION = 'https://finnhub.io/docs/api/authentication';
const PREMIUM = 'https://finnhub.io/docs/api/open-data';
const RATE_LIMIT = 'https://finnhub.io/docs/api/rate-limit';

export const finnhub: FaultProfile = {
  name: 'finnhub',
  providers: ['*finnhub*'],
  hosts: ['finnhub.io', 'api.finnhub.io'],
  rules: [
    {
      // Before the 401 of a bad key: this one is good, and its plan has not got the data.
      name: 'not-in-plan',
      source: PREMIUM,
      match: { status: [401, 403], message: /\bdon['’]t have access\b/i },
      kind: 'permission',
      scope: 'key+model',
      action: 'cool',
      certainty: 'likely',
      ...lasting(DAY_MS),
    },
    {
      name: 'invalid-key',
      source: AUTHENTICATION,
      match: { status: 401 },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
      certainty: 'likely',
    },
    {
      name: 'rate-limit',
      source: RATE_LIMIT,
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'key',
      action: 'cool',
      certainty: 'likely',
      coolMs: MINUTE_MS,
    },
  ],
};
