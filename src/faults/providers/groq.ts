import { DAY_MS, MINUTE_MS } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';
import { xRateLimit } from '../limits.ts';
import { asksForMoreThanTheLimit } from '../request-over-limit.ts';

const ERRORS = 'https://console.groq.com/docs/errors';
const RATE_LIMITS = 'https://console.groq.com/docs/rate-limits';

export const groq: FaultProfile = {
  name: 'groq',
  providers: ['*groq*'],
  hosts: ['api.groq.com'],
  limits: [xRateLimit('requests', { windowMs: DAY_MS }), xRateLimit('tokens', { windowMs: MINUTE_MS })],
  rules: [
    {
      name: 'organization-restricted',
      source: ERRORS,
      match: { code: 'organization_restricted' },
      kind: 'account_disabled',
      scope: 'group',
      action: 'disable',
    },
    {
      name: 'request-over-limit',
      source: RATE_LIMITS,
      match: { code: 'rate_limit_exceeded', ...asksForMoreThanTheLimit },
      kind: 'request_too_large',
      scope: 'request',
      action: 'fail',
    },
    {
      name: 'rate-limit',
      source: RATE_LIMITS,
      match: { code: ['rate_limit_exceeded', 'slow_down'] },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      coolMs: 10_000,
    },
    {
      name: 'flex-capacity',
      source: ERRORS,
      match: { status: 498 },
      kind: 'overloaded',
      scope: 'provider',
      action: 'breaker',
      certainty: 'likely',
    },
  ],
};
