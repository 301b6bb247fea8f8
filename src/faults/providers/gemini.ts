import { PACIFIC } from '../calendar.ts';
import { DAY_MS, HOUR_MS, lasting, MINUTE_MS, untilMidnight } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';
import { quotaLimitsOf } from '../google-quota.ts';

const REASONS = 'https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto';
const TROUBLESHOOTING = 'https://ai.google.dev/gemini-api/docs/troubleshooting';
const RATE_LIMITS = 'https://ai.google.dev/gemini-api/docs/rate-limits';
const REGIONS = 'https://ai.google.dev/gemini-api/docs/available-regions';

/** The Gemini API with API keys (AI Studio). Vertex AI has other credentials and other quotas. */
export const gemini: FaultProfile = {
  name: 'gemini',
  providers: ['*gemini*', '*google*'],
  exceptProviders: ['*vertex*'],
  hosts: ['generativelanguage.googleapis.com'],
  dayTimeZone: PACIFIC,
  // No header says them.
  limitsInBody: quotaLimitsOf,
  rules: [
    {
      name: 'leaked-key',
      source: TROUBLESHOOTING,
      match: { status: 403, message: /\bAPI key was reported as leaked\b/i },
      kind: 'leaked_key',
      scope: 'key',
      action: 'disable',
      certainty: 'certain',
    },
    {
      name: 'invalid-key',
      source: REASONS,
      match: { code: 'API_KEY_INVALID' },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
    },
    {
      name: 'invalid-key-message',
      source: TROUBLESHOOTING,
      match: { status: 400, message: /\bAPI key (?:not valid|expired|not found)\b/i },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
      certainty: 'likely',
    },
    {
      // What a bad key of the `AQ.` kind is answered with.
      name: 'unsupported-token',
      source: REASONS,
      match: { code: 'ACCESS_TOKEN_TYPE_UNSUPPORTED' },
      kind: 'unauthorized',
      scope: 'key',
      action: 'probation',
    },
    {
      name: 'project-suspended',
      source: REASONS,
      match: { code: ['CONSUMER_SUSPENDED', 'CONSUMER_INVALID'] },
      kind: 'account_disabled',
      scope: 'group',
      action: 'disable',
    },
    {
      name: 'billing-disabled',
      source: REASONS,
      match: { code: 'BILLING_DISABLED' },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      ...lasting(HOUR_MS),
    },
    {
      name: 'service-disabled',
      source: REASONS,
      match: { code: 'SERVICE_DISABLED' },
      kind: 'permission',
      scope: 'group',
      action: 'cool',
      coolMs: HOUR_MS,
    },
    {
      name: 'key-restricted',
      source: REASONS,
      match: {
        code: [
          'API_KEY_SERVICE_BLOCKED',
          'API_KEY_HTTP_REFERRER_BLOCKED',
          'API_KEY_IP_ADDRESS_BLOCKED',
          'API_KEY_ANDROID_APP_BLOCKED',
          'API_KEY_IOS_APP_BLOCKED',
        ],
      },
      kind: 'permission',
      scope: 'key',
      action: 'cool',
      coolMs: HOUR_MS,
    },
    {
      name: 'location',
      source: REGIONS,
      match: { status: 400, code: 'FAILED_PRECONDITION', message: /\bUser location\b/i },
      kind: 'region_blocked',
      scope: 'ip',
      action: 'fail',
    },
    {
      name: 'model-capacity',
      source: 'https://github.com/google-gemini/gemini-cli/issues/25179',
      match: { code: 'MODEL_CAPACITY_EXHAUSTED' },
      kind: 'overloaded',
      scope: 'provider+model',
      action: 'breaker',
    },
    {
      // The model is not in this project's plan at all; the delay that comes along means nothing.
      name: 'no-quota',
      source: RATE_LIMITS,
      match: { status: 429, message: /\blimit: 0(?!\.?\d)/i },
      kind: 'no_quota',
      scope: 'group+model',
      action: 'cool',
      certainty: 'likely',
      ...lasting(DAY_MS),
    },
    {
      // Comes with a retryDelay of seconds, which is the minute's, not the day's.
      name: 'per-day-quota',
      source: RATE_LIMITS,
      match: { code: '*PerDay*' },
      kind: 'day_quota',
      scope: 'group+model',
      action: 'cool',
      ...untilMidnight(PACIFIC),
    },
    {
      name: 'per-minute-quota',
      source: RATE_LIMITS,
      match: { code: '*PerMinute*' },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      coolMs: MINUTE_MS,
    },
    {
      name: 'resource-exhausted',
      source: TROUBLESHOOTING,
      match: { code: 'RESOURCE_EXHAUSTED' },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      coolMs: 5000,
    },
    {
      name: 'overloaded',
      source: TROUBLESHOOTING,
      match: { code: ['UNAVAILABLE', 'INTERNAL', 'DEADLINE_EXCEEDED'] },
      scope: 'provider+model',
      action: 'breaker',
    },
    {
      name: 'server-error',
      source: TROUBLESHOOTING,
      match: { status: [500, 503, 504] },
      kind: 'overloaded',
      scope: 'provider+model',
      action: 'breaker',
    },
  ],
};
