import { describe, expect, test } from 'vitest';
import { classify } from '../../../src/faults/classify.ts';
import { readEvidence } from '../../../src/faults/evidence.ts';
import type { Fault } from '../../../src/faults/fault.ts';
import { gemini } from '../../../src/faults/providers/gemini.ts';
import { ManualClock } from '../manual-clock.ts';
import { genaiError, json, openaiError } from '../sdk-errors.ts';

const NOW = Date.parse('2026-11-20T11:00:00Z');
const MIDNIGHT_IN_CALIFORNIA = Date.parse('2026-11-21T08:00:00Z');
const HOUR_MS = 3_600_000;

type Row = [what: string, status: number, body: unknown, fault: Partial<Fault>];

async function faultOf(outcome: { value: unknown } | { error: unknown }): Promise<Fault> {
  return classify(await readEvidence(outcome, new ManualClock(NOW)), { profile: gemini, now: NOW });
}

function body(code: number, status: string, message: string, details?: unknown[]): unknown {
  return { error: { code, message, status, ...(details && { details }) } };
}

const info = (reason: string): unknown => ({
  '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
  reason,
  domain: 'googleapis.com',
  metadata: { service: 'generativelanguage.googleapis.com' },
});

const DENIED = 'PERMISSION_DENIED';
const ROWS: Row[] = [
  [
    'a bad key',
    400,
    body(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.', [
      info('API_KEY_INVALID'),
      { '@type': 'type.googleapis.com/google.rpc.LocalizedMessage', locale: 'en-US', message: 'API key not valid.' },
    ]),
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  [
    'an expired key',
    400,
    body(400, 'INVALID_ARGUMENT', 'API key expired. Please renew the API key.'),
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  [
    'a key that was never there',
    400,
    body(400, 'INVALID_ARGUMENT', 'API Key not found. Please pass a valid API key.'),
    { kind: 'invalid_key', scope: 'key', action: 'disable' },
  ],
  [
    'a bad key of the newer kind',
    401,
    body(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.', [
      info('ACCESS_TOKEN_TYPE_UNSUPPORTED'),
    ]),
    { kind: 'unauthorized', scope: 'key', action: 'probation', certainty: 'likely' },
  ],
  ['any other 401', 401, body(401, 'UNAUTHENTICATED', 'no'), { scope: 'key', action: 'probation' }],
  [
    'a leaked key',
    403,
    body(403, DENIED, 'Your API key was reported as leaked. Please use another API key.'),
    { kind: 'leaked_key', scope: 'key', action: 'disable', certainty: 'certain' },
  ],
  [
    'a suspended project',
    403,
    body(403, DENIED, "Permission denied: Consumer 'projects/1' has been suspended.", [info('CONSUMER_SUSPENDED')]),
    { kind: 'account_disabled', scope: 'group', action: 'disable' },
  ],
  [
    'an invalid project',
    403,
    body(403, DENIED, 'x', [info('CONSUMER_INVALID')]),
    { kind: 'account_disabled', scope: 'group', action: 'disable' },
  ],
  [
    'billing switched off',
    403,
    body(403, DENIED, 'This API method requires billing to be enabled.', [info('BILLING_DISABLED')]),
    { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS },
  ],
  [
    'a service switched off',
    403,
    body(403, DENIED, 'Generative Language API has not been used in project 403 before.', [info('SERVICE_DISABLED')]),
    { kind: 'permission', scope: 'group', action: 'cool', coolMs: HOUR_MS },
  ],
  ...['SERVICE', 'HTTP_REFERRER', 'IP_ADDRESS', 'ANDROID_APP', 'IOS_APP'].map(
    (what): Row => [
      `a key restricted by ${what}`,
      403,
      body(403, DENIED, 'Requests are blocked.', [info(`API_KEY_${what}_BLOCKED`)]),
      { kind: 'permission', scope: 'key', action: 'cool', coolMs: HOUR_MS },
    ],
  ),
  [
    'a country that is not served',
    400,
    body(400, 'FAILED_PRECONDITION', 'User location is not supported for the API use.'),
    { kind: 'region_blocked', scope: 'ip', action: 'fail' },
  ],
  [
    'another precondition',
    400,
    body(400, 'FAILED_PRECONDITION', 'Precondition check failed.'),
    { kind: 'rejected', scope: 'request', action: 'fail' },
  ],
  [
    'no money',
    402,
    body(402, 'UNKNOWN', 'no'),
    { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS },
  ],
  [
    'a full model',
    429,
    body(429, 'RESOURCE_EXHAUSTED', 'No capacity available for model gemini-3-pro on the server', [
      info('MODEL_CAPACITY_EXHAUSTED'),
    ]),
    { kind: 'overloaded', scope: 'provider+model', action: 'breaker' },
  ],
  [
    'a 429 that says no more',
    429,
    body(429, 'RESOURCE_EXHAUSTED', 'Resource has been exhausted (e.g. check quota).'),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 5000 },
  ],
  [
    '500',
    500,
    body(500, 'INTERNAL', 'An internal error has occurred.'),
    { kind: 'overloaded', scope: 'provider+model', action: 'breaker' },
  ],
  [
    '503',
    503,
    body(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
    { kind: 'overloaded', scope: 'provider+model', action: 'breaker' },
  ],
  ['504', 504, body(504, 'DEADLINE_EXCEEDED', 'Deadline expired.'), { scope: 'provider+model', action: 'breaker' }],
  [
    'a bad request',
    400,
    body(400, 'INVALID_ARGUMENT', 'Invalid value at contents[403].'),
    { kind: 'rejected', scope: 'request', action: 'fail' },
  ],
  ['an unknown model', 404, body(404, 'NOT_FOUND', 'models/x is not found.'), { scope: 'request', action: 'fail' }],
];

