import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextMidnight } from '../../src/faults/calendar.ts';
import type { Fault, FaultAction, FaultScope } from '../../src/faults/fault.ts';
import type { NormalizedKey } from '../../src/keys/normalize.ts';
import { isCorrelated, type Accusation } from '../../src/keys/accusation.ts';
import { Pool, type PoolSettings } from '../../src/keys/pool.ts';
import {
  restoreGroup,
  restoreKey,
  snapshotGroup,
  snapshotKey,
  type GroupData,
  type KeyData,
} from '../../src/keys/snapshot.ts';
import { strategyFactory } from '../../src/strategies/index.ts';
import { ManualClock } from '../support/manual-clock.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const MODELS = [undefined, 'small', 'large'] as const;

function keyOf(id: string, more: Partial<NormalizedKey> = {}): NormalizedKey {
  return { id, key: `secret-of-${id}`, weight: 1, priority: 0, tags: [], ...more };
}

const KEYS: readonly NormalizedKey[] = [
  keyOf('a', { limits: { rpm: 3, rpd: 9, tpm: 500 } }),
  keyOf('b', { limits: { tpd: 2000 } }),
  keyOf('c', { group: 'team' }),
  keyOf('d', { group: 'team', models: ['small'] }),
  keyOf('e'),
  keyOf('f'),
];

function poolOf(clock: ManualClock, more: Partial<PoolSettings> = {}): Pool {
  const settings: PoolSettings = {
    pattern: '*vendor*',
    keys: KEYS,
    strategyName: 'round-robin',
    strategy: strategyFactory('round-robin'),
    fallbackBehavior: 'fail',
    groups: { team: { limits: { rpm: 6, rpd: 20 } } },
    cooldown: { initialMs: 30_000, maxMs: HOUR_MS },
    leaseMs: 10 * MINUTE_MS,
    maxWaitMs: 0,
    validate: undefined,
    validateTimeoutMs: 10_000,
    profile: undefined,
    dayReset: now => nextMidnight(now, 'America/Los_Angeles'),
    affinity: undefined,
    ...more,
  };
  return new Pool(settings, { clock, random: () => 0.5, onKeyChange: () => undefined });
}

interface Known {
  readonly keys: Readonly<Record<string, KeyData>>;
  readonly groups: Readonly<Record<string, GroupData>>;
}

function known(pool: Pool, now: number): Known {
  const named = pool.groups.all().filter(({ isNamed }) => isNamed);
  const given = <T>(entries: (readonly [string, T | undefined])[]): Record<string, T> =>
    Object.fromEntries(entries.flatMap(([name, data]) => (data === undefined ? [] : [[name, data]])));
  const data = {
    keys: given([...pool.keys()].map(key => [key.id, snapshotKey(pool, key, now)] as const)),
    groups: given(named.map(group => [group.id, snapshotGroup(pool, group, now)] as const)),
  };
  return JSON.parse(JSON.stringify(data)) as Known;
}

function recall(pool: Pool, { keys, groups }: Known, now: number): void {
  for (const [id, data] of Object.entries(keys)) restoreKey(pool, pool.get(id)!, data, now);
  for (const group of pool.groups.all()) {
    const data = groups[group.id];
    if (data) restoreGroup(pool, group, data, now);
  }
}

/** The same pool after a restart. */
function restarted(pool: Pool, clock: ManualClock, more: Partial<PoolSettings> = {}): Pool {
  const after = poolOf(clock, more);
  recall(after, known(pool, clock.now()), clock.now());
  return after;
}

/** What a call would meet with on each key. */
function outlook(pool: Pool, now: number): unknown[] {
  return [...pool.keys()].flatMap(key =>
    MODELS.flatMap(model =>
      [0, 400].map(tokens => {
        const demand = { model, tokens, now };
        const at = key.availableAt(demand, pool.settings.dayReset);
        const obstacle = pool.obstacleOf(key, demand);
        const isLast = key.gate.lastInLine || (model !== undefined && key.modelGate(model).lastInLine);
        const isHeld = key.held !== undefined;
        const why = isHeld ? 'held' : obstacle;
        return { key: key.id, group: key.namedGroup, model, tokens, at, why, isLast, ramp: key.ramp };
      }),
    ),
  );
}

