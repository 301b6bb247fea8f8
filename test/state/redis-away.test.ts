import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { httpError, rejectionOf } from '../guard/support.ts';
import { closeGuards, PATIENT, sharedGuard, type SharedGuard } from '../support/redis/shared-guard.ts';
import type { Candidate } from '../../src/state/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { countedIn, placesIn } from '../support/redis/counts.ts';
import { TcpProxy } from '../support/redis/proxy.ts';
import { RedisServer } from '../support/redis/server.ts';
import { requestFor, storePool, type StorePool } from '../support/redis/store-pool.ts';

const key = (id: string, traits: object = {}): object => ({ id, key: `secret-of-${id}`, ...traits });
const plenty = { keys: [key('ann', { limits: { rpm: 1000 } })] };

let server: RedisServer;
let proxy: TcpProxy;

beforeEach(async () => {
  server = await RedisServer.start();
  proxy = await TcpProxy.start(server.port);
});

afterEach(async () => {
  closeGuards();
  await proxy.close();
  await server.close();
});

/** How often the key was counted, as Redis has it. */
async function counted(limit: number): Promise<number> {
  const probe = sharedGuard({ url: server.url, ...PATIENT }, { keys: [key('ann', { limits: { rpm: limit } })] });
  const room = await probe.keysOf(limit + 10);
  return limit - room.length;
}

async function setMaxMemory(bytes: string): Promise<void> {
  const client = server.client();
  await client.config('SET', 'maxmemory', bytes);
  client.disconnect();
}

