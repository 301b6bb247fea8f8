import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mostServable } from '../../src/simulate/oracle.ts';
import type { Scenario, SimulatedProvider, SimulatedQuota, Trouble } from '../../src/simulate/scenario.ts';
import type { AskedCall } from '../../src/simulate/traffic.ts';
import { bruteForce, STEP_MS } from './brute-force.ts';
import { callOf, MINUTE_MS, providerOf, quotaOf, START, START_AT } from './support.ts';

function scenarioOf(providers: Record<string, SimulatedProvider>): Scenario {
  return { name: 'oracle', about: 'Oracle.', startAt: START, durationMs: 10 * MINUTE_MS, providers, traffic: [] };
}

const inOrder = (calls: readonly AskedCall[]): AskedCall[] =>
  [...calls].sort((a, b) => a.at - b.at).map((call, id) => ({ ...call, id }));
const most = (provider: SimulatedProvider, calls: readonly AskedCall[]): number =>
  mostServable(scenarioOf({ api: provider }), inOrder(calls));

const steps = (least: number, greatest: number) =>
  fc.integer({ min: least, max: greatest }).map(step => step * STEP_MS);
const someCalls = fc.array(
  fc.tuple(steps(0, 4), steps(0, 4)).map(([atMs, patienceMs]) => callOf(atMs, { patienceMs, serviceMs: 0 })),
  { minLength: 1, maxLength: 6 },
);
const someQuota = fc.record({
  of: fc.constantFrom<SimulatedQuota['of'][]>('key', 'project', 'address'),
  form: fc.constantFrom<SimulatedQuota['form'][]>('sliding', 'fixed'),
  limit: fc.integer({ min: 1, max: 2 }),
  perModel: fc.boolean(),
}).map(quotaOf);
const someTrouble = fc.option(
  fc.record({
    kind: fc.constantFrom<Trouble['kind'][]>('revoked', 'overloaded'),
    keys: fc.constantFrom(['a'], ['b'], ['a', 'b']),
    fromMs: steps(0, 3),
    untilMs: steps(1, 6),
  }),
  { nil: undefined },
);

describe('the most that can be served', () => {
  test('is that of the best of all schedules, for two keys and up to six callers of the same patience', () => {
    const equallyPatient = fc
      .tuple(steps(0, 4), fc.array(fc.tuple(steps(0, 4), fc.constantFrom('pro', 'flash')), { minLength: 1, maxLength: 6 }))
      .map(([patienceMs, comings]) => comings.map(([atMs, model]) => callOf(atMs, { model, patienceMs, serviceMs: 0 })));
    fc.assert(
      fc.property(someQuota, equallyPatient, (quota, calls) => {
        const provider = providerOf({ quotas: [quota] });
        expect(most(provider, calls)).toBe(bruteForce(provider, inOrder(calls)));
      }),
      { numRuns: 60 },
    );
  });

  test('is never more than the best of all schedules', () => {
    fc.assert(
      fc.property(someQuota, someTrouble, someCalls, (quota, trouble, calls) => {
        const provider = providerOf({ quotas: [quota], troubles: trouble ? [trouble] : [] });
        expect(most(provider, calls)).toBeLessThanOrEqual(bruteForce(provider, inOrder(calls)));
      }),
      { numRuns: 60 },
    );
  });

  test('is never more than the quota lets through, nor than there are calls', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.record({ atMs: fc.nat(5 * MINUTE_MS), patienceMs: fc.nat(2 * MINUTE_MS) }), { maxLength: 60 }),
        (limit, keyCount, comings) => {
          const keys = Array.from({ length: keyCount }, (_, index) => ({ id: `key-${index}` }));
          const calls = comings.map(({ atMs, patienceMs }) => callOf(atMs, { patienceMs }));
          const served = most(providerOf({ keys, quotas: [quotaOf({ limit })] }), calls);
          // Calls begin within seven minutes.
          expect(served).toBeLessThanOrEqual(Math.min(calls.length, keyCount * limit * 8));
          const first = calls.filter(({ at, patienceMs }) => at - START_AT + patienceMs < MINUTE_MS);
          expect(most(providerOf({ keys, quotas: [quotaOf({ limit })] }), first)).toBeLessThanOrEqual(keyCount * limit);
        },
      ),
    );
  });

  test('is all where nothing is limited and nobody leaves before he can be answered', () => {
    const inTime = callOf(500, { patienceMs: 100, serviceMs: 100 });
    const calls = [callOf(0), callOf(0), inTime, callOf(600, { patienceMs: 99, serviceMs: 100 })];
    expect(most(providerOf(), calls)).toBe(3);
    expect(most(providerOf(), [])).toBe(0);
  });

  test('leaves out callers who leave before they said', () => {
    const leaves = callOf(0, { leavesAt: START_AT + 59_999 });
    expect(most(providerOf(), [leaves, callOf(1)])).toBe(1);
  });

  test('serves first who has to be served first', () => {
    const provider = providerOf({ keys: [{ id: 'a' }], quotas: [quotaOf()] });
    expect(most(provider, [callOf(0, { patienceMs: 2 * MINUTE_MS }), callOf(0, { patienceMs: 1000 })])).toBe(2);
  });

  test('waits for whatever comes back first: a quota, the end of a trouble', () => {
    const troubles: Trouble[] = [{ kind: 'outage', keys: ['b'], fromMs: 0, untilMs: 10_000 }];
    const provider = providerOf({ quotas: [quotaOf()], troubles });
    const calls = [0, 0, 0].map(() => callOf(0, { patienceMs: 30_000 }));
    expect(most(provider, calls)).toBe(2);
    expect(most(provider, calls.map(() => callOf(0, { patienceMs: 9000 })))).toBe(1);
    const revoked = providerOf({ troubles: [{ kind: 'revoked', fromMs: 0 }] });
    expect(most(revoked, calls)).toBe(0);
  });

  test('counts each provider for itself, and none that is not there', () => {
    const providers = { one: providerOf({ quotas: [quotaOf({ of: 'address' })] }), two: providerOf() };
    const asked = ['one', 'one', 'two', 'two', 'three'];
    const calls = inOrder(asked.map(provider => callOf(0, { provider, patienceMs: 1000 })));
    expect(mostServable(scenarioOf(providers), calls)).toBe(3);
    expect(mostServable(scenarioOf({ none: providerOf({ keys: [] }) }), [callOf(0, { provider: 'none' })])).toBe(0);
  });

  test('uses the prompts that are remembered', () => {
    const quotas = [quotaOf({ counts: 'tokens', limit: 110 })];
    const sessions = ['s', 't', 's', 't'];
    const calls = sessions.map((session, index) => callOf(index, { session, tokens: 100, patienceMs: 1000 }));
    expect(most(providerOf({ quotas, promptCacheMs: 10_000 }), calls)).toBe(4);
    expect(most(providerOf({ quotas }), calls)).toBe(2);
  });
});
