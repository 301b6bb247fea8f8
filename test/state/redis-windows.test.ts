import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import type { Candidate, Limits, Receipt } from '../../src/state/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { RedisServer } from '../support/redis/server.ts';
import { requestFor, storePool, type StorePool } from '../support/redis/store-pool.ts';
import { timedClient } from '../support/redis/timed-client.ts';

const MINUTE_MS = 60_000 + ON_THE_WAY_MS;
const DAY_MS = 86_400_000 + ON_THE_WAY_MS;
/** Neighbours share an entry: nothing counts for longer than so much more. */
const stepOf = (spanMs: number): number => (spanMs === DAY_MS ? 900_000 : 500);

let server: RedisServer;
let clock: ManualClock;
let store: StorePool;
let keys = 0;

beforeAll(async () => {
  server = await RedisServer.start();
  clock = new ManualClock();
  const client = timedClient(server, () => clock.now());
  store = storePool({ client }, clock);
  await client.ping();
  client.disconnect();
});

afterAll(async () => {
  store.close();
  await server.close();
});

interface Spent {
  readonly at: number;
  requests: number;
  tokens: number;
}

/** What was spent in the window that ends now. */
function spentIn(spent: readonly Spent[], what: 'requests' | 'tokens', spanMs: number): number {
  let sum = 0;
  for (const each of spent) if (each.at > clock.now() - spanMs) sum += each[what];
  return sum;
}

/** The windows, each with its size, its limit and what a call of so many tokens asks of it. */
function windowsOf(limits: Limits, tokens: number) {
  const windows = [
    { what: 'requests', spanMs: MINUTE_MS, limit: limits.rpm, asked: 1 },
    { what: 'tokens', spanMs: MINUTE_MS, limit: limits.tpm, asked: Math.max(1, tokens) },
    { what: 'requests', spanMs: DAY_MS, limit: limits.rpd, asked: 1 },
    { what: 'tokens', spanMs: DAY_MS, limit: limits.tpd, asked: Math.max(1, tokens) },
  ] as const;
  return windows.filter(({ limit }) => limit !== undefined);
}

const limit = (max: number) => fc.option(fc.integer({ min: 1, max }), { nil: undefined });
const limitsArb = fc.record({ rpm: limit(6), tpm: limit(100), rpd: limit(20), tpd: limit(400) });
/** Times about which something changes. */
const aboutArb = fc
  .tuple(fc.constantFrom(MINUTE_MS, DAY_MS), fc.constantFrom(-1, 0, 1), fc.constantFrom(0, 1, 499, 500, 999))
  .map(([spanMs, sign, ms]) => spanMs + sign * ms);
const stepArb = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('lease' as const), tokens: fc.integer({ min: 0, max: 40 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('correct' as const),
      which: fc.nat(),
      tokens: fc.integer({ min: -40, max: 40 }),
      isCancelled: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 2000 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: DAY_MS }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: aboutArb }) },
);

/** Whatever it is that has the limits. */
const limitedArb = fc.constantFrom<(key: string, limits: Limits) => Candidate>(
  (key, limits) => store.candidate(key, limits),
  (key, limits) => store.candidate(key, undefined, undefined, limits),
  (key, limits) => store.candidate(key, undefined, undefined, undefined, { key: limits }),
  (key, limits) => store.candidate(key, undefined, undefined, undefined, { group: limits }),
);

test('what is granted fits all windows; what is refused would fit one of them not, give or take a step', async () => {
  await fc.assert(
    fc.asyncProperty(limitsArb, limitedArb, fc.array(stepArb, { maxLength: 60, size: '+1' }), async (limits, limited, steps) => {
      const candidate = limited(`key ${keys++}`, limits);
      const spent: Spent[] = [];
      const receipts: (Receipt | undefined)[] = [];
      for (const step of steps) {
        if (step.do === 'wait') await clock.advance(step.ms);
        else if (step.do === 'correct') {
          if (spent.length === 0) continue;
          const index = step.which % spent.length;
          const each = spent[index]!;
          const requests = step.isCancelled ? -each.requests : 0;
          const tokens = Math.max(-each.tokens, step.tokens);
          each.requests += requests;
          each.tokens += tokens;
          receipts[index]?.correct(requests, tokens);
        } else {
          const { granted, receipt } = await store.pool.lease(requestFor([candidate], { tokens: step.tokens }));
          const excess = (longerMs: (spanMs: number) => number): boolean =>
            windowsOf(limits, step.tokens).some(
              ({ what, spanMs, limit: most = 0, asked }) => spentIn(spent, what, spanMs + longerMs(spanMs)) + asked > most,
            );
          if (granted === undefined) {
            expect(excess(stepOf)).toBe(true);
            continue;
          }
          expect(excess(() => 0)).toBe(false);
          spent.push({ at: clock.now(), requests: 1, tokens: step.tokens });
          receipts.push(receipt);
        }
      }
    }),
    { numRuns: 100 },
  );
});

