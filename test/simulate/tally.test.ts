import { describe, expect, test } from 'vitest';
import { QueueFullError } from '../../src/index.ts';
import type { AskedCall } from '../../src/simulate/traffic.ts';
import type { Cause } from '../../src/simulate/dialects/dialect.ts';
import { Refused, SimulatedFailure } from '../../src/simulate/policy.ts';
import type { SimulatedProvider, Trouble } from '../../src/simulate/scenario.ts';
import { Tally } from '../../src/simulate/tally.ts';
import { Upstream } from '../../src/simulate/upstream.ts';
import { callOf, providerOf, quotaOf, START_AT } from './support.ts';

interface Bench {
  readonly tally: Tally;
  readonly upstream: Upstream;
  /** An attempt begun then, refused by the provider a moment later. */
  readonly fail: (keyId: string, atMs: number, tookMs?: number) => Cause;
  /** An attempt begun then that was answered in time, of the call that came then or before. */
  readonly serve: (keyId: string, atMs: number, cameMs?: number) => void;
}

let calls = 0;

function benchOf(more: Partial<SimulatedProvider> = {}): Bench {
  const upstream = new Upstream('api', providerOf(more), START_AT);
  const tally = new Tally(new Map([['api', upstream]]));
  return {
    tally,
    upstream,
    fail(keyId, atMs, tookMs = 50) {
      const cause = upstream.admit(keyId, callOf(atMs), START_AT + atMs);
      if (!cause) throw new Error(`${keyId} was served at ${atMs}`);
      tally.failed(callOf(atMs), cause, START_AT + atMs, START_AT + atMs + tookMs);
      return cause;
    },
    serve(keyId, atMs, cameMs = atMs) {
      const call = callOf(cameMs, { id: calls++ });
      if (upstream.admit(keyId, call, START_AT + atMs)) throw new Error(`${keyId} was refused at ${atMs}`);
      tally.asked(call);
      tally.admitted(false);
      tally.succeeded(call, keyId, START_AT + atMs, START_AT + atMs + 100);
      tally.answered(call, START_AT + atMs + 100);
    },
  };
}

const refusal = new QueueFullError(1);
const failure = (status: number | undefined): SimulatedFailure => new SimulatedFailure(status, {}, undefined);

describe('calls', () => {
  test('are served, refused, or end with an error; those whose callers left are none of these', () => {
    const { tally } = benchOf();
    const left = callOf(0, { leavesAt: START_AT + 10 });
    for (const call of [callOf(0), callOf(0), callOf(0), callOf(0), callOf(0), left, left]) tally.asked(call);
    const answered = (call: AskedCall, atMs: number): void => {
      tally.succeeded(call, 'a', START_AT, START_AT + atMs);
      tally.answered(call, START_AT + atMs);
    };
    answered(callOf(0), 60_000);
    answered(callOf(0), 60_001);
    tally.rejected(callOf(0), refusal, START_AT);
    tally.rejected(callOf(0), new Refused('no key'), START_AT);
    tally.rejected(callOf(0), failure(503), START_AT);
    answered(left, 5);
    tally.rejected(left, refusal, START_AT + 5);
    tally.rejected(left, new Error('aborted'), START_AT + 5);
    expect(tally.figures()).toMatchObject({ asked: 5, served: 1, refused: 3, errors: 1 });
  });

  test('that end with anything else are a mistake of the policy\'s', () => {
    const { tally } = benchOf();
    const mistake = new TypeError('x is not a function');
    expect(() => tally.rejected(callOf(0), mistake, START_AT)).toThrow(mistake);
  });

  test('that never came have figures all the same', () => {
    expect(new Tally(new Map()).figures()).toEqual({
      asked: 0,
      served: 0,
      refused: 0,
      errors: 0,
      keyFaults: 0,
      attempts: 0,
      failures: {},
      avoidable: 0,
      waste: 0,
      failedPerServed: 0,
      noticeMs: undefined,
      recoverMs: undefined,
      fairness: 1,
      waitP50Ms: 0,
      waitP99Ms: 0,
      cached: 0,
    });
  });
});

