import { HOUR_MS, lasting, MINUTE_MS, untilNextMonth } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';

const RATE_LIMITS = 'https://docs.cohere.com/docs/rate-limits';
const ERRORS = 'https://docs.cohere.com/reference/errors';

export const cohere: FaultProfile = {
  name: 'cohere',
  providers: ['*cohere*'],
  hosts: ['api.cohere.com', 'api.cohere.ai'],
  rules: [
    {
      // "You are using a Trial key, which is limited to 1000 API calls / month."
      name: 'month-quota',
      source: RATE_LIMITS,
      match: { status: 429, message: /\bmonth(?:ly)?\b/i },
      kind: 'month_quota',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      ...untilNextMonth('UTC'),
    },
    {
      name: 'rate-limit',
      source: RATE_LIMITS,
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      coolMs: MINUTE_MS,
    },
    {
      // Keys have spending limits of their own.
      name: 'payment-required',
      source: ERRORS,
      match: { status: 402 },
      kind: 'billing',
      scope: 'key',
      action: 'cool',
      certainty: 'likely',
      ...lasting(HOUR_MS),
    },
  ],
};
