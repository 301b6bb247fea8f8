import { describe, expect, test } from 'vitest';
import { readAddressLimit } from '../../../src/faults/address.ts';
import { readLimits } from '../../../src/faults/limits.ts';
import { binance } from '../../../src/faults/providers/binance.ts';
import { json } from '../sdk-errors.ts';
import { describeRows, expectFault, faultOf, MINUTE_MS, NOW } from './rows.ts';
import type { Expected, Row } from './rows.ts';

const IP_LIMIT: Expected = { kind: 'ip_limit', scope: 'ip', action: 'breaker', certainty: 'likely' };
const UNKNOWN: Expected = { kind: 'unknown_outcome', scope: 'request', action: 'fail' };

const ROWS: Row[] = [
  [
    'too many requests',
    429,
    { code: -1003, msg: 'Too much request weight used; current limit is 6000 request weight per 1 MINUTE.' },
    { ...IP_LIMIT, until: NOW + 42_000 },
    { 'retry-after': '42', 'x-mbx-used-weight-1m': '6044' },
  ],
  ['too many requests, and nothing said', 429, {}, { ...IP_LIMIT, until: 'absent' }],
  [
    'a banned address',
    418,
    { code: -1003, msg: `Way too much request weight used; IP banned until ${NOW + 900_000}. Please use websockets.` },
    { ...IP_LIMIT, until: NOW + 900_000 },
  ],
  [
    'a banned address, with the time in the header',
    418,
    {},
    { ...IP_LIMIT, until: NOW + 259_200_000 },
    { 'retry-after': '259200' },
  ],
  ['the same by the code alone', 400, { code: -1003, msg: 'Too many requests queued.' }, IP_LIMIT],
  ['the firewall', 403, {}, IP_LIMIT],
  [
    'a key of a wrong form',
    401,
    { code: -2014, msg: 'API-key format invalid.' },
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  [
    'a key, an address or a permission that is wrong',
    401,
    { code: -2015, msg: 'Invalid API-key, IP, or permissions for action.' },
    { kind: 'unauthorized', scope: 'key', action: 'probation', certainty: 'likely' },
  ],
  ['a timeout of theirs', 504, { code: -1007, msg: 'Timeout waiting for response from backend server.' }, UNKNOWN],
  ['an answer lost on their side', 400, { code: -1006, msg: 'Execution status unknown.' }, UNKNOWN],
  ['a failure of theirs, for a path nobody knows', 503, {}, UNKNOWN],
  ['a wrong symbol', 400, { code: -1121, msg: 'Invalid symbol 429.' }, { scope: 'request', action: 'fail' }],
  ['no money', 400, { code: -2010, msg: 'Account has insufficient balance.' }, { scope: 'request', action: 'fail' }],
];

describeRows(binance, ROWS);

describe('a failure of theirs', () => {
  const at = (path: string): Response =>
    Object.defineProperty(json(502, {}), 'url', { value: `https://api.binance.com${path}?signature=429&symbol=X` });

  test.each([
    '/api/v3/order',
    '/api/v3/orderList/oco',
    '/api/v3/order/cancelReplace',
    '/sapi/v1/margin/order',
    '/fapi/v1/batchOrders',
  ])('on %s may have been carried out: nobody repeats it', async (path) => {
    expectFault(await faultOf(binance, { value: at(path) }), UNKNOWN);
    const error = { name: 'AxiosError', config: { url: path, baseURL: 'https://x.test' }, response: { status: 502 } };
    expectFault(await faultOf(binance, { error }), UNKNOWN);
  });

  test.each(['/api/v3/ticker/price', '/api/v3/account', '/api/v3/klines'])('on %s may be tried again', async (path) => {
    const expected: Expected = { scope: 'provider', action: 'breaker' };
    expectFault(await faultOf(binance, { value: at(path) }), expected);
    const error = { name: 'AxiosError', config: { url: `https://api.binance.com${path}` }, response: { status: 502 } };
    expectFault(await faultOf(binance, { error }), expected);
  });
});

describe('what answers tell of the limit on the address', () => {
  const headers: Record<string, string> = { 'x-mbx-used-weight-1m': '1200', date: new Date(NOW).toUTCString() };
  const header = (name: string): string | undefined => headers[name];
  const source = binance.addressLimit!;
  const refusalOf = (msg: string, code = -1003) => readAddressLimit({ header, body: { code, msg } }, source, true).refusal;

  test('the weight that is used, and when', () => {
    const serverNow = Math.floor(NOW / 1000) * 1000;
    expect(readAddressLimit({ header }, source, false)).toEqual({ used: 1200, serverNow, isFailure: false, refusal: undefined });
    const silent = { used: undefined, serverNow: undefined, isFailure: false, refusal: undefined };
    expect(readAddressLimit({ header: () => undefined }, source, false)).toEqual(silent);
    expect(source).toMatchObject({ counts: 'weight', windowMs: MINUTE_MS });
  });

  test('nothing of a key', () => {
    expect(readLimits({ header }, NOW, binance.limits)).toEqual([]);
  });

  test.each([
    ['Too much request weight used; current limit is 6000 request weight per 1 MINUTE. Please use WebSocket Streams...', 6000],
    ['Too much request weight used; current limit is 6000 request weight per MINUTE.', 6000],
    ['Too many requests; current limit is 2400 requests per minute. Please use the websocket...', 2400],
    ['Too many requests; current limit of IP(192.0.2.1) is 2400 requests per minute.', 2400],
    ['Too much request weight used; please use the websocket for live updates.', undefined],
  ])('a refusal: %s', (message, limit) => {
    expect(refusalOf(message)).toEqual({ limit });
  });

  test.each([
    'Too many requests queued.',
    'Too many requests; current request has limited.',
    'Too much request weight used; current limit is 100000 request weight per 1 DAY.',
    'Way too much request weight used; IP banned until 1785400000000. Please use WebSocket Streams...',
  ])('no word of the minute: %s', message => {
    expect(refusalOf(message)).toBeUndefined();
  });

  test('limits of orders are no limits of the address', () => {
    expect(refusalOf('Too many new orders; current limit is 100 requests per minute.', -1015)).toBeUndefined();
  });
});
