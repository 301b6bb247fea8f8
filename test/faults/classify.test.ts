import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classify } from '../../src/faults/classify.ts';
import { readEvidence } from '../../src/faults/evidence.ts';
import type { Evidence, Fault, FaultProfile, FaultRule } from '../../src/faults/fault.ts';
import { noHeaders } from '../../src/faults/headers.ts';
import { profileFor } from '../../src/faults/profiles.ts';
import { gemini } from '../../src/faults/providers/gemini.ts';
import { generic } from '../../src/faults/providers/generic.ts';
import { openai } from '../../src/faults/providers/openai.ts';
import { ManualClock } from './manual-clock.ts';
import { json, openaiError } from './sdk-errors.ts';

const NOW = Date.UTC(2026, 10, 20, 11, 0, 0);
const MINUTE_MS = 60_000;

function evidence(fields: Partial<Evidence>): Evidence {
  return { header: noHeaders, text: '', timedOut: false, aborted: false, ...fields };
}

function faultOf(fields: Partial<Evidence>, profile = generic): Fault {
  return classify(evidence(fields), { profile, now: NOW });
}

async function faultOfError(error: unknown, profile = generic): Promise<Fault> {
  return classify(await readEvidence({ error }, new ManualClock(NOW)), { profile, now: NOW });
}

const byRules = (...rules: Partial<FaultRule>[]): FaultProfile => ({
  name: 'own',
  providers: [],
  rules: rules.map((rule, index) => ({
    name: `rule-${index}`,
    source: 'test',
    match: {},
    scope: 'key',
    action: 'cool',
    ...rule,
  })),
});

