import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Candidate, LeaseAnswer, LeaseRequest, Receipt, SharedGate } from '../../src/state/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { TcpProxy } from '../support/redis/proxy.ts';
import { RedisServer } from '../support/redis/server.ts';
import { closeGuards, PATIENT, sharedGuard } from '../support/redis/shared-guard.ts';
import { requestFor, scriptsRun, storePool, type StorePool } from '../support/redis/store-pool.ts';
import { timedClient } from '../support/redis/timed-client.ts';

const START = Date.UTC(2026, 10, 20, 12);
const STRICT = { onStoreFailure: 'reject' as const };

let server: RedisServer;
const stores: StorePool[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
});

beforeEach(async () => {
  const client = server.client();
  await client.flushall();
  client.disconnect();
});

afterEach(() => {
  closeGuards();
  for (const store of stores.splice(0)) store.close();
});

afterAll(() => server.close());

function open(options = {}, pattern?: string): StorePool {
  const store = storePool({ url: server.url, ...options }, new ManualClock(), pattern);
  stores.push(store);
  return store;
}

async function scriptsFor(work: () => unknown): Promise<number> {
  const before = await scriptsRun(server);
  await work();
  return (await scriptsRun(server)) - before;
}

const atOnce = ({ pool }: StorePool, request: LeaseRequest, times: number): Promise<LeaseAnswer[]> =>
  Promise.all(Array.from({ length: times }, async () => pool.lease(request)));

/** The server is told a script's text when it is first run, which takes another round trip: that may be overtaken. */
async function settleOnce(store: StorePool, request: LeaseRequest): Promise<void> {
  const [{ receipt } = {}] = await atOnce(store, request, 1);
  receipt?.correct(-1, 0);
  receipt?.release();
  await expect.poll(async () => (await store.pool.lease(request)).granted).toBe(0);
}

describe('leases asked for at once', () => {
  test('are one script, fifty at most', async () => {
    const store = open();
    const request = requestFor([store.candidate('ann', { rpm: 1000 }), store.candidate('ben', { rpm: 1000 })]);
    await store.pool.lease(request);
    expect(await scriptsFor(() => atOnce(store, request, 50))).toBe(1);
    expect(await scriptsFor(() => atOnce(store, request, 120))).toBe(3);
    expect(await scriptsFor(async () => {
      for (let i = 0; i < 5; i++) await store.pool.lease(request);
    })).toBe(5);
  });

  test('so are those that the answers to earlier ones set off', async () => {
    const store = open();
    const request = requestFor([store.candidate('ann', { rpm: 1000 })]);
    await store.pool.lease(request);
    const worker = async (): Promise<void> => {
      for (let i = 0; i < 10; i++) await store.pool.lease(request);
    };
    expect(await scriptsFor(() => Promise.all(Array.from({ length: 40 }, worker)))).toBe(10);
  });

  test('what they give back at once is one script, too', async () => {
    const store = open();
    const request = requestFor([store.candidate('ann', { rpm: 41, concurrency: 41 })]);
    await settleOnce(store, request);
    const answers = await atOnce(store, request, 41);
    expect(answers.filter(({ granted }) => granted === 0)).toHaveLength(40);
    const scripts = await scriptsFor(async () => {
      for (const { receipt } of answers.slice(0, 30)) {
        receipt?.correct(-1, 0);
        receipt?.release();
      }
      const more = await atOnce(store, request, 31);
      expect(more.filter(({ granted }) => granted === 0)).toHaveLength(30);
    });
    // Sixty settlements, in a script of fifty and one of ten, and a script of leases.
    expect(scripts).toBe(3);
  });

  test('find their terms, even where these change in between', async () => {
    const store = open();
    const candidates = [store.candidate('ann', { rpd: 3 })];
    const later = (now: number): number => now + 3_600_000;
    const answers = await Promise.all([
      store.pool.lease(requestFor(candidates, { dayReset: later })),
      store.pool.lease(requestFor(candidates)),
      store.pool.lease(requestFor(candidates, { leaseMs: 5 })),
      store.pool.lease(requestFor(candidates, { dayReset: later })),
    ]);
    expect(answers.map(({ granted }) => granted).toSorted()).toEqual([0, 0, 0, undefined]);
  });

  test('fail together, where their script does', async () => {
    const store = open(STRICT);
    const request = requestFor([store.candidate('ann', { rpm: 10 })]);
    await store.pool.lease(request);
    const client = server.client();
    await client.config('SET', 'maxmemory', '1');
    const answers = await atOnce(store, request, 5);
    for (const { granted, unavailable } of answers) {
      expect(granted).toBeUndefined();
      expect(unavailable).toBeDefined();
    }
    await client.config('SET', 'maxmemory', '0');
    client.disconnect();
    // Nothing was counted of them.
    const other = open();
    const same = requestFor([other.candidate('ann', { rpm: 10 })]);
    const room = await atOnce(other, same, 20);
    expect(room.filter(({ granted }) => granted === 0)).toHaveLength(9);
  });

  test('of which nothing was heard are counted once each, whether Redis had heard of them or not', async () => {
    const proxy = await TcpProxy.start(server.port);
    const limited = { keys: [{ id: 'ann', key: 'secret-of-ann', limits: { rpm: 100 } }] };
    const one = sharedGuard({ url: proxy.url, ...PATIENT }, limited);
    await one.keysOf(5);
    proxy.cutAfterBytes = 10;
    expect(await one.keysOf(45)).toHaveLength(45);
    await one.warned(/Redis is back/);
    const other = sharedGuard({ url: server.url, ...PATIENT }, limited);
    const served = [0];
    await expect
      .poll(async () => served.push((await other.keysOf(60)).length) && served.reduce((sum, each) => sum + each), { timeout: 20_000 })
      .toBe(50);
    await proxy.close();
  });

  test('only one of them probes', async () => {
    const store = open();
    const ann = store.candidate('ann', { rpm: 10 });
    await settleOnce(store, requestFor([ann]));
    const cooling: SharedGate = {
      state: 'cooling', until: START, since: START, strikes: 1, lastInLine: false, probeUntil: 0, reason: 'quota',
    };
    const gate = { member: ann.key.name, model: undefined };
    expect(await scriptsFor(() => store.pool.changeGate(gate, cooling, false))).toBe(1);
    const answers = await atOnce(store, requestFor([{ ...ann, probes: true }]), 3);
    expect(answers.map(({ granted }) => granted)).toEqual([0, undefined, undefined]);
    answers[0]?.receipt?.release();
    const [again] = await atOnce(store, requestFor([{ ...ann, probes: true }]), 1);
    expect(again).toMatchObject({ granted: 0 });
  });
});