describe('the fault of a key', () => {
  const troubles: Trouble[] = [{ kind: 'revoked', keys: ['a'], fromMs: 0 }];

  test.each([401, 400, 403, 429])('is shown to the caller with a %i although another key could have served', status => {
    const { tally } = benchOf({ troubles });
    tally.rejected(callOf(0), failure(status), START_AT + 100);
    expect(tally.figures()).toMatchObject({ errors: 1, keyFaults: 1 });
  });

  test.each([500, 503, undefined])('is not what a %s tells: that is the provider\'s', status => {
    const { tally } = benchOf({ troubles });
    tally.rejected(callOf(0), failure(status), START_AT + 100);
    expect(tally.figures()).toMatchObject({ errors: 1, keyFaults: 0 });
  });

  test('is not shown to who had left already, nor where no key could have served', () => {
    const late = benchOf({ troubles });
    late.tally.rejected(callOf(0), failure(401), START_AT + 60_001);
    expect(late.tally.figures()).toMatchObject({ errors: 1, keyFaults: 0 });
    const all = benchOf({ troubles: [{ kind: 'revoked', fromMs: 0 }] });
    all.tally.rejected(callOf(0), failure(401), START_AT);
    expect(all.tally.figures()).toMatchObject({ errors: 1, keyFaults: 0 });
  });
});

describe('failed attempts', () => {
  const troubles: Trouble[] = [{ kind: 'revoked', keys: ['a'], fromMs: 0 }, { kind: 'overloaded', fromMs: 60_000 }];

  test('are counted by what they failed for', () => {
    const { fail, serve, tally } = benchOf({ troubles });
    fail('a', 0);
    fail('a', 1);
    fail('b', 60_000);
    serve('b', 10);
    serve('b', 20);
    const { attempts, failedPerServed, failures } = tally.figures();
    expect({ attempts, failedPerServed, failures }).toEqual({
      attempts: 5,
      failedPerServed: 1.5,
      failures: { revoked: 2, overloaded: 1 },
    });
  });

  test('per served call are all of them where none was served', () => {
    const { fail, tally } = benchOf({ troubles });
    fail('a', 0);
    fail('a', 1);
    expect(tally.figures().failedPerServed).toBe(2);
  });

  test('are avoidable where their cause was known when they began; what was under way then is not', () => {
    const { fail, tally } = benchOf({ troubles });
    fail('a', 0, 50);
    fail('a', 50, 50);
    expect(tally.figures().avoidable).toBe(0);
    fail('a', 51, 50);
    expect(tally.figures()).toMatchObject({ attempts: 3, avoidable: 1, waste: 1 / 3 });
  });

  test('are avoidable for each cause by itself', () => {
    const { fail, tally } = benchOf({ troubles: [{ kind: 'revoked', fromMs: 0 }] });
    fail('a', 0);
    fail('b', 1000);
    expect(tally.figures().avoidable).toBe(0);
    fail('b', 2000);
    expect(tally.figures().avoidable).toBe(1);
  });

  test('are not avoidable where somebody has to be hit', () => {
    const { fail, tally } = benchOf({ troubles: [{ kind: 'overloaded', fromMs: 0, attempts: 3 }] });
    for (const atMs of [0, 1000, 2000]) fail('a', atMs);
    expect(tally.figures().avoidable).toBe(0);
  });

  test.each([
    ['of a key whose limits were told', { of: 'key', told: { limits: true } }, 1],
    ['of a key nobody told of', { of: 'key', told: {} }, 0],
    ['of a key, with groups told alone', { of: 'key', told: { groups: true } }, 0],
    ['of a project, with limits and groups told', { of: 'project', told: { limits: true, groups: true } }, 1],
    ['of a project, with limits told and not who shares them', { of: 'project', told: { limits: true } }, 0],
    ['of the address, which cannot be told', { of: 'address', told: { limits: true, groups: true } }, 0],
  ] as const)('for a quota %s', (_name, { of, told }, avoidable) => {
    const { fail, serve, tally } = benchOf({ quotas: [quotaOf({ of })], told });
    serve('a', 0);
    fail('a', 1000);
    expect(tally.figures()).toMatchObject({ avoidable, failures: { quota: 1 } });
    // Then it was known, whoever could have told.
    fail('a', 2000);
    expect(tally.figures().avoidable).toBe(avoidable + 1);
  });
});

describe('time to notice', () => {
  test('is from the first failure to the last of three within ten seconds: one now and then is a trial', () => {
    const { fail, tally } = benchOf({ troubles: [{ kind: 'revoked', keys: ['a'], fromMs: 0 }] });
    for (const atMs of [0, 6000, 9999, 15_000, 20_000, 25_000, 60_000]) fail('a', atMs);
    expect(tally.figures().noticeMs).toBe(15_000);
  });

  test('of a single failure is none', () => {
    const { fail, tally } = benchOf({ troubles: [{ kind: 'revoked', keys: ['a'], fromMs: 0 }] });
    for (const atMs of [0, 600_000]) fail('a', atMs);
    expect(tally.figures().noticeMs).toBe(0);
  });

  test('is the median over troubles, and has nothing to do with quotas', () => {
    const troubles: Trouble[] = ['a', 'b', 'c'].map(id => ({ kind: 'revoked', keys: [id], fromMs: 0 }));
    const keys = ['a', 'b', 'c', 'd'].map(id => ({ id }));
    const { fail, serve, tally } = benchOf({ keys, troubles, quotas: [quotaOf()] });
    for (const [keyId, atMs] of [['a', 0], ['b', 0], ['b', 1000], ['b', 4000], ['c', 0], ['c', 1000], ['c', 9000]] as const) fail(keyId, atMs);
    serve('d', 0);
    for (const atMs of [1000, 2000]) fail('d', atMs);
    expect(tally.figures().noticeMs).toBe(4000);
  });
});

