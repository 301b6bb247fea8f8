import { describe, expect, it } from 'vitest';
import { bifrost } from '../../bench/policies/bifrost.ts';
import { gptLoad } from '../../bench/policies/gpt-load.ts';
import { peers } from '../../bench/policies/index.ts';
import { litellm } from '../../bench/policies/litellm.ts';
import { roundRobin } from '../../bench/policies/round-robin.ts';
import { sdk } from '../../bench/policies/sdk.ts';
import { SimulatedFailure, type Policy } from '../../src/simulate/policy.ts';
import type { Scenario, SimulatedProvider, Traffic } from '../../src/simulate/scenario.ts';
import { simulate, type RunResult } from '../../src/simulate/simulate.ts';
import { callsOf } from '../../src/simulate/traffic.ts';

const START = '2026-11-20T06:00:00Z';
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A request is on its way for no time, and a refusal takes 50 ms. */
const REFUSAL_MS = 50;

interface Attempt {
  readonly keyId: string;
  readonly atMs: number;
}

interface Situation {
  readonly provider: Partial<SimulatedProvider>;
  readonly keys?: number;
  /** When calls come. */
  readonly callsAtMs?: readonly number[];
  readonly traffic?: Partial<Pick<Traffic, 'patienceMs' | 'leaving'>>;
  readonly processes?: number;
}

interface Run extends RunResult {
  readonly tried: readonly Attempt[];
  /** The first caller. */
  readonly leavesAtMs: number;
}

/** What a policy does, attempt by attempt. */
async function run(policy: Policy, situation: Situation): Promise<Run> {
  const { callsAtMs = [0], keys = 2, processes = 1, provider, traffic } = situation;
  const startAt = Date.parse(START);
  const tried: Attempt[] = [];
  const watched: Policy = {
    name: policy.name,
    start: surroundings =>
      policy.start({
        ...surroundings,
        attempt(call, keyId, signal) {
          tried.push({ keyId, atMs: surroundings.clock.now() - startAt });
          return surroundings.attempt(call, keyId, signal);
        },
      }),
  };
  const scenario: Scenario = {
    name: 'test',
    about: 'A test.',
    startAt: START,
    durationMs: 6 * HOUR_MS,
    processes,
    providers: {
      vendor: {
        dialect: 'plain',
        keys: Array.from({ length: keys }, (_, index) => ({ id: `key-${index}` })),
        latency: { medianMs: 100, sigma: 0 },
        uplinkMs: [0, 0],
        ...provider,
      },
    },
    traffic: [
      {
        shape: 'trace',
        provider: 'vendor',
        calls: callsAtMs.map(ms => ({ time: startAt + ms, provider: 'vendor' })),
        patienceMs: 10 * MINUTE_MS,
        ...traffic,
      },
    ],
  };
  const leavesAtMs = callsOf(scenario, 1)[0]!.leavesAt - startAt;
  return { ...(await simulate(scenario, [watched]))[policy.name]!, leavesAtMs, tried };
}

const keysOf = (tried: readonly Attempt[]): string[] => tried.map(({ keyId }) => keyId);
const timesOf = (tried: readonly Attempt[]): number[] => tried.map(({ atMs }) => atMs);
const every = (ms: number, times: number): number[] => Array.from({ length: times }, (_, index) => index * ms);
/** From each failure to the next attempt. */
const waitsOf = (tried: readonly Attempt[]): number[] =>
  tried.slice(1).map(({ atMs }, index) => atMs - tried[index]!.atMs - REFUSAL_MS);

const onePerMinute = { of: 'key', counts: 'requests', limit: 1, per: 'minute', form: 'fixed' } as const;
const onePerDay = { ...onePerMinute, per: 'day' } as const;
const overloaded: Partial<SimulatedProvider> = { troubles: [{ kind: 'overloaded', fromMs: 0 }] };
const revoked = (keyId: string): Partial<SimulatedProvider> => ({
  troubles: [{ kind: 'revoked', keys: [keyId], fromMs: 0 }],
});

