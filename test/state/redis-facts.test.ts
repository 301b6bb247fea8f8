import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../support/manual-clock.ts';
import { httpError, rejectionOf } from '../guard/support.ts';
import { closeGuards, PATIENT, sharedGuard, type SharedGuard } from '../support/redis/shared-guard.ts';
import { storePool } from '../support/redis/store-pool.ts';
import { watchServer } from '../support/redis/monitor.ts';
import { RedisServer } from '../support/redis/server.ts';
import { SomeRedis } from '../support/redis/some-redis.ts';
import type { Note } from '../../src/state/store.ts';

const key = (id: string, traits: object = {}): object => ({ id, key: `secret-of-${id}`, ...traits });
const two = { keys: [key('ann'), key('ben')] };

let redis: SomeRedis;

beforeAll(async () => {
  redis = await SomeRedis.start();
});

beforeEach(() => redis.clear());

afterEach(closeGuards);

afterAll(() => redis.close());

const guardOf = (provider: object = two): SharedGuard => sharedGuard({ ...redis.store, ...PATIENT }, provider);

/** As OpenAI tells what is left of ten requests. */
function figures(left: number, more: Record<string, string> = {}): Record<string, string> {
  return {
    'x-ratelimit-limit-requests': '10',
    'x-ratelimit-remaining-requests': String(left),
    'x-ratelimit-reset-requests': '60s',
    ...more,
  };
}

/** A call that is answered with these headers, and the key it had. */
async function ask({ guard }: SharedGuard, headers: Record<string, string>, options: object = {}): Promise<string | undefined> {
  let used: string | undefined;
  const answer = ({ keyId }: { keyId?: string | undefined }): Response => {
    used = keyId;
    return new Response('fine', { headers });
  };
  await guard.execute(answer, { providerName: 'openai', ...options });
  return used;
}

function reportOf({ guard }: SharedGuard, keyId: string) {
  return guard.getStats().keys['openai']?.keys.find(({ id }) => id === keyId);
}

const learned = (of: SharedGuard, keyId: string) => reportOf(of, keyId)?.learned ?? [];
const states = ({ guard }: SharedGuard): Record<string, string> =>
  Object.fromEntries(guard.explain('openai').keys.map(({ id, state }) => [id, state]));

describe('limits that answers tell', () => {
  test('one that is used up is used by no other guard before its reset', async () => {
    const [one, other] = [guardOf(), guardOf()];
    await other.keysOf(1);
    await ask(one, figures(0), { keyId: 'ann' });
    await expect.poll(() => learned(other, 'ann')).toMatchObject([{ counts: 'requests', limit: 10, left: 0 }]);
    expect(new Set(await other.keysOf(6))).toEqual(new Set(['ben']));
  });

  test('of one model say nothing of the others', async () => {
    const [one, other] = [guardOf(), guardOf()];
    await other.keysOf(1);
    await ask(one, figures(0), { keyId: 'ann', model: 'gpt 4/o' });
    await expect.poll(() => learned(other, 'ann')).toMatchObject([{ model: 'gpt 4/o', left: 0 }]);
    expect(await other.keysOf(4, { model: 'gpt 4/o' })).not.toContain('ann');
    expect(await other.keysOf(4, { model: 'gpt-5' })).toContain('ann');
  });

  test('are known to a guard that begins later, for what is left of their time', async () => {
    const one = guardOf();
    await ask(one, figures(0), { keyId: 'ann' });
    const late = guardOf();
    await expect.poll(() => learned(late, 'ann')).toMatchObject([{ limit: 10, left: 0 }]);
    const { resetAt = 0 } = learned(late, 'ann')[0] ?? {};
    expect(Math.abs(resetAt - (learned(one, 'ann')[0]?.resetAt ?? 0))).toBeLessThan(2000);
  });

  test('are told when half is left of what was told, and not with every answer', async () => {
    const one = guardOf({ keys: [key('ann')] });
    await one.keysOf(1);
    const listener = redis.client();
    const notes: unknown[] = [];
    await listener.psubscribe(`${redis.prefix}*`);
    listener.on('pmessage', (_, __, message: string) => {
      if (message.includes('"note":"limits')) notes.push(JSON.parse(message));
    });
    for (const left of [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]) await ask(one, figures(left));
    await expect.poll(() => notes.length).toBeGreaterThanOrEqual(5);
    expect(notes).toHaveLength(5);
    listener.disconnect();
  });

  test('that a person has declared out of date are so for all', async () => {
    const [one, other] = [guardOf(), guardOf()];
    await other.keysOf(1);
    await ask(one, figures(0), { keyId: 'ann' });
    await expect.poll(() => learned(other, 'ann')).toHaveLength(1);
    one.guard.keys.resetCooldown('openai', 'ann');
    await expect.poll(() => learned(other, 'ann')).toEqual([]);
    expect(await other.keysOf(4)).toContain('ann');
    const late = guardOf();
    await late.keysOf(1);
    expect(learned(late, 'ann')).toEqual([]);
  });
});

