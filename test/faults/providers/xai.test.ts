import { expect, test } from 'vitest';
import { xai } from '../../../src/faults/providers/xai.ts';
import { describeOpenaiRows, describeRows, faultOf, HOUR_MS, NOW } from './rows.ts';
import type { Expected, Row } from './rows.ts';

const SPENT =
  'Your team 16f2151a-40f4-4a80-8ad0-cae00c27e8dd has either used all available credits or reached its monthly ' +
  'spending limit. To continue making API requests, please purchase more credits or raise your spending limit.';
const INVALID_KEY: Expected = { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' };
const BILLING: Expected = { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS };

const ROWS: Row[] = [
  [
    'a wrong key',
    400,
    {
      code: 'Client specified an invalid argument',
      error: 'Incorrect API key provided: na***ys. You can obtain an API key from https://console.x.ai.',
    },
    INVALID_KEY,
  ],
  [
    'a wrong key, as 401',
    401,
    { code: 'unauthenticated:bad-credentials', error: 'Incorrect API key provided: na***ys.' },
    INVALID_KEY,
  ],
  ['no credits', 429, { code: 'Some resource has been exhausted', error: SPENT }, BILLING, { 'retry-after': '1' }],
  ['no credits, as 403', 403, { code: 'permission-denied', error: SPENT }, BILLING],
  [
    'too many requests',
    429,
    { code: 'Some resource has been exhausted', error: 'Too many requests for team 16f2151a: 4 of 4 per second.' },
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 5000, until: 'absent' },
  ],
  [
    'a bad request',
    400,
    { code: 'Client specified an invalid argument', error: 'Model not found: grok-401' },
    { scope: 'request', action: 'fail' },
  ],
  ['another 401', 401, { code: 'unauthenticated', error: 'No credentials.' }, { scope: 'key', action: 'probation' }],
];

describeRows(xai, ROWS);
describeOpenaiRows(xai, ROWS);

test('words without a status convict nobody', async () => {
  const error = new Error('Incorrect API key provided; used all available credits');
  expect(await faultOf(xai, { error })).toMatchObject({ scope: 'request', action: 'fail' });
});
