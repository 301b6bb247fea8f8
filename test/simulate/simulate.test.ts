import { describe, expect, test } from 'vitest';
import { compare } from '../../src/simulate/comparison.ts';
import { guardPolicy } from '../../src/simulate/guard-policy.ts';
import { Refused, SimulatedFailure, type Policy, type Surroundings } from '../../src/simulate/policy.ts';
import type { SimulatedProvider } from '../../src/simulate/scenario.ts';
import { simulate } from '../../src/simulate/simulate.ts';
import { toTable } from '../../src/simulate/table.ts';
import { callsOf } from '../../src/simulate/traffic.ts';
import { World } from '../../src/simulate/world.ts';
import { MINUTE_MS, quotaOf, scenarioOf, START_AT, STEADY, type Calls } from './support.ts';

/** Takes the first key for everything, or does what it is told. */
function policyOf(name: string, call: (surroundings: Surroundings) => ReturnType<Policy['start']>['call']): Policy {
  return { name, start: surroundings => ({ call: call(surroundings) }) };
}

const firstKey = policyOf('first key', ({ attempt }) => (call, _process, signal) => attempt(call, 'a', signal));

const busy = scenarioOf(
  {
    dialect: 'openai',
    quotas: [quotaOf({ limit: 10 }), quotaOf({ counts: 'tokens', limit: 9000 })],
    troubles: [
      { kind: 'overloaded', fromMs: 60_000, untilMs: 90_000 },
      { kind: 'revoked', keys: ['b'], fromMs: 150_000 },
    ],
    promptCacheMs: MINUTE_MS,
    uplinkMs: [5, 40],
    latency: { medianMs: 500, sigma: 0.5 },
  },
  { ...STEADY, sessions: 5, tokens: 500, leaving: 0.1 },
);

describe('a simulation', () => {
  test.each([1, 3])('has the same figures for the same seed, and others for another: %i processes', async processes => {
    const scenario = { ...busy, processes };
    const first = await simulate(scenario, [guardPolicy, firstKey], 7);
    expect(await simulate(scenario, [guardPolicy, firstKey], 7)).toEqual(first);
    expect(await simulate(scenario, [guardPolicy, firstKey], 8)).not.toEqual(first);
    expect(first.guard!.served).toBeGreaterThan(0);
    expect(first.guard!.failures).not.toEqual({});
  });

  test('of one policy does not depend on those beside it', async () => {
    const both = await simulate(busy, [firstKey, guardPolicy], 3);
    const alone = await simulate(busy, [guardPolicy], 3);
    expect(both.guard).toEqual({ ...alone.guard, goodput: both.guard!.goodput });
  });

  test('asks all policies the same, and says of each how much of the most it has served', async () => {
    const { 'first key': figures, idle } = await simulate(scenarioOf({ quotas: [quotaOf({ limit: 10 })] }), [
      firstKey,
      policyOf('idle', () => () => Promise.reject(new Refused('not today'))),
    ]);
    expect(idle).toMatchObject({ asked: figures!.asked, served: 0, refused: figures!.asked, goodput: 0, attempts: 0 });
    expect(figures!.served).toBeGreaterThan(40);
    // Two keys of the same size: one of them serves half of what both could.
    expect(figures!.goodput).toBeGreaterThan(0.4);
    expect(figures!.goodput).toBeLessThan(0.6);
  });

  test('without a call has served all there was', async () => {
    const nobody = scenarioOf({}, { shape: 'burst', calls: 0, atMs: 0, overMs: 0 });
    expect(await simulate(nobody, [firstKey])).toMatchObject({ 'first key': { asked: 0, goodput: 1 } });
  });
});

describe('a mistake of the policy\'s own', () => {
  const mistake = new TypeError('x is not a function');

  test('when it is called rejects, and counts as nothing', async () => {
    const broken = policyOf('broken', () => () => Promise.reject(mistake));
    await expect(simulate(scenarioOf({}), [broken])).rejects.toBe(mistake);
  });

  test('at a key that is not there rejects', async () => {
    const lost = policyOf('lost', ({ attempt }) => call => attempt(call, 'x'));
    await expect(simulate(scenarioOf({}), [lost])).rejects.toThrow(new RangeError('api has no key "x"'));
  });

  test('when it starts rejects', async () => {
    const broken: Policy = {
      name: 'broken',
      start: () => {
        throw mistake;
      },
    };
    await expect(simulate(scenarioOf({}), [broken])).rejects.toBe(mistake);
  });

  test('as a provider that is not there rejects', async () => {
    const lost = policyOf('lost', ({ attempt }) => call => attempt({ ...call, provider: 'nobody' }, 'a'));
    await expect(simulate(scenarioOf({}), [lost])).rejects.toThrow(new RangeError('no provider "nobody"'));
  });

  test('the first of several is the one that is told', async () => {
    let calls = 0;
    const broken = policyOf('broken', () => () => Promise.reject(new Error(`mistake ${++calls}`)));
    await expect(simulate(scenarioOf({}), [broken])).rejects.toThrow('mistake 1');
  });
});

