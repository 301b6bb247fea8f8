import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import type { Candidate, LeaseRequest, Limits, Receipt } from '../../src/state/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { RedisServer } from '../support/redis/server.ts';
import { requestFor, storePool, type StorePool } from '../support/redis/store-pool.ts';
import { timedClient } from '../support/redis/timed-client.ts';

const MINUTE_MS = 60_000;
/** Nothing of it was used before it was counted. */
const REFILLING = { wholeAt: 0 };

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

interface Bucket {
  readonly what: 'requests' | 'tokens';
  readonly limit: number;
  readonly asked: number;
}

function bucketsOf({ rpm, tpm }: Limits, tokens: number): Bucket[] {
  return [
    ...(rpm === undefined ? [] : [{ what: 'requests', limit: rpm, asked: 1 } as const]),
    ...(tpm === undefined ? [] : [{ what: 'tokens', limit: tpm, asked: Math.max(1, tokens) } as const]),
  ];
}

/** The most that can be in the provider's bucket, if what was sent since a time has come so much closer together. */
function mostIn({ limit, what }: Bucket, spent: readonly Spent[], closerMs: (spanMs: number) => number): number {
  let most = 0;
  let sum = 0;
  for (const each of spent.toReversed()) {
    sum += each[what];
    if (each[what] > 0) most = Math.max(most, sum - (limit / MINUTE_MS) * closerMs(clock.now() - each.at));
  }
  return most;
}

const TINY = 1e-6;
const isPassed = (bucket: Bucket, spent: readonly Spent[]): boolean =>
  mostIn(bucket, spent, spanMs => Math.max(0, spanMs - ON_THE_WAY_MS)) + bucket.asked > bucket.limit + TINY;

/** What may arrive late has to fit, too; where that is nearly all of it, into an empty bucket. */
function hasNoRoom(bucket: Bucket, spent: readonly Spent[]): boolean {
  const { asked, limit } = bucket;
  const room = asked <= limit - (limit / MINUTE_MS) * ON_THE_WAY_MS ? limit - asked : 0;
  return asked > limit || mostIn(bucket, spent, spanMs => spanMs - ON_THE_WAY_MS) > room - TINY;
}

const limitsArb = fc
  .record({ rpm: fc.integer({ min: 1, max: 300 }), tpm: fc.integer({ min: 1, max: 100 }), which: fc.constantFrom('rpm', 'tpm', 'both') })
  .map(({ rpm, tpm, which }): Limits => ({
    ...(which !== 'tpm' && { rpm, rpmRefills: REFILLING }),
    ...(which !== 'rpm' && { tpm, tpmRefills: REFILLING }),
  }));
const limitedArb = fc.constantFrom<(key: string, limits: Limits) => Candidate>(
  (key, limits) => store.candidate(key, limits),
  (key, limits) => store.candidate(key, undefined, undefined, limits),
  (key, limits) => store.candidate(key, undefined, undefined, undefined, { group: limits }),
);
const leaseArb = fc.record({ do: fc.constant('lease' as const), tokens: fc.integer({ min: 0, max: 40 }), times: fc.integer({ min: 1, max: 30 }) });
const waitArb = fc.oneof(
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 800 }) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 4 * MINUTE_MS }) }),
);
const correctArb = fc.record({
  do: fc.constant('correct' as const),
  which: fc.nat(),
  tokens: fc.integer({ min: -40, max: 40 }),
  isCancelled: fc.boolean(),
});
type ValueOf<Arbitrary> = Arbitrary extends fc.Arbitrary<infer Value> ? Value : never;
type Step = ValueOf<typeof leaseArb | typeof waitArb | typeof correctArb>;

