import { together } from '../../../src/faults/providers/together.ts';
import { describeOpenaiRows, describeRows, HOUR_MS, NOW } from './rows.ts';
import type { Row } from './rows.ts';

function body(message: string, type: string, code: string | null = null): unknown {
  return { id: 'oJ3bQ403', error: { message, type, param: null, code } };
}

const ROWS: Row[] = [
  [
    'a prompt longer than the context, which comes as a 403',
    403,
    body('Input token count + max_tokens must be less than the context length of 8193.', 'invalid_request_error'),
    { kind: 'request_too_large', scope: 'request', action: 'fail' },
  ],
  [
    'the spending limit',
    402,
    body('Credit limit exceeded, please navigate to https://api.together.ai/settings/billing.', 'credit_limit'),
    { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS },
    { 'retry-after': '1' },
  ],
  [
    'a wrong key',
    401,
    body('Invalid API key provided. You can find your API key at https://api.together.ai.', 'invalid_request_error'),
    { scope: 'key', action: 'probation' },
  ],
  [
    'too many requests',
    429,
    body('You have reached the rate limit specific to this model.', 'model_rate_limit'),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool' },
  ],
  ['an overload', 503, body('The engine is overloaded', 'server_error'), { scope: 'provider', action: 'breaker' }],
];

describeRows(together, ROWS);
describeOpenaiRows(together, ROWS);
