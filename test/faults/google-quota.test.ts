import { describe, expect, test } from 'vitest';
import { quotaLimitsOf } from '../../src/faults/google-quota.ts';

function body(...violations: unknown[]): unknown {
  return { error: { details: [{ '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations }] } };
}

describe('the limits a refusal of Google names', () => {
  test('are those of each violation', () => {
    const metric = 'generativelanguage.googleapis.com/generate_content_free_tier_';
    const violations = [
      ['GenerateRequestsPerMinutePerProjectPerModel-FreeTier', `${metric}requests`, '15'],
      ['GenerateRequestsPerDayPerProjectPerModel-FreeTier', `${metric}requests`, '250'],
      ['GenerateContentInputTokensPerModelPerMinute-FreeTier', `${metric}input_token_count`, '250000'],
    ].map(([quotaId, quotaMetric, quotaValue]) => ({ quotaId, quotaMetric, quotaValue }));
    expect(quotaLimitsOf(body(...violations))).toEqual([
      { counts: 'requests', windowMs: 60_000, limit: 15 },
      { counts: 'requests per day', windowMs: 86_400_000, limit: 250 },
      { counts: 'tokens', windowMs: 60_000, limit: 250_000 },
    ]);
  });

  test.each([
    ['without a time', { quotaId: 'GenerateRequestsPerProject', quotaValue: '15' }],
    ['without a figure', { quotaId: 'GenerateRequestsPerMinute' }],
    ['without quota at all', { quotaId: 'GenerateRequestsPerMinute', quotaValue: '0' }],
    ['with words for a figure', { quotaId: 'GenerateRequestsPerMinute', quotaValue: 'many' }],
    ['without an id', { quotaValue: '15' }],
  ])('are none %s', (_, violation) => {
    expect(quotaLimitsOf(body(violation))).toEqual([]);
  });

  test('are none in any other body', () => {
    for (const other of [undefined, null, 'text', {}, { error: { details: [{}] } }]) expect(quotaLimitsOf(other)).toEqual([]);
  });
});
