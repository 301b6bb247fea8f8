import { DAY_MS, lasting, MINUTE_MS } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';

const DOCS = 'https://massive.com/docs/rest/quickstart';
const REQUEST_LIMITS = 'https://massive.com/knowledge-base/article/what-is-the-request-limit-for-massives-restful-apis';

/** Massive, which was Polygon.io. */
export const massive: FaultProfile = {
  name: 'massive',
  aliases: ['polygon'],
  providers: ['*massive*', '*polygon*'],
  hosts: ['api.massive.com', 'api.polygon.io'],
  rules: [
    {
      name: 'unknown-key',
      source: DOCS,
      match: { status: 401, message: /\bUnknown API Key\b/i },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
      certainty: 'likely',
    },
    {
      name: 'not-in-plan',
      source: DOCS,
      match: { status: 403, code: 'NOT_AUTHORIZED' },
      kind: 'permission',
      scope: 'key+model',
      action: 'cool',
      ...lasting(DAY_MS),
    },
    {
      name: 'rate-limit',
      source: REQUEST_LIMITS,
      match: { status: 429 },
      kind: 'rate_limit',
      scope: 'key',
      action: 'cool',
      certainty: 'likely',
      coolMs: MINUTE_MS,
    },
  ],
};
