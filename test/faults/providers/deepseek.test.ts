import { deepseek } from '../../../src/faults/providers/deepseek.ts';
import { describeOpenaiRows, describeRows, HOUR_MS, NOW } from './rows.ts';
import type { Row } from './rows.ts';

function body(message: string, type: string, code = 'invalid_request_error'): unknown {
  return { error: { message, type, param: null, code } };
}

const ROWS: Row[] = [
  [
    'no balance',
    402,
    body('Insufficient Balance', 'unknown_error'),
    { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS },
    { 'retry-after': '1' },
  ],
  [
    'too many requests under way',
    429,
    body('Rate limit reached', 'rate_limit_error'),
    { kind: 'rate_limit', scope: 'group', action: 'cool', coolMs: 2000, until: 'absent' },
  ],
  [
    'a wrong key',
    401,
    body('Authentication Fails, Your api key: ****0402 is invalid', 'authentication_error'),
    { scope: 'key', action: 'probation' },
  ],
  ['an overload', 503, body('Service is too busy', 'service_unavailable'), { scope: 'provider', action: 'breaker' }],
  ['bad parameters', 422, body('Invalid max_tokens', 'invalid_request_error'), { scope: 'request', action: 'fail' }],
];

describeRows(deepseek, ROWS);
describeOpenaiRows(deepseek, ROWS);