async function play(limits: Limits, candidate: Candidate, steps: readonly Step[], isExact: boolean): Promise<void> {
  const spent: Spent[] = [];
  const receipts: (Receipt | undefined)[] = [];
  for (const step of steps) {
    if (step.do === 'wait') await clock.advance(step.ms);
    else if (step.do === 'correct') {
      const index = step.which % spent.length;
      const each = spent[index];
      if (!each) continue;
      const requests = step.isCancelled ? -each.requests : 0;
      // No provider lets in what is larger than its bucket.
      const tokens = Math.max(-each.tokens, Math.min(step.tokens, Math.max(0, (limits.tpm ?? 100) - each.tokens)));
      each.requests += requests;
      each.tokens += tokens;
      receipts[index]?.correct(requests, tokens);
    } else {
      for (let i = 0; i < step.times; i++) {
        const { granted, receipt } = await store.pool.lease(requestFor([candidate], { tokens: step.tokens }));
        const buckets = bucketsOf(limits, step.tokens);
        if (granted === undefined) {
          if (isExact) expect(buckets.some(bucket => hasNoRoom(bucket, spent))).toBe(true);
          break;
        }
        expect(buckets.some(bucket => isPassed(bucket, spent))).toBe(false);
        spent.push({ at: clock.now(), requests: 1, tokens: step.tokens });
        receipts.push(receipt);
      }
    }
  }
}

