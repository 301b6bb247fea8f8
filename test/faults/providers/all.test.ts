import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classify } from '../../../src/faults/classify.ts';
import { readErrorInSuccess } from '../../../src/faults/evidence.ts';
import type { Evidence, Fault } from '../../../src/faults/fault.ts';
import { noHeaders } from '../../../src/faults/headers.ts';
import { profiles } from '../../../src/faults/profiles.ts';
import { ManualClock } from '../manual-clock.ts';
import { faultOf, NOW } from './rows.ts';

const STATUSES = [400, 401, 402, 403, 404, 408, 409, 412, 413, 418, 422, 425, 429, 498, 500, 502, 503, 504, 529];

describe.each(profiles.map((profile) => [profile.name, profile] as const))('%s', (_, profile) => {
  const { rules } = profile;

  test('every rule has a name of its own, a kind to count by and a public source', () => {
    expect(new Set(rules.map(({ name }) => name)).size).toBe(rules.length);
    for (const { name, kind, source } of rules) {
      expect(name).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
      expect(kind ?? name).toMatch(/^[a-z]+(?:_[a-z]+)*$/);
      expect(source).toMatch(/^https:\/\/\S+$/);
    }
  });

  test('every rule looks at something, and says in words what no data says', () => {
    for (const { match, until, coolMs, untilMeans } of rules) {
      const { status, code, message, test: condition, testMeans } = match;
      expect([status, code, message, condition].some((each) => each !== undefined)).toBe(true);
      expect(testMeans === undefined).toBe(condition === undefined);
      if (until && coolMs === undefined) expect(untilMeans).toBeDefined();
    }
  });

  test('every cool-down has a length', () => {
    for (const { action, coolMs, until } of rules) {
      if (action === 'cool') expect(coolMs ?? until).toBeDefined();
    }
  });

  test('a status alone, without a word, disables no group and no request', () => {
    for (const status of STATUSES) {
      const evidence: Evidence = { status, header: noHeaders, text: '', timedOut: false, aborted: false };
      const { action, scope } = classify(evidence, { profile, now: NOW });
      if (action === 'disable') expect(scope).toBe('key');
      if (action === 'probation') expect(scope).toBe('key');
    }
  });

  test('digits decide nothing, wherever they stand in a message or an id', async () => {
    const digits = fc.constantFrom('400', '401', '402', '403', '418', '429', '500', '503', '1003', '2014', '1300');
    const words = fc.array(fc.oneof(digits, fc.constantFrom('request', 'failed', 'with code', 'limits', '-', ':')));
    const judged = ({ kind, scope, action, rule }: Fault): unknown => ({ kind, scope, action, rule });
    await fc.assert(
      fc.asyncProperty(words, fc.constantFrom(undefined, ...STATUSES), async (parts, status) => {
        const fault = (text: string, id: string): Promise<Fault> => {
          const error = { message: text, param: id };
          const fields = { ...(status !== undefined && { status }), error: { error, request_id: id }, requestID: id };
          return faultOf(profile, { error: Object.assign(new Error(text), fields) });
        };
        const text = parts.join(' ');
        expect(judged(await fault(text, text))).toEqual(judged(await fault('words', 'id')));
      }),
      { numRuns: 60 },
    );
  });

  test('any JSON is classified, and an odd 200 is never mistaken for a throw', async () => {
    const places = fc.constantFrom(
      'error', 'errors', 'details', 'metadata', 'headers', 'choices', 'code', 'message', 'msg', 'type', 'status',
      '__type', 'quandl_error', 'Information', 'Note', 'Error Message', 'retry_after_seconds', 'error_type',
      'finish_reason', 'id',
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        fc.jsonValue(),
        fc.constantFrom('EAPI:Invalid key', 'error', 'QELx01', 'premium', 429, -1003),
        fc.dictionary(places, tie('tree')),
        fc.array(tie('tree'), { maxLength: 3 }),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(tree, fc.constantFrom(undefined, ...STATUSES), async (body, status) => {
        const evidence = { ...(status !== undefined && { status }), body, text: '', timedOut: false, aborted: false };
        const { rule, until = NOW } = classify({ ...evidence, header: noHeaders }, { profile, now: NOW });
        expect(rule).toContain('/');
        expect(until).toBeGreaterThanOrEqual(NOW);
        if (!profile.errorInSuccess) return;
        const success = await readErrorInSuccess(body, profile.errorInSuccess, new ManualClock(NOW));
        if (success) expect(classify(success, { profile, now: NOW }).rule).toContain('/');
      }),
      { numRuns: 100 },
    );
  });
});

test('what is known from memory alone disables nobody', () => {
  const actionOf = (profile: string, rule: string): string | undefined =>
    profiles.find(({ name }) => name === profile)?.rules.find(({ name }) => name === rule)?.action;
  expect(actionOf('kraken', 'lockout')).toBe('cool');
  expect(actionOf('openai', 'quota-exhausted')).toBe('cool');
});