describe('an attempt', () => {
  interface Seen {
    readonly atMs: number;
    readonly outcome: unknown;
  }

  /** What comes of the first call's attempt, and when. */
  async function attemptOf(provider: Partial<SimulatedProvider>, callers: Omit<Calls, 'shape'> = {}): Promise<Seen> {
    const scenario = scenarioOf(provider, { tokens: 100, ...callers, shape: 'burst', calls: 1, atMs: 0, overMs: 0 });
    let seen: Seen | undefined;
    const look = policyOf('look', ({ attempt, clock }) => async (call, _process, signal) => {
      try {
        const outcome = await attempt(call, 'a', signal);
        seen = { atMs: clock.now() - START_AT, outcome };
        return outcome;
      } catch (error) {
        seen = { atMs: clock.now() - START_AT, outcome: error };
        throw error;
      }
    });
    const world = new World(scenario, 1);
    await world.run(look, callsOf(scenario, 1), 1);
    return seen!;
  }

  test('takes its way, and as long as the provider needs', async () => {
    expect(await attemptOf({ uplinkMs: [30, 30] })).toEqual({
      atMs: 130,
      outcome: { status: 200, headers: {}, usage: { inputTokens: 100, outputTokens: 0 } },
    });
    const { atMs } = await attemptOf({ uplinkMs: [10, 20] });
    expect(atMs).toBeGreaterThanOrEqual(110);
    expect(atMs).toBeLessThanOrEqual(120);
    const scenario = { ...scenarioOf({}), providers: { api: { dialect: 'plain', keys: [{ id: 'a' }] } } } as const;
    const { 'first key': figures } = await simulate(scenario, [firstKey]);
    expect(figures!.served).toBe(figures!.asked);
  });

  test('takes so many times longer while the key is slow', async () => {
    const slow = { kind: 'slow', keys: ['a'], fromMs: 0, factor: 5 } as const;
    expect(await attemptOf({ troubles: [slow] })).toMatchObject({ atMs: 500 });
  });

  test('is refused after 50 ms, as the provider words it', async () => {
    const troubles = [{ kind: 'revoked', fromMs: 0 }] as const;
    const { atMs, outcome } = await attemptOf({ dialect: 'anthropic', troubles, quotas: [quotaOf()] });
    expect(atMs).toBe(50);
    expect(outcome).toBeInstanceOf(SimulatedFailure);
    expect(outcome).toMatchObject({
      status: 401,
      message: 'HTTP 401',
      headers: { 'anthropic-organization-id': 'of-a', 'anthropic-ratelimit-requests-limit': '1' },
      error: { type: 'error', error: { type: 'authentication_error' } },
    });
  });

  test('of a provider that is out hears nothing', async () => {
    const troubles = [{ kind: 'outage', fromMs: 0 }] as const;
    const { outcome } = await attemptOf({ dialect: 'openai', troubles, quotas: [quotaOf()] });
    expect(outcome).toMatchObject({ status: undefined, code: 'ECONNREFUSED', headers: {}, error: undefined });
  });

  test('names the organization of its key', async () => {
    const keys = [{ id: 'a', organization: 'acme' }];
    expect((await attemptOf({ dialect: 'anthropic', keys })).outcome).toMatchObject({
      headers: { 'anthropic-organization-id': 'acme' },
    });
  });

  test('ends when its caller leaves, and is counted all the same', async () => {
    const latency = { medianMs: 60_000, sigma: 0 };
    const seen = await attemptOf({ uplinkMs: [10, 10], latency }, { leaving: 1, patienceMs: 30_000 });
    expect(seen.outcome).toBeInstanceOf(DOMException);
    expect(seen.atMs).toBeLessThan(30_000);
  });

  test('of a prompt that is remembered costs a tenth', async () => {
    const used: number[] = [];
    const look = policyOf('look', ({ attempt }) => async call => {
      used.push((await attempt(call, 'a')).usage.inputTokens);
    });
    const trace = [0, 1000].map(time => ({ time, provider: 'api', session: 's', tokens: 95 }));
    const scenario = scenarioOf({ promptCacheMs: MINUTE_MS }, { shape: 'trace', calls: trace });
    const { look: figures } = await simulate(scenario, [look]);
    expect(used).toEqual([95, 10]);
    expect(figures).toMatchObject({ served: 2, cached: 0.5 });
  });
});