const limit = (max: number) => fc.option(fc.integer({ min: 1, max }), { nil: undefined });
const refillsArb = fc.constantFrom(undefined, undefined, { wholeAt: 0 }, { wholeAt: START + 30_000 });
const limitsArb = fc.option(
  fc.record({
    rpm: limit(9), tpm: limit(90), rpd: limit(12), tpd: limit(200), concurrency: limit(4), rpmRefills: refillsArb, tpmRefills: refillsArb,
  }),
  { nil: undefined },
);
const poolArb = fc.record({
  keys: fc.array(
    fc.record({ limits: limitsArb, ofModel: limitsArb, group: fc.constantFrom(undefined, 'red', 'blue') }),
    { minLength: 1, maxLength: 5 },
  ),
  groups: fc.record({ red: limitsArb, blue: limitsArb, ofModel: limitsArb }),
  hasReset: fc.boolean(),
});
const turnArb = fc.record({
  leases: fc.array(
    fc.record({ first: fc.nat(), count: fc.integer({ min: 1, max: 5 }), tokens: fc.integer({ min: 0, max: 30 }) }),
    { maxLength: 60, size: '+1' },
  ),
  settlements: fc.array(
    fc.record({ which: fc.nat(), tokens: fc.integer({ min: -30, max: 30 }), isCancelled: fc.boolean(), isOver: fc.boolean() }),
    { maxLength: 20 },
  ),
  waitMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 90_000 })),
});

interface Granted {
  readonly receipt: Receipt;
  requests: number;
  tokens: number;
}

/** What the store answers to turn after turn. */
async function play(
  { keys, groups, hasReset }: typeof poolArb extends fc.Arbitrary<infer T> ? T : never,
  turns: readonly (typeof turnArb extends fc.Arbitrary<infer T> ? T : never)[],
  run: (asks: readonly (() => Promise<LeaseAnswer>)[]) => Promise<LeaseAnswer[]>,
): Promise<unknown[]> {
  const clock = new ManualClock(START);
  const client = timedClient(server, () => clock.now());
  const store = storePool({ client }, clock, `pool ${pools++}`);
  const candidates = keys.map(({ limits, ofModel, group }, i): Candidate =>
    store.candidate(`key ${i}`, limits, group, group && groups[group], { key: ofModel, group: groups.ofModel }),
  );
  const dayReset = hasReset ? () => START + 80_000 : undefined;
  const told: unknown[] = [];
  const held: Granted[] = [];
  for (const { leases, settlements, waitMs } of turns) {
    const asks = leases.map(({ first, count, tokens }) => async () => {
      const wanted = Array.from({ length: Math.min(count, keys.length) }, (_, i) => candidates[(first + i) % keys.length]!);
      return store.pool.lease(requestFor(wanted, { tokens, dayReset }));
    });
    for (const [i, { granted, refusals, receipt }] of (await run(asks)).entries()) {
      told.push({ granted, refusals });
      if (receipt) held.push({ receipt, requests: 1, tokens: leases[i]!.tokens });
    }
    await clock.advance(waitMs);
    for (const { which, tokens, isCancelled, isOver } of settlements) {
      const each = held[which % held.length];
      if (!each) continue;
      const requests = isCancelled ? -each.requests : 0;
      const more = Math.max(-each.tokens, tokens);
      each.requests += requests;
      each.tokens += more;
      each.receipt.correct(requests, more);
      if (isOver) each.receipt.release();
    }
  }
  store.close();
  client.disconnect();
  return told;
}

let pools = 0;

test('leases asked for at once are answered as if one had been asked for after the other', async () => {
  await fc.assert(
    fc.asyncProperty(poolArb, fc.array(turnArb, { minLength: 1, maxLength: 6 }), async (pool, turns) => {
      const together = await play(pool, turns, asks => Promise.all(asks.map(ask => ask())));
      const oneByOne = await play(pool, turns, async asks => {
        const answers: LeaseAnswer[] = [];
        for (const ask of asks) answers.push(await ask());
        return answers;
      });
      expect(together).toEqual(oneByOne);
    }),
    { numRuns: 60 },
  );
});
