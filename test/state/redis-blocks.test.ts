import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { closeGuards, PATIENT, sharedGuard } from '../support/redis/shared-guard.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { RedisServer } from '../support/redis/server.ts';
import { requestFor, scriptsRun, storePool } from '../support/redis/store-pool.ts';

let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});

beforeEach(async () => {
  const client = server.client();
  await client.flushall();
  client.disconnect();
});

afterEach(closeGuards);

afterAll(() => server.close());

const key = (id: string, limits: object): object => ({ id, key: `secret-of-${id}`, limits });

const guardOf = (provider: object, blockSize: number) => sharedGuard({ url: server.url, ...PATIENT, blockSize }, provider);

/** How many scripts Redis runs for so many leases, one after the other. */
async function scriptsFor(leases: number, blockSize: number): Promise<number> {
  const { pool, candidate, close } = storePool({ url: server.url, blockSize }, new ManualClock());
  const request = requestFor([candidate(`ann ${blockSize}`, { rpm: 100_000 })]);
  await pool.lease(request);
  const before = await scriptsRun(server);
  for (let i = 0; i < leases; i++) expect(await pool.lease(request)).toMatchObject({ granted: 0 });
  const scripts = (await scriptsRun(server)) - before;
  close();
  return scripts;
}

test('quota taken in blocks costs a tenth of the round trips, and less', async () => {
  const leases = 1000;
  expect(await scriptsFor(leases, 1)).toBe(leases);
  expect(await scriptsFor(leases, 10)).toBe(leases / 10);
  expect(await scriptsFor(leases, 50)).toBe(leases / 50);
});

test('what is not spent within a second goes back by itself', async () => {
  const clock = new ManualClock();
  const [one, other] = [clock, new ManualClock()].map(each => storePool({ url: server.url, blockSize: 40 }, each));
  const [ofOne, ofOther] = [one!, other!].map(({ candidate }) => requestFor([candidate('ann', { rpm: 50, tpm: 500 })], { tokens: 10 }));
  expect(await one!.pool.lease(ofOne!)).toMatchObject({ granted: 0 });
  const served = async (): Promise<number> => {
    let granted = 0;
    while ((await other!.pool.lease(ofOther!)).granted === 0) granted++;
    return granted;
  };
  expect(await served()).toBe(10);
  await clock.advance(1000);
  // The first one's word is on its way.
  let more = 0;
  await expect.poll(async () => (more += await served()), { timeout: 20_000 }).toBe(39);
  one!.close();
  other!.close();
});

test('what is not spent goes back, so that all of the limit is used and no more', async () => {
  const limited = { keys: [key('ann', { rpm: 50 })] };
  const [one, other] = [guardOf(limited, 20), guardOf(limited, 20)];
  expect(await one.keysOf(5)).toHaveLength(5);
  const served = [(await other.keysOf(60)).length];
  expect(served[0]).toBeLessThanOrEqual(45);
  await expect
    .poll(async () => served.push((await other.keysOf(60)).length) && served.reduce((sum, each) => sum + each), { timeout: 20_000 })
    .toBe(45);
  expect(await one.keysOf(10)).toEqual([]);
});

test('a guard that is closed gives back what it holds', async () => {
  const limited = { keys: [key('ann', { rpm: 50 })] };
  const [one, other] = [guardOf(limited, 40), guardOf(limited, 1)];
  await one.keysOf(1);
  one.guard.close();
  const served = [0];
  await expect
    .poll(async () => served.push((await other.keysOf(60)).length) && served.reduce((sum, each) => sum + each), { timeout: 20_000 })
    .toBe(49);
});

test('calls of different sizes: tokens taken ahead and not spent go back, too', async () => {
  const limited = { keys: [key('ann', { tpm: 1000 })] };
  const one = guardOf(limited, 10);
  expect(await one.keysOf(1, { tokens: 10 })).toHaveLength(1);
  // 90 are left of the block; the rest of the limit is there all the same.
  await expect.poll(() => one.keysOf(1, { tokens: 900 }), { timeout: 20_000 }).toHaveLength(1);
  await expect.poll(() => one.keysOf(1, { tokens: 80 }), { timeout: 20_000 }).toHaveLength(1);
});

test('attempts at once are counted one by one', async () => {
  const [one, other] = [1, 2].map(() => guardOf({ keys: [key('ann', { rpm: 100, concurrency: 1 })] }, 10));
  let finish = (): void => undefined;
  const begun = new Promise<void>(resolve => {
    void one!.guard.execute(() => new Promise<void>(end => {
      finish = end;
      resolve();
    }), 'openai');
  });
  await begun;
  expect(await other!.keysOf(3)).toEqual([]);
  finish();
  await expect.poll(() => other!.keysOf(1)).toEqual(['ann']);
});
