import { describe, expect, test } from 'vitest';
import { vertex } from '../../../src/faults/providers/vertex.ts';
import { classify } from '../../../src/faults/classify.ts';
import { readEvidence } from '../../../src/faults/evidence.ts';
import { ManualClock } from '../manual-clock.ts';
import { json } from '../sdk-errors.ts';
import { describeRows, MINUTE_MS } from './rows.ts';
import type { Row } from './rows.ts';

function exhausted(message: string, ids?: readonly string[]): unknown {
  const details = ids && [
    { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: ids.map((quotaId) => ({ quotaId })) },
  ];
  return { error: { code: 429, message, status: 'RESOURCE_EXHAUSTED', ...(details && { details }) } };
}

const ROWS: Row[] = [
  [
    'an access token that has run out',
    401,
    {
      error: {
        code: 401,
        message: 'Request had invalid authentication credentials. Expected OAuth 2 access token.',
        status: 'UNAUTHENTICATED',
        details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'ACCESS_TOKEN_EXPIRED' }],
      },
    },
    { kind: 'token_expired', scope: 'key', action: 'cool', coolMs: 30_000, until: 'absent' },
  ],
  [
    'the capacity everybody shares is out',
    429,
    exhausted('Resource exhausted. Please try again later. Please refer to https://cloud.google.com/error-code-429.'),
    { kind: 'overloaded', scope: 'provider+model', action: 'breaker', model: 'm' },
  ],
  [
    'a quota of the project',
    429,
    exhausted('Quota exceeded.', ['GenerateContentRequestsPerMinutePerProjectPerRegionPerBaseModel']),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: MINUTE_MS, until: 'absent' },
  ],
  [
    'a quota of the project, in words alone',
    429,
    exhausted(
      'Quota exceeded for aiplatform.googleapis.com/generate_content_requests_per_minute_per_project_per_base_model ' +
        'with base model: gemini-2.5-pro. Please submit a quota increase request.',
    ),
    { kind: 'rate_limit', scope: 'group+model', action: 'cool', coolMs: MINUTE_MS },
  ],
  [
    "a day's quota",
    429,
    exhausted('Quota exceeded.', ['RequestsPerMinutePerProject', 'RequestsPerDayPerProject']),
    { kind: 'day_quota', scope: 'group+model', action: 'cool', until: Date.parse('2026-11-21T08:00:00Z') },
    { 'retry-after': '3' },
  ],
  ['a failure of theirs', 503, { error: { code: 503, status: 'UNAVAILABLE' } }, { action: 'breaker' }],
  ['a bad request', 400, { error: { code: 400, status: 'INVALID_ARGUMENT' } }, { scope: 'request', action: 'fail' }],
];

describeRows(vertex, ROWS);

describe("the day's end, where it is 23 or 25 hours long", () => {
  test.each([
    ['2026-03-08T09:00:00Z', '2026-03-09T07:00:00Z'],
    ['2026-11-01T07:30:00Z', '2026-11-02T08:00:00Z'],
  ])('at %s it is %s', async (at, midnight) => {
    const now = Date.parse(at);
    const evidence = await readEvidence({ value: json(429, exhausted('x', ['PerDay'])) }, new ManualClock(now));
    expect(classify(evidence, { profile: vertex, now }).until).toBe(Date.parse(midnight));
  });
});
