import type { Meter } from '../meter.ts';
import { nameOf, secondsUntil, type Dialect, type Wording } from './dialect.ts';

function error(status: number, type: string, code: string | null, message: string): Wording {
  return { status, body: { error: { message, type, param: null, code } } };
}

/** https://developers.openai.com/api/docs/guides/error-codes; headers as in .../guides/rate-limits. */
export const openai: Dialect = {
  headers({ meters }, now) {
    const headers: Record<string, string> = {};
    for (const meter of meters) {
      const { counts, per } = meter.quota;
      // Only one limit of requests and one of tokens fits into these headers: the minute's.
      if (per === 'day' && meters.some(({ quota }) => quota.counts === counts && quota.per === 'minute')) continue;
      headers[`x-ratelimit-limit-${counts}`] = String(meter.limit);
      headers[`x-ratelimit-remaining-${counts}`] = String(Math.max(0, Math.floor(meter.limit - meter.used(now))));
      headers[`x-ratelimit-reset-${counts}`] = `${Math.max(0, Math.ceil(meter.wholeAt(now) - now))}ms`;
    }
    return headers;
  },

  refuse(cause, { model, organization }, now) {
    switch (cause.kind) {
      case 'quota':
        return limited(cause.meter, cause.retryAt, `for ${model} in organization org-${organization}`, now);
      case 'revoked':
        return error(401, 'invalid_request_error', 'invalid_api_key', 'Incorrect API key provided: sk-****.');
      case 'suspended':
        return error(401, 'invalid_request_error', 'account_deactivated', 'The OpenAI account has been deactivated.');
      case 'billing':
        return error(429, 'insufficient_quota', 'insufficient_quota', 'You exceeded your current quota.');
      default:
        return error(503, 'service_unavailable_error', 'server_is_overloaded', 'The server is currently overloaded.');
    }
  },
};

function limited(meter: Meter, retryAt: number, where: string, now: number): Wording {
  const message = `Rate limit reached ${where} on ${nameOf(meter)}: Limit ${meter.limit}. Please try again later.`;
  const retryMs = String(Math.max(1, Math.ceil(retryAt - now)));
  return {
    ...error(429, meter.quota.counts, 'rate_limit_exceeded', message),
    headers: { 'retry-after-ms': retryMs, 'retry-after': secondsUntil(retryAt, now) },
  };
}
