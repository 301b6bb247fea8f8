import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { held, httpError } from '../guard/support.ts';
import { ExecutionGuard } from '../../src/index.ts';
import { redisStore } from '../../src/redis.ts';
import { storeAt } from '../support/redis/address.ts';
import { RedisCluster } from '../support/redis/cluster.ts';
import { GuardProcess } from '../support/redis/process.ts';
import { closeGuards, PATIENT, sharedGuard, type SharedGuard } from '../support/redis/shared-guard.ts';

const key = (id: string, traits: object = {}): object => ({ id, key: `secret-of-${id}`, ...traits });

let cluster: RedisCluster;
let prefixes = 0;
/** What each test has in Redis is its own. */
let prefix: string;

beforeAll(async () => {
  cluster = await RedisCluster.start();
});

afterEach(closeGuards);

afterAll(() => cluster.close());

function guardOf(provider: object, isNew = true): SharedGuard {
  if (isNew) prefix = `t${prefixes++}:`;
  return sharedGuard({ ...storeAt({ cluster: cluster.addresses }), ...PATIENT, prefix }, provider);
}

/** Where the names of this test are: on which nodes, and in which slots. */
async function places(): Promise<{ nodes: Set<number>; slots: Set<number> }> {
  const own = [...(await cluster.names())].filter(([name]) => name.startsWith(prefix));
  const slots = await Promise.all(own.map(([name]) => cluster.slotOf(name)));
  return { nodes: new Set(own.map(([, node]) => node)), slots: new Set(slots) };
}

test('quotas are those of all guards together, and all of a pool is in one slot', async () => {
  const limited = { groups: { team: { limits: { rpm: 100 } } }, keys: [key('ann', { group: 'team', limits: { rpm: 5 } }), key('ben', { limits: { rpd: 2 } })] };
  const [one, other] = [guardOf(limited), guardOf(limited, false)];
  const used = await Promise.all([one.keysOf(10), other.keysOf(10)]);
  expect(used.flat().filter(id => id === 'ann')).toHaveLength(5);
  expect(used.flat().filter(id => id === 'ben')).toHaveLength(2);
  const { slots } = await places();
  expect(slots.size).toBe(1);
});

test('another process hears of a key that is refused, and of a place that is free again', async () => {
  const provider = { maxWaitMs: 50_000, keys: [key('ann'), key('ben', { limits: { concurrency: 1 } })] };
  const one = guardOf(provider);
  const config = { deduplication: { enabled: false }, keyManagement: { providers: { openai: provider } } };
  const other = await GuardProcess.start({ cluster: cluster.addresses }, config, { ...PATIENT, prefix });
  try {
    expect((await other.call(1, { providerName: 'openai' }))[0]).toMatchObject({ ok: true });
    const heard = other.event(({ keyId, to }) => keyId === 'ann' && to === 'disabled');
    const refuse = ({ keyId }: { keyId?: string | undefined }): unknown =>
      keyId === 'ann' ? Promise.reject(httpError(401)) : keyId;
    for (let i = 0; i < 2; i++) expect(await one.guard.execute(refuse, 'openai')).toBe('ben');
    await heard;
    const { fn, finish, runs } = held();
    const first = one.guard.execute(fn, 'openai');
    await expect.poll(runs).toBe(1);
    const second = other.call(1, { providerName: 'openai' });
    finish('first');
    expect(await first).toBe('first');
    expect(await second).toMatchObject([{ ok: true, keys: ['ben'] }]);
  } finally {
    await other.kill();
  }
});

test('pools are spread over the nodes, and work side by side', async () => {
  prefix = `t${prefixes++}:`;
  const names = Array.from({ length: 12 }, (_, i) => `provider-${i}`);
  const providers = Object.fromEntries(names.map(name => [name, { keys: [{ id: 'ann', key: `secret-of-${name}`, limits: { rpm: 3 } }] }]));
  const guards = [1, 2].map(
    () =>
      new ExecutionGuard({
        deduplication: { enabled: false },
        queue: { maxQueueSize: 1000 },
        keyManagement: { maxWaitMs: 0, providers },
        store: redisStore({ ...storeAt({ cluster: cluster.addresses }), ...PATIENT, prefix }),
      }),
  );
  const calls = guards.flatMap(guard => names.flatMap(name => [1, 2, 3].map(() => guard.execute(() => name, name))));
  const answered: unknown[] = [];
  for (const call of await Promise.allSettled(calls)) if (call.status === 'fulfilled') answered.push(call.value);
  for (const guard of guards) guard.close();
  expect(answered.sort()).toEqual(names.flatMap(name => [name, name, name]).sort());
  const { nodes, slots } = await places();
  expect(nodes).toEqual(new Set([0, 1, 2]));
  expect(slots.size).toBeGreaterThanOrEqual(names.length);
});

test('a slot that is moved to another node while calls are made: none fails, and none is counted twice or lost', async () => {
  const plenty = { keys: [key('ann', { limits: { rpm: 10_000 } })] };
  const [one, other] = [guardOf(plenty), guardOf(plenty, false)];
  let made = (await Promise.all([one.keysOf(10), other.keysOf(10)])).flat().length;
  const before = await cluster.names();
  const [name, from] = [...before].find(([each]) => each.startsWith(prefix) && each.endsWith(':v'))!;
  const moved = cluster.slotOf(name).then(slot => cluster.move(slot, from, (from + 1) % 3));
  for (const keys of await Promise.all([one.keysUntil(moved), other.keysUntil(moved)])) made += keys.length;
  const last = await Promise.all([one.keysOf(10), other.keysOf(10)]);
  made += last.flat().length;
  expect(made).toBeGreaterThan(40);
  expect((await cluster.names()).get(name)).toBe((from + 1) % 3);
  expect([...one.warnings, ...other.warnings]).toEqual([]);
  expect(await cluster.counted(prefix)).toEqual([made]);
});

test('connections that are cut while calls are made: all are counted once', async () => {
  const plenty = { keys: [key('ann', { limits: { rpm: 10_000 } })] };
  const one = guardOf(plenty);
  await one.keysOf(10);
  const during = one.keysOf(15);
  await cluster.cut();
  expect(await during).toHaveLength(15);
  await expect.poll(() => cluster.counted(prefix), { timeout: 20_000 }).toEqual([25]);
});

test('a node that is gone: calls go on, and are counted when it is back', async () => {
  const plenty = { keys: [key('ann', { limits: { rpm: 10_000 } })] };
  const one = guardOf(plenty);
  await one.keysOf(10);
  const [, node] = [...(await cluster.names())].find(([each]) => each.startsWith(prefix))!;
  await cluster.kill(node);
  expect(await one.keysOf(10)).toHaveLength(10);
  await one.warned(/is away/);
  expect(await one.keysOf(10)).toHaveLength(10);
  await cluster.begin(node);
  await one.warned(/Redis is back/);
  // Without its data: what this guard has used it has told anew.
  await expect.poll(() => cluster.counted(prefix), { timeout: 20_000 }).toEqual([30]);
});
