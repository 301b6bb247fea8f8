import { describe, expect, test } from 'vitest';
import { nextMidnight, PACIFIC } from '../../src/faults/calendar.ts';
import { classify } from '../../src/faults/classify.ts';
import { readEvidence } from '../../src/faults/evidence.ts';
import type { Evidence, Fault } from '../../src/faults/fault.ts';
import { groupHintOf } from '../../src/faults/group-hint.ts';
import { readAddressLimit } from '../../src/faults/address.ts';
import { readLimits, type LimitReading } from '../../src/faults/limits.ts';
import { profileFor } from '../../src/faults/profiles.ts';
import type { Cause, Subject } from '../../src/simulate/dialects/dialect.ts';
import { DIALECTS } from '../../src/simulate/dialects/index.ts';
import { meterOf } from '../../src/simulate/meter.ts';
import { SimulatedFailure } from '../../src/simulate/policy.ts';
import type { SimulatedProvider, SimulatedQuota, Trouble } from '../../src/simulate/scenario.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { HOUR_MS, MINUTE_MS, quotaOf, START_AT } from './support.ts';

type Name = SimulatedProvider['dialect'];

const NOW = START_AT + 1234;
const clock = new ManualClock(NOW);
const profileOf = (name: Name) => profileFor(name, name === 'plain' ? 'generic' : name);

function subjectOf(quotas: readonly SimulatedQuota[], used = 0): Subject {
  const meters = quotas.map(quota => meterOf(quota));
  if (used > 0) for (const meter of meters) meter.add(used, NOW);
  return { model: 'some-model', organization: 'acme', meters };
}

async function read(name: Name, cause: Cause, subject: Subject): Promise<{ evidence: Evidence; fault: Fault }> {
  const dialect = DIALECTS[name];
  const { status, body, headers } = dialect.refuse(cause, subject, NOW);
  const error = new SimulatedFailure(status, { ...dialect.headers(subject, NOW), ...headers }, body);
  const evidence = await readEvidence({ error }, clock);
  return { evidence, fault: classify(evidence, { profile: profileOf(name), now: NOW, model: 'some-model' }) };
}

const troubleOf = (kind: Trouble['kind']): Cause => ({ kind, id: kind, trouble: { kind, fromMs: 0 } });

function quotaCause(quota: SimulatedQuota, inMs: number): { cause: Cause; subject: Subject } {
  const subject = subjectOf([quota], quota.limit);
  return { cause: { kind: 'quota', id: 'quota', meter: subject.meters[0]!, retryAt: NOW + inMs }, subject };
}

describe('a trouble is read as what it is', () => {
  test.each<[Name, Trouble['kind'], Partial<Fault>]>([
    ['gemini', 'revoked', { kind: 'invalid_key', scope: 'key', action: 'disable' }],
    ['gemini', 'suspended', { kind: 'account_disabled', scope: 'group', action: 'disable' }],
    ['gemini', 'billing', { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS }],
    ['gemini', 'overloaded', { kind: 'overloaded', scope: 'provider+model', action: 'breaker' }],
    ['openai', 'revoked', { kind: 'invalid_key', scope: 'key', action: 'disable' }],
    ['openai', 'suspended', { kind: 'account_disabled', scope: 'group', action: 'disable' }],
    ['openai', 'billing', { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS }],
    ['openai', 'overloaded', { kind: 'overloaded', scope: 'provider', action: 'breaker' }],
    ['anthropic', 'revoked', { kind: 'invalid_key', scope: 'key', action: 'disable' }],
    ['anthropic', 'suspended', { kind: 'account_disabled', scope: 'group', action: 'disable' }],
    ['anthropic', 'billing', { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS }],
    ['anthropic', 'overloaded', { kind: 'overloaded', scope: 'provider+model', action: 'breaker' }],
    ['binance', 'revoked', { kind: 'unauthorized', scope: 'key', action: 'probation' }],
    ['binance', 'suspended', { kind: 'unauthorized', scope: 'key', action: 'probation' }],
    ['binance', 'billing', { kind: 'unauthorized', scope: 'key', action: 'probation' }],
    ['plain', 'revoked', { kind: 'unauthorized', scope: 'key', action: 'probation' }],
    ['plain', 'suspended', { kind: 'forbidden', scope: 'key+model', action: 'cool' }],
    ['plain', 'billing', { kind: 'billing', scope: 'group', action: 'cool', until: NOW + HOUR_MS }],
    ['plain', 'overloaded', { kind: 'overloaded', scope: 'provider', action: 'breaker' }],
    ['plain', 'outage', { kind: 'server_error', scope: 'provider', action: 'breaker' }],
    ['plain', 'slow', { kind: 'server_error', scope: 'provider', action: 'breaker' }],
  ])('%s: %s', async (name, kind, expected) => {
    const { fault } = await read(name, troubleOf(kind), subjectOf([]));
    expect(fault).toMatchObject(expected);
    if (expected.until === undefined) expect(fault).not.toHaveProperty('until');
  });

  test('one that answers nothing is a failed connection, whoever it is', async () => {
    const evidence = await readEvidence({ error: new SimulatedFailure(undefined, {}, undefined) }, clock);
    expect(classify(evidence, { profile: profileOf('openai'), now: NOW })).toMatchObject({
      kind: 'network',
      scope: 'provider',
      action: 'breaker',
    });
  });
});

