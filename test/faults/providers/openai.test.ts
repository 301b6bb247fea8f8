import { describe, expect, test } from 'vitest';
import { classify } from '../../../src/faults/classify.ts';
import { readEvidence } from '../../../src/faults/evidence.ts';
import type { Fault } from '../../../src/faults/fault.ts';
import { openai } from '../../../src/faults/providers/openai.ts';
import { ManualClock } from '../manual-clock.ts';
import { json, openaiError, openaiStreamError } from '../sdk-errors.ts';

const NOW = Date.parse('2026-11-20T11:00:00Z');
const HOUR_MS = 3_600_000;
const INVALID = 'invalid_request_error';

type Row = [what: string, status: number, body: unknown, fault: Partial<Fault>];

async function faultOf(outcome: { value: unknown } | { error: unknown }): Promise<Fault> {
  return classify(await readEvidence(outcome, new ManualClock(NOW)), { profile: openai, now: NOW });
}

function body(message: string, type: string, code: string | null = null): unknown {
  return { error: { message, type, param: null, code } };
}

const BILLING: Partial<Fault> = {
  kind: 'billing',
  scope: 'group',
  action: 'cool',
  certainty: 'likely',
  until: NOW + HOUR_MS,
};
const QUOTA = 'You exceeded your current quota, please check your plan and billing details.';

const ROWS: Row[] = [
  [
    'a wrong key',
    401,
    body('Incorrect API key provided: sk-proj-****0403.', INVALID, 'invalid_api_key'),
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  [
    'a deactivated account',
    401,
    body('The OpenAI account of this API key has been deactivated.', INVALID, 'account_deactivated'),
    { kind: 'account_disabled', scope: 'group', action: 'disable', certainty: 'certain' },
  ],
  [
    'any other 401',
    401,
    body('You must be a member of an organization to use the API.', INVALID),
    { scope: 'key', action: 'probation' },
  ],
  [
    'a restricted key',
    403,
    body('You have insufficient permissions for this operation.', INVALID, 'missing_scope'),
    { kind: 'permission', scope: 'key+model', action: 'cool', coolMs: HOUR_MS },
  ],
  [
    'a restricted key, by the message alone',
    401,
    { error: 'You have insufficient permissions for this operation. Missing scopes: model.request.' },
    { kind: 'permission', scope: 'key+model', action: 'cool', certainty: 'likely' },
  ],
  ...[403, 404].map((status): Row => [
    `a model that is not to be had (${status})`,
    status,
    body('The model `gpt-9` does not exist or you do not have access to it.', INVALID, 'model_not_found'),
    { kind: 'model_unavailable', scope: 'key+model', action: 'cool', coolMs: HOUR_MS },
  ]),
  [
    'a country that is not served',
    403,
    body('Country, region, or territory not supported', 'request_forbidden', 'unsupported_country_region_territory'),
    { kind: 'region_blocked', scope: 'ip', action: 'fail' },
  ],
  [
    'a country that is not served, by the message alone',
    403,
    body('Country, region, or territory not supported', 'request_forbidden'),
    { kind: 'region_blocked', scope: 'ip', action: 'fail' },
  ],
  ...[
    'insufficient_quota',
    'credit_balance_exhausted',
    'project_spend_limit_exceeded',
    'organization_spend_limit_exceeded',
    'organization_usage_limit_exceeded',
    'billing_not_active',
  ].map((code): Row => [code, 429, body(QUOTA, 'insufficient_quota', code), BILLING]),
  ['a new code of the old type', 429, body(QUOTA, 'insufficient_quota', 'some_new_code'), BILLING],
  ['a code without the type', 429, body(QUOTA, 'billing', 'project_spend_limit_exceeded'), BILLING],
  [
    'a request above the whole limit',
    429,
    body(
      'Request too large for gpt-4o in organization org-403 on tokens per min (TPM): Limit 30,000, Requested 52,011. ' +
        'The input or output tokens must be reduced in order to run successfully.',
      'tokens',
      'rate_limit_exceeded',
    ),
    { kind: 'request_too_large', scope: 'request', action: 'fail' },
  ],
  [
    'a request that only has to wait, though called too large',
    429,
    body(
      'Request too large for organization org-1 on tokens per min (TPM): Limit 250000, Requested 546.',
      'tokens',
      'rate_limit_exceeded',
    ),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 10_000 },
  ],
  [
    'a rate limit',
    429,
    body(
      'Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Used 29000, ' +
        'Requested 2000. Please try again in 6m0s. Visit https://platform.openai.com/account/rate-limits.',
      'tokens',
      'rate_limit_exceeded',
    ),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', until: NOW + 360_000 },
  ],
  [
    'a rate limit on requests',
    429,
    body('Rate limit reached for requests', 'requests', 'rate_limit_exceeded'),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 10_000 },
  ],
  ...[429, 503].map((status): Row => [
    `a request to slow down (${status})`,
    status,
    body('Slow down', 'rate_limit_error', 'slow_down'),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 10_000 },
  ]),
  [
    'an overload',
    503,
    body('The engine is currently overloaded', 'service_unavailable_error', 'server_is_overloaded'),
    { kind: 'overloaded', scope: 'provider', action: 'breaker' },
  ],
  [
    'a failure of theirs',
    500,
    body('The server had an error while processing your request. Sorry about that!', 'server_error'),
    { kind: 'server_error', scope: 'provider', action: 'breaker' },
  ],
  [
    'a bad request',
    400,
    body("This model's maximum context length is 8192 tokens.", INVALID, 'context_length_exceeded'),
    { scope: 'request', action: 'fail' },
  ],
  [
    'a missing thing',
    404,
    body('No thread found with id thread_401', INVALID),
    { kind: 'rejected', scope: 'request', action: 'fail' },
  ],
];

