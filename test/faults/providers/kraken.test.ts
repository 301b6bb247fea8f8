import { describe, expect, test } from 'vitest';
import { kraken } from '../../../src/faults/providers/kraken.ts';
import { json } from '../sdk-errors.ts';
import { describeRows, describeSuccessRows, faultOfSuccess, MINUTE_MS } from './rows.ts';
import type { Expected } from './rows.ts';

type SuccessRow = readonly [what: string, body: unknown, fault: Expected];

const RATE_LIMIT: Expected = { kind: 'rate_limit', scope: 'key', action: 'cool', coolMs: 5000, until: 'absent' };
const SERVICE: Expected = { kind: 'overloaded', scope: 'provider', action: 'breaker' };

const ROWS: readonly SuccessRow[] = [
  [
    'a wrong key',
    { error: ['EAPI:Invalid key'] },
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  ['too many calls', { error: ['EAPI:Rate limit exceeded'] }, RATE_LIMIT],
  ['too many orders', { error: ['EOrder:Rate limit exceeded'] }, RATE_LIMIT],
  [
    'a lockout',
    { error: ['EGeneral:Temporary lockout'] },
    { kind: 'lockout', scope: 'group', action: 'cool', coolMs: 15 * MINUTE_MS },
  ],
  ['a service that is away', { error: ['EService:Unavailable'] }, SERVICE],
  ['a service that is busy', { error: ['EService:Busy'], result: {} }, SERVICE],
  ['an error behind a warning', { error: ['WAPI:Old endpoint', 'EService:Busy'] }, SERVICE],
  ['a bad nonce', { error: ['EAPI:Invalid nonce'] }, { scope: 'request', action: 'fail' }],
  ['a bad request', { error: ['EGeneral:Invalid arguments:ordertype 403'] }, { scope: 'request', action: 'fail' }],
];

describeSuccessRows(kraken, ROWS);

describe('with the status of an error', () => {
  describeRows(kraken, [
    ['a service that is away', 503, { error: ['EService:Unavailable'] }, SERVICE],
    ['a wrong key', 403, { error: ['EAPI:Invalid key'] }, { kind: 'invalid_key', scope: 'key', action: 'disable' }],
  ]);
});

test.each([
  [{ error: [], result: { XXBTZUSD: { a: ['401.0'] } } }],
  [{ error: ['WDatabase:No change'], result: {} }],
  [{ result: { error: ['EAPI:Invalid key'] } }],
  [{ error: 'EAPI:Invalid key' }],
  [{ error: [401, null] }],
  [['EAPI:Invalid key']],
])('%j is a success', async (body) => {
  expect(await faultOfSuccess(kraken, body)).toBeUndefined();
  expect(await faultOfSuccess(kraken, json(200, body))).toBeUndefined();
});
