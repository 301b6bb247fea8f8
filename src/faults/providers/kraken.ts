import { MINUTE_MS } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';
import { property } from '../safe-read.ts';

const ERRORS = 'https://docs.kraken.com/api/docs/guides/spot-errors';
const LIMITS = 'https://docs.kraken.com/api/docs/guides/spot-rest-ratelimits';

/** Kraken's spot API answers with 200 and a list of errors, which is empty when all went well. */
export const kraken: FaultProfile = {
  name: 'kraken',
  providers: ['*kraken*'],
  hosts: ['api.kraken.com'],
  errorInSuccess,
  rules: [
    {
      name: 'invalid-key',
      source: ERRORS,
      match: { code: 'EAPI:Invalid key' },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
    },
    {
      name: 'rate-limit',
      source: LIMITS,
      match: { code: '*:Rate limit exceeded' },
      kind: 'rate_limit',
      scope: 'key',
      action: 'cool',
      coolMs: 5000,
    },
    {
      // Its length is documented nowhere.
      name: 'lockout',
      source: LIMITS,
      match: { code: '*:Temporary lockout' },
      scope: 'group',
      action: 'cool',
      certainty: 'guess',
      coolMs: 15 * MINUTE_MS,
    },
    {
      name: 'service',
      source: ERRORS,
      match: { code: 'EService:*' },
      kind: 'overloaded',
      scope: 'provider',
      action: 'breaker',
    },
  ],
};

/** What begins with a W is a warning beside a result. */
function errorInSuccess(body: unknown): unknown {
  const list = property(body, 'error');
  if (!Array.isArray(list)) return undefined;
  return list.some((text) => typeof text === 'string' && text.startsWith('E')) ? body : undefined;
}