describe.each(ROWS)('%s', (_, status, answer, expected) => {
  test('as a Response', async () => {
    expect(await faultOf({ value: json(status, answer) })).toMatchObject({ ...expected, status });
  });

  test('as an error of @google/genai', async () => {
    const error = await genaiError(() => Promise.resolve(json(status, answer)));
    expect(await faultOf({ error })).toMatchObject({ ...expected, status });
  });

  test('as an error of @google/genai that took the body for text', async () => {
    const error = await genaiError(() => Promise.resolve(new Response(JSON.stringify(answer), { status })));
    expect(await faultOf({ error })).toMatchObject({ ...expected, status });
  });

  test('as an error of openai, by the compatible endpoint', async () => {
    const error = await openaiError(() => Promise.resolve(json(status, answer)));
    expect(await faultOf({ error })).toMatchObject({ ...expected, status });
  });

  test('in the array that Google puts around it at times', async () => {
    expect(await faultOf({ value: json(status, [answer]) })).toMatchObject({ ...expected, status });
  });
});

describe('quotas', () => {
  const quota = (ids: string[], retryDelay?: string, message = 'You exceeded your current quota.'): Response =>
    json(
      429,
      body(429, 'RESOURCE_EXHAUSTED', message, [
        {
          '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
          violations: ids.map((quotaId) => ({
            quotaMetric: 'generativelanguage.googleapis.com/generate_content_free_tier_requests',
            quotaId,
            quotaDimensions: { location: 'global', model: 'gemini-2.5-flash' },
            quotaValue: '250',
          })),
        },
        { '@type': 'type.googleapis.com/google.rpc.Help', links: [] },
        ...(retryDelay === undefined ? [] : [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay }]),
      ]),
    );
  const PER_MINUTE = 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier';
  const PER_DAY = 'GenerateRequestsPerDayPerProjectPerModel-FreeTier';

  test("the minute's is cool for as long as Google asks", async () => {
    expect(await faultOf({ value: quota([PER_MINUTE], '38s') })).toMatchObject({
      kind: 'rate_limit',
      scope: 'group+model',
      action: 'cool',
      until: NOW + 38_000,
    });
  });

  test("the minute's is cool for a minute where Google does not ask", async () => {
    const fault = await faultOf({ value: quota([PER_MINUTE]) });
    expect(fault).toMatchObject({ kind: 'rate_limit', coolMs: 60_000, certainty: 'likely' });
    expect(fault).not.toHaveProperty('until');
  });

  test.each([[[PER_DAY]], [[PER_MINUTE, PER_DAY]], [['GenerateContentInputTokensPerModelPerDay-FreeTier']]])(
    "the day's is cool until midnight in California, however soon Google asks to come back: %s",
    async (ids) => {
      expect(await faultOf({ value: quota(ids, '12s') })).toMatchObject({
        kind: 'day_quota',
        scope: 'group+model',
        action: 'cool',
        until: MIDNIGHT_IN_CALIFORNIA,
        rule: 'gemini/per-day-quota',
      });
    },
  );

  test("the day's, thrown by @google/genai", async () => {
    const error = await genaiError(() => Promise.resolve(quota([PER_DAY], '12s')));
    expect(await faultOf({ error })).toMatchObject({ kind: 'day_quota', until: MIDNIGHT_IN_CALIFORNIA });
  });

  test('a model without any quota is left alone for a day', async () => {
    const message =
      'You exceeded your current quota.\n* Quota exceeded for metric: generativelanguage.googleapis.com/' +
      'generate_content_free_tier_requests, limit: 0, model: gemini-2.5-pro\nPlease retry in 20.04466179s.';
    expect(await faultOf({ value: quota([PER_MINUTE, PER_DAY], '20s', message) })).toMatchObject({
      kind: 'no_quota',
      scope: 'group+model',
      action: 'cool',
      until: NOW + 24 * HOUR_MS,
    });
  });

  test.each(['limit: 05', 'limit: 0.5', 'limit: 20'])('"%s" is not a limit of zero', async (limit) => {
    const message = `Quota exceeded, ${limit}, model: gemini-2.5-flash`;
    expect(await faultOf({ value: quota([PER_MINUTE], '5s', message) })).toMatchObject({ kind: 'rate_limit' });
  });

  test('an error in a stream needs no status to be understood', async () => {
    const error = Object.assign(new Error('stream'), { error: body(0, 'RESOURCE_EXHAUSTED', 'Please retry in 3s.') });
    expect(await faultOf({ error })).toMatchObject({ scope: 'group+model', action: 'cool', until: NOW + 3000 });
    const overloaded = Object.assign(new Error('stream'), { error: body(0, 'UNAVAILABLE', 'overloaded') });
    expect(await faultOf({ error: overloaded })).toMatchObject({ scope: 'provider+model', action: 'breaker' });
  });
});

test('words of a caller that sound like a leak convict nobody', async () => {
  const error = new Error('API key was reported as leaked; API key not valid; limit: 0');
  expect(await faultOf({ error })).toMatchObject({ scope: 'request', action: 'fail' });
});
