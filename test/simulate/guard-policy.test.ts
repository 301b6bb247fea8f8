import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { ExecutionGuardConfig, KeyConfig, KeyProviderConfig } from '../../src/index.ts';
import { explainingPolicy, guardPolicy } from '../../src/simulate/guard-policy.ts';
import { SharedStore } from '../../src/simulate/shared-store.ts';
import type { Scenario, SimulatedProvider, SimulatedQuota } from '../../src/simulate/scenario.ts';
import { simulate, type RunResult } from '../../src/simulate/simulate.ts';
import { SimClock } from '../../src/simulate/sim-clock.ts';
import { MINUTE_MS, quotaOf, scenarioOf, START_AT, STEADY } from './support.ts';

const configs = vi.hoisted((): ExecutionGuardConfig[] => []);

vi.mock('../../src/index.ts', async importOriginal => {
  const original = await importOriginal<typeof import('../../src/index.ts')>();
  class WatchedGuard extends original.ExecutionGuard {
    constructor(...parameters: ConstructorParameters<typeof original.ExecutionGuard>) {
      super(...parameters);
      if (parameters[0]) configs.push(parameters[0]);
    }
  }
  return { ...original, ExecutionGuard: WatchedGuard };
});

beforeEach(() => {
  configs.length = 0;
});

interface ConfiguredPool extends Omit<KeyProviderConfig, 'keys'> {
  readonly keys: readonly KeyConfig[];
}

/** The pool that the policy configures. */
function poolOf(provider: Partial<SimulatedProvider>, more: Partial<Scenario> = {}): ConfiguredPool {
  const clock = new SimClock(START_AT);
  const running = guardPolicy.start({
    scenario: scenarioOf(provider, STEADY, more),
    clock,
    random: () => 0,
    attempt: () => Promise.reject(new Error('not asked')),
  });
  running.close?.();
  const { keys = [], ...pool } = configs[0]?.keyManagement?.providers?.api ?? {};
  if (!Array.isArray(keys)) throw new TypeError('The keys come from somewhere else');
  return { ...pool, keys: keys.filter((key): key is KeyConfig => typeof key === 'object' && key !== null) };
}

const figuresOf = async (scenario: Scenario): Promise<RunResult> => (await simulate(scenario, [guardPolicy])).guard!;

const quotas: SimulatedQuota[] = [
  quotaOf({ limit: 10 }),
  quotaOf({ limit: 500, per: 'day' }),
  quotaOf({ counts: 'tokens', limit: 1000 }),
  quotaOf({ counts: 'tokens', limit: 9000, per: 'day' }),
];
const keys = [
  { id: 'a', project: 'p', organization: 'o' },
  { id: 'b', project: 'p' },
  { id: 'c', project: 'q' },
  { id: 'd' },
];

test('a limit that each model has by itself is configured for every model there are calls of', () => {
  const calls = [{ time: 0, provider: 'api', model: 'pro' }, { time: 1, provider: 'api', model: 'flash' }];
  const traffic = [{ provider: 'api', patienceMs: 1000, shape: 'trace', calls }] as const;
  const ofModel = quotaOf({ limit: 5, perModel: true });
  const pool = poolOf({ keys: [{ id: 'a', scale: 2 }], quotas: [quotaOf({ limit: 7 }), ofModel], told: { limits: true } }, { traffic });
  expect(pool.keys[0]?.limits).toEqual({ rpm: 14, models: { pro: { rpm: 10 }, flash: { rpm: 10 } } });
  configs.length = 0;
  const project = { ...ofModel, of: 'project' } as const;
  const shared = poolOf({ keys, quotas: [project], told: { limits: true, groups: true } }, { traffic });
  expect(shared.groups).toMatchObject({ p: { limits: { models: { pro: { rpm: 5 }, flash: { rpm: 5 } } } } });
});

