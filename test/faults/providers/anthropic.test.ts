import { describe, expect, test } from 'vitest';
import { anthropic } from '../../../src/faults/providers/anthropic.ts';
import { describeRows, expectFault, faultOf, faultOfAnswer, HOUR_MS, NOW } from './rows.ts';
import type { Expected, Row } from './rows.ts';

const FIRST_OF_DECEMBER = Date.parse('2026-12-01T00:00:00Z');

function body(type: string, message: string, details?: unknown): unknown {
  return { type: 'error', error: { type, message, ...(details !== undefined && { details }) }, request_id: 'req_0429' };
}

const INVALID = 'invalid_request_error';
const OVERLOADED: Expected = { kind: 'overloaded', scope: 'provider+model', action: 'breaker', certainty: 'likely' };
const BILLING: Expected = { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS };
const RATE_LIMIT: Expected = { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 15_000 };

const ROWS: Row[] = [
  [
    'a wrong key',
    401,
    body('authentication_error', 'invalid x-api-key'),
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  [
    'a call from a browser that is not allowed',
    401,
    body(
      'authentication_error',
      "CORS requests must set 'anthropic-dangerous-direct-browser-access' header to be allowed for this Organization.",
    ),
    { scope: 'request', action: 'fail' },
  ],
  [
    'no credit',
    400,
    body(
      INVALID,
      'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or ' +
        'purchase credits.',
    ),
    BILLING,
    { 'retry-after': '1' },
  ],
  ['a bill to be paid', 402, body('billing_error', 'There is an issue with your billing.'), BILLING],
  ['a bill to be paid, in unknown words', 402, {}, BILLING],
  [
    'the limit somebody set',
    400,
    body(
      INVALID,
      'You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.',
    ),
    { kind: 'spend_limit', scope: 'group', action: 'cool', until: FIRST_OF_DECEMBER },
  ],
  [
    "a workspace's limit",
    400,
    body(
      INVALID,
      'You have reached your specified workspace API usage limits. You will regain access on 2026-11-23 at 06:30 UTC.',
    ),
    { kind: 'spend_limit', scope: 'group', action: 'cool', until: Date.parse('2026-11-23T06:30:00Z') },
  ],
  [
    'a limit without a date',
    400,
    body(INVALID, 'You have reached your specified API usage limits.'),
    { kind: 'spend_limit', scope: 'group', action: 'cool', until: FIRST_OF_DECEMBER },
  ],
  [
    'a disabled organization',
    400,
    body(INVALID, 'This organization has been disabled.'),
    { kind: 'account_disabled', scope: 'group', action: 'disable' },
  ],
  [
    'an organization on hold',
    400,
    body(INVALID, 'Your organization has been placed on hold. Please contact support.'),
    { kind: 'account_disabled', scope: 'group', action: 'disable' },
  ],
  [
    "the limit of the organization's tier",
    429,
    body('rate_limit_error', 'You have reached your API usage limits: your organization has crossed its threshold.', {
      error_code: 'enforced_spend_limit_reached',
    }),
    { kind: 'spend_limit', scope: 'group', action: 'cool', until: FIRST_OF_DECEMBER },
  ],
  [
    'too many requests, and when to come back',
    429,
    body('rate_limit_error', "This request would exceed your organization's rate limit of 50 requests per minute."),
    { ...RATE_LIMIT, until: NOW + 42_000 },
    { 'retry-after': '42' },
  ],
  ['too many requests', 429, body('rate_limit_error', 'Slow down.'), { ...RATE_LIMIT, until: 'absent' }],
  [
    'a key that may not do this',
    403,
    body('permission_error', 'Your API key does not have permission to use the specified resource.'),
    { kind: 'permission', scope: 'key+model', action: 'cool', coolMs: HOUR_MS },
  ],
  ['an overload', 529, body('overloaded_error', 'Overloaded'), OVERLOADED],
  ['a failure of theirs', 500, body('api_error', 'Internal server error'), OVERLOADED],
  ['a timeout of theirs', 504, body('timeout_error', 'Request timed out'), OVERLOADED],
  ['a gateway that failed', 529, {}, OVERLOADED],
  ['a bad request', 400, body(INVALID, 'messages.403.content: Field required'), { scope: 'request', action: 'fail' }],
  ['an unknown model', 404, body('not_found_error', 'model: claude-9'), { scope: 'request', action: 'fail' }],
  ['a prompt too long', 413, body('request_too_large', 'Request exceeds the maximum size'), { scope: 'request' }],
];

describeRows(anthropic, ROWS);

test.for(ROWS)('%s, as an error of @anthropic-ai/sdk', async ([, status, answer, expected, headers]) => {
  const error = Object.assign(new Error(`${status} ${JSON.stringify(answer)}`), {
    status,
    headers: new Headers(headers),
    requestID: 'req_0429',
    error: answer,
  });
  expectFault(await faultOf(anthropic, { error }), { ...expected, status });
});

describe('headers', () => {
  const dimension = (name: string, remaining: number, reset: string): Record<string, string> => ({
    [`anthropic-ratelimit-${name}-limit`]: '1000',
    [`anthropic-ratelimit-${name}-remaining`]: String(remaining),
    [`anthropic-ratelimit-${name}-reset`]: reset,
  });
  const limited = (headers: Record<string, string>): Promise<{ readonly until?: number }> =>
    faultOfAnswer(anthropic, 429, body('rate_limit_error', 'Slow down.'), headers);

  test('the reset of the limit that is used up, whatever the others say', async () => {
    const fault = await limited({
      ...dimension('requests', 49, '2026-11-20T11:00:01Z'),
      ...dimension('input-tokens', 0, '2026-11-20T11:00:37Z'),
      ...dimension('output-tokens', 8000, '2026-11-20T11:30:00Z'),
      ...dimension('tokens', 8000, '2026-11-20T11:30:00Z'),
    });
    expect(fault.until).toBe(NOW + 37_000);
  });

  test('retry-after comes before any reset', async () => {
    const headers = { ...dimension('requests', 0, '2026-11-20T11:00:37Z'), 'retry-after': '12' };
    expect((await limited(headers)).until).toBe(NOW + 12_000);
  });

  test('what the OpenAI headers of a proxy say is not looked at', async () => {
    const headers = { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '50s' };
    expect(await limited(headers)).not.toHaveProperty('until');
  });
});

describe('events in a stream', () => {
  test.each([
    ['overloaded_error', 'Overloaded', { kind: 'overloaded', scope: 'provider+model', action: 'breaker' }],
    ['rate_limit_error', 'Slow down.', { kind: 'rate_limit', scope: 'group+model', action: 'cool' }],
  ] as const)('%s needs no status to be understood', async (type, message, expected) => {
    const event = body(type, message);
    const error = Object.assign(new Error(JSON.stringify(event)), { status: undefined, error: event });
    expect(await faultOf(anthropic, { error })).toMatchObject(expected);
  });
});

test('words of a user that sound like a closed account convict nobody', async () => {
  const error = new Error('organization has been disabled; credit balance is too low; reached your specified limits');
  expect(await faultOf(anthropic, { error })).toMatchObject({ scope: 'request', action: 'fail' });
});
