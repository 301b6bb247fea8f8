import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { LeaseRequest } from '../../src/state/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { countedIn } from '../support/redis/counts.ts';
import { RedisServer } from '../support/redis/server.ts';
import { requestFor, storePool, type StorePool } from '../support/redis/store-pool.ts';
import { PROCESS_MS, run } from './program.ts';

const PATIENT = { timeout: 20_000 };

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
  for (const store of stores.splice(0)) store.close();
});

afterAll(() => server.close());

function open(options: { readonly blockSize?: number } = {}): StorePool {
  const store = storePool({ url: server.url, ...options }, new ManualClock());
  stores.push(store);
  return store;
}

const single = ({ candidate }: StorePool): LeaseRequest => requestFor([candidate('ann', { concurrency: 1 })]);
const granted = async (store: StorePool): Promise<number | undefined> => (await store.pool.lease(single(store))).granted;

/** Redis is told anew what each script is, which takes another round trip. */
async function forgetScripts(): Promise<void> {
  const client = server.client();
  await client.script('FLUSH');
  client.disconnect();
}

describe('a store that is closed', () => {
  test('keeps the place of an attempt under way until that has ended, and not for as long as a lease', async () => {
    const [one, other] = [open(), open()];
    const { receipt } = await one.pool.lease(single(one));
    one.close();
    expect(await granted(other)).toBeUndefined();
    receipt!.release();
    await expect.poll(() => granted(other), PATIENT).toBe(0);
  });

  test('has given back what was released just before, though Redis does not know the script yet', async () => {
    const [one, other] = [open(), open()];
    const { receipt } = await one.pool.lease(single(one));
    await forgetScripts();
    receipt!.release();
    one.close();
    await expect.poll(() => granted(other), PATIENT).toBe(0);
  });

  test('has given back what was taken ahead, though Redis does not know the script yet', async () => {
    const one = open({ blockSize: 10 });
    await one.pool.lease(requestFor([one.candidate('ann', { rpm: 100 })]));
    await forgetScripts();
    one.close();
    const client = server.client();
    await expect.poll(() => countedIn(client), PATIENT).toEqual([1]);
    client.disconnect();
  });
});

test.each([
  ['a call is under way that never ends', 'server', 'new Promise(() => undefined)'],
  ['Redis is away', 'nobody', '1'],
])('a guard that was closed while %s keeps no process alive', async (_, where, upstream) => {
  const url = where === 'server' ? server.url : 'redis://127.0.0.1:1';
  const ended = await run(`
    import { ExecutionGuard } from './src/index.ts';
    import { redisStore } from './src/redis.ts';
    const keys = [{ key: 'secret-of-ann', limits: { concurrency: 1 } }];
    const store = redisStore({ url: '${url}', storeTimeoutMs: 100_000 });
    const guard = new ExecutionGuard({ store, keyManagement: { providers: { openai: { keys } } } }, { warn: () => undefined });
    await guard.ready();
    await new Promise(begun => void guard.execute(() => (begun(), ${upstream}), 'openai'));
    guard.close();
    const closedAt = performance.now();
    process.once('exit', () => console.log(performance.now() - closedAt < 50_000 ? 'at once' : 'late'));
  `);
  expect(ended).toBe('at once');
}, PROCESS_MS);
