import { HOUR_MS, lasting } from '../durations.ts';
import type { FaultProfile } from '../fault.ts';
import { asksForMoreThanTheLimit } from '../request-over-limit.ts';

const ERROR_CODES = 'https://developers.openai.com/api/docs/guides/error-codes';
const LIMIT_ERRORS = 'https://help.openai.com/en/articles/5955604-troubleshooting-api-rate-limits-and-429-errors';
const COUNTRIES = 'https://platform.openai.com/docs/supported-countries';

/** The OpenAI API itself. Azure and the many compatible APIs answer differently. */
export const openai: FaultProfile = {
  name: 'openai',
  providers: ['*openai*', 'gpt*'],
  exceptProviders: ['*azure*'],
  hosts: ['api.openai.com'],
  rules: [
    {
      name: 'account-deactivated',
      source: ERROR_CODES,
      match: { code: 'account_deactivated' },
      kind: 'account_disabled',
      scope: 'group',
      action: 'disable',
      certainty: 'certain',
    },
    {
      // Before the 401s: the key is alive, it may just not do this.
      name: 'missing-scope',
      source: ERROR_CODES,
      match: { code: 'missing_scope' },
      kind: 'permission',
      scope: 'key+model',
      action: 'cool',
      coolMs: HOUR_MS,
    },
    {
      name: 'missing-scope-message',
      source: ERROR_CODES,
      match: { status: [401, 403], message: /\bMissing scopes?: / },
      kind: 'permission',
      scope: 'key+model',
      action: 'cool',
      certainty: 'likely',
      coolMs: HOUR_MS,
    },
    {
      name: 'invalid-key',
      source: ERROR_CODES,
      match: { status: 401, code: 'invalid_api_key' },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
    },
    {
      name: 'model-not-found',
      source: ERROR_CODES,
      match: { status: [403, 404], code: 'model_not_found' },
      kind: 'model_unavailable',
      scope: 'key+model',
      action: 'cool',
      coolMs: HOUR_MS,
    },
    {
      name: 'country',
      source: COUNTRIES,
      match: { code: 'unsupported_country_region_territory' },
      kind: 'region_blocked',
      scope: 'ip',
      action: 'fail',
    },
    {
      name: 'country-message',
      source: COUNTRIES,
      match: { status: 403, message: /\bCountry, region, or territory not supported\b/i },
      kind: 'region_blocked',
      scope: 'ip',
      action: 'fail',
      certainty: 'likely',
    },
    {
      name: 'quota-exhausted',
      source: LIMIT_ERRORS,
      match: {
        code: [
          'insufficient_quota',
          'credit_balance_exhausted',
          '*_spend_limit_exceeded',
          'organization_usage_limit_exceeded',
          'billing_not_active',
        ],
      },
      kind: 'billing',
      scope: 'group',
      action: 'cool',
      ...lasting(HOUR_MS),
    },
    {
      name: 'request-over-limit',
      source: LIMIT_ERRORS,
      match: { code: 'rate_limit_exceeded', ...asksForMoreThanTheLimit },
      kind: 'request_too_large',
      scope: 'request',
      action: 'fail',
    },
    {
      name: 'rate-limit',
      source: LIMIT_ERRORS,
      match: { code: ['rate_limit_exceeded', 'slow_down'] },
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      coolMs: 10_000,
    },
    {
      name: 'overloaded',
      source: ERROR_CODES,
      match: { code: 'server_is_overloaded' },
      scope: 'provider',
      action: 'breaker',
    },
    {
      // The 500 of the table, also where it comes in the middle of a stream and has no status.
      name: 'server-error',
      source: ERROR_CODES,
      match: { code: 'server_error' },
      kind: 'server_error',
      scope: 'provider',
      action: 'breaker',
    },
  ],
};