describe('a limit that refills', () => {
  test('what is granted fits the provider\'s bucket, however late it arrives; what is refused would not', async () => {
    await fc.assert(
      fc.asyncProperty(limitsArb, limitedArb, fc.array(fc.oneof(leaseArb, waitArb), { maxLength: 25, size: '+1' }), (limits, limited, steps) =>
        play(limits, limited(`key ${keys++}`, limits), steps, true),
      ),
      { numRuns: 100 },
    );
  });

  test('no more is granted than fits, whatever is given back or used beyond what was estimated', async () => {
    await fc.assert(
      fc.asyncProperty(limitsArb, limitedArb, fc.array(fc.oneof(leaseArb, waitArb, correctArb), { maxLength: 40, size: '+1' }), (limits, limited, steps) =>
        play(limits, limited(`key ${keys++}`, limits), steps, false),
      ),
      { numRuns: 150 },
    );
  });

  test('a refused call is granted at the time the refusal names, and no sooner', async () => {
    const callArb = fc.record({ waitMs: fc.integer({ min: 0, max: 9000 }), tokens: fc.integer({ min: 1, max: 60 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(callArb, { minLength: 5, maxLength: 30 }), fc.integer({ min: 1, max: 70 }), async (calls, tokens) => {
        const limits = { rpm: 7, rpmRefills: REFILLING, tpm: 70, tpmRefills: REFILLING, rpd: 1000 };
        const request = requestFor([store.candidate(`key ${keys++}`, limits)], { tokens });
        for (const call of calls) {
          await clock.advance(call.waitMs);
          await store.pool.lease({ ...request, tokens: call.tokens });
        }
        const { granted, refusals } = await store.pool.lease(request);
        if (granted === 0) return;
        const at = refusals[0]?.at ?? NaN;
        await clock.advance(at - clock.now() - 1);
        expect(await store.pool.lease(request)).toMatchObject({ granted: undefined, refusals: [{ at }] });
        await clock.advance(1);
        expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
      }),
      { numRuns: 50 },
    );
  });

  test('has its first fill and what comes back meanwhile', async () => {
    expect(await grantedIn(at(60), MINUTE_MS - 1)).toBe(119);
  });

  test('what was used of it before it was counted is counted from the beginning', async () => {
    const limits = { rpm: 60, rpmRefills: { wholeAt: clock.now() + 45_000 } };
    expect(await grantedNow(requestFor([store.candidate(`key ${keys++}`, limits)]))).toBe(15);
  });

  test('gives back what was cancelled, where it has not come back by itself', async () => {
    const request = at(60);
    const held = await Promise.all(Array.from({ length: 59 }, async () => store.pool.lease(request)));
    await clock.advance(20_000);
    for (const { receipt } of held.slice(0, 39)) receipt?.correct(-1, 0);
    // Of 59, 39 were none, and 20 have come back.
    expect(await grantedNow(request)).toBe(59);
    expect(await grantedNow(at(60))).toBe(59);
  });

  test('what is given back after a pause in which all of it came back is taken from nobody else', async () => {
    const request = at(60);
    const first = await Promise.all(Array.from({ length: 30 }, async () => store.pool.lease(request)));
    await clock.advance(31_000);
    expect(await grantedNow(request)).toBe(59);
    for (const { receipt } of first) receipt?.correct(-1, 0);
    expect(await grantedNow(request)).toBe(0);
  });

  test('time that goes back and forth lets nothing through, and that goes back by an hour stalls nothing', async () => {
    const request = at(6);
    expect(await grantedNow(request)).toBe(5);
    for (let i = 0; i < 50; i++) {
      clock.set(clock.now() + (i % 2 === 0 ? -5000 : 5000));
      expect(await grantedNow(request)).toBe(0);
    }
    clock.set(clock.now() - 3_600_000);
    expect(await grantedNow(request)).toBe(0);
    await clock.advance(10_000);
    expect(await grantedNow(request)).toBe(1);
  });

  test('was a window until now, and is one again: what was used goes on', async () => {
    const key = `key ${keys++}`;
    const window = (): LeaseRequest => requestFor([store.candidate(key, { rpm: 6 })]);
    const bucket = (): LeaseRequest => requestFor([store.candidate(key, { rpm: 6, rpmRefills: REFILLING })]);
    expect(await grantedNow(window())).toBe(6);
    await clock.advance(1000);
    expect(await grantedNow(bucket())).toBe(0);
    await clock.advance(9999);
    expect(await grantedNow(bucket())).toBe(0);
    await clock.advance(1);
    expect(await grantedNow(bucket())).toBe(1);
    expect(await grantedNow(window())).toBe(0);
    await clock.advance(50_000);
    // The six of the window are gone, and so is, of the bucket, what came back.
    expect(await grantedNow(window())).toBe(5);
    expect(await grantedNow(bucket())).toBe(0);
  });

  test.each([{ rpm: 60 }, { rpm: 600, tpm: 60 }])('taken in blocks is not passed, nor starved: %o', async limits => {
    const client = timedClient(server, () => clock.now());
    const blocks = storePool({ client, blockSize: 10 }, clock);
    const refilling = { ...limits, rpmRefills: REFILLING, tpmRefills: REFILLING };
    const request = requestFor([blocks.candidate(`key ${keys++}`, refilling)], { tokens: 1 });
    // What is taken ahead may arrive a second and a quarter later: what comes back by then is left.
    expect(await grantedNow(request, blocks)).toBe(58);
    await clock.advance(MINUTE_MS);
    const granted = await grantedNow(request, blocks);
    expect(granted).toBeGreaterThanOrEqual(58);
    expect(granted).toBeLessThanOrEqual(60);
    blocks.close();
    client.disconnect();
  });

  test('of tokens, beside one of requests that is a window', async () => {
    const limits = { rpm: 30, tpm: 60, tpmRefills: REFILLING };
    const request = requestFor([store.candidate(`key ${keys++}`, limits)], { tokens: 4 });
    expect(await grantedIn(request, MINUTE_MS)).toBe(29);
    const { refusals } = await store.pool.lease({ ...request, tokens: 61 });
    expect(refusals).toMatchObject([{ why: 'tokens' }]);
  });
});

const at = (rpm: number): LeaseRequest => requestFor([store.candidate(`key ${keys++}`, { rpm, rpmRefills: REFILLING })]);

async function grantedNow(request: LeaseRequest, by = store): Promise<number> {
  for (let count = 0; ; count++) if ((await by.pool.lease(request)).granted === undefined) return count;
}

/** Asked for whenever there is said to be room. */
async function grantedIn(request: LeaseRequest, forMs: number): Promise<number> {
  const end = clock.now() + forMs;
  let count = 0;
  for (;;) {
    const { granted, refusals } = await store.pool.lease(request);
    if (granted === 0) count++;
    const next = refusals[0]?.at ?? clock.now();
    if (next > end) return count;
    await clock.advance(next - clock.now());
  }
}