describe('every peer', () => {
  it.each(peers)('$name is answered by a provider that is well', async policy => {
    const { served, tried } = await run(policy, { provider: {}, callsAtMs: every(1_000, 20) });
    expect(served).toBe(20);
    expect(tried).toHaveLength(20);
  });

  it.each([sdk, roundRobin, bifrost])('$name begins no attempt once the caller has lost patience', async policy => {
    const patient = await run(policy, { provider: overloaded });
    const last = Math.max(...timesOf(patient.tried));
    const { errors, tried } = await run(policy, { provider: overloaded, traffic: { patienceMs: last } });
    expect(errors).toBe(1);
    expect(tried).toEqual(patient.tried.slice(0, -1));
  });

  it.each([sdk, roundRobin, bifrost])('$name begins no attempt once the caller has left', async policy => {
    const traffic = { patienceMs: 1_500, leaving: 1 };
    const { leavesAtMs, tried } = await run(policy, { provider: overloaded, traffic });
    const patient = await run(policy, { provider: overloaded });
    expect(tried).toEqual(patient.tried.filter(({ atMs }) => atMs < leavesAtMs));
    expect(tried.length).toBeLessThan(patient.tried.length);
  });

  it.each(peers)('$name fails a call of a provider without keys', async policy => {
    const { refused, tried } = await run(policy, { provider: {}, keys: 0 });
    expect(refused).toBe(1);
    expect(tried).toEqual([]);
  });
});

