import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  amazonErrorType,
  parseJson,
  quotaIdsOf,
  readBody,
  retryDelayOf,
  unwrapBody,
} from '../../src/faults/read-body.ts';

describe('readBody', () => {
  test.each([
    [
      'OpenAI',
      { error: { message: 'Slow down', type: 'requests', param: null, code: 'rate_limit_exceeded' } },
      ['rate_limit_exceeded', 'requests'],
      'Slow down',
    ],
    [
      "what OpenAI's SDK keeps of it",
      { message: 'Slow down', type: 'requests', param: null, code: 'rate_limit_exceeded' },
      ['rate_limit_exceeded', 'requests'],
      'Slow down',
    ],
    [
      'Anthropic',
      { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' }, request_id: 'req_403' },
      ['overloaded_error', 'error'],
      'Overloaded',
    ],
    [
      'Google',
      {
        error: {
          code: 400,
          message: 'API key not valid.',
          status: 'INVALID_ARGUMENT',
          details: [
            {
              '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
              reason: 'API_KEY_INVALID',
              metadata: { service: 'generativelanguage.googleapis.com', quota_limit: 'PerMinute' },
            },
            { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [{ quotaId: 'PerDay' }, null] },
          ],
          errors: [{ reason: 'badRequest' }],
        },
      },
      ['400', 'INVALID_ARGUMENT', 'API_KEY_INVALID', 'PerMinute', 'PerDay', 'badRequest'],
      'API key not valid.',
    ],
    [
      'OpenRouter',
      { error: { code: 402, message: 'No', metadata: { error_type: 'payment' } } },
      ['402', 'payment'],
      'No',
    ],
    ['xAI', { code: 'invalid-argument', error: 'Incorrect API key' }, ['invalid-argument'], 'Incorrect API key'],
    [
      'Mistral',
      { object: 'error', message: 'Too many', type: 'rate_limited', code: '1300' },
      ['1300', 'rate_limited'],
      'Too many',
    ],
    ['Cohere', { message: 'trial limit' }, [], 'trial limit'],
    [
      'Anthropic, with details',
      { type: 'error', error: { type: 'rate_limit_error', message: 'Spent', details: { error_code: 'spend_limit' } } },
      ['rate_limit_error', 'spend_limit', 'error'],
      'Spent',
    ],
    ['Nasdaq', { quandl_error: { code: 'QEAx01', message: 'Unknown key' } }, ['QEAx01'], 'Unknown key'],
    ['Kraken', { error: ['EAPI:Invalid key', 5, 'WOld:x'] }, ['EAPI:Invalid key', 'WOld:x'], 'EAPI:Invalid key'],
    ['Coinbase', { errors: [{ id: 'invalid_token', message: 'Wrong' }] }, ['invalid_token'], 'Wrong'],
    ['Binance', { code: -2014, msg: 'Bad format' }, ['-2014'], 'Bad format'],
    ['AWS', { __type: 'com.amazon#AccessDenied', Message: 'No' }, ['AccessDenied'], 'No'],
    ['Alpha Vantage', { 'Error Message': 'Invalid API call' }, [], 'Invalid API call'],
    ['Alpha Vantage, limited', { Information: 'per day' }, [], 'per day'],
    ['Alpha Vantage, limited as of old', { Note: 'per minute' }, [], 'per minute'],
    ['nothing', undefined, [], undefined],
    ['something else', { error: { message: { text: 'x' }, code: null, details: 'none' } }, [], undefined],
    ['text', 'text', [], undefined],
  ])('%s', (_, body, codes, message) => {
    const read = readBody(body);
    expect([...read.codes].sort()).toEqual([...codes].sort());
    expect(read.message).toBe(message);
  });

  test('reads any JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(readBody(json).codes.every((code) => typeof code === 'string')).toBe(true);
        expect(quotaIdsOf(json)).toEqual([]);
        expect(retryDelayOf(json)).toBeUndefined();
      }),
    );
  });
});

test.each([
  ['ThrottlingException', 'ThrottlingException'],
  ['ThrottlingException:http://internal.amazon.com/coral/', 'ThrottlingException'],
  [undefined, undefined],
])('AWS names an error in a header: %s', (value, name) => {
  expect(amazonErrorType(() => value)).toBe(name);
});

describe("Google's details", () => {
  const details = [
    { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'X', metadata: { quota_limit: 'A-PerDay' } },
    { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'Y' },
    { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [{ quotaId: 'B' }, { quotaId: 5 }] },
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '38s' },
    { '@type': 7, retryDelay: '1s' },
  ];

  test('quota ids and the delay, with or without the outer error', () => {
    for (const body of [{ error: { details } }, { details }]) {
      expect(quotaIdsOf(body)).toEqual(['B', 'A-PerDay']);
      expect(retryDelayOf(body)).toBe('38s');
    }
  });
});

describe('wrappers', () => {
  const body = { error: { message: 'inner', code: 1 } };

  test.each([
    ['none', body],
    ['an array', [body]],
    ['a message', { error: { message: JSON.stringify(body, undefined, 2) + '\n', code: 403 } }],
    ['a message with an array', { error: { message: JSON.stringify([body]) } }],
    ['a message in a message', { error: { message: JSON.stringify({ error: { message: JSON.stringify(body) } }) } }],
  ])('%s', (_, wrapped) => {
    expect(unwrapBody(wrapped)).toEqual(body);
  });

  test('JSON of another kind in a message is the message', () => {
    const issues = { error: { code: 'invalid', message: '[{"path":["model"]}]' } };
    expect(unwrapBody(issues)).toBe(issues);
  });

  test.each([
    ['{"a":1}', { a: 1 }],
    [' [1] ', [1]],
    ['got status: 429. {"a":1}', { a: 1 }],
    ['429 {"a":{"b":2}}\n', { a: { b: 2 } }],
    ['no json', undefined],
    ['"text"', undefined],
    ['12', undefined],
    ['{broken}', undefined],
    ['words }', undefined],
    ['', undefined],
  ])('the JSON of %j', (text, expected) => {
    expect(parseJson(text)).toEqual(expected);
  });
});