const FAULTS: readonly [scope: FaultScope, action: FaultAction, status: number][] = [
  ['key', 'disable', 401],
  ['key', 'probation', 401],
  ['key+model', 'cool', 403],
  ['group', 'cool', 402],
  ['group', 'disable', 403],
  ['group+model', 'cool', 429],
  ['provider', 'breaker', 503],
  ['request', 'fail', 400],
];

const call = fc.record({
  what: fc.constant('call' as const),
  key: fc.integer({ min: 0, max: KEYS.length - 1 }),
  model: fc.constantFrom(...MODELS),
  tokens: fc.integer({ min: 0, max: 600 }),
  ms: fc.integer({ min: 0, max: 2000 }),
  fault: fc.option(fc.constantFrom(...FAULTS), { nil: undefined, freq: 2 }),
  untilMs: fc.option(fc.constantFrom(5000, 10 * MINUTE_MS, 9 * HOUR_MS), { nil: undefined }),
  isCertain: fc.boolean(),
  left: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
  organization: fc.option(fc.constantFrom('acme', 'globex', 'team'), { nil: undefined, freq: 2 }),
  used: fc.option(fc.integer({ min: 1, max: 900 }), { nil: undefined }),
});
const wait = fc.record({ what: fc.constant('wait' as const), ms: fc.constantFrom(1, 700, 31_000, 5 * MINUTE_MS, 7 * HOUR_MS) });
const verdict = fc.record({ what: fc.constant('verdict' as const), isGuilty: fc.boolean() });
const byHand = fc.record({
  what: fc.constantFrom('hold' as const, 'unhold' as const, 'reset' as const),
  key: fc.nat(KEYS.length - 1),
});
const step = fc.oneof({ weight: 6, arbitrary: call }, { weight: 2, arbitrary: wait }, verdict, byHand);
const histories = fc.array(step, { maxLength: 40 });
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

async function live(pool: Pool, clock: ManualClock, history: readonly Step[]): Promise<void> {
  let accusations: Accusation[] = [];
  for (const step of history) {
    const now = clock.now();
    if (step.what === 'wait') {
      await clock.advance(step.ms);
    } else if (step.what === 'verdict') {
      for (const accusation of accusations) {
        if (step.isGuilty && !isCorrelated(accusations)) pool.settlement.convict(accusation, now);
        else pool.settlement.acquit(accusation);
      }
      accusations = [];
    } else if (step.what !== 'call') {
      const key = pool.get(KEYS[step.key]!.id)!;
      if (step.what === 'hold') pool.hold(key, 'for a while');
      else pool[step.what](key);
    } else {
      const { model, tokens, fault, left, organization, used } = step;
      const lease = pool.lease({ model, tokens, now, preferredKeyId: KEYS[step.key]!.id }, undefined);
      if (!lease) continue;
      await clock.advance(step.ms);
      const end = clock.now();
      const limits =
        left === undefined ? [] : [{ counts: 'requests', limit: 3, remaining: left, resetAt: end + 40_000 }];
      const said = tokens === 0 ? [...limits, { counts: 'tokens', limit: 900, windowMs: MINUTE_MS }] : limits;
      pool.hear(lease, { limits: said, group: organization, ofModel: model !== undefined, until: undefined }, end);
      if (used !== undefined) lease.reportUsage({ inputTokens: used }, end);
      if (fault) {
        const [scope, action, status] = fault;
        const accusation = lease.failed(faultOf(scope, action, status, step, end), end);
        if (accusation) accusations.push(accusation);
      } else {
        lease.answered(step.ms, end);
      }
      lease.release(end);
    }
  }
}

function faultOf(
  scope: FaultScope,
  action: FaultAction,
  status: number,
  { model, untilMs, isCertain }: { model: string | undefined; untilMs: number | undefined; isCertain: boolean },
  now: number,
): Fault {
  return {
    kind: `status_${status}`,
    scope,
    action,
    status,
    certainty: isCertain ? 'certain' : 'likely',
    rule: 'test/rule',
    ...(untilMs !== undefined && { until: now + untilMs }),
    ...(model !== undefined && { model }),
  };
}