describe('what a status alone says, for any provider', () => {
  test.each([
    [401, 'unauthorized', 'key', 'probation', undefined],
    [402, 'billing', 'group', 'cool', 60 * MINUTE_MS],
    [403, 'forbidden', 'key+model', 'cool', 10 * MINUTE_MS],
    [429, 'rate_limit', 'group+model', 'cool', 5000],
    [408, 'transient', 'request', 'retry', undefined],
    [409, 'transient', 'request', 'retry', undefined],
    [425, 'transient', 'request', 'retry', undefined],
    [500, 'server_error', 'provider', 'breaker', undefined],
    [502, 'server_error', 'provider', 'breaker', undefined],
    [503, 'overloaded', 'provider', 'breaker', undefined],
    [529, 'overloaded', 'provider', 'breaker', undefined],
    [400, 'rejected', 'request', 'fail', undefined],
    [404, 'rejected', 'request', 'fail', undefined],
    [422, 'rejected', 'request', 'fail', undefined],
  ])('%i is %s', (status, kind, scope, action, coolMs) => {
    for (const profile of [generic, openai, gemini]) {
      if (profile === gemini && status >= 500) continue;
      const fault = faultOf({ status }, profile);
      expect(fault).toMatchObject({ kind, scope, action, status, certainty: 'guess' });
      expect(fault.coolMs).toBe(coolMs);
      expect(fault.rule).toMatch(/^generic\//);
    }
  });

  test('an abort of the caller blames nobody, whatever else there is', () => {
    const everything = byRules({ match: {} });
    expect(faultOf({ aborted: true, status: 401 }, everything)).toMatchObject({
      kind: 'aborted',
      scope: 'request',
      action: 'fail',
      rule: 'generic/aborted',
    });
  });

  test('a timeout and a broken network are the provider\'s', () => {
    const theirs = { scope: 'provider', action: 'breaker' };
    expect(faultOf({ timedOut: true })).toMatchObject({ ...theirs, kind: 'timeout' });
    expect(faultOf({ networkCode: 'ECONNRESET' })).toMatchObject({ ...theirs, kind: 'network' });
  });

  test.each([[null], [undefined], ['Error 401'], [403], [new Error('boom')], [{ status: 200 }]])(
    '%o, thrown, is the request\'s own',
    async (error) => {
      expect(await faultOfError(error)).toEqual({
        kind: 'error',
        scope: 'request',
        action: 'fail',
        certainty: 'guess',
        rule: 'generic/error',
      });
    },
  );
});

describe('until', () => {
  const headers = (values: Record<string, string>) => (name: string) => values[name];

  test('is what the provider says, for a cool-down and for a breaker', () => {
    const header = headers({ 'retry-after': '30' });
    expect(faultOf({ status: 429, header }).until).toBe(NOW + 30_000);
    expect(faultOf({ status: 403, header }).until).toBe(NOW + 30_000);
    expect(faultOf({ status: 503, header }).until).toBe(NOW + 30_000);
  });

  test('is absent where nobody says, and where nothing is waited for', () => {
    expect(faultOf({ status: 429 })).not.toHaveProperty('until');
    const header = headers({ 'retry-after': '30' });
    expect(faultOf({ status: 401, header })).not.toHaveProperty('until');
    expect(faultOf({ status: 400, header })).not.toHaveProperty('until');
  });

  test('of missing money is an hour, whatever a proxy says', () => {
    expect(faultOf({ status: 402, header: headers({ 'retry-after': '1' }) }).until).toBe(NOW + 60 * MINUTE_MS);
  });

  test("is the rule's own before all else, unless that is no time to come", () => {
    const header = headers({ 'retry-after': '30' });
    expect(faultOf({ header }, byRules({ until: (_, now) => now + 5 })).until).toBe(NOW + 5);
    for (const until of [Number.NaN, Number.POSITIVE_INFINITY, NOW - 1, undefined]) {
      expect(faultOf({ header }, byRules({ until: () => until })).until).toBe(NOW + 30_000);
    }
  });
});

describe('rules', () => {
  test('the first that fits wins, the generic ones come last', () => {
    const profile = byRules({ match: { status: [400, 401] } }, { match: { status: 401 } }, { match: { code: 'x' } });
    expect(faultOf({ status: 401 }, profile).rule).toBe('own/rule-0');
    expect(faultOf({ status: 500, body: { code: 'x' } }, profile).rule).toBe('own/rule-2');
    expect(faultOf({ status: 500 }, profile).rule).toBe('generic/server-error');
  });

  test('all conditions must hold', () => {
    const profile = byRules({
      match: { status: 400, code: ['a', 'b'], message: /full/, test: ({ text }) => text !== 'not me' },
    });
    const fitting = { status: 400, body: { code: 'b', message: 'is full' }, text: '' };
    const rule = (fields: Partial<Evidence>): string => faultOf({ ...fitting, ...fields }, profile).rule;
    expect(rule({})).toBe('own/rule-0');
    expect(rule({ status: 401 })).not.toBe('own/rule-0');
    expect(rule({ body: { code: 'c', message: 'is full' } })).not.toBe('own/rule-0');
    expect(rule({ body: { code: 'b', message: 'is empty' } })).not.toBe('own/rule-0');
    expect(rule({ text: 'not me' })).not.toBe('own/rule-0');
  });

  test('a star in a code stands for anything, and AWS may name the code in a header', () => {
    const profile = byRules({ match: { code: 'QELx*' } }, { match: { code: ['a', '*Exception'] } });
    expect(faultOf({ body: { code: 'QELx04' } }, profile).rule).toBe('own/rule-0');
    expect(faultOf({ body: { code: 'QEL' } }, profile).rule).toBe('generic/error');
    const header = (name: string): string | undefined => (name === 'x-amzn-errortype' ? 'OddException:x' : undefined);
    expect(faultOf({ header }, profile).rule).toBe('own/rule-1');
  });

  test('the limits of a profile hold for the generic rules as well', () => {
    const limits = [{ counts: 'requests', remaining: 'left', reset: 'back' }];
    const header = (name: string): string | undefined => new Map([['left', '0'], ['back', '7']]).get(name);
    expect(faultOf({ status: 429, header }, { ...byRules(), limits }).until).toBe(NOW + 7000);
  });

  test('a message is the provider\'s, or all the text there is; ids are never looked at', () => {
    const profile = byRules({ match: { message: /leaked/ } });
    expect(faultOf({ body: { message: 'key leaked' } }, profile).rule).toBe('own/rule-0');
    expect(faultOf({ text: 'key leaked' }, profile).rule).toBe('own/rule-0');
    const id = { body: { request_id: 'leaked' }, text: '{"request_id":"leaked"}' };
    expect(faultOf(id, profile).rule).toBe('generic/error');
  });

  test('an expression with the g flag matches every time', () => {
    const profile = byRules({ match: { message: /leaked/g } });
    for (let time = 0; time < 3; time++) expect(faultOf({ text: 'key leaked' }, profile).rule).toBe('own/rule-0');
  });

  test('a rule that throws is passed over', () => {
    const fail = (): never => {
      throw new Error('mistake');
    };
    expect(faultOf({ status: 401 }, byRules({ match: { test: fail } })).rule).toBe('generic/unauthorized');
    expect(faultOf({}, byRules({ until: fail, coolMs: 7 }))).toMatchObject({ rule: 'own/rule-0', coolMs: 7 });
  });

  test('how sure: as the rule says, else likely for a code and a guess for the rest', () => {
    const fields = { status: 400, body: { code: 'x' } };
    expect(faultOf(fields, byRules({ match: { code: 'x' } })).certainty).toBe('likely');
    expect(faultOf(fields, byRules({ match: { status: 400 } })).certainty).toBe('guess');
    expect(faultOf(fields, byRules({ match: { status: 400 }, certainty: 'certain' })).certainty).toBe('certain');
  });

  test('the kind is the rule\'s name where it has no other', () => {
    expect(faultOf({}, byRules({})).kind).toBe('rule-0');
    expect(faultOf({}, byRules({ kind: 'odd' })).kind).toBe('odd');
  });

  test('a fault of one model names the model of the call', () => {
    const at = (scope: FaultRule['scope'], model?: string): Fault =>
      classify(evidence({}), { profile: byRules({ scope }), now: NOW, model });
    expect(at('group+model', 'gpt-4o').model).toBe('gpt-4o');
    expect(at('group+model')).not.toHaveProperty('model');
    expect(at('group', 'gpt-4o')).not.toHaveProperty('model');
  });

  test.each([generic, gemini, openai])('$name: every rule has a name of its own and a public source', ({ rules }) => {
    expect(new Set(rules.map(({ name }) => name)).size).toBe(rules.length);
    for (const { source } of rules) expect(source).toMatch(/^https:\/\//);
  });
});

describe('digits decide nothing', () => {
  test.each([
    'Request 403 of 401 failed with code 429 after 500 ms (id 1402)',
    'see https://example.com/errors/403 (req_429)',
    '401',
  ])('in the message "%s"', async (message) => {
    for (const profile of [generic, openai, gemini]) {
      const error = Object.assign(new Error(message), { id: 403, requestID: 'req_401', param: '429' });
      expect(await faultOfError(error, profile)).toMatchObject({ kind: 'error', scope: 'request', action: 'fail' });
    }
  });

  test('wherever they are put in a message or an id', async () => {
    const digits = fc.constantFrom('401', '403', '429', '500', '503');
    const words = fc.array(fc.oneof(digits, fc.stringMatching(/^[a-z ]{0,8}$/)));
    await fc.assert(
      fc.asyncProperty(words, fc.constantFrom(generic, openai, gemini), async (parts, profile) => {
        const text = parts.join(' ');
        const body = { error: { message: text, param: text }, request_id: text };
        const fault = (status: number): Promise<Fault> =>
          faultOfError(Object.assign(new Error(text), { status, error: body, requestID: text }), profile);
        expect(await fault(400)).toMatchObject({ action: 'fail', scope: 'request' });
        expect(await fault(401)).toMatchObject({ action: 'probation', scope: 'key' });
      }),
    );
  });
});

describe('classify never throws', () => {
  const profiles = fc.constantFrom(profileFor('gemini'), profileFor('openai'), profileFor('x'));

  function expectWhole(fault: Fault): void {
    expect(fault.kind).not.toBe('');
    expect(fault.rule).toContain('/');
    if (fault.until !== undefined) expect(fault.until).toBeGreaterThanOrEqual(NOW);
  }

  test('for any JSON', () => {
    const statuses = fc.option(fc.integer(), { nil: undefined });
    fc.assert(
      fc.property(fc.jsonValue(), statuses, fc.string(), profiles, (body, status, text, profile) => {
        expectWhole(faultOf({ body, text, ...(status !== undefined && { status }) }, profile));
      }),
    );
  });

  test('for any JSON in the places where providers put their errors', () => {
    const places = fc.constantFrom(
      'error', 'details', 'violations', 'metadata', 'errors', '@type', 'code', 'message', 'reason', 'quotaId',
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        fc.jsonValue(),
        fc.constantFrom('type.googleapis.com/google.rpc.QuotaFailure', 'type.googleapis.com/google.rpc.ErrorInfo'),
        fc.dictionary(places, tie('tree')),
        fc.array(tie('tree'), { maxLength: 3 }),
      ),
    }));
    fc.assert(fc.property(tree, profiles, (body, profile) => expectWhole(faultOf({ status: 429, body }, profile))));
  });

  test('for anything that can be thrown', async () => {
    await fc.assert(
      fc.asyncProperty(fc.anything(), profiles, async (thing, profile) => {
        expectWhole(await faultOfError(thing, profile));
        expectWhole(await faultOfError({ status: 429, error: thing, headers: thing, cause: thing }, profile));
      }),
    );
  });
});

test('a real SDK error goes all the way', async () => {
  const answer = json(429, { error: { message: 'slow' } }, { 'retry-after-ms': '250' });
  const error = await openaiError(() => Promise.resolve(answer));
  expect(await faultOfError(error)).toEqual({
    kind: 'rate_limit',
    scope: 'group+model',
    action: 'cool',
    certainty: 'guess',
    until: NOW + 250,
    coolMs: 5000,
    status: 429,
    rule: 'generic/rate-limit',
  });
});
