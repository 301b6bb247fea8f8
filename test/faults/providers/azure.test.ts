import { expect, test } from 'vitest';
import { noHeaders } from '../../../src/faults/headers.ts';
import { readLimits } from '../../../src/faults/limits.ts';
import { azure } from '../../../src/faults/providers/azure.ts';
import { describeOpenaiRows, describeRows, faultOfAnswer, HOUR_MS, NOW } from './rows.ts';
import type { Row } from './rows.ts';

const RATE_LIMIT =
  'Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token ' +
  'rate limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds.';

const ROWS: Row[] = [
  [
    'a wrong key, or a wrong endpoint',
    401,
    {
      error: {
        code: '401',
        message:
          'Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for ' +
          'an active subscription and use a correct regional API endpoint for your resource.',
      },
    },
    { kind: 'unauthorized', scope: 'key', action: 'probation', rule: 'azure/unauthorized' },
  ],
  [
    'a deployment this resource has not got',
    404,
    { error: { code: 'DeploymentNotFound', message: 'The API deployment for this resource does not exist.' } },
    { kind: 'model_unavailable', scope: 'key+model', action: 'cool', coolMs: HOUR_MS, model: 'm', until: 'absent' },
  ],
  [
    'high demand',
    429,
    {
      error: {
        code: '429',
        message: 'The system is currently experiencing high demand and cannot process your request. Try again later.',
      },
    },
    { kind: 'overloaded', scope: 'provider', action: 'breaker', certainty: 'likely' },
  ],
  [
    'a used-up quota',
    429,
    { error: { code: '429', message: RATE_LIMIT } },
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 10_000, until: NOW + 6000 },
  ],
  [
    'a used-up quota, without a time',
    429,
    { error: { code: 'RateLimitReached', message: 'Your requests have exceeded the call rate limit.' } },
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 10_000, until: 'absent' },
  ],
  [
    'a filtered prompt',
    400,
    { error: { code: 'content_filter', message: 'The response was filtered', innererror: {}, status: 400 } },
    { scope: 'request', action: 'fail' },
  ],
  ['another 404', 404, { error: { code: '404', message: 'Resource not found' } }, { scope: 'request', action: 'fail' }],
];

describeRows(azure, ROWS);
describeOpenaiRows(azure, ROWS);

test('headers of garbage say nothing: -1 left, reset at 0', async () => {
  const fault = await faultOfAnswer(azure, 429, { error: { code: '429', message: 'slow' } }, {
    'x-ratelimit-remaining-requests': '-1',
    'x-ratelimit-reset-requests': '90',
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-reset-tokens': '0',
  });
  expect(fault).not.toHaveProperty('until');
});

test('the reset of the tokens, in whole seconds, where none is left', async () => {
  const fault = await faultOfAnswer(azure, 429, { error: { code: '429', message: 'slow' } }, {
    'x-ratelimit-remaining-requests': '9',
    'x-ratelimit-reset-requests': '1',
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-reset-tokens': '34',
  });
  expect(fault.until).toBe(NOW + 34_000);
});

test('a zero after a success blocks nothing', () => {
  const headers: Record<string, string> = {
    'x-ratelimit-limit-tokens': '30000',
    'x-ratelimit-remaining-tokens': '0',
    'x-ratelimit-remaining-requests': '-1',
  };
  const header = (name: string): string | undefined => headers[name];
  expect(readLimits({ header }, NOW, azure.limits)).toEqual([{ counts: 'tokens', limit: 30_000 }]);
  expect(readLimits({ status: 429, header }, NOW, azure.limits)).toEqual([
    { counts: 'tokens', limit: 30_000, remaining: 0 },
  ]);
  expect(readLimits({ header: noHeaders }, NOW, azure.limits)).toEqual([]);
});