describe('round-robin', () => {
  it('takes the next key for each call', async () => {
    const { tried } = await run(roundRobin, { provider: {}, callsAtMs: every(1_000, 4) });
    expect(keysOf(tried)).toEqual(['key-0', 'key-1', 'key-0', 'key-1']);
  });

  it('retries with the key that failed, after 1 s, 2 s, 4 s, 8 s and 16 s', async () => {
    const { errors, tried } = await run(roundRobin, { provider: overloaded });
    expect(new Set(keysOf(tried))).toEqual(new Set(['key-0']));
    expect(errors).toBe(1);
    const waits = waitsOf(tried);
    expect(waits).toHaveLength(5);
    for (const [index, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual(1_000 * 2 ** index);
      expect(wait).toBeLessThan(1_000 * 2 ** index + 500);
    }
  });

  it('keeps a revoked key, and fails every second call', async () => {
    const callsAtMs = every(1_000, 10);
    const { errors, keyFaults, served } = await run(roundRobin, { provider: revoked('key-0'), callsAtMs });
    expect({ errors, keyFaults, served }).toEqual({ errors: 5, keyFaults: 5, served: 5 });
  });

  it('has a turn of its own in each process', async () => {
    const { tried } = await run(roundRobin, { provider: {}, callsAtMs: every(1_000, 4), processes: 2 });
    expect(keysOf(tried)).toEqual(['key-0', 'key-0', 'key-1', 'key-1']);
  });
});

describe('sdk', () => {
  it('stays on the first key, and retries twice after 0.5 s and 1 s', async () => {
    const { tried } = await run(sdk, { provider: overloaded });
    expect(keysOf(tried)).toEqual(['key-0', 'key-0', 'key-0']);
    const [first, second] = waitsOf(tried);
    expect(first).toBeGreaterThan(375);
    expect(first).toBeLessThanOrEqual(500);
    expect(second).toBeGreaterThan(750);
    expect(second).toBeLessThanOrEqual(1_000);
  });

  it('comes back when retry-after says', async () => {
    const { served, tried } = await run(sdk, {
      provider: { dialect: 'anthropic', quotas: [onePerMinute] },
      callsAtMs: [0, 10_000],
    });
    expect(served).toBe(2);
    expect(timesOf(tried)).toEqual([0, 10_000, MINUTE_MS + REFUSAL_MS]);
  });

  it('comes back to the millisecond when retry-after-ms says', async () => {
    const provider: Partial<SimulatedProvider> = { dialect: 'openai', quotas: [onePerMinute] };
    const { tried } = await run(sdk, { provider, callsAtMs: [0, 10_500] });
    expect(timesOf(tried)).toEqual([0, 10_500, MINUTE_MS + REFUSAL_MS]);
  });

  it('does not retry a revoked key', async () => {
    const { keyFaults, tried } = await run(sdk, { provider: revoked('key-0') });
    expect(keysOf(tried)).toEqual(['key-0']);
    expect(keyFaults).toBe(1);
  });
});

describe('litellm', () => {
  it('goes to another key at once, and comes back to the one that was limited after 5 s', async () => {
    const provider: Partial<SimulatedProvider> = {
      keys: [{ id: 'small', scale: 0 }, { id: 'large', scale: 1_000 }],
      quotas: [onePerMinute],
    };
    const { served, tried } = await run(litellm, { provider, callsAtMs: every(500, 120) });
    expect(served).toBe(120);
    const small = tried.filter(({ keyId }) => keyId === 'small');
    expect(small.length).toBeGreaterThan(5);
    const pauses = small.slice(1).map(({ atMs }, index) => atMs - small[index]!.atMs - REFUSAL_MS);
    expect(Math.min(...pauses)).toBeGreaterThanOrEqual(5_000);
    expect(Math.min(...pauses)).toBeLessThan(8_000);
    for (const { atMs } of small) {
      expect(tried).toContainEqual({ keyId: 'large', atMs: atMs + REFUSAL_MS });
    }
  });

  it('lets a key cool down for as long as retry-after says', async () => {
    const provider: Partial<SimulatedProvider> = { dialect: 'anthropic', quotas: [onePerMinute] };
    // Both keys are used up by then, and both know it.
    const { refused, tried } = await run(litellm, { provider, callsAtMs: [0, 100, 200, 300, 400, 20_000, 40_000] });
    const early = tried.filter(({ atMs }) => atMs < 10_000);
    expect(early.length).toBeGreaterThan(3);
    expect(tried.filter(({ atMs }) => atMs >= 10_000 && atMs < MINUTE_MS)).toEqual([]);
    expect(refused).toBeGreaterThanOrEqual(2);
  });

  it('lets an overloaded key cool down once more than half of 5 requests have failed', async () => {
    const provider: Partial<SimulatedProvider> = { troubles: [{ kind: 'overloaded', keys: ['key-0'], fromMs: 0 }] };
    const { tried } = await run(litellm, { provider, callsAtMs: every(20, 150) });
    // Attempts within 50 ms of the fifth failure cannot know of it.
    const failed = tried.filter(({ keyId }) => keyId === 'key-0');
    expect(failed.length).toBeGreaterThanOrEqual(5);
    expect(failed.length).toBeLessThan(12);
  });

  it('keeps its only key, and retries it after half a second', async () => {
    const { tried } = await run(litellm, { provider: { quotas: [onePerDay] }, keys: 1, callsAtMs: [0, 1_000] });
    expect(tried).toHaveLength(4);
    for (const wait of waitsOf(tried.slice(1))) {
      expect(wait).toBeGreaterThanOrEqual(500);
      expect(wait).toBeLessThan(1_250);
    }
  });

  it('fails a call at once while all keys cool down', async () => {
    const callsAtMs = [0, 1_000, 6_000];
    const { errors, refused, tried } = await run(litellm, { provider: revoked('key-0'), keys: 1, callsAtMs });
    expect(timesOf(tried)).toEqual([0, 6_000]);
    expect({ errors, refused }).toEqual({ errors: 2, refused: 1 });
  });

  it('retries with a key that has not answered 403, and forgets which has', async () => {
    const troubles = [{ kind: 'suspended', keys: ['key-0'], fromMs: 0 }] as const;
    const { failures, served } = await run(litellm, { provider: { troubles }, callsAtMs: every(1_000, 40) });
    expect(served).toBe(40);
    expect(failures.suspended).toBeGreaterThan(10);
  });

  it('tries another key after a 401, and none after a 402', async () => {
    const keys = { keys: [{ id: 'bad' }, { id: 'good' }] };
    const callsAtMs = every(10_000, 20);
    const unauthorized = await run(litellm, { provider: { ...keys, ...revoked('bad') }, callsAtMs });
    expect(unauthorized.failures.revoked).toBeGreaterThan(0);
    expect(unauthorized.served).toBe(20);
    const troubles = [{ kind: 'billing', keys: ['bad'], fromMs: 0 }] as const;
    const unpaid = await run(litellm, { provider: { ...keys, troubles }, callsAtMs });
    expect(unpaid.failures.billing).toBeGreaterThan(0);
    expect(unpaid.errors).toBe(unpaid.failures.billing);
  });
});

describe('gpt-load', () => {
  it('takes the next key for each attempt, and drops a key at its third failure', async () => {
    const { served, tried } = await run(gptLoad, { provider: revoked('key-0'), callsAtMs: every(1_000, 10) });
    expect(served).toBe(10);
    expect(keysOf(tried.slice(0, 3))).toEqual(['key-0', 'key-1', 'key-0']);
    expect(keysOf(tried).filter(keyId => keyId === 'key-0')).toHaveLength(3 + validationsIn(6 * HOUR_MS));
  });

  it('counts failures that answers came between', async () => {
    const hits = [0, MINUTE_MS, 2 * MINUTE_MS];
    const { errors, refused, served } = await run(gptLoad, {
      provider: { troubles: hits.map(fromMs => ({ kind: 'overloaded', fromMs, attempts: 1 })) },
      keys: 1,
      callsAtMs: [...hits, 3 * MINUTE_MS],
    });
    expect({ errors, refused, served }).toEqual({ errors: 1, refused: 1, served: 2 });
  });

  it('does not count a quota that Google words as exhausted resources', async () => {
    const policy: Policy = {
      name: 'gpt-load',
      start: surroundings =>
        gptLoad.start({
          ...surroundings,
          attempt: () => Promise.reject(new SimulatedFailure(429, {}, { message: 'Resource has been exhausted.' })),
        }),
    };
    const { errors } = await run(policy, { provider: {}, keys: 1, callsAtMs: every(1_000, 5) });
    expect(errors).toBe(5);
  });

  it('makes at most three retries, without a wait', async () => {
    const { errors, tried } = await run(gptLoad, { provider: overloaded, keys: 10 });
    expect(keysOf(tried)).toEqual(['key-0', 'key-1', 'key-2', 'key-3']);
    expect(new Set(waitsOf(tried))).toEqual(new Set([0]));
    expect(errors).toBe(1);
  });

  it('puts a key back that a validation was answered with', async () => {
    const { refused, served, tried } = await run(gptLoad, {
      provider: { troubles: [{ kind: 'revoked', fromMs: 0, untilMs: 90 * MINUTE_MS }] },
      keys: 1,
      callsAtMs: [0, 100 * MINUTE_MS, 131 * MINUTE_MS],
    });
    expect(timesOf(tried)).toEqual([0, 50, 100, 65 * MINUTE_MS, 130 * MINUTE_MS, 131 * MINUTE_MS]);
    expect({ refused, served }).toEqual({ refused: 1, served: 1 });
  });
});

describe('bifrost', () => {
  it('goes round all keys after a 429, each after a backoff', async () => {
    const { errors, tried } = await run(bifrost, {
      provider: { quotas: [{ ...onePerDay, limit: 0 }] },
      keys: 3,
    });
    expect(errors).toBe(1);
    const keyIds = keysOf(tried);
    const all = new Set(['key-0', 'key-1', 'key-2']);
    expect(keyIds).toHaveLength(6);
    expect(new Set(keyIds.slice(0, 3))).toEqual(all);
    expect(new Set(keyIds.slice(3))).toEqual(all);
    const bases = [500, 1_000, 2_000, 4_000, 5_000];
    for (const [index, wait] of waitsOf(tried).entries()) {
      expect(wait).toBeGreaterThanOrEqual(0.8 * bases[index]!);
      expect(wait).toBeLessThanOrEqual(Math.min(1.2 * bases[index]!, 5_000));
    }
  });

  it('leaves a revoked key at once, and has forgotten it at the next call', async () => {
    const { failures, served, tried } = await run(bifrost, { provider: revoked('key-0'), callsAtMs: every(1_000, 40) });
    expect(served).toBe(40);
    expect(failures.revoked).toBeGreaterThan(10);
    for (const [index, { atMs, keyId }] of tried.entries()) {
      if (keyId === 'key-0') expect(tried[index + 1]).toEqual({ keyId: 'key-1', atMs: atMs + REFUSAL_MS });
    }
  });

  it('knows a key that is not valid by its message, and one that is out of money', async () => {
    const callsAtMs = every(1_000, 20);
    const gemini = await run(bifrost, { provider: { dialect: 'gemini', ...revoked('key-0') }, callsAtMs });
    expect(gemini.failures.revoked).toBeGreaterThan(0);
    expect(gemini.served).toBe(20);
    const troubles = [{ kind: 'billing', keys: ['key-0'], fromMs: 0 }] as const;
    const openai = await run(bifrost, { provider: { dialect: 'openai', troubles }, callsAtMs });
    expect(openai.failures.billing).toBeGreaterThan(0);
    expect(openai.waitP99Ms).toBe(REFUSAL_MS);
  });

  it('gives up when all keys are refused', async () => {
    const { tried } = await run(bifrost, { provider: { troubles: [{ kind: 'revoked', fromMs: 0 }] } });
    expect(tried).toHaveLength(2);
  });

  it('stays with the key while the provider is overloaded', async () => {
    const { tried } = await run(bifrost, { provider: overloaded });
    expect(tried).toHaveLength(6);
    expect(new Set(keysOf(tried)).size).toBe(1);
  });
});

/** Validations of a key that is out for all of the run, ten minutes longer than its calls come. */
function validationsIn(durationMs: number): number {
  return Math.floor((durationMs + 10 * MINUTE_MS) / (65 * MINUTE_MS));
}
