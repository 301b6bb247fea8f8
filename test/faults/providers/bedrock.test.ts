import { describe, expect, test } from 'vitest';
import { bedrock } from '../../../src/faults/providers/bedrock.ts';
import { json } from '../sdk-errors.ts';
import { expectFault, faultOf, HOUR_MS, NOW } from './rows.ts';
import type { Expected } from './rows.ts';

type Row = readonly [what: string, status: number, name: string, message: string, fault: Expected];

const PROBATION: Expected = { kind: 'unauthorized', scope: 'key', action: 'probation', certainty: 'likely' };
const THROTTLED: Expected = { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 2000 };

const ROWS: readonly Row[] = [
  [
    'a model this account may not use',
    403,
    'AccessDeniedException',
    "You don't have access to the model with the specified model ID.",
    { kind: 'permission', scope: 'key+model', action: 'cool', coolMs: HOUR_MS, model: 'm' },
  ],
  [
    'an unknown credential',
    403,
    'UnrecognizedClientException',
    'The security token included in the request is invalid.',
    PROBATION,
  ],
  [
    'an unknown access key',
    403,
    'InvalidClientTokenId',
    'The X.509 certificate or AWS access key ID provided does not exist in our records.',
    PROBATION,
  ],
  ['a session that is over', 403, 'ExpiredTokenException', 'The security token included is expired', PROBATION],
  ['too many tokens', 429, 'ThrottlingException', 'Too many tokens, please wait before trying again.', THROTTLED],
  ['too many requests', 429, 'TooManyRequestsException', 'Too many requests', THROTTLED],
  [
    "the day's tokens are used up",
    429,
    'ThrottlingException',
    'Too many tokens per day, please wait before trying again.',
    { kind: 'day_quota', scope: 'group+model', action: 'cool', until: Date.parse('2026-11-21T00:00:00Z') },
  ],
  [
    'a failure of theirs',
    500,
    'InternalServerException',
    'The system encountered an unexpected error during processing.',
    { scope: 'provider', action: 'breaker' },
  ],
  [
    'a bad request',
    400,
    'ValidationException',
    '1 validation error detected: Value at messages.403.member.content failed',
    { scope: 'request', action: 'fail' },
  ],
];

describe.for(ROWS)('%s', ([, status, name, message, expected]) => {
  test('as a Response, named in the header', async () => {
    const headers = { 'x-amzn-errortype': `${name}:http://internal.amazon.com/coral/com.amazon.bedrock/` };
    expectFault(await faultOf(bedrock, { value: json(status, { message }, headers) }), { ...expected, status });
  });

  test('as a Response, named in the body', async () => {
    const body = { __type: `com.amazon.coral.service#${name}`, Message: message };
    expectFault(await faultOf(bedrock, { value: json(status, body) }), { ...expected, status });
  });

  test('as an error of the AWS SDK', async () => {
    const error = Object.assign(new Error(message), {
      name,
      $fault: 'client',
      $metadata: { httpStatusCode: status, requestId: '04010403-0429', attempts: 3, totalRetryDelay: 274 },
    });
    expectFault(await faultOf(bedrock, { error }), { ...expected, status });
  });
});

test('a throttling in the middle of a stream has no status', async () => {
  const error = Object.assign(new Error('Too many tokens'), { name: 'ThrottlingException', $metadata: {} });
  expectFault(await faultOf(bedrock, { error }), THROTTLED);
});

test('a 429 without a name is a throttling', async () => {
  expectFault(await faultOf(bedrock, { value: json(429, {}) }), { ...THROTTLED, until: 'absent' });
});

test('the headers say how long, AWS in milliseconds, on the response of the SDK as well', async () => {
  const headers = { 'x-amz-retry-after': '1700', 'retry-after': '2', 'x-amzn-errortype': 'ThrottlingException' };
  expect((await faultOf(bedrock, { value: json(429, {}, headers) })).until).toBe(NOW + 1700);
  const error = Object.defineProperty(
    Object.assign(new Error('Too many tokens'), { name: 'ThrottlingException', $metadata: { httpStatusCode: 429 } }),
    '$response',
    { value: { statusCode: 429, headers }, enumerable: false },
  );
  expect((await faultOf(bedrock, { error })).until).toBe(NOW + 1700);
});

test('the name of another error is no code', async () => {
  const error = Object.assign(new Error('x'), { name: 'AccessDeniedException', status: 400 });
  expect(await faultOf(bedrock, { error })).toMatchObject({ scope: 'request', action: 'fail' });
});
