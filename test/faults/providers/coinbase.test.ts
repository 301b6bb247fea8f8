import { coinbase } from '../../../src/faults/providers/coinbase.ts';
import { describeRows } from './rows.ts';
import type { Expected, Row } from './rows.ts';

function body(id: string, message: string): unknown {
  return { errors: [{ id, message, url: 'https://developers.coinbase.com/api/v2#authentication' }] };
}

const INVALID_KEY: Expected = { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' };

const ROWS: Row[] = [
  ['a wrong token', 401, body('invalid_token', 'The access token is invalid'), INVALID_KEY],
  ['a revoked token', 401, body('revoked_token', 'The access token was revoked'), INVALID_KEY],
  [
    'a token that has run out',
    401,
    body('expired_token', 'The access token expired'),
    { scope: 'key', action: 'probation' },
  ],
  ['another 401', 401, body('authentication_error', 'invalid api key'), { scope: 'key', action: 'probation' }],
  [
    'too many requests',
    429,
    body('rate_limit_exceeded', 'Too many requests'),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool' },
  ],
  ['a wrong parameter', 400, body('param_required', 'Missing parameter: 401'), { scope: 'request', action: 'fail' }],
];

describeRows(coinbase, ROWS);
