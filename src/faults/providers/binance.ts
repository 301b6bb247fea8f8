import { MINUTE_MS } from '../durations.ts';
import type { AddressRefusal, Evidence, FaultProfile } from '../fault.ts';
import { readBody } from '../read-body.ts';

const LIMITS = 'https://developers.binance.com/docs/binance-spot-api-docs/rest-api/limits';
const ERRORS = 'https://developers.binance.com/docs/binance-spot-api-docs/errors';
const GENERAL = 'https://developers.binance.com/docs/binance-spot-api-docs/rest-api/general-api-information';

/** "Way too much request weight used; IP banned until 1785400000000. Please use the websocket..." */
const BANNED_UNTIL = /\bbanned until (\d{13})\b/i;

/** "Too much request weight used; current limit is 6000 request weight per 1 MINUTE..." A ban names no limit. */
const WEIGHT_USED_UP = /(?<!\bway )\btoo much request weight used\b/i;
/** Futures say "requests per minute", and mean their weight. Other intervals have counts of their own. */
const LIMIT = /\bcurrent limit (?:of IP\S* )?is (\d{1,15}) (?:request weight|requests) per (?:1 )?minute\b/i;

/** Binance. Limits are those of the address that calls: another key is no help, and hammering brings a ban. */
export const binance: FaultProfile = {
  name: 'binance',
  providers: ['*binance*'],
  hosts: ['api*.binance.com', 'fapi*.binance.com', 'dapi*.binance.com', 'data-api.binance.vision', 'api.binance.us'],
  // Its headers speak of the address alone.
  limits: [],
  addressLimit: { counts: 'weight', windowMs: MINUTE_MS, used: 'x-mbx-used-weight-1m', refusal: refusalOf },
  rules: [
    {
      name: 'ip-limit-code',
      source: LIMITS,
      match: { code: '-1003' },
      kind: 'ip_limit',
      scope: 'ip',
      action: 'breaker',
      ...untilBanEnds(),
    },
    {
      // 429 is a warning, 418 the ban, 403 the firewall's.
      name: 'ip-limit',
      source: LIMITS,
      match: { status: [403, 418, 429] },
      kind: 'ip_limit',
      scope: 'ip',
      action: 'breaker',
      certainty: 'likely',
      ...untilBanEnds(),
    },
    {
      name: 'key-format',
      source: ERRORS,
      match: { code: '-2014' },
      kind: 'invalid_key',
      scope: 'key',
      action: 'disable',
    },
    {
      // The key, its list of addresses or its permissions: only whether it ever worked could tell.
      name: 'key-rejected',
      source: ERRORS,
      match: { code: '-2015' },
      kind: 'unauthorized',
      scope: 'key',
      action: 'probation',
    },
    {
      // It was turned away before anything was done.
      name: 'throttled',
      source: ERRORS,
      match: { code: '-1008' },
      kind: 'overloaded',
      scope: 'provider',
      action: 'breaker',
    },
    {
      // The order may have been carried out all the same: nobody but the caller may repeat it.
      name: 'unknown-outcome-code',
      source: ERRORS,
      match: { code: ['-1006', '-1007'] },
      kind: 'unknown_outcome',
      scope: 'request',
      action: 'fail',
    },
    {
      name: 'unknown-outcome',
      source: GENERAL,
      match: {
        test: isFailedOrder,
        testMeans: 'any status from 500 for an order, or where the outcome does not tell the path',
      },
      kind: 'unknown_outcome',
      scope: 'request',
      action: 'fail',
      certainty: 'likely',
    },
  ],
};

/** `/api/v3/order`, `/sapi/v1/margin/order/oco`, `/fapi/v1/batchOrders`... */
function isFailedOrder({ status = 0, path }: Evidence): boolean {
  return status >= 500 && (path === undefined || /order/i.test(path));
}

function untilBanEnds(): { until: (evidence: Evidence) => number | undefined; untilMeans: string } {
  return { until: banEnd, untilMeans: 'the time in the message, else Retry-After' };
}

function banEnd({ body, text }: Evidence): number | undefined {
  const [, time] = BANNED_UNTIL.exec(readBody(body).message ?? text) ?? [];
  return time === undefined ? undefined : Number(time);
}

function refusalOf(body: unknown): AddressRefusal | undefined {
  const { codes, message = '' } = readBody(body);
  if (!codes.includes('-1003')) return undefined;
  const [, limit] = LIMIT.exec(message) ?? [];
  if (limit !== undefined) return { limit: Number(limit) };
  return WEIGHT_USED_UP.test(message) && !/current limit/i.test(message) ? { limit: undefined } : undefined;
}
