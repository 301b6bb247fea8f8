import { expect, test } from 'vitest';
import { readLimits } from '../../../src/faults/limits.ts';
import { groq } from '../../../src/faults/providers/groq.ts';
import { DAY_MS, describeOpenaiRows, describeRows, faultOfAnswer, MINUTE_MS, NOW } from './rows.ts';
import type { Row } from './rows.ts';

function body(message: string, type: string, code: string): unknown {
  return { error: { message, type, code } };
}

const REACHED = 'Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_01kjh7p9` service tier';

const ROWS: Row[] = [
  [
    'a restricted organization',
    400,
    body(
      'Organization has been restricted. Please reach out to support if you believe this was in error.',
      'invalid_request_error',
      'organization_restricted',
    ),
    { kind: 'account_disabled', scope: 'group', action: 'disable', certainty: 'likely' },
  ],
  [
    "the day's tokens are used up",
    429,
    body(
      `${REACHED} \`on_demand\` on tokens per day (TPD): Limit 100000, Used 97050, Requested 3619. Please try again ` +
        'in 9m38.016s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing',
      'tokens',
      'rate_limit_exceeded',
    ),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', until: NOW + 578_016 },
  ],
  [
    'a request larger than the limit',
    413,
    body(
      'Request too large for model `llama-3.1-8b` in organization `org_01` service tier `on_demand` on tokens ' +
        'per minute (TPM): Limit 6000, Requested 6294, please reduce your message size and try again.',
      'tokens',
      'rate_limit_exceeded',
    ),
    { kind: 'request_too_large', scope: 'request', action: 'fail' },
  ],
  [
    'a request estimated as larger than the limit',
    429,
    body(
      `${REACHED} on tokens per minute (TPM): Limit 7000, Used 0, Requested ~12903. Please try again in 50.5s.`,
      'tokens',
      'rate_limit_exceeded',
    ),
    { kind: 'request_too_large', scope: 'request', action: 'fail' },
  ],
  [
    'a limit, and nothing else said',
    429,
    body('Slow down', 'requests', 'slow_down'),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: 10_000, until: 'absent' },
  ],
  [
    'no flex capacity',
    498,
    body('Flex tier capacity exceeded', 'server_error', 'capacity_exceeded'),
    { kind: 'overloaded', scope: 'provider', action: 'breaker' },
  ],
  [
    'a wrong key',
    401,
    body('Invalid API Key', 'invalid_request_error', 'invalid_api_key'),
    { scope: 'key', action: 'probation' },
  ],
];

describeRows(groq, ROWS);
describeOpenaiRows(groq, ROWS);

const headers = {
  'x-ratelimit-limit-requests': '14400',
  'x-ratelimit-remaining-requests': '0',
  'x-ratelimit-reset-requests': '2h59m56s',
  'x-ratelimit-limit-tokens': '18000',
  'x-ratelimit-remaining-tokens': '17997',
  'x-ratelimit-reset-tokens': '7.66s',
};

test('its requests are those of a day, its tokens those of a minute', () => {
  expect(readLimits({ status: 429, header: (name) => new Headers(headers).get(name) ?? undefined }, NOW, groq.limits))
    .toEqual([
      { counts: 'requests', windowMs: DAY_MS, limit: 14_400, remaining: 0, resetAt: NOW + 10_796_000 },
      { counts: 'tokens', windowMs: MINUTE_MS, limit: 18_000, remaining: 17_997, resetAt: NOW + 7660 },
    ]);
});

test("when the day's requests are used up, their reset counts", async () => {
  const fault = await faultOfAnswer(groq, 429, body('Slow', 'requests', 'rate_limit_exceeded'), headers);
  expect(fault.until).toBe(NOW + 10_796_000);
});