describe('groups that answers tell', () => {
  const named = { 'anthropic-organization-id': 'org-7' };

  test('hold in all guards: what one key of it has used up is used up for the others', async () => {
    const [one, other] = [guardOf(), guardOf()];
    await other.keysOf(1);
    await ask(one, named, { keyId: 'ann' });
    await ask(one, { ...named, ...figures(0) }, { keyId: 'ben' });
    await expect.poll(() => reportOf(other, 'ann')?.group).toBe('org-7');
    await expect.poll(() => states(other)).toEqual({ ann: 'exhausted', ben: 'exhausted' });
    const late = guardOf();
    await expect.poll(() => states(late)).toEqual({ ann: 'exhausted', ben: 'exhausted' });
  });

  test('a cool-down of such a group closes it elsewhere, even under another of its names', async () => {
    const [one, other] = [guardOf(), guardOf()];
    await ask(other, { 'anthropic-organization-id': 'first-name' }, { keyId: 'ann' });
    await expect.poll(() => reportOf(one, 'ann')?.group).toBe('first-name');
    for (const each of [one, other]) await ask(each, named, { keyId: 'ann' });
    await ask(one, named, { keyId: 'ben' });
    await expect.poll(() => reportOf(other, 'ben')?.group).toBe('first-name');
    const refuse = (): unknown => Promise.reject(httpError(429, { 'retry-after': '30' }));
    await rejectionOf(one.guard.execute(refuse, 'openai'));
    await expect.poll(() => states(other)).toEqual({ ann: 'cooling', ben: 'cooling' });
  });
});

describe('groups that answers tell, where guards differ', () => {
  const named = { 'anthropic-organization-id': 'org-7' };

  test('a key whose figures show that it is apart is so for all', async () => {
    const [one, other] = [guardOf(), guardOf()];
    await other.keysOf(1);
    for (const keyId of ['ann', 'ben']) await ask(one, named, { keyId });
    await expect.poll(() => reportOf(other, 'ben')?.group).toBe('org-7');
    await ask(one, { ...named, ...figures(5) }, { keyId: 'ann' });
    await ask(one, { ...named, ...figures(40), 'x-ratelimit-limit-requests': '50' }, { keyId: 'ben' });
    await expect.poll(() => reportOf(other, 'ben')?.group).not.toBe('org-7');
    expect(reportOf(other, 'ann')?.group).toBe('org-7');
    expect(reportOf(one, 'ben')?.group).toBe(reportOf(other, 'ben')?.group);
  });

  test('a limit holds for the keys there are, whoever it was heard from; what is said of others is passed over', async () => {
    const one = guardOf();
    const other = guardOf({ keys: [key('ben'), key('cleo')] });
    await other.keysOf(1);
    await ask(one, figures(7), { keyId: 'ann' });
    for (const keyId of ['ann', 'ben']) await ask(one, named, { keyId });
    one.guard.keys.disable('openai', 'ann');
    await ask(one, { ...named, ...figures(0) }, { keyId: 'ben' });
    await expect.poll(() => states(other)).toEqual({ ben: 'exhausted', cleo: 'ready' });
    expect(await other.keysOf(2)).toEqual(['cleo', 'cleo']);
    // A key of its own, of which the group was declared here, stays where a person has put it.
    const declared = guardOf({ keys: [key('ben', { group: 'mine' })] });
    await declared.keysOf(1);
    expect(reportOf(declared, 'ben')?.group).toBe('mine');
    declared.guard.keys.resetCooldown('openai', 'ben');
  });
});

describe('a key that a person has taken out', () => {
  test('is out in all guards, those that begin later as well, until a person puts it back in any', async () => {
    const [one, other] = [guardOf(), guardOf()];
    await Promise.all([one.keysOf(1), other.keysOf(1)]);
    one.guard.keys.disable('openai', 'ann', 'it is somebody else\'s');
    await other.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
    expect(new Set(await other.keysOf(6))).toEqual(new Set(['ben']));
    const late = guardOf();
    await late.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
    expect(new Set(await late.keysOf(6))).toEqual(new Set(['ben']));
    other.guard.keys.enable('openai', 'ann');
    await one.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'ready');
    await late.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'ready');
    expect(await late.keysOf(4)).toContain('ann');
  });

  test('is so where it is added to a guard that runs already', async () => {
    const one = guardOf();
    await one.keysOf(1);
    one.guard.keys.disable('openai', 'ann');
    const other = guardOf({ keys: [key('ben')] });
    await other.keysOf(1);
    other.guard.keys.add('openai', { id: 'ann', key: 'secret-of-ann' });
    await other.keysOf(1);
    await other.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
  });
});

