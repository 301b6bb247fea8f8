import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LeaseAnswer, LeaseRequest } from '../../src/state/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { countedIn } from '../support/redis/counts.ts';
import { RedisServer } from '../support/redis/server.ts';
import { requestFor, storePool, type StorePool } from '../support/redis/store-pool.ts';

const TIMEOUT_MS = 50;
const PATIENT_MS = 20_000;

let server: RedisServer;
let client: Redis;
let clock: ManualClock;
let store: StorePool;
const others: StorePool[] = [];

beforeEach(async () => {
  server = await RedisServer.start();
  client = server.client();
  clock = new ManualClock();
  store = storePool({ url: server.url, storeTimeoutMs: TIMEOUT_MS }, clock);
});

afterEach(async () => {
  server.resume();
  for (const each of [store, ...others.splice(0)]) each.close();
  client.disconnect();
  await server.close();
});

function another(): StorePool {
  const other = storePool({ url: server.url }, new ManualClock());
  others.push(other);
  return other;
}

const atOnce = ({ pool }: StorePool, request: LeaseRequest, times: number): Promise<LeaseAnswer[]> =>
  Promise.all(Array.from({ length: times }, async () => pool.lease(request)));

/** Asks while the server is held still, until the store has waited for long enough. */
async function askInVain(request: LeaseRequest, times: number): Promise<LeaseAnswer[]> {
  server.pause();
  const answers = atOnce(store, request, times);
  await clock.advance(TIMEOUT_MS);
  return answers;
}

const isAway = (): boolean => store.warnings.some(warning => warning.startsWith('Redis is away'));

async function back(): Promise<void> {
  server.resume();
  if (!isAway()) return;
  const isBack = async (): Promise<boolean> => {
    await clock.advance(100);
    return store.warnings.some(warning => warning.startsWith('Redis is back'));
  };
  await expect.poll(isBack, { timeout: PATIENT_MS }).toBe(true);
}

const counts = async (): Promise<number[]> => (await countedIn(client)).toSorted((a, b) => a - b);

// A server that has answered something else that is as new is only busy: it is not given up.
describe.each([
  ['given up meanwhile', 1],
  ['only busy', 0],
])('leases that are answered late, by a server that was %s,', (_, laterMs) => {
  const askLate = async (request: LeaseRequest, times: number): Promise<LeaseAnswer[]> => {
    await clock.advance(laterMs);
    const answers = await askInVain(request, times);
    expect(isAway()).toBe(laterMs > 0);
    return answers;
  };

  test('are counted as what became of their attempts meanwhile', async () => {
    const limits = { rpm: 20, tpm: 1000, concurrency: 5 };
    const request = requestFor([store.candidate('ann', limits)], { tokens: 10 });
    expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
    const [cancelled, over, open] = await askLate(request, 3);
    for (const answer of [cancelled, over, open]) expect(answer).toMatchObject({ granted: 0, refusals: [] });
    cancelled!.receipt!.correct(-1, -10);
    cancelled!.receipt!.release();
    over!.receipt!.release();
    await back();
    await expect.poll(counts, { timeout: PATIENT_MS }).toEqual([3]);
    // The first and the last one are under way: three of five places are free.
    const other = another();
    const same = requestFor([other.candidate('ann', limits)]);
    const granted = async (): Promise<number> => (await atOnce(other, same, 5)).filter(answer => answer.granted === 0).length;
    expect(await granted()).toBe(3);
    open!.receipt!.release();
    await expect.poll(granted, { timeout: PATIENT_MS }).toBe(1);
  });

  test('that are refused are counted all the same, as their attempts have gone on', async () => {
    const request = requestFor([store.candidate('ann', { rpm: 1 })]);
    expect(await store.pool.lease(request)).toMatchObject({ granted: 0 });
    const [answer] = await askLate(request, 1);
    expect(answer).toMatchObject({ granted: 0 });
    await back();
    await expect.poll(counts, { timeout: PATIENT_MS }).toEqual([2]);
  });

  test('give back what was taken of another key', async () => {
    const [ann, ben] = [store.candidate('ann', { rpm: 1 }), store.candidate('ben', { rpm: 9, concurrency: 1 })];
    expect(await store.pool.lease(requestFor([ann]))).toMatchObject({ granted: 0 });
    const first = await store.pool.lease(requestFor([ben]));
    first.receipt!.release();
    await askLate(requestFor([ann, ben]), 1);
    await back();
    await expect.poll(counts, { timeout: PATIENT_MS }).toEqual([1, 2]);
    expect(await store.pool.lease(requestFor([ben]))).toMatchObject({ granted: 0 });
  });
});

test('an attempt of which nothing was heard, and that has ended, is owed no place when the server begins anew', async () => {
  const limits = { rpm: 20, concurrency: 2 };
  const request = requestFor([store.candidate('ann', limits)]);
  const held = await store.pool.lease(request);
  await clock.advance(1);
  const [ended] = await askInVain(request, 1);
  ended!.receipt!.release();
  await server.kill();
  await server.begin();
  await back();
  await expect.poll(counts, { timeout: PATIENT_MS }).toEqual([2]);
  const other = another();
  const same = requestFor([other.candidate('ann', limits)]);
  expect((await atOnce(other, same, 2)).map(({ granted }) => granted)).toEqual([0, undefined]);
  held.receipt!.release();
});

test('what cannot be given back while the server is full is, when there is room', async () => {
  const request = requestFor([store.candidate('ann', { rpm: 20, concurrency: 3 })]);
  const answers = await atOnce(store, request, 3);
  await client.config('SET', 'maxmemory', '1');
  answers[0]!.receipt!.correct(-1, 0);
  for (const { receipt } of answers) receipt!.release();
  await expect.poll(() => store.warnings, { timeout: PATIENT_MS }).toHaveLength(1);
  // Given back while nobody can be told.
  answers[1]!.receipt!.correct(-1, 0);
  await client.config('SET', 'maxmemory', '0');
  await back();
  await expect.poll(counts, { timeout: PATIENT_MS }).toEqual([1]);
  expect((await atOnce(store, request, 4)).filter(({ granted }) => granted === 0)).toHaveLength(3);
});