describe('a quota that is used up is read as what it is, until when it says', () => {
  const minute = quotaOf({ limit: 10 });
  const day = quotaOf({ limit: 10, per: 'day', form: 'fixed', timeZone: PACIFIC });
  const tokens = quotaOf({ limit: 10, counts: 'tokens' });

  test.each<[Name, string, SimulatedQuota, number, Partial<Fault>]>([
    ['gemini', 'of a minute', minute, 12_300, { kind: 'rate_limit', scope: 'group+model', until: NOW + 13_000 }],
    ['gemini', 'of tokens', tokens, 12_300, { kind: 'rate_limit', scope: 'group+model', until: NOW + 13_000 }],
    ['gemini', 'of a day', day, HOUR_MS, { kind: 'day_quota', until: nextMidnight(NOW, PACIFIC) }],
    ['openai', 'of a minute', minute, 12_300, { kind: 'rate_limit', scope: 'group+model', until: NOW + 12_300 }],
    ['openai', 'of a fraction of a ms', minute, 0.4, { kind: 'rate_limit', scope: 'group+model', until: NOW + 1 }],
    ['openai', 'of tokens', tokens, 12_300, { kind: 'rate_limit', scope: 'group+model', until: NOW + 12_300 }],
    ['openai', 'of a day', day, HOUR_MS, { kind: 'rate_limit', scope: 'group+model', until: NOW + HOUR_MS }],
    ['anthropic', 'of a minute', minute, 12_300, { kind: 'rate_limit', scope: 'group+model', until: NOW + 13_000 }],
    ['anthropic', 'of tokens', tokens, 400, { kind: 'rate_limit', scope: 'group+model', until: NOW + 1000 }],
    ['binance', 'of a minute', minute, 12_300, { scope: 'ip', action: 'breaker', until: NOW + 13_000 }],
  ])('%s: %s', async (name, _which, quota, inMs, expected) => {
    const { cause, subject } = quotaCause(quota, inMs);
    const { fault } = await read(name, cause, subject);
    expect(fault).toMatchObject({ action: 'cool', ...expected, status: 429 });
  });

  test('plain: for as long as such limits usually last, as nothing is said', async () => {
    const { cause, subject } = quotaCause(minute, 12_300);
    const { fault } = await read('plain', cause, subject);
    expect(fault).toMatchObject({ kind: 'rate_limit', action: 'cool', coolMs: 5000 });
    expect(fault).not.toHaveProperty('until');
  });

  test.each([
    ['requests of a minute', minute, { counts: 'requests', limit: 10, windowMs: MINUTE_MS }],
    ['requests of a day', day, { counts: 'requests per day', limit: 10, windowMs: 24 * HOUR_MS }],
    ['tokens of a minute', tokens, { limit: 10, windowMs: MINUTE_MS }],
  ])('gemini tells the limit in the body: %s', async (_name, quota, expected) => {
    const { cause, subject } = quotaCause(quota, 1000);
    const { evidence } = await read('gemini', cause, subject);
    expect(profileOf('gemini').limitsInBody?.(evidence.body)).toMatchObject([expected]);
  });

  test('binance tells the limit of the address in the body, where it is one by the minute', async () => {
    for (const [quota, refusal] of [[minute, { limit: 10 }], [day, undefined]] as const) {
      const { cause, subject } = quotaCause(quota, 1000);
      const { evidence } = await read('binance', cause, subject);
      expect(readAddressLimit(evidence, profileOf('binance').addressLimit!, true).refusal).toEqual(refusal);
    }
  });

  test('openai and anthropic name the organization, which others may share', async () => {
    const { cause, subject } = quotaCause(minute, 1000);
    for (const name of ['openai', 'anthropic'] as const) {
      const { evidence } = await read(name, cause, subject);
      const other = await read(name, cause, { ...subject, organization: 'other' });
      expect(groupHintOf(evidence)).toBeDefined();
      expect(groupHintOf(other.evidence)).not.toEqual(groupHintOf(evidence));
      expect(groupHintOf((await read(name, cause, subject)).evidence)).toEqual(groupHintOf(evidence));
    }
  });
});

