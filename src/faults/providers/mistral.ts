import { HOUR_MS, lasting, MINUTE_MS } from '../durations.ts';
import type { FaultProfile, LimitHeaders } from '../fault.ts';

const TIERS = 'https://docs.mistral.ai/deployment/ai-studio/tier';
const ERRORS = 'https://docs.mistral.ai/resources/error-handling';

/** No header says when a limit is whole again. */
function perMinute(counts: string, name: string): LimitHeaders {
  return {
    counts,
    windowMs: MINUTE_MS,
    limit: `x-ratelimit-limit-${name}-minute`,
    remaining: `x-ratelimit-remaining-${name}-minute`,
  };
}

export const mistral: FaultProfile = {
  name: 'mistral',
  providers: ['*mistral*', '*codestral*', '*devstral*'],
  hosts: ['api.mistral.ai', 'codestral.mistral.ai'],
  limits: [perMinute('requests', 'req'), perMinute('tokens', 'tokens')],
  limitScope: 'group',
  rules: [
    {
      name: 'rate-limit',
      source: TIERS,
      match: { status: 429, code: '1300' },
      kind: 'rate_limit',
      scope: 'group',
      action: 'cool',
      coolMs: 5000,
    },
    {
      // The gateway in front answers with these words and no code.
      name: 'rate-limit-message',
      source: TIERS,
      match: { status: 429, message: /\brate limit exceeded\b/i },
      kind: 'rate_limit',
      scope: 'group',
      action: 'cool',
      coolMs: 5000,
    },
    {
      name: 'payment-required',
      source: ERRORS,
      match: { status: 402 },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      ...lasting(HOUR_MS),
    },
  ],
};