describe('time to recover', () => {
  test('is from the end of a trouble to the first answer: of the key, where it was the key\'s', () => {
    const troubles: Trouble[] = [{ kind: 'revoked', keys: ['a'], fromMs: 0, untilMs: 10_000 }];
    const { fail, serve, tally } = benchOf({ troubles });
    fail('a', 0);
    serve('b', 11_000);
    expect(tally.figures().recoverMs).toBeUndefined();
    serve('a', 15_000);
    serve('a', 20_000);
    expect(tally.figures().recoverMs).toBe(5100);
  });

  test.each(['overloaded', 'outage'] as const)('of any key, where it was the provider\'s: %s', kind => {
    const { fail, serve, tally } = benchOf({ troubles: [{ kind, fromMs: 0, untilMs: 10_000 }] });
    fail('a', 0);
    serve('b', 12_000);
    expect(tally.figures().recoverMs).toBe(2100);
  });

  test('does not begin with an answer to what was begun before the end, and never comes for what has none', () => {
    const { fail, tally } = benchOf({ troubles: [{ kind: 'overloaded', fromMs: 0, untilMs: 10_000 }] });
    fail('a', 0);
    tally.succeeded(callOf(0), 'a', START_AT + 9999, START_AT + 11_000);
    expect(tally.figures().recoverMs).toBeUndefined();
    const forGood = benchOf({ troubles: [{ kind: 'revoked', keys: ['a'], fromMs: 0 }] });
    forGood.fail('a', 0);
    forGood.tally.succeeded(callOf(0), 'a', START_AT + 1e9, START_AT + 1e9);
    expect(forGood.tally.figures().recoverMs).toBeUndefined();
  });
});

describe('fairness', () => {
  test('is 1 where all keys have served as much, and one in so many where one has served all', () => {
    const even = benchOf({ keys: ['a', 'b', 'c', 'd'].map(id => ({ id })) });
    for (const keyId of ['a', 'b', 'c', 'd']) even.serve(keyId, 0);
    expect(even.tally.figures().fairness).toBe(1);
    const uneven = benchOf({ keys: ['a', 'b', 'c', 'd'].map(id => ({ id })) });
    uneven.serve('a', 0);
    expect(uneven.tally.figures().fairness).toBe(1 / 4);
  });

  test('asks of each key as much as it can do, and of those in trouble nothing', () => {
    const keys = [{ id: 'a', scale: 3 }, { id: 'b' }, { id: 'c' }];
    const troubles: Trouble[] = [{ kind: 'revoked', keys: ['c'], fromMs: 1e9 }, { kind: 'outage', fromMs: 1e9 }];
    const { serve, tally } = benchOf({ keys, troubles });
    for (let count = 0; count < 3; count++) serve('a', 0);
    serve('b', 0);
    expect(tally.figures().fairness).toBe(1);
  });

  test('leaves out keys that a trouble of the provider is for', () => {
    const { serve, tally } = benchOf({ troubles: [{ kind: 'slow', keys: ['b'], fromMs: 0 }] });
    serve('a', 0);
    expect(tally.figures().fairness).toBe(1);
  });
});

describe('waits', () => {
  test('are until the attempt that was answered began: the median, and the longest but one in a hundred', () => {
    const { serve, tally } = benchOf();
    for (let waitMs = 1; waitMs <= 200; waitMs++) serve('a', waitMs, 0);
    expect(tally.figures()).toMatchObject({ waitP50Ms: 101, waitP99Ms: 199 });
  });

  test('of a call that no attempt has answered are none: its policy has made the answer up', () => {
    const { tally } = benchOf();
    expect(() => tally.answered(callOf(0, { id: 7 }), START_AT + 700)).toThrow('call 7 was answered, but none of its attempts was');
  });
});

test('the share of attempts whose prompt was remembered', () => {
  const { fail, tally } = benchOf({ troubles: [{ kind: 'revoked', keys: ['a'], fromMs: 0 }] });
  tally.admitted(true);
  tally.admitted(false);
  tally.admitted(true);
  fail('a', 0);
  expect(tally.figures().cached).toBe(0.5);
});