describe('headers are read as what is left', () => {
  const limitsOf = (name: Name, subject: Subject): LimitReading[] => {
    const headers: Readonly<Record<string, string>> = DIALECTS[name].headers(subject, NOW);
    return readLimits({ status: 200, header: field => headers[field] }, NOW, profileOf(name).limits);
  };
  const requests = quotaOf({ limit: 10 });
  const tokens = quotaOf({ limit: 1000, counts: 'tokens' });

  test('openai: to the ms; the minute\'s, where there is a limit of the day beside it', () => {
    const subject = subjectOf([quotaOf({ limit: 500, per: 'day' }), requests, tokens], 3);
    expect(limitsOf('openai', subject)).toEqual([
      { counts: 'requests', limit: 10, remaining: 7, resetAt: NOW + MINUTE_MS },
      { counts: 'tokens', limit: 1000, remaining: 997, resetAt: NOW + MINUTE_MS },
    ]);
    expect(limitsOf('openai', subjectOf([quotaOf({ limit: 500, per: 'day' }), tokens], 3))).toMatchObject([
      { counts: 'requests', limit: 500, remaining: 497, resetAt: NOW + 24 * HOUR_MS },
      { counts: 'tokens' },
    ]);
  });

  test('openai: in whole units, where it comes back bit by bit', () => {
    const subject = subjectOf([quotaOf({ limit: 10, form: 'refill' })], 2);
    subject.meters[0]!.add(0.5, NOW);
    const expected = { counts: 'requests', limit: 10, remaining: 7, resetAt: NOW + 15_000 };
    expect(limitsOf('openai', subject)).toEqual([expected]);
  });

  test('anthropic: as times in whole seconds, of minutes only', () => {
    const subject = subjectOf([requests, tokens, quotaOf({ limit: 500, per: 'day' })], 3);
    const resetAt = Math.ceil((NOW + MINUTE_MS) / 1000) * 1000;
    expect(limitsOf('anthropic', subject)).toEqual([
      { counts: 'requests', limit: 10, remaining: 7, resetAt },
      { counts: 'tokens', limit: 1000, remaining: 997, resetAt },
    ]);
  });

  test('binance: as what is used of a minute', () => {
    const usedOf = (subject: Subject): number | undefined => {
      const headers = DIALECTS.binance.headers(subject, NOW);
      return readAddressLimit({ header: field => headers[field] }, profileOf('binance').addressLimit!, false).used;
    };
    expect(usedOf(subjectOf([requests], 3))).toBe(3);
    expect(usedOf(subjectOf([quotaOf({ per: 'day' })], 1))).toBeUndefined();
  });

  test('never less than nothing', () => {
    for (const name of ['openai', 'anthropic'] as const) {
      expect(limitsOf(name, subjectOf([requests], 15))).toMatchObject([{ remaining: 0 }]);
    }
  });

  test.each<Name>(['gemini', 'plain'])('%s: none', name => {
    expect(DIALECTS[name].headers(subjectOf([requests, tokens], 3), NOW)).toEqual({});
  });

  test('none without a quota', () => {
    for (const name of ['openai', 'anthropic', 'binance'] as const) expect(limitsOf(name, subjectOf([]))).toEqual([]);
  });
});