describe.each(ROWS)('%s', (_, status, answer, expected) => {
  test('as a Response', async () => {
    expect(await faultOf({ value: json(status, answer) })).toMatchObject({ ...expected, status });
  });

  test('as an error of the SDK', async () => {
    const error = await openaiError(() => Promise.resolve(json(status, answer)));
    expect(await faultOf({ error })).toMatchObject({ ...expected, status });
  });

  test('as an error of axios', async () => {
    const error = Object.assign(new Error(`Request failed with status code ${status}`), {
      name: 'AxiosError',
      code: 'ERR_BAD_REQUEST',
      response: { status, headers: { 'content-type': 'application/json' }, data: answer },
    });
    expect(await faultOf({ error })).toMatchObject({ ...expected, status });
  });

  test('as an error of the AI SDK', async () => {
    const error = Object.assign(new Error('failed'), {
      name: 'AI_APICallError',
      statusCode: status,
      responseHeaders: {},
      responseBody: JSON.stringify(answer),
    });
    const retried = { name: 'AI_RetryError', lastError: error };
    expect(await faultOf({ error: retried })).toMatchObject({ ...expected, status });
  });
});

test('the headers say how long: the reset of the limit that is used up', async () => {
  const answer = json(429, body('Rate limit reached', 'tokens', 'rate_limit_exceeded'), {
    'x-ratelimit-limit-requests': '500',
    'x-ratelimit-remaining-requests': '499',
    'x-ratelimit-reset-requests': '120ms',
    'x-ratelimit-limit-tokens': '30000',
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-reset-tokens': '1m12.5s',
  });
  expect(await faultOf({ value: answer })).toMatchObject({ kind: 'rate_limit', until: NOW + 72_500 });
});

test('no header shortens the hour of an exhausted quota', async () => {
  const answer = json(429, body(QUOTA, 'insufficient_quota', 'insufficient_quota'), { 'retry-after': '1' });
  expect(await faultOf({ value: answer })).toMatchObject(BILLING);
});

test('an error event in a stream needs no status to be understood', async () => {
  const event = (code: string | null, type: string): unknown => ({ error: { message: 'x', type, param: null, code } });
  const quota = await openaiStreamError(event('insufficient_quota', 'insufficient_quota'));
  expect(await faultOf({ error: quota })).toMatchObject(BILLING);
  const limit = await openaiStreamError(event('rate_limit_exceeded', 'tokens'));
  expect(await faultOf({ error: limit })).toMatchObject({ kind: 'rate_limit', scope: 'group+model' });
  const server = await openaiStreamError(event(null, 'server_error'));
  expect(await faultOf({ error: server })).toMatchObject({ kind: 'server_error', action: 'breaker' });
});