describe('local: a store that is away', () => {
  test.each([
    ['paused', () => server.pause()],
    ['killed', () => void server.kill()],
    ['cut off', () => void proxy.close()],
    ['slow', () => void (proxy.delayMs = 5000)],
  ])('%s: no call fails; after the first ones nobody waits for it', async (_, strike) => {
    const { guard, keysOf, warned } = sharedGuard({ url: proxy.url, storeTimeoutMs: 200 }, plenty);
    expect(await keysOf(5)).toHaveLength(5);
    strike();
    expect(await keysOf(50)).toHaveLength(50);
    await warned(/Redis is away/);
    let waited = 0;
    guard.on('call', ({ durationMs }) => (waited = Math.max(waited, durationMs)));
    for (let i = 0; i < 100; i++) await keysOf(1);
    // A hundred calls one after the other would have waited for 20 seconds.
    expect(waited).toBeLessThan(200);
  });

  test('paused: what was spent meanwhile is counted when it is back, once', async () => {
    const one = sharedGuard({ url: server.url, storeTimeoutMs: 200 }, plenty);
    await one.keysOf(5);
    server.pause();
    await one.keysOf(20);
    await one.warned(/is away/);
    await one.keysOf(10);
    server.resume();
    await one.warned(/Redis is back/);
    await expect.poll(() => counted(1000), { timeout: 20_000 }).toBe(35);
  });

  test.each([
    ['slow', () => void (proxy.delayMs = 1000)],
    ['answering byte by byte', () => void (proxy.dripMs = 20)],
  ])('%s: what was spent meanwhile is counted when it is quick again, once', async (_, strike) => {
    const one = sharedGuard({ url: proxy.url, storeTimeoutMs: 200 }, plenty);
    expect(await one.keysOf(5)).toHaveLength(5);
    strike();
    expect(await one.keysOf(20)).toHaveLength(20);
    await one.warned(/is away/);
    expect(await one.keysOf(10)).toHaveLength(10);
    proxy.hurry();
    await one.warned(/Redis is back/);
    const client = server.client();
    await expect.poll(() => countedIn(client), { timeout: 20_000 }).toEqual([35]);
    client.disconnect();
  });

  test('answers that come in pieces, and in time, are answers', async () => {
    const one = sharedGuard({ url: proxy.url, ...PATIENT }, { keys: [key('ann', { limits: { rpm: 3 } })] });
    expect(await one.keysOf(2)).toHaveLength(2);
    proxy.dripMs = 1;
    expect(await one.keysOf(2)).toHaveLength(1);
    expect(one.warnings).toEqual([]);
  });

  test('killed and empty when it begins again: every guard tells what it has used', async () => {
    const [one, other] = [sharedGuard({ url: server.url, ...PATIENT }, plenty), sharedGuard({ url: server.url, ...PATIENT }, plenty)];
    await Promise.all([one.keysOf(7), other.keysOf(8)]);
    await server.kill();
    await Promise.all([one.warned(/is away/), other.warned(/is away/)]);
    await Promise.all([one.keysOf(10), other.keysOf(20)]);
    await server.begin();
    await Promise.all([one.warned(/Redis is back/), other.warned(/Redis is back/)]);
    await expect.poll(() => counted(1000), { timeout: 20_000 }).toBe(45);
  });

  test('an answer that is cut off in the middle: counted once, whether Redis had heard of it or not', async () => {
    const one = sharedGuard({ url: proxy.url, ...PATIENT }, plenty);
    await one.keysOf(5);
    proxy.cutAfterBytes = 10;
    expect(await one.keysOf(10)).toHaveLength(10);
    await one.warned(/Redis is back/);
    await expect.poll(() => counted(1000), { timeout: 20_000 }).toBe(15);
  });

  test('an answer that is cut off in the middle: attempts that end before Redis is back hold no place there', async () => {
    const one = sharedGuard({ url: proxy.url, ...PATIENT }, { keys: [key('ann', { limits: { rpm: 1000, concurrency: 10 } })] });
    await one.keysOf(5);
    proxy.cutAfterBytes = 10;
    expect(await one.keysOf(10)).toHaveLength(10);
    await one.warned(/Redis is back/);
    const client = server.client();
    await expect.poll(() => countedIn(client), { timeout: 20_000 }).toEqual([15]);
    await expect.poll(() => placesIn(client), { timeout: 20_000 }).toEqual([0]);
    client.disconnect();
  });

  test('an answer that is cut off in the middle: another key that Redis has chosen is not held', async () => {
    const [one, other] = [proxy, server].map(({ url }) => storePool({ url, ...PATIENT }, new ManualClock()));
    const candidates = ({ candidate }: StorePool): Candidate[] => ['ann', 'ben'].map(id => candidate(id, { concurrency: 1 }));
    await other!.pool.lease(requestFor(candidates(other!)));
    await one!.pool.lease(requestFor([one!.candidate('cleo', { rpm: 5 })]));
    proxy.cutAfterBytes = 10;
    // Redis gives it ben, and nobody hears of that.
    expect(await one!.pool.lease(requestFor(candidates(one!)))).toMatchObject({ granted: 0 });
    const [, ben] = candidates(other!);
    await expect.poll(async () => (await other!.pool.lease(requestFor([ben!]))).granted, { timeout: 20_000 }).toBe(0);
    for (const each of [one, other]) each!.close();
  });

  test('each guard has its share of the limits, and one request at least', async () => {
    const limited = { keys: [key('ann', { limits: { rpm: 12 } }), key('ben')] };
    const guards = [1, 2, 3].map(() => sharedGuard({ url: server.url, ...PATIENT }, limited, { retry: { enabled: false } }));
    for (const each of guards) await each.keysOf(1, { keyId: 'ben' });
    const refuse = ({ keyId }: { keyId?: string | undefined }): unknown =>
      keyId === 'ben' ? Promise.reject(httpError(429, { 'retry-after': '60' })) : keyId;
    expect(await guards[2]!.guard.execute(refuse, { providerName: 'openai', keyId: 'ben' })).toBe('ann');
    await Promise.all(guards.map(each => each.heard('key', ({ keyId, to }) => keyId === 'ben' && to === 'cooling')));
    await server.kill();
    await Promise.all(guards.map(each => each.warned(/is away/)));
    const served = await Promise.all(guards.map(each => each.keysOf(20)));
    // One of the third guard's four was used before.
    expect(served.map(keys => keys.length)).toEqual([4, 4, 3]);
  });

  const pause = (): Promise<void> => {
    server.pause();
    return Promise.resolve();
  };
  test.each([
    ['paused', pause, { rpm: 12 }],
    ['paused', pause, { models: { 'gpt-*': { rpm: 12 } } }],
    ['full', () => setMaxMemory('1'), { rpm: 12 }],
  ])('%s while each guard asks for all that is left: none goes on with more than its share', async (_, strike, limits) => {
    const limited = { keys: [key('ann', { limits }), key('ben')] };
    const guards = [1, 2, 3].map(() => sharedGuard({ url: server.url, storeTimeoutMs: 200 }, limited));
    await Promise.all(guards.map(each => each.guard.ready()));
    const [first, second] = guards as [SharedGuard, SharedGuard];
    // Who hears of this has heard of all that are there.
    first.guard.keys.disable('openai', 'ben');
    await Promise.all(guards.slice(1).map(each => each.heard('key', ({ to }) => to === 'disabled')));
    second.guard.keys.enable('openai', 'ben');
    await first.heard('key', ({ to }) => to === 'ready');
    second.guard.keys.disable('openai', 'ben');
    await first.heard('key', ({ reason }) => reason === 'disabled by hand in another process');
    await strike();
    const served = await Promise.all(guards.map(each => each.keysOf(12, { model: 'gpt-4o' })));
    expect(served.map(keys => keys.length)).toEqual([4, 4, 4]);
  });

  test('a key that was convicted meanwhile is out for all when it is back', async () => {
    const two = { keys: [key('ann'), key('ben')] };
    const [one, other] = [two, two].map(each => sharedGuard({ url: server.url, ...PATIENT }, each));
    await Promise.all([one!.keysOf(1), other!.keysOf(1)]);
    await server.kill();
    await one!.warned(/is away/);
    const refuse = ({ keyId }: { keyId?: string | undefined }): unknown =>
      keyId === 'ann' ? Promise.reject(httpError(401)) : keyId;
    for (let i = 0; i < 2; i++) expect(await one!.guard.execute(refuse, 'openai')).toBe('ben');
    await server.begin();
    await other!.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
    expect(new Set(await other!.keysOf(9))).toEqual(new Set(['ben']));
  });
});

