import { expect, test } from 'vitest';
import { fireworks } from '../../../src/faults/providers/fireworks.ts';
import { describeOpenaiRows, describeRows, faultOfAnswer, HOUR_MS, NOW } from './rows.ts';
import type { Expected, Row } from './rows.ts';

function body(message: string, code: string): unknown {
  return { error: { object: 'error', type: 'invalid_request_error', code, message } };
}

const BILLING: Expected = { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS };

const ROWS: Row[] = [
  [
    'a suspended account',
    412,
    body('Account acme is suspended, possibly due to reaching the monthly spending limit.', 'PRECONDITION_FAILED'),
    BILLING,
  ],
  ['no plan', 402, body('Payment required', 'PAYMENT_REQUIRED'), BILLING, { 'retry-after': '1' }],
  [
    'a model this account has not got',
    404,
    body('Model not found, inaccessible, and/or not deployed', 'NOT_FOUND'),
    { kind: 'model_unavailable', scope: 'key+model', action: 'cool', coolMs: HOUR_MS, model: 'm' },
  ],
  ['a wrong key', 401, body('The API key is invalid.', 'UNAUTHORIZED'), { scope: 'key', action: 'probation' }],
];

describeRows(fireworks, ROWS);
describeOpenaiRows(fireworks, ROWS);

test.each(['requests', 'tokens-prompt', 'tokens-generated'])('the reset of %s where none is left', async (limit) => {
  const fault = await faultOfAnswer(fireworks, 429, body('Too many', 'RATE_LIMIT'), {
    'x-ratelimit-over-limit': 'yes',
    [`x-ratelimit-limit-${limit}`]: '600',
    [`x-ratelimit-remaining-${limit}`]: '0',
    [`x-ratelimit-reset-${limit}`]: '14s',
  });
  expect(fault).toMatchObject({ scope: 'group+model', action: 'cool', until: NOW + 14_000 });
});