describe('keys', () => {
  test('have their ids, secrets that differ, and the limits that were told', () => {
    const pool = poolOf({ quotas, told: { limits: true } });
    const limits = { rpm: 10, rpd: 500, tpm: 1000, tpd: 9000 };
    expect(pool).toMatchObject({ keys: [{ id: 'a', limits }, { id: 'b', limits }], groups: {} });
    expect(JSON.stringify(pool)).not.toContain('"group"');
    const secrets = pool.keys.map(({ key }) => key);
    expect(new Set(secrets).size).toBe(2);
  });

  test('have as many times more as they are larger', () => {
    const scaled = [{ id: 'a', scale: 2 }, { id: 'b' }];
    const pool = poolOf({ keys: scaled, quotas: [quotaOf({ limit: 10 })], told: { limits: true } });
    expect(pool).toMatchObject({ keys: [{ limits: { rpm: 20 } }, { limits: { rpm: 10 } }] });
  });

  test('were scaled where it is a project that is limited, which is as large as any', () => {
    const scaled = [{ id: 'a', scale: 0.5 }, { id: 'b' }];
    const pool = poolOf({ keys: scaled, quotas: [quotaOf({ of: 'project', limit: 10 })], told: { limits: true } });
    expect(pool).toMatchObject({ keys: [{ limits: { rpm: 10 } }, { limits: { rpm: 10 } }] });
  });

  test.each([{}, { groups: true }, { limits: false }])('have no limits where none were told: %o', told => {
    expect(poolOf({ quotas, told })).toMatchObject({ keys: [{ limits: {} }, { limits: {} }], groups: {} });
  });

  test('where nothing was told have no limits', () => {
    expect(poolOf({ quotas })).toMatchObject({ keys: [{ limits: {} }, { limits: {} }] });
    expect(poolOf({})).toMatchObject({ keys: [{ limits: {} }, { limits: {} }] });
  });
});

describe('who shares a quota', () => {
  const shared = [quotaOf({ of: 'project', limit: 7 }), quotaOf({ limit: 10, counts: 'tokens' })];

  test('is in a group with its limits, where that was told; a key of its own has them itself', () => {
    const pool = poolOf({ keys, quotas: shared, told: { limits: true, groups: true } });
    expect(pool.groups).toEqual({ p: { limits: { rpm: 7 } }, q: { limits: { rpm: 7 } } });
    expect(pool.keys).toMatchObject([
      { id: 'a', group: 'p', limits: { tpm: 10 } },
      { id: 'b', group: 'p', limits: { tpm: 10 } },
      { id: 'c', group: 'q', limits: { tpm: 10 } },
      { id: 'd', limits: { rpm: 7, tpm: 10 } },
    ]);
    expect(pool.keys[3]).not.toHaveProperty('group');
  });

  test('is by organization, where that is what shares', () => {
    const quota = quotaOf({ of: 'organization', limit: 7 });
    const pool = poolOf({ keys, quotas: [quota], told: { limits: true, groups: true } });
    expect(pool.groups).toEqual({ o: { limits: { rpm: 7 } } });
    expect(pool.keys.map(({ group }) => group)).toEqual(['o', undefined, undefined, undefined]);
    expect(pool.keys.map(({ limits }) => limits)).toEqual([{}, { rpm: 7 }, { rpm: 7 }, { rpm: 7 }]);
  });

  test('is in a group without limits, where only that was told', () => {
    const pool = poolOf({ keys, quotas: shared, told: { groups: true } });
    expect(pool.groups).toEqual({ p: { limits: {} }, q: { limits: {} } });
  });

  test('is taken for each key\'s own where only limits were told', () => {
    const pool = poolOf({ keys, quotas: shared, told: { limits: true } });
    expect(pool.groups).toEqual({});
    for (const key of pool.keys) expect(key).toMatchObject({ limits: { rpm: 7, tpm: 10 } });
  });

  test('is never all that comes from an address: no configuration says so', () => {
    const pool = poolOf({ keys, quotas: [quotaOf({ of: 'address', limit: 7 })], told: { limits: true, groups: true } });
    expect(pool).toMatchObject({ groups: {}, keys: keys.map(() => ({ limits: {} })) });
  });
});