test('a store that is full is away, and back when there is room', async () => {
  const client = server.client();
  const one = sharedGuard({ url: server.url, ...PATIENT }, plenty);
  expect(await one.keysOf(3)).toHaveLength(3);
  await client.config('SET', 'maxmemory', '1');
  expect(await one.keysOf(5)).toHaveLength(5);
  await one.warned(/is away/);
  // It asks several times whether there is room, and is not told so before there is.
  const refused = async (): Promise<number> => Number(/errorstat_OOM:count=(\d+)/.exec(await client.info('errorstats'))?.[1] ?? 0);
  const before = await refused();
  await expect.poll(refused, { timeout: 20_000 }).toBeGreaterThan(before + 2);
  expect(one.warnings).toHaveLength(1);
  await client.config('SET', 'maxmemory', '0');
  await one.warned(/Redis is back/);
  await expect.poll(() => counted(1000), { timeout: 20_000 }).toBe(8);
  client.disconnect();
});

test('a server that keeps its data across a restart has everything counted once', async () => {
  const kept = await RedisServer.start(['--appendonly', 'yes', '--appendfsync', 'always']);
  try {
    const one = sharedGuard({ url: kept.url, ...PATIENT }, { keys: [key('ann', { limits: { rpm: 40 } })] });
    await one.keysOf(5);
    await kept.kill();
    await one.warned(/is away/);
    await one.keysOf(10);
    await kept.begin();
    await one.warned(/Redis is back/);
    const probe = sharedGuard({ url: kept.url, ...PATIENT }, { keys: [key('ann', { limits: { rpm: 40 } })] });
    await expect.poll(() => probe.keysOf(50).then(keys => keys.length)).toBe(25);
  } finally {
    closeGuards();
    await kept.close();
  }
});

describe('reject: a store that is away', () => {
  test('ends calls with StoreError, at once after the first, until it is back', async () => {
    const one = sharedGuard({ url: server.url, storeTimeoutMs: 200, onStoreFailure: 'reject' }, plenty);
    expect(await one.keysOf(1)).toEqual(['ann']);
    server.pause();
    let runs = 0;
    const refusals = await Promise.all([1, 2, 3].map(() => rejectionOf(one.guard.execute(() => runs++, 'openai'))));
    for (const refusal of refusals) expect(refusal).toMatchObject({ code: 'STORE_UNAVAILABLE', provider: 'openai' });
    expect(runs).toBe(0);
    server.resume();
    await one.warned(/Redis is back/);
    expect(await one.keysOf(1)).toEqual(['ann']);
  });
});
