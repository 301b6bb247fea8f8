import { afterEach, beforeEach, expect, test } from 'vitest';
import { httpError } from '../guard/support.ts';
import { storeAt } from '../support/redis/address.ts';
import { countedIn } from '../support/redis/counts.ts';
import { SentinelGroup } from '../support/redis/sentinel.ts';
import { closeGuards, sharedGuard, type SharedGuard } from '../support/redis/shared-guard.ts';

const key = (id: string, traits: object = {}): object => ({ id, key: `secret-of-${id}`, ...traits });

let group: SentinelGroup;

beforeEach(async () => {
  group = await SentinelGroup.start();
});

afterEach(async () => {
  closeGuards();
  await group.close();
});

function guardOf(limit: number): SharedGuard {
  return sharedGuard({ ...storeAt(group.address), storeTimeoutMs: 500 }, { keys: [key('ann', { limits: { rpm: limit } }), key('ben')] });
}

const ann = { keyId: 'ann' };

/** How often the key was counted, as the master has it. */
async function counted(): Promise<number> {
  const client = group.servers[1]!.client();
  const [count = 0] = await countedIn(client);
  client.disconnect();
  return count;
}

/** The guards know again what one of them finds out. */
async function shareAgain(one: SharedGuard, other: SharedGuard): Promise<void> {
  const refuse = ({ keyId }: { keyId?: string | undefined }): unknown =>
    keyId === 'ben' ? Promise.reject(httpError(429, { 'retry-after': '60' })) : keyId;
  await one.guard.execute(refuse, { providerName: 'openai', keyId: 'ben' });
  await other.heard('key', ({ keyId, to }) => keyId === 'ben' && to === 'cooling');
}

test('a fail-over: no call fails, and afterwards state is shared again', async () => {
  const [one, other] = [guardOf(1_000_000), guardOf(1_000_000)];
  await Promise.all([one.keysOf(10, ann), other.keysOf(10, ann)]);
  const back = group.failOver().then(() => Promise.all([one.warned(/Redis is back/), other.warned(/Redis is back/)]));
  const during = await Promise.all([one.keysUntil(back, ann), other.keysUntil(back, ann)]);
  expect(new Set(during.flat())).toEqual(new Set(['ann']));
  expect([...one.warnings, ...other.warnings].filter(text => text.includes('is away'))).not.toEqual([]);
  await shareAgain(one, other);
  await expect.poll(counted, { timeout: 20_000 }).toBeGreaterThanOrEqual(20);
});

test('a master that answers nothing any more is left for the one that Sentinel names', async () => {
  const [one, other] = [guardOf(1_000_000), guardOf(1_000_000)];
  await Promise.all([one.keysOf(10, ann), other.keysOf(10, ann)]);
  const switched = group.switched();
  group.servers[0]!.pause();
  expect(await Promise.all([one.keysOf(10, ann), other.keysOf(10, ann)]).then(keys => keys.flat())).toHaveLength(20);
  await switched;
  await Promise.all([one.warned(/Redis is back/), other.warned(/Redis is back/)]);
  await shareAgain(one, other);
  await expect.poll(counted, { timeout: 20_000 }).toBeGreaterThanOrEqual(20);
});