test('Redis is emptied, or away: what was said meanwhile and before is told when it is back', async () => {
  const own = await RedisServer.start();
  const guards = [1, 2].map(() => sharedGuard({ url: own.url, ...PATIENT }, { keys: [key('ann'), key('ben'), key('cleo')] }));
  const [one, other] = [guards[0]!, guards[1]!];
  try {
    await Promise.all([one.keysOf(1), other.keysOf(1)]);
    await ask(one, { 'anthropic-organization-id': 'org-7' }, { keyId: 'cleo' });
    one.guard.keys.disable('openai', 'ann');
    await other.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
    await own.kill();
    await Promise.all([one.warned(/is away/), other.warned(/is away/)]);
    one.guard.keys.disable('openai', 'ben');
    await ask(one, figures(0), { keyId: 'cleo' });
    await own.begin();
    await other.heard('key', ({ keyId, to }) => keyId === 'ben' && to === 'disabled');
    await expect.poll(() => learned(other, 'cleo')).toMatchObject([{ left: 0 }]);
    const late = sharedGuard({ url: own.url, ...PATIENT }, { keys: [key('ann'), key('ben'), key('cleo')] });
    await expect.poll(() => states(late)).toEqual({ ann: 'disabled', ben: 'disabled', cleo: 'exhausted' });
    expect(reportOf(late, 'cleo')?.group).toBe('org-7');
  } finally {
    closeGuards();
    await own.close();
  }
});

test('nothing in Redis, said to it or by it, shows a secret, a key or a provider', async () => {
  const server = await RedisServer.start();
  const guardOn = (provider: object): SharedGuard => sharedGuard({ url: server.url, ...PATIENT }, provider);
  const said: string[] = [];
  const stop = await watchServer(server.port, ({ args }) => said.push(args.join(' ')));
  const listener = server.client();
  await listener.psubscribe('*');
  listener.on('pmessage', (_, channel: string, message: string) => said.push(channel, message));
  const [one, other] = [guardOn({ keys: [key('ann', { limits: { rpm: 50 } }), key('ben')] }), guardOn(two)];
  await other.keysOf(1);
  await one.guard.execute(({ keyId }) => (keyId === 'ann' ? Promise.reject(httpError(401)) : 1), { providerName: 'openai', keyId: 'ann' });
  await ask(one, figures(0, { 'anthropic-organization-id': 'the secret-of-ben' }), { keyId: 'ben' });
  one.guard.keys.disable('openai', 'ben', 'as it is secret-of-ben');
  await other.heard('key', ({ keyId, to }) => keyId === 'ben' && to === 'disabled');
  const client = server.client();
  for (const name of await client.keys('*')) said.push(name, (await client.dumpBuffer(name)).toString('latin1'));
  for (const each of [client, listener]) each.disconnect();
  stop();
  closeGuards();
  await server.close();
  expect(said.length).toBeGreaterThan(20);
  expect(said.filter(text => text.includes('held:')).length).toBeGreaterThan(2);
  expect(said.join('\n')).not.toMatch(/secret-of|\bann\b|\bben\b|openai/);
});

test('many at once are told, and the store is asked for them, without one being lost', async () => {
  const many = { keys: Array.from({ length: 250 }, (_, i) => key(`key-${i}`)) };
  const one = guardOf(many);
  for (let i = 0; i < 249; i++) one.guard.keys.disable('openai', `key-${i}`);
  await one.keysOf(1);
  const client = redis.client();
  await expect.poll(async () => {
    const [name = ''] = await client.keys(`${redis.prefix}*:s`);
    return client.hlen(name);
  }, { timeout: 20_000 }).toBe(249);
  client.disconnect();
  const late = guardOf(many);
  expect(new Set(await late.keysOf(5))).toEqual(new Set(['key-249']));
});

describe('notes that nobody can read', () => {
  test.each([
    ['limits:kAnn', '7|no json'],
    ['limits:kAnn', '7|[{"counts":1}]'],
    ['limits:kAnn', '7|[null]'],
    ['limits:kAnn', '7|{}'],
    ['other:kAnn', '7|1'],
  ])('%s %s: are passed over', async (field, record) => {
    const clock = new ManualClock();
    const client = redis.client();
    const notes: Note[] = [];
    const first = storePool({ ...redis.store, ...PATIENT }, clock, 'openai', { noted: note => void notes.push(note) });
    const member = first.candidate('ann', undefined);
    await first.pool.lease({ candidates: [member], model: undefined, tokens: 0, leaseMs: 1000, dayReset: undefined });
    first.pool.note({ about: 'held', member: member.key.name, held: true }, false);
    const [states = ''] = (await expect.poll(() => client.keys(`${redis.prefix}*:s`)).toHaveLength(1), await client.keys(`${redis.prefix}*:s`));
    await client.hset(states, field, record);
    const second = storePool({ ...redis.store, ...PATIENT }, clock, 'openai', { noted: note => void notes.push(note) });
    await second.pool.lease({ candidates: [member], model: undefined, tokens: 0, leaseMs: 1000, dayReset: undefined });
    await expect.poll(() => notes).toEqual([{ about: 'held', member: member.key.name, held: true }]);
    for (const each of [first, second]) each.close();
    client.disconnect();
  });
});
