import type { Meter } from '../meter.ts';
import { secondsUntil, type Dialect, type Wording } from './dialect.ts';

type Detail = Readonly<Record<string, unknown>>;

const SERVICE = 'generativelanguage.googleapis.com';

function error(code: number, status: string, message: string, details: readonly Detail[] = []): Wording {
  return { status: code, body: { error: { code, message, status, ...(details.length > 0 && { details }) } } };
}

function errorInfo(reason: string): Detail {
  return { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'googleapis.com', metadata: { service: SERVICE } };
}

/** https://ai.google.dev/gemini-api/docs/rate-limits and .../troubleshooting. No header says what is left. */
export const gemini: Dialect = {
  headers: () => ({}),

  refuse(cause, { model }, now) {
    switch (cause.kind) {
      case 'quota':
        return exhausted(cause.meter, cause.retryAt, model, now);
      case 'revoked':
        return error(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.', [errorInfo('API_KEY_INVALID')]);
      case 'suspended':
        return error(403, 'PERMISSION_DENIED', 'Permission denied: the consumer has been suspended.', [errorInfo('CONSUMER_SUSPENDED')]);
      case 'billing':
        return error(403, 'PERMISSION_DENIED', 'This API method requires billing to be enabled.', [errorInfo('BILLING_DISABLED')]);
      default:
        return error(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.');
    }
  },
};

function exhausted({ limit, quota }: Meter, retryAt: number, model: string, now: number): Wording {
  const unit = quota.counts === 'tokens' ? 'InputTokens' : 'Requests';
  const period = quota.per === 'day' ? 'PerDay' : 'PerMinute';
  const metric = `${SERVICE}/generate_content_free_tier_${quota.counts === 'tokens' ? 'input_token_count' : 'requests'}`;
  // With a day used up, Google still asks to come back within the minute.
  const delay = quota.per === 'day' ? '30' : secondsUntil(retryAt, now);
  const message = `You exceeded your current quota. Quota exceeded for metric: ${metric}, limit: ${limit}, model: ${model}`;
  return error(429, 'RESOURCE_EXHAUSTED', message, [
    {
      '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
      violations: [{ quotaMetric: metric, quotaId: `Generate${unit}${period}PerProjectPerModel-FreeTier`, quotaValue: String(limit) }],
    },
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${delay}s` },
  ]);
}
