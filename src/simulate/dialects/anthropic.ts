import { nameOf, secondsUntil, type Dialect, type Wording } from './dialect.ts';

function error(status: number, type: string, message: string): Wording {
  return { status, body: { type: 'error', error: { type, message } } };
}

/** https://docs.claude.com/en/api/errors and .../rate-limits. */
export const anthropic: Dialect = {
  headers({ meters, organization }, now) {
    const headers: Record<string, string> = { 'anthropic-organization-id': organization };
    for (const meter of meters) {
      if (meter.quota.per === 'day') continue;
      const name = `anthropic-ratelimit-${meter.quota.counts}`;
      headers[`${name}-limit`] = String(meter.limit);
      headers[`${name}-remaining`] = String(Math.max(0, Math.floor(meter.limit - meter.used(now))));
      headers[`${name}-reset`] = new Date(Math.ceil(meter.wholeAt(now) / 1000) * 1000).toISOString();
    }
    return headers;
  },

  refuse(cause, _subject, now) {
    switch (cause.kind) {
      case 'quota': {
        const message = `This request would exceed your organization's rate limit of ${cause.meter.limit} ${nameOf(cause.meter)}.`;
        return { ...error(429, 'rate_limit_error', message), headers: { 'retry-after': secondsUntil(cause.retryAt, now) } };
      }
      case 'revoked':
        return error(401, 'authentication_error', 'invalid x-api-key');
      case 'suspended':
        return error(400, 'invalid_request_error', 'This organization has been disabled.');
      case 'billing':
        return error(400, 'invalid_request_error', 'Your credit balance is too low to access the Anthropic API.');
      default:
        return error(529, 'overloaded_error', 'Overloaded');
    }
  },
};
