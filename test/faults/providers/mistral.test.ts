import { expect, test } from 'vitest';
import { readLimits } from '../../../src/faults/limits.ts';
import { mistral } from '../../../src/faults/providers/mistral.ts';
import { describeRows, expectFault, faultOf, HOUR_MS, MINUTE_MS, NOW } from './rows.ts';
import type { Expected, Row } from './rows.ts';

const RATE_LIMIT: Expected = { kind: 'rate_limit', scope: 'group', action: 'cool', coolMs: 5000, until: 'absent' };
const LIMITED = {
  object: 'error',
  message: 'Rate limit exceeded',
  type: 'rate_limited',
  param: null,
  code: '1300',
  raw_status_code: 429,
};

const ROWS: Row[] = [
  ['a used-up limit', 429, LIMITED, RATE_LIMIT],
  ['a used-up limit, by the words of the gateway', 429, { message: 'Requests rate limit exceeded' }, RATE_LIMIT],
  ['no money', 402, { detail: 'Payment required' }, { kind: 'billing', scope: 'group', until: NOW + HOUR_MS }],
  ['a wrong key', 401, { detail: 'Unauthorized' }, { scope: 'key', action: 'probation' }],
  [
    'a bad request',
    422,
    { object: 'error', message: { detail: [{ type: 'missing', loc: ['body', 'messages'] }] }, code: null },
    { scope: 'request', action: 'fail' },
  ],
];

describeRows(mistral, ROWS);

test('a used-up limit, as an error of @mistralai/mistralai', async () => {
  const body = JSON.stringify(LIMITED);
  const error = Object.assign(new Error(`API error occurred: Status 429. Body: ${body}`), {
    name: 'SDKError',
    statusCode: 429,
    headers: new Headers(),
    body,
  });
  expectFault(await faultOf(mistral, { error }), RATE_LIMIT);
});

test('its headers tell the limits of a minute, and never when they are whole again', () => {
  const headers: Record<string, string> = {
    'x-ratelimit-limit-req-minute': '720',
    'x-ratelimit-remaining-req-minute': '0',
    'x-ratelimit-limit-tokens-minute': '5000000',
    'x-ratelimit-remaining-tokens-minute': '4999911',
    'x-ratelimit-tokens-query-cost': '52',
  };
  expect(readLimits({ status: 429, header: (name) => headers[name] }, NOW, mistral.limits)).toEqual([
    { counts: 'requests', windowMs: MINUTE_MS, limit: 720, remaining: 0 },
    { counts: 'tokens', windowMs: MINUTE_MS, limit: 5_000_000, remaining: 4_999_911 },
  ]);
});