describe('the guard', () => {
  test.each([
    ['gemini', 'gemini'],
    ['openai', 'openai'],
    ['plain', 'generic'],
  ] as const)('reads answers of the dialect %s as those of %s', (dialect, profile) => {
    expect(poolOf({ dialect })).toMatchObject({ profile });
  });

  test('has the options of the scenario, for itself and for its pools', () => {
    const options = { retry: { maxRetries: 7 } };
    const pool = poolOf({}, { guard: { options, pool: { maxWaitMs: 1234, strategy: 'weighted' } } });
    expect(pool).toMatchObject({ maxWaitMs: 1234, strategy: 'weighted', keys: [{ id: 'a' }, { id: 'b' }] });
    expect(configs).toMatchObject([{ retry: { maxRetries: 7 }, queue: { maxQueueSize: 1_000_000 } }]);
    expect(configs[0]).not.toHaveProperty('store');
  });

  test('is one for each process, all with one store', () => {
    poolOf({}, { processes: 3 });
    expect(configs).toHaveLength(3);
    expect(configs[0]?.store).toBeInstanceOf(SharedStore);
    expect(new Set(configs.map(({ store }) => store)).size).toBe(1);
  });

  test('wastes nothing where all was told, and finds out where nothing was', async () => {
    const provider = { keys, quotas: [quotaOf({ of: 'project', limit: 10 })], uplinkMs: [0, 0] } as const;
    const told = await figuresOf(scenarioOf({ ...provider, told: { limits: true, groups: true } }));
    expect(told).toMatchObject({ failures: {}, waste: 0, keyFaults: 0 });
    const untold = await figuresOf(scenarioOf(provider));
    expect(untold.failures.quota).toBeGreaterThan(0);
  });

  test('tells the real tokens of an answer, so that what was remembered is free again', async () => {
    const calls = { ...STEADY, sessions: 1, tokens: 1000 };
    const quota = quotaOf({ counts: 'tokens', limit: 10_000 });
    const provider = { keys: [{ id: 'a' }], quotas: [quota], told: { limits: true }, promptCacheMs: MINUTE_MS };
    const figures = await figuresOf(scenarioOf(provider, calls));
    expect(figures.served).toBe(figures.asked);
    expect(figures.cached).toBeGreaterThan(0.9);
  });

  test('lets callers go who leave, and who have waited as long as they said', async () => {
    const provider = { quotas: [quotaOf({ limit: 5 })], told: { limits: true } };
    const figures = await figuresOf(scenarioOf(provider, { ...STEADY, leaving: 0.5 }));
    expect(figures.asked).toBeGreaterThan(figures.served);
    expect(figures.served + figures.refused).toBe(figures.asked);
    expect(figures.waitP99Ms).toBeLessThanOrEqual(20_000);
  });
});

describe('an explanation', () => {
  test('tells of each attempt of one call which key was chosen, and why no other was', async () => {
    const reports: string[] = [];
    const scenario = scenarioOf(
      { dialect: 'openai', troubles: [{ kind: 'revoked', keys: ['a'], fromMs: 0 }] },
      { shape: 'burst', calls: 3, atMs: 0, overMs: 0 },
    );
    const { guard } = await simulate(scenario, [explainingPolicy(0, text => reports.push(text))]);
    expect(guard).toMatchObject({ served: 3 });
    expect(reports).toHaveLength(2);
    const [first, second] = reports;
    expect(first).toMatch(/^2026-11-20T12:00:00\.000Z attempt 1: a\n {2}> a: ready: /);
    expect(first).toContain('    b: ready: ');
    expect(second).toMatch(/^2026-11-20T12:00:00\.050Z attempt 2: b\n/);
    expect(second).toContain('    a: suspect: ');
    expect(reports.join()).not.toContain('secret');
  });

  test('tells where no key could be had, and nothing of other calls', async () => {
    const reports: string[] = [];
    const provider = { keys: [{ id: 'a' }], quotas: [quotaOf()], told: { limits: true } };
    const scenario = scenarioOf(provider, { shape: 'burst', calls: 2, atMs: 0, overMs: 0 });
    await simulate(scenario, [explainingPolicy(1, text => reports.push(text))]);
    expect(reports[0]).toMatch(/attempt 1: no key\n {4}a: exhausted: /);
    const nobody: string[] = [];
    await simulate(scenario, [explainingPolicy(99, text => nobody.push(text))]);
    expect(nobody).toEqual([]);
  });
});