describe('processes', () => {
  test('have calls in turn', async () => {
    const seen: number[] = [];
    const look = policyOf('look', () => (_call, process) => {
      seen.push(process);
      return Promise.reject(new Refused('seen'));
    });
    await simulate(scenarioOf({}, { shape: 'burst', calls: 7, atMs: 0, overMs: 0 }, { processes: 3 }), [look]);
    expect(seen).toEqual([0, 1, 2, 0, 1, 2, 0]);
  });

  test('that share their keys do not use more than one would', async () => {
    const told = { limits: true };
    const scenario = scenarioOf({ quotas: [quotaOf({ limit: 10 })], told }, { ...STEADY, perMinute: 60 });
    const one = await simulate(scenario, [guardPolicy]);
    const many = await simulate({ ...scenario, processes: 4 }, [guardPolicy]);
    expect(one.guard).toMatchObject({ failures: {}, waste: 0 });
    expect(many.guard).toMatchObject({ failures: {}, waste: 0 });
    expect(many.guard!.goodput).toBeGreaterThan(0.9);
  });

  test('tell each other of a key that was revoked', async () => {
    const troubles = [{ kind: 'revoked', keys: ['a'], fromMs: 0 }] as const;
    const scenario = scenarioOf({ dialect: 'openai', troubles }, STEADY, { processes: 4 });
    const { guard } = await simulate(scenario, [guardPolicy]);
    expect(guard!.failures.revoked).toBeLessThanOrEqual(3);
    expect(guard!.served).toBe(guard!.asked);
  });
});

describe('over several seeds', () => {
  test('the figures are the medians, and the worst of each beside them', async () => {
    const seeds = [1, 2, 3, 4];
    const runs = await Promise.all(seeds.map(seed => simulate(busy, [firstKey], seed)));
    const { policies, ...rest } = await compare(busy, [firstKey], seeds);
    expect(rest).toEqual({ name: 'test', about: 'A test.', seeds, guard: undefined });
    const figures = policies['first key']!;
    const served = runs.map(run => run['first key']!.served).sort((a, b) => a - b);
    expect(figures.served).toBe(served[1]);
    expect(figures.worst.goodput).toBe(Math.min(...runs.map(run => run['first key']!.goodput)));
    expect(figures.worst.waste).toBe(Math.max(...runs.map(run => run['first key']!.waste)));
    expect(figures.worst.keyFaults).toBe(Math.max(...runs.map(run => run['first key']!.keyFaults)));
    const causes = new Set(runs.flatMap(run => Object.keys(run['first key']!.failures)));
    expect(new Set(Object.keys(figures.failures))).toEqual(causes);
    expect(figures.noticeMs).toBeDefined();
  });

  test('of nobody, or by seeds that are none, are refused', async () => {
    await expect(compare(scenarioOf({}), [], [1])).rejects.toThrow('policies: expected one at least, found none');
    await expect(compare(scenarioOf({}), [firstKey], [1, 1.5])).rejects.toThrow('seeds: expected whole numbers, found 1.5');
  });

  test('what never happened has no time', async () => {
    const { policies } = await compare(scenarioOf({ keys: [{ id: 'a' }] }), [firstKey], [1, 2]);
    expect(toTable({ name: '', about: '', seeds: [1, 2], guard: undefined, policies })).toMatch(/\| +\| +\| +1\.00 \| +\|$/);
    const nothing = { noticeMs: undefined, recoverMs: undefined, failures: {} };
    expect(policies['first key']).toMatchObject({ ...nothing, goodput: 1 });
  });

  test('are shown as a table', async () => {
    const troubles = [{ kind: 'overloaded', fromMs: 0, untilMs: 60_000 }] as const;
    const table = toTable(await compare(scenarioOf({ troubles }), [firstKey], [1]));
    const [title, , about, , head, rule, row, ...more] = table.split('\n');
    expect([title, about, more]).toEqual(['### test', 'A test.', []]);
    expect(new Set([head!.length, rule!.length, row!.length]).size).toBe(1);
    const cells = (line = ''): string[] => line.split('|').slice(1, -1).map(cell => cell.trim());
    expect(cells(head)).toHaveLength(cells(row).length);
    expect(cells(head).slice(0, 2)).toEqual(['policy', 'goodput']);
    expect(cells(row)[0]).toBe('first key');
    expect(cells(row)[1]).toMatch(/^[01]\.\d{4}$/);
    expect(cells(row)[3]).toMatch(/^\d+\.\d\d %$/);
    expect(table).toMatch(/\d+ ms/);
    expect(table).toMatch(/\d+\.\d s/);
  });
});