test('a refused call is granted at the time the refusal names, and no sooner', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ waitMs: fc.integer({ min: 0, max: 9000 }), tokens: fc.integer({ min: 1, max: 30 }) }), { minLength: 5, maxLength: 30 }),
      async calls => {
        const request = requestFor([store.candidate(`key ${keys++}`, { rpm: 5, tpm: 100, rpd: 1000 })], { tokens: 20 });
        for (const { waitMs, tokens } of calls) {
          await clock.advance(waitMs);
          await store.pool.lease({ ...request, tokens });
        }
        const { granted, refusals } = await store.pool.lease(request);
        if (granted === 0) return;
        const at = refusals[0]?.at ?? NaN;
        await clock.advance(at - clock.now() - 1);
        expect(await store.pool.lease(request)).toMatchObject({ granted: undefined });
        await clock.advance(1);
        expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
      },
    ),
    { numRuns: 50 },
  );
});

test('what is given back after its window has passed is taken from nobody else', async () => {
  const request = requestFor([store.candidate(`key ${keys++}`, { rpm: 2 })]);
  const { receipt } = await store.pool.lease(request);
  await clock.advance(MINUTE_MS + 500);
  for (let i = 0; i < 2; i++) expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
  receipt!.correct(-1, 0);
  expect(await store.pool.lease(request)).toMatchObject({ granted: undefined });
});

test('time that goes back by an hour lets nothing through, and counts for a window from then on', async () => {
  const request = requestFor([store.candidate(`key ${keys++}`, { rpm: 3 })]);
  for (const ms of [1000, 1000, 1000]) {
    await clock.advance(ms);
    expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
  }
  clock.set(clock.now() - 3_600_000);
  expect(await store.pool.lease(request)).toMatchObject({ granted: undefined });
  await clock.advance(MINUTE_MS);
  expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
});

test('so it does where somebody was refused before', async () => {
  const request = requestFor([store.candidate(`key ${keys++}`, { rpm: 1 })]);
  expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
  expect(await store.pool.lease(request)).toMatchObject({ granted: undefined });
  clock.set(clock.now() - 3_600_000);
  expect(await store.pool.lease(request)).toMatchObject({ granted: undefined });
  await clock.advance(MINUTE_MS);
  expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
});

test("a provider's day ends when it says, however late the calls were", async () => {
  const end = clock.now() + 3_600_000;
  const dayReset = (now: number): number => (now < end ? end : end + DAY_MS);
  const request = requestFor([store.candidate(`key ${keys++}`, { rpd: 2 })], { dayReset });
  expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
  await clock.advance(3_500_000);
  const second = await store.pool.lease(request);
  expect(second).toMatchObject({ granted: 0 });
  expect(await store.pool.lease(request)).toMatchObject({ granted: undefined, refusals: [{ why: 'requests', at: end }] });
  await clock.advance(100_000);
  // Of yesterday: it makes no room today.
  expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
  await clock.advance(2 * 3_600_000);
  second.receipt!.correct(-1, 0);
  expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
});

test.each([
  ['minute', { rpm: 1 }, MINUTE_MS],
  ['day', { rpd: 1 }, DAY_MS],
])('a call counts for a whole %s', async (_, limits, spanMs) => {
  const request = requestFor([store.candidate(`key ${keys++}`, limits)]);
  expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
  await clock.advance(spanMs - 1);
  expect(await store.pool.lease(request)).toMatchObject({ granted: undefined });
  await clock.advance(1);
  expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
});

test('calls of one half of a second count as one; those of the next one by themselves', async () => {
  const request = requestFor([store.candidate(`key ${keys++}`, { rpm: 3 })]);
  await clock.advance(10_000 - (clock.now() % 10_000));
  for (const ms of [499, 1, 0]) {
    expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
    await clock.advance(ms);
  }
  await clock.advance(MINUTE_MS - 2);
  expect(await store.pool.lease(request)).toMatchObject({ granted: undefined });
  await clock.advance(1);
  for (let i = 0; i < 2; i++) expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
  expect(await store.pool.lease(request)).toMatchObject({ granted: undefined });
});
