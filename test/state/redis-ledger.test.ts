import type { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { Ledger } from '../../src/state/redis/ledger.ts';
import { RedisMember } from '../../src/state/redis/member.ts';
import { PoolNames } from '../../src/state/redis/names.ts';
import type { PoolLink } from '../../src/state/redis/pool-link.ts';
import { countedIn } from '../support/redis/counts.ts';
import { SomeRedis } from '../support/redis/some-redis.ts';

/** What stands between the head and the body of the only key's entry; see src/state/redis/lua.ts. */
async function levelIn(client: Redis, prefix: string): Promise<number> {
  const [name = ''] = await client.keys(`${prefix}*:k*`);
  return ((await client.getBuffer(name))?.readUIntLE(361, 6) ?? NaN) / 60_000;
}

test.each([
  ['in a window', { rpm: 1000 }],
  ['as a level', { rpm: 9, rpmRefills: { wholeAt: 0 } }],
])('what is told while the connection is lost again is counted once %s, whether it was heard or not', async (_, limits) => {
  const redis = await SomeRedis.start();
  const client = redis.client();
  const fate = { isHeard: true, answers: true };
  const runs: Promise<unknown>[] = [];
  const link: PoolLink = {
    processId: 'abcde',
    blockSize: 1,
    clock: systemClock,
    isUp: true,
    isOpening: false,
    isStrict: false,
    cause: undefined,
    now: () => systemClock.now(),
    opened: () => Promise.resolve(),
    inTime: promise => promise,
    failed: () => undefined,
    run: async (script, keys, args) => {
      const { isHeard, answers } = fate;
      const run = isHeard ? script.run(client, keys, args) : Promise.resolve();
      runs.push(run);
      await run;
      if (!answers) throw new Error('Connection is closed.');
      return run;
    },
  };
  const names = new PoolNames(redis.prefix, 'openai');
  const name = names.member('key', 'secret-of-ann');
  const member = new RedisMember(name, names.entry(name), limits);
  const ledger = new Ledger(names, link);
  const use = (): void => {
    const at = link.now();
    ledger.owed({ id: 'abcde000000', members: [member], at, tokens: 0, expiresAt: at + 60_000 });
  };
  const told = async (): Promise<number[]> => {
    ledger.reconcile([member], false);
    await Promise.allSettled(runs);
    const counted = await countedIn(client, redis.prefix);
    if ('rpmRefills' in limits) {
      const level = await levelIn(client, redis.prefix);
      expect(level).toBeLessThan((counted[0] ?? 0) + 0.1);
      expect(level).toBeGreaterThan((counted[0] ?? 0) - 1);
    }
    return counted;
  };
  for (let i = 0; i < 5; i++) use();
  Object.assign(fate, { isHeard: true, answers: false });
  expect(await told()).toEqual([5]);
  expect(await told()).toEqual([5]);
  for (let i = 0; i < 3; i++) use();
  Object.assign(fate, { isHeard: false, answers: false });
  expect(await told()).toEqual([5]);
  Object.assign(fate, { isHeard: true, answers: true });
  expect(await told()).toEqual([8]);
  expect(await told()).toEqual([8]);
  client.disconnect();
  await redis.close();
});
