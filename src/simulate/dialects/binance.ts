import { secondsUntil, type Dialect } from './dialect.ts';

/**
 * Limits are those of the address: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits. They are
 * worded as in https://developers.binance.com/docs/binance-spot-api-docs/errors.
 */
export const binance: Dialect = {
  headers({ meters }, now) {
    const weight = meters.find(({ quota }) => quota.per === 'minute');
    return weight ? { 'x-mbx-used-weight-1m': String(weight.used(now)) } : {};
  },

  refuse(cause, _subject, now) {
    switch (cause.kind) {
      case 'quota':
        return {
          status: 429,
          headers: { 'retry-after': secondsUntil(cause.retryAt, now) },
          body: {
            code: -1003,
            msg:
              `Too much request weight used; current limit is ${cause.meter.limit} request weight per 1 ` +
              `${cause.meter.quota.per.toUpperCase()}. Please use WebSocket Streams for live updates to avoid polling the API.`,
          },
        };
      case 'revoked':
      case 'suspended':
      case 'billing':
        return { status: 401, body: { code: -2015, msg: 'Invalid API-key, IP, or permissions for action.' } };
      default:
        return { status: 503, body: { code: -1008, msg: 'Server is currently overloaded. Please try again in a few minutes.' } };
    }
  },
};
