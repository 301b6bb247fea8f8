import { PACIFIC } from '../calendar.ts';
import { MINUTE_MS, untilMidnight } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';
import { quotaIdsOf } from '../read-body.ts';

const ERRORS = 'https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/api-errors';
const ERROR_429 = 'https://cloud.google.com/vertex-ai/generative-ai/docs/provisioned-throughput/error-code-429';
const QUOTAS = 'https://cloud.google.com/vertex-ai/generative-ai/docs/quotas';

/** Gemini and others on Vertex AI, with access tokens in the place of keys. */
export const vertex: FaultProfile = {
  name: 'vertex',
  providers: ['*vertex*'],
  hosts: ['aiplatform.googleapis.com', '*-aiplatform.googleapis.com', 'aiplatform.*.rep.googleapis.com'],
  dayTimeZone: PACIFIC,
  rules: [
    {
      // Access tokens live an hour, and the next attempt brings a fresh one: nothing to disable a key for.
      name: 'token-expired',
      source: ERRORS,
      match: { status: 401 },
      kind: 'token_expired',
      scope: 'key',
      action: 'cool',
      certainty: 'likely',
      coolMs: 30_000,
    },
    {
      name: 'per-day-quota',
      source: QUOTAS,
      match: { status: 429, code: '*PerDay*' },
      kind: 'day_quota',
      scope: 'group+model',
      action: 'cool',
      ...untilMidnight(PACIFIC),
    },
    {
      name: 'quota',
      source: QUOTAS,
      match: { status: 429, test: ({ body }) => quotaIdsOf(body).length > 0, testMeans: 'the body names a quota' },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      certainty: 'likely',
      coolMs: MINUTE_MS,
    },
    {
      name: 'quota-message',
      source: QUOTAS,
      match: { status: 429, message: /\bQuota exceeded for \S/i },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      coolMs: MINUTE_MS,
    },
    {
      // The capacity everybody shares is out; no quota of this project's, so another project helps nothing.
      name: 'shared-capacity',
      source: ERROR_429,
      match: { status: 429 },
      kind: 'overloaded',
      scope: 'provider+model',
      action: 'breaker',
      certainty: 'likely',
    },
  ],
};
