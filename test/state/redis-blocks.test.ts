import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { closeGuards, PATIENT, sharedGuard } from '../support/redis/shared-guard.ts';
import { RedisServer } from '../support/redis/server.ts';

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

/** How many scripts Redis has run. */
async function scripts(): Promise<number> {
  const client = server.client();
  const stats = await client.info('commandstats');
  client.disconnect();
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

test('quota taken in blocks costs a tenth of the round trips', async () => {
  const one = guardOf({ keys: [key('ann', { rpm: 100_000 })] }, 50);
  await one.keysOf(1);
  const before = await scripts();
  for (let i = 0; i < 20; i++) expect(await one.keysOf(50)).toHaveLength(50);
  expect((await scripts()) - before).toBeLessThan(100);
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
