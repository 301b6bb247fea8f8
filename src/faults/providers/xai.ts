import { HOUR_MS, lasting } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';

const DEBUGGING = 'https://docs.x.ai/docs/key-information/debugging';
const BILLING = 'https://docs.x.ai/docs/key-information/billing';
const RATE_LIMITS = 'https://docs.x.ai/docs/key-information/consumption-and-rate-limits';

/** xAI's body is `{ "code": "...", "error": "text" }`; the OpenAI SDK keeps only the text of it. */
export const xai: FaultProfile = {
  name: 'xai',
  providers: ['xai*', '*-xai*', '*_xai*', '*/xai*', '*x-ai*', '*x.ai*', '*grok*'],
  hosts: ['api.x.ai', '.api.x.ai'],
  rules: [
    {
      name: 'invalid-key',
      source: DEBUGGING,
      match: { status: [400, 401], message: /\bIncorrect API key\b/i },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
      certainty: 'likely',
    },
    {
      name: 'out-of-credits',
      source: BILLING,
      match: { status: [403, 429], message: /\bused all available credits\b|\bmonthly spending limit\b/i },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      certainty: 'likely',
      ...lasting(HOUR_MS),
    },
    {
      name: 'rate-limit',
      source: RATE_LIMITS,
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      certainty: 'likely',
      coolMs: 5000,
    },
  ],
};
