import { describe, expect, test } from 'vitest';
import { openrouter } from '../../../src/faults/providers/openrouter.ts';
import { json, openaiStreamError } from '../sdk-errors.ts';
import {
  describeOpenaiRows,
  describeRows,
  describeSuccessRows,
  expectFault,
  faultOf,
  faultOfAnswer,
  faultOfSuccess,
  HOUR_MS,
  NOW,
} from './rows.ts';
import type { Expected, Row } from './rows.ts';

interface Metadata {
  readonly error_type?: string;
  readonly provider_name?: string | null;
  readonly [name: string]: unknown;
}

function body(code: number, message: string, metadata?: Metadata): unknown {
  return { error: { code, message, ...(metadata && { metadata }) }, user_id: 'user_0403' };
}

const typed = (code: number, type: string): unknown => body(code, 'It failed', { error_type: type });

const INVALID_KEY: Expected = { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' };
const BILLING: Expected = { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS };
const RATE_LIMIT: Expected = { kind: 'rate_limit', scope: 'group', action: 'cool', coolMs: 5000 };
const MODERATED: Expected = { kind: 'moderated', scope: 'request', action: 'fail' };
const PROVIDER: Expected = { scope: 'provider', action: 'breaker' };

const ROWS: Row[] = [
  ['a wrong key, typed', 401, typed(401, 'authentication'), INVALID_KEY],
  ['a wrong key', 401, body(401, 'User not found.'), INVALID_KEY],
  ['no credits, typed', 402, typed(402, 'payment_required'), BILLING],
  ['no credits', 402, body(402, 'This request requires more credits.'), BILLING],
  ['a limit, typed', 429, typed(429, 'rate_limit_exceeded'), { ...RATE_LIMIT, until: 'absent' }],
  ['a limit', 429, body(429, 'Rate limit exceeded'), { ...RATE_LIMIT, until: 'absent' }],
  [
    "the day's free calls are used up",
    429,
    body(429, 'Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day', {
      headers: {
        'X-RateLimit-Limit': '50',
        'X-RateLimit-Remaining': '0',
        'X-RateLimit-Reset': String(Date.parse('2026-11-21T00:00:00Z')),
      },
      provider_name: null,
    }),
    { ...RATE_LIMIT, until: Date.parse('2026-11-21T00:00:00Z') },
  ],
  [
    'a limit, with the reset in the headers',
    429,
    body(429, 'Rate limit exceeded'),
    { ...RATE_LIMIT, until: NOW + 20_000 },
    { 'X-RateLimit-Limit': '20', 'X-RateLimit-Remaining': '0', 'X-RateLimit-Reset': String(NOW + 20_000) },
  ],
  [
    'a limit of the provider behind',
    429,
    body(429, 'Provider returned error', {
      raw: 'meta-llama/llama-3.3-70b-instruct:free is temporarily rate-limited upstream. Please retry shortly.',
      provider_name: 'Venice',
      is_byok: false,
      retry_after_seconds: 17,
      headers: { 'Retry-After': '17' },
    }),
    { kind: 'overloaded', ...PROVIDER, until: NOW + 17_000 },
  ],
  ['a provider overloaded', 503, typed(503, 'provider_overloaded'), { kind: 'overloaded', ...PROVIDER }],
  ['no provider', 502, typed(502, 'provider_unavailable'), { kind: 'overloaded', ...PROVIDER }],
  ['a bad gateway', 502, body(502, 'Provider returned error', { provider_name: 'Novita' }), PROVIDER],
  ['a flagged input, typed', 403, typed(403, 'moderation'), MODERATED],
  ['a violated policy', 400, typed(400, 'content_policy_violation'), MODERATED],
  [
    'a flagged input',
    403,
    body(403, 'Your chosen model requires moderation and your input was flagged', {
      reasons: ['violence'],
      flagged_input: 'fight 401 of 429',
      provider_name: 'OpenAI',
    }),
    MODERATED,
  ],
  [
    'a key that may not do this',
    403,
    typed(403, 'permission_denied'),
    { kind: 'forbidden', scope: 'key+model', action: 'cool' },
  ],
  ['a bad request', 400, typed(400, 'invalid_request'), { scope: 'request', action: 'fail' }],
];

describeRows(openrouter, ROWS);
describeOpenaiRows(openrouter, ROWS);

describe('inside a 200', () => {
  describeSuccessRows(
    openrouter,
    ROWS.filter(([, , , , headers]) => headers === undefined).map(
      ([what, status, answer, expected]) => [what, answer, { ...expected, status }] as const,
    ),
  );

  describeSuccessRows(openrouter, [
    [
      'an error of the choice',
      {
        id: 'gen-1',
        choices: [{ index: 0, finish_reason: 'error', error: { code: 502, message: 'Upstream error' }, message: {} }],
      },
      { ...PROVIDER, status: 502 },
    ],
    [
      'a choice that ended in an error without a reason',
      { id: 'gen-1', choices: [{ index: 0, finish_reason: 'error', message: { content: 'half a' } }] },
      { kind: 'overloaded', ...PROVIDER },
    ],
    [
      'an error nobody has named',
      { error: { code: 'odd', message: 'It failed' } },
      { scope: 'request', action: 'fail', rule: 'generic/error' },
    ],
  ]);

  test.each([
    [{ id: 'gen-1', choices: [{ finish_reason: 'stop', message: { content: '{"error":{"code":401}}' } }] }],
    [{ id: 'gen-1', error: null, choices: [] }],
    [{ object: 'list', data: [{ error: { code: 401 } }] }],
    [{ choices: [{ finish_reason: 'stop', error: null }] }],
    ['{"error":{"code":401}}'],
    [undefined],
    [null],
    [[]],
  ])('%j is a success', async (answer) => {
    expect(await faultOfSuccess(openrouter, answer)).toBeUndefined();
    expect(await faultOfSuccess(openrouter, json(200, answer ?? null))).toBeUndefined();
  });

  test('an error event of a stream, thrown by the SDK', async () => {
    const event = {
      id: 'gen-1',
      error: { code: 429, message: 'Rate limit exceeded', metadata: { error_type: 'rate_limit_exceeded' } },
      choices: [{ index: 0, delta: { content: '' }, finish_reason: 'error' }],
    };
    expectFault(await faultOf(openrouter, { error: await openaiStreamError(event) }), RATE_LIMIT);
  });
});

test('a time in the metadata that is none leaves the word to the headers', async () => {
  for (const metadata of [{ retry_after_seconds: Number.MAX_VALUE }, { headers: { 'Retry-After': 'soon' } }]) {
    const fault = await faultOfAnswer(openrouter, 429, body(429, 'Slow', metadata), { 'retry-after': '9' });
    expect(fault.until).toBe(NOW + 9000);
  }
});