test('whatever has happened, a pool that is told what another one knows lets the same calls through, at any later time', async () => {
  const later = fc.array(fc.constantFrom(1, 20_000, MINUTE_MS, HOUR_MS, 13 * HOUR_MS, 3 * DAY_MS), { maxLength: 4 });
  const rolling = fc.boolean();
  await fc.assert(
    fc.asyncProperty(histories, later, rolling, async (history, waits, isRolling) => {
      const clock = new ManualClock();
      const more = isRolling ? { dayReset: undefined } : {};
      const before = poolOf(clock, more);
      await live(before, clock, history);
      const after = restarted(before, clock, more);
      expect(outlook(after, clock.now())).toEqual(outlook(before, clock.now()));
      for (const ms of waits) {
        await clock.advance(ms);
        expect(outlook(after, clock.now())).toEqual(outlook(before, clock.now()));
      }
    }),
    { numRuns: 300 },
  );
});

test('and what it knows says the same again', async () => {
  await fc.assert(
    fc.asyncProperty(histories, async history => {
      const clock = new ManualClock();
      const before = poolOf(clock);
      await live(before, clock, history);
      expect(known(restarted(before, clock), clock.now())).toEqual(known(before, clock.now()));
    }),
  );
});

describe('what is known of a key', () => {
  test('is nothing while it is ready and nothing is counted', () => {
    const clock = new ManualClock();
    const pool = poolOf(clock);
    const lease = pool.lease({ model: undefined, tokens: 0, now: clock.now(), preferredKeyId: 'e' }, undefined)!;
    lease.answered(5, clock.now());
    lease.release(clock.now());
    expect(known(pool, clock.now())).toEqual({ keys: {}, groups: {} });
  });

  test('is forgotten with the time it was good for', async () => {
    const clock = new ManualClock();
    const pool = poolOf(clock);
    const lease = pool.lease({ model: undefined, tokens: 0, now: clock.now(), preferredKeyId: 'a' }, undefined)!;
    lease.answered(5, clock.now());
    lease.release(clock.now());
    expect(Object.keys(known(pool, clock.now()).keys)).toEqual(['a']);
    await clock.advance(DAY_MS);
    expect(known(pool, clock.now()).keys).toEqual({});
  });

  test('names a fault, and nothing a person has said', () => {
    const clock = new ManualClock();
    const pool = poolOf(clock);
    pool.hold(pool.get('a')!, 'it said "key sk-secret is blocked"');
    expect(known(pool, clock.now()).keys).toEqual({ a: { held: true } });
    const after = restarted(pool, clock);
    const demand = { model: undefined, tokens: 0, now: clock.now() };
    expect(after.obstacleOf(after.get('a')!, demand)?.reason).toBe('disabled by hand: before the last start');
  });
});

describe('a suspect', () => {
  const refused: Fault = { kind: 'auth', scope: 'key', action: 'probation', certainty: 'guess', status: 401, rule: 'test/rule' };

  function accused(clock: ManualClock, ids: readonly string[]): Pool {
    const pool = poolOf(clock);
    for (const id of ids) {
      const lease = pool.lease({ model: undefined, tokens: 0, now: clock.now(), preferredKeyId: id }, undefined)!;
      lease.failed(refused, clock.now());
      lease.release(clock.now());
    }
    return pool;
  }

  test('stands behind all others until one of them is answered', () => {
    const clock = new ManualClock();
    const now = clock.now();
    const pool = restarted(accused(clock, ['e']), clock);
    expect(pool.get('e')!.gate).toMatchObject({ state: 'suspect', lastInLine: true });
    const lease = pool.lease({ model: undefined, tokens: 0, now }, undefined)!;
    expect(lease.key.id).not.toBe('e');
    lease.answered(5, now);
    lease.release(now);
    expect(pool.get('e')!.gate).toMatchObject({ state: 'suspect', lastInLine: false });
  });

  test('is what it was before, where so many are refused that none can be to blame', () => {
    const clock = new ManualClock();
    const pool = restarted(accused(clock, ['a', 'e', 'f']), clock);
    pool.settlement.acquitSuspects('auth');
    expect(['a', 'e', 'f'].map(id => pool.get(id)!.gate)).toEqual(Array(3).fill(expect.objectContaining({ state: 'ready', strikes: 0 })));
    const again = restarted(pool, clock);
    expect([...again.settlement.doubted].map(({ id }) => id)).toEqual(['a', 'e', 'f']);
  });
});

