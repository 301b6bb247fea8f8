import { expect, test } from 'vitest';
import { cohere } from '../../../src/faults/providers/cohere.ts';
import { describeRows, expectFault, faultOf, HOUR_MS, MINUTE_MS, NOW } from './rows.ts';
import type { Expected, Row } from './rows.ts';

const TRIAL =
  "You are using a Trial key, which is limited to 1000 API calls / month. You can continue to use the Trial key for " +
  "free or upgrade to a Production key with higher rate limits at 'https://dashboard.cohere.com/api-keys'.";
const MONTH: Expected = {
  kind: 'month_quota',
  scope: 'group',
  action: 'cool',
  until: Date.parse('2026-12-01T00:00:00Z'),
};

const ROWS: Row[] = [
  ["the month's calls are used up", 429, { message: TRIAL }, MONTH, { 'retry-after': '60' }],
  [
    "the minute's calls are used up",
    429,
    { message: TRIAL.replace('1000 API calls / month', '10 API calls / minute') },
    { kind: 'rate_limit', scope: 'group', action: 'cool', coolMs: MINUTE_MS, until: 'absent' },
  ],
  [
    "the key's spending limit is reached",
    402,
    { message: 'Please add or update your payment method to continue' },
    { kind: 'billing', scope: 'key', action: 'cool', until: NOW + HOUR_MS },
  ],
  ['a wrong key', 401, { message: 'invalid api token' }, { scope: 'key', action: 'probation' }],
  ['a bad request', 400, { message: 'message must be at least 1 token long' }, { scope: 'request', action: 'fail' }],
];

describeRows(cohere, ROWS);

test('as an error of cohere-ai', async () => {
  const error = Object.assign(new Error('Status code: 429'), {
    name: 'TooManyRequestsError',
    statusCode: 429,
    body: { message: TRIAL },
    rawResponse: { headers: new Headers(), status: 429 },
  });
  expectFault(await faultOf(cohere, { error }), MONTH);
});

test('a word that only begins like a month is none', async () => {
  const error = Object.assign(new Error('x'), { statusCode: 429, body: { message: 'model monthlong is busy' } });
  expect(await faultOf(cohere, { error })).toMatchObject({ kind: 'rate_limit' });
});
