import { HOUR_MS, lasting } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';

const ERRORS = 'https://api-docs.deepseek.com/quick_start/error_codes';
const RATE_LIMIT = 'https://api-docs.deepseek.com/quick_start/rate_limit';

export const deepseek: FaultProfile = {
  name: 'deepseek',
  providers: ['*deepseek*'],
  hosts: ['api.deepseek.com'],
  rules: [
    {
      name: 'insufficient-balance',
      source: ERRORS,
      match: { status: 402 },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      ...lasting(HOUR_MS),
    },
    {
      // It counts requests under way, so the account is free again as soon as one of them ends.
      name: 'concurrency',
      source: RATE_LIMIT,
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      coolMs: 2000,
    },
  ],
};
