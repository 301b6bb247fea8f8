import { describe, expect, test } from 'vitest';
import { alphavantage } from '../../../src/faults/providers/alphavantage.ts';
import { json } from '../sdk-errors.ts';
import { DAY_MS, describeSuccessRows, faultOfSuccess, HOUR_MS, MINUTE_MS, NOW } from './rows.ts';

const PLANS = 'You may subscribe to any of the premium plans at https://www.alphavantage.co/premium/ to';

describeSuccessRows(alphavantage, [
  [
    'two calls in a second, though it speaks of days and premium plans too',
    {
      Information:
        'Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly (1 ' +
        `request per second). ${PLANS} lift the free key rate limit (25 requests per day), raise the per-second ` +
        'burst limit, and instantly unlock all premium endpoints',
    },
    { kind: 'rate_limit', scope: 'key', action: 'cool', coolMs: 1200, until: 'absent' },
  ],
  [
    "the day's calls are used up",
    {
      Information:
        'We have detected your API key as DEMO0401DEMO0429 and our standard API rate limit is 25 requests per day. ' +
        'Please subscribe to any of the premium plans at https://www.alphavantage.co/premium/ to instantly remove ' +
        'all daily rate limits.',
    },
    { kind: 'day_quota', scope: 'key', action: 'cool', until: NOW + 6 * HOUR_MS },
  ],
  [
    'the calls of a minute, in the old words',
    {
      Note:
        'Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute and 500 calls per ' +
        'day. Please visit https://www.alphavantage.co/premium/ if you would like to target a higher frequency.',
    },
    { kind: 'rate_limit', scope: 'key', action: 'cool', coolMs: MINUTE_MS, until: 'absent' },
  ],
  [
    'an endpoint that costs',
    { Information: `Thank you for using Alpha Vantage! This is a premium endpoint. ${PLANS} unlock all of them` },
    { kind: 'permission', scope: 'key+model', action: 'cool', until: NOW + DAY_MS, model: 'm' },
  ],
  [
    'a wrong key',
    {
      'Error Message':
        'the parameter apikey is invalid or missing. Please claim your free API key on ' +
        '(https://www.alphavantage.co/support/#api-key). It should take less than 20 seconds.',
    },
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  [
    'a wrong call',
    {
      'Error Message':
        'Invalid API call. Please retry or visit the documentation (https://www.alphavantage.co/documentation/) for ' +
        'TIME_SERIES_DAILY.',
    },
    { kind: 'rejected', scope: 'request', action: 'fail' },
  ],
  [
    'words nobody knows yet',
    { Information: 'The service is being moved.' },
    { scope: 'request', action: 'fail', rule: 'generic/error' },
  ],
]);

describe('a success', () => {
  const series = {
    'Meta Data': { '1. Information': 'Daily Prices (premium)', '2. Symbol': 'IBM' },
    'Time Series (Daily)': { '2026-11-20': { '4. close': '401.00' } },
  };

  test.each([[series], [{}], [[]], [{ Information: 5 }], [{ feed: [{ Note: 'requests per day' }] }]])(
    'of %j',
    async (body) => {
      expect(await faultOfSuccess(alphavantage, body)).toBeUndefined();
      expect(await faultOfSuccess(alphavantage, json(200, body))).toBeUndefined();
    },
  );

  test('in CSV stays a success, and readable', async () => {
    const response = new Response('timestamp,close\n2026-11-20,401\n', { headers: { 'content-type': 'text/csv' } });
    expect(await faultOfSuccess(alphavantage, response)).toBeUndefined();
    expect(await response.text()).toContain('401');
  });

  test('that asked for CSV and was limited is a failure', async () => {
    const response = new Response('{\n    "Information": "... 25 requests per day."\n}', {
      headers: { 'content-type': 'application/x-download' },
    });
    expect(await faultOfSuccess(alphavantage, response)).toMatchObject({ kind: 'day_quota' });
  });
});