describe('told to a pool that knows something itself', () => {
  const cooling = (until: number) =>
    ({ state: 'cooling', until, since: 0, strikes: 1, reason: 'rate_limit', lastInLine: false }) as const;

  test('it takes the place of that', () => {
    const clock = new ManualClock();
    const now = clock.now();
    const pool = poolOf(clock);
    const key = pool.get('a')!;
    restoreKey(pool, key, { gate: cooling(now + 500), models: { small: cooling(now + 900) }, quota: { rpd: [now, 4] } }, now);
    restoreKey(pool, key, { models: { large: cooling(now + 700) } }, now);
    expect(snapshotKey(pool, key, now)).toEqual({ models: { large: cooling(now + 700) } });
  });

  test('a probe that is out stays the only one', () => {
    const clock = new ManualClock();
    const now = clock.now();
    const pool = poolOf(clock, { keys: [keyOf('a')] });
    const key = pool.get('a')!;
    restoreKey(pool, key, { gate: cooling(now) }, now);
    const demand = { model: undefined, tokens: 0, now };
    expect(pool.lease(demand, undefined)).toBeDefined();
    restoreKey(pool, key, { gate: cooling(now) }, now);
    expect(pool.lease(demand, undefined)).toBeUndefined();
  });

  test('calls that are parked go on', () => {
    const clock = new ManualClock();
    const now = clock.now();
    const pool = poolOf(clock, { keys: [keyOf('a')] });
    restoreKey(pool, pool.get('a')!, { gate: cooling(now + HOUR_MS) }, now);
    const demand = { model: undefined, tokens: 0, now };
    expect(pool.lease(demand, undefined)).toBeUndefined();
    restoreKey(pool, pool.get('a')!, {}, now);
    expect(pool.lease(demand, undefined)).toBeDefined();
  });

  test('models that are named like what every object has are models', () => {
    const clock = new ManualClock();
    const now = clock.now();
    const pool = poolOf(clock);
    const key = pool.get('a')!;
    restoreKey(pool, key, { models: { constructor: cooling(now + 500) } }, now);
    restoreKey(pool, key, {}, now);
    expect(snapshotKey(pool, key, now)).toBeUndefined();
  });

  test('a time that lies beyond all sense is cut', () => {
    const clock = new ManualClock();
    const now = clock.now();
    const pool = poolOf(clock);
    const far = now + 1000 * DAY_MS;
    const data: KeyData = {
      gate: cooling(far),
      quota: { rpm: [far, 3], rpd: [far, 9] },
      own: { learned: { all: { requests: { counts: 'requests', limit: 1, remaining: 0, left: 0, resetAt: far } } } },
    };
    restoreKey(pool, pool.get('a')!, data, now);
    const at = (time: number): number => pool.get('a')!.availableAt({ model: undefined, tokens: 0, now: time }, pool.settings.dayReset);
    expect(at(now)).toBe(now + 31 * DAY_MS);
    expect(at(now + 31 * DAY_MS)).toBe(now + 31 * DAY_MS);
  });
});

describe('what was used today', () => {
  test('is known to the end of the day of the provider', async () => {
    const clock = new ManualClock(Date.UTC(2026, 10, 20, 12));
    const before = poolOf(clock);
    for (let i = 0; i < 9; i++) {
      const lease = before.lease({ model: undefined, tokens: 0, now: clock.now(), preferredKeyId: 'a' }, undefined)!;
      lease.answered(1, clock.now());
      lease.release(clock.now());
      await clock.advance(MINUTE_MS);
    }
    const after = restarted(before, clock);
    const at = after.get('a')!.availableAt({ model: undefined, tokens: 0, now: clock.now() }, after.settings.dayReset);
    expect(at).toBe(Date.UTC(2026, 10, 21, 8));
  });

  test('goes on counting where the provider turns out to have a day of its own, or none', () => {
    const clock = new ManualClock(Date.UTC(2026, 10, 20, 12));
    const now = clock.now();
    for (const dayReset of [undefined, poolOf(clock).settings.dayReset]) {
      const pool = poolOf(clock, { dayReset });
      restoreKey(pool, pool.get('a')!, { quota: { rpd: [now - 11 * HOUR_MS, 2, now - HOUR_MS, 5] } }, now);
      // Midnight in Los Angeles was four hours ago.
      expect(pool.get('a')!.quotaUse(now).rpd?.used).toBe(dayReset ? 5 : 7);
    }
  });
});
