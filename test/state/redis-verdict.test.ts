import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LEASE } from '../../src/state/redis/lua.ts';
import { PoolNames } from '../../src/state/redis/names.ts';
import { watchServer } from '../support/redis/monitor.ts';
import { GuardProcess } from '../support/redis/process.ts';
import { RedisServer } from '../support/redis/server.ts';

const IDS = ['ann', 'ben', 'cleo'];
const keys = IDS.map(id => ({ id, key: `secret-of-${id}`, limits: { rpm: 1_000_000 } }));
const config = { deduplication: { enabled: false }, queue: { maxQueueSize: 10_000 }, keyManagement: { providers: { openai: { keys } } } };
const call = { providerName: 'openai' };
const READS = new Set(['get', 'getrange', 'mget', 'hget', 'hmget', 'time']);

let server: RedisServer;
let processes: GuardProcess[];

beforeAll(async () => {
  server = await RedisServer.start();
  processes = await Promise.all([1, 2, 3, 4].map(() => GuardProcess.start(server.url, config, { storeTimeoutMs: 30_000 })));
});

afterAll(async () => {
  await Promise.all(processes.map(each => each.kill()));
  await server.close();
});

/** What Redis does, in its order: a key that a lease script has counted, or that was found to be disabled. */
async function watchOf(): Promise<{ readonly done: { what: 'leased' | 'disabled'; id: string }[]; readonly stop: () => void }> {
  const names = new PoolNames('eg:', 'openai');
  const members = new Map(IDS.map(id => [names.member('key', `secret-of-${id}`), id]));
  const entries = new Map([...members].map(([member, id]) => [names.entry(member), id]));
  const leaseDigest = createHash('sha1').update(LEASE).digest('hex');
  const done: { what: 'leased' | 'disabled'; id: string }[] = [];
  let script = '';
  const stop = await watchServer(server.port, ({ args: [command = '', first = '', ...rest], byScript }) => {
    const name = command.toLowerCase();
    if (!byScript) {
      script = name === 'evalsha' ? first : createHash('sha1').update(first).digest('hex');
      return;
    }
    const leased = script === leaseDigest && !READS.has(name) ? entries.get(first) : undefined;
    if (leased !== undefined) done.push({ what: 'leased', id: leased });
    const [field = '', record = ''] = rest;
    const disabled = name === 'hset' && first === names.gates && record.startsWith('disabled|') ? members.get(field) : undefined;
    if (disabled !== undefined) done.push({ what: 'disabled', id: disabled });
  });
  return { done, stop };
}

test('one process sees a 401: from the verdict on Redis gives that key to nobody, and nobody uses it who has heard', async () => {
  const { done, stop } = await watchOf();
  const [first, ...others] = processes as [GuardProcess, ...GuardProcess[]];
  const heard = processes.map(each => each.event(({ keyId, to }) => keyId === 'ann' && to === 'disabled'));
  let isHeard = false;
  const busy = others.map(async each => {
    while (!isHeard) await each.call(20, call);
  });
  for (const each of others) await each.call(20, call);
  await first.call(20, call);
  const refused = await first.call(1, { ...call, keyId: 'ann' }, { status: { ann: 401 } });
  expect(refused).toMatchObject([{ ok: true, keys: ['ann', expect.stringMatching(/ben|cleo/)] }]);
  await Promise.all(heard);
  isHeard = true;
  await Promise.all(busy);
  const last = (await Promise.all(processes.map(each => each.call(50, call)))).flat();
  expect(last).toHaveLength(200);
  expect(last.flatMap(each => each.keys)).not.toContain('ann');
  stop();
  const verdict = done.findIndex(({ what, id }) => what === 'disabled' && id === 'ann');
  const leased = (from: number, to: number): Set<string> =>
    new Set(done.slice(from, to).filter(({ what }) => what === 'leased').map(({ id }) => id));
  expect(leased(0, verdict)).toEqual(new Set(IDS));
  expect(leased(verdict, done.length)).toEqual(new Set(['ben', 'cleo']));
});
