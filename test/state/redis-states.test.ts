import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { held, httpError, networkError, rejectionOf } from '../guard/support.ts';
import { closeGuards, PATIENT, sharedGuard } from '../support/redis/shared-guard.ts';
import { SomeRedis } from '../support/redis/some-redis.ts';

let redis: SomeRedis;

beforeAll(async () => {
  redis = await SomeRedis.start();
});

beforeEach(() => redis.clear());

afterEach(closeGuards);

afterAll(() => redis.close());

const guardOf = (provider: object, config = {}) => sharedGuard({ ...redis.store, ...PATIENT }, provider, config);

const key = (id: string, traits: object = {}): object => ({ id, key: `secret-of-${id}`, ...traits });

const ann = { keys: [key('ann', { limits: { rpm: 2 } })] };

describe('quotas', () => {
  test('are those of all guards together, and the refusal says when there is room', async () => {
    const [one, other] = [guardOf(ann), guardOf(ann)];
    expect(await one.keysOf(1)).toEqual(['ann']);
    expect(await other.keysOf(1)).toEqual(['ann']);
    const refusal = await rejectionOf(one.guard.execute(() => 1, 'openai'));
    expect(refusal).toMatchObject({ code: 'POOL_EXHAUSTED', keys: [{ id: 'ann', state: 'exhausted' }] });
    expect(refusal).toHaveProperty('retryAfterMs', expect.toSatisfy((ms: number) => ms > 50_000 && ms <= 60_500));
  });

  test('of a group hold for all its keys, whoever has them', async () => {
    const grouped = { groups: { team: { limits: { rpm: 3 } } }, keys: [key('ann', { group: 'team' }), key('ben', { group: 'team' })] };
    const [one, other] = [guardOf(grouped), guardOf({ ...grouped, keys: [key('ben', { group: 'team' })] })];
    expect([...(await one.keysOf(2)), ...(await other.keysOf(2)), ...(await one.keysOf(1))]).toHaveLength(3);
  });

  test('a key in use elsewhere is passed over in the same round trip', async () => {
    const two = { keys: [key('ann', { limits: { rpm: 1 } }), key('ben', { limits: { rpm: 1 } })] };
    const [one, other] = [guardOf(two), guardOf(two)];
    expect(await one.keysOf(1)).toEqual(['ann']);
    expect(await other.keysOf(1)).toEqual(['ben']);
  });

  test('what is told of a choice is what the store has said', async () => {
    const two = { keys: [key('ann', { limits: { rpm: 1 } }), key('ben', { limits: { rpm: 1 } })] };
    const [one, other] = [guardOf(two), guardOf(two)];
    expect(await one.keysOf(1)).toEqual(['ann']);
    const chosen: (string | undefined)[] = [];
    other.guard.on('choice', ({ keyId }) => chosen.push(keyId));
    for (let i = 0; i < 2; i++) await other.keysOf(1);
    expect(chosen).toEqual(['ben', undefined]);
  });

  test('what was never sent is given back', async () => {
    const single = { keys: [key('ann', { limits: { rpm: 1 } })] };
    const [one, other] = [guardOf(single, { retry: { enabled: false } }), guardOf(single)];
    await rejectionOf(one.guard.execute(() => Promise.reject(networkError('ECONNREFUSED')), 'openai'));
    await expect.poll(() => other.keysOf(1)).toEqual(['ann']);
  });

  test('tokens count as they were used, not as they were estimated', async () => {
    const limited = { keys: [key('ann', { limits: { tpm: 100 } })] };
    const [one, other] = [guardOf(limited), guardOf(limited)];
    const options = { providerName: 'openai', tokens: 90 };
    await one.guard.execute(({ reportUsage }) => reportUsage({ inputTokens: 10 }), options);
    await expect.poll(() => other.keysOf(1, { tokens: 90 })).toEqual(['ann']);
    expect(await one.keysOf(1, { tokens: 20 })).toEqual([]);
  });

  test('per day are counted beside those per minute', async () => {
    const daily = { keys: [key('ann', { limits: { rpd: 2, tpd: 100 } })], profile: 'gemini' };
    const [one, other] = [guardOf(daily), guardOf(daily)];
    expect([...(await one.keysOf(2, { tokens: 10 })), ...(await other.keysOf(1, { tokens: 10 }))]).toHaveLength(2);
    const refusal = await rejectionOf(other.guard.execute(() => 1, { providerName: 'openai', tokens: 10 }));
    expect(refusal).toHaveProperty('retryAfterMs', expect.toSatisfy((ms: number) => ms > 60_000 && ms <= 25 * 3_600_000));
  });
});

test('a key that is busy elsewhere is had as soon as the other guard has done', async () => {
  const single = { maxWaitMs: 60_000, keys: [key('ann', { limits: { concurrency: 1 } })] };
  const [one, other] = [guardOf(single), guardOf(single)];
  const { fn, finish, runs } = held();
  const first = one.guard.execute(fn, 'openai');
  await expect.poll(runs).toBe(1);
  const second = other.guard.execute(() => 'second', 'openai');
  finish('first');
  expect(await Promise.all([first, second])).toEqual(['first', 'second']);
});

describe('states of keys', () => {
  const two = { keys: [key('ann'), key('ben'), key('cleo')] };
  const refuseAnn = ({ keyId }: { keyId?: string | undefined }): unknown =>
    keyId === 'ann' ? Promise.reject(httpError(401)) : keyId;

  test('a key that one guard has convicted is used by no other', async () => {
    const [one, other] = [guardOf(two), guardOf(two)];
    expect(await one.guard.execute(refuseAnn, 'openai')).toBe('ben');
    await other.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
    expect(new Set(await other.keysOf(20))).toEqual(new Set(['ben', 'cleo']));
  });

  test('a guard that begins later knows of it before its first call', async () => {
    const one = guardOf(two);
    await one.guard.execute(refuseAnn, 'openai');
    await expect.poll(async () => (await guardOf(two).keysOf(9)).includes('ann')).toBe(false);
    const late = guardOf(two);
    expect(new Set(await late.keysOf(9))).toEqual(new Set(['ben', 'cleo']));
  });

  test('what a person has put right in one process is right in all', async () => {
    const [one, other] = [guardOf(two), guardOf(two)];
    await one.guard.execute(refuseAnn, 'openai');
    await other.heard('key', ({ to }) => to === 'disabled');
    other.guard.keys.resetCooldown('openai', 'ann');
    await one.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'ready');
    expect(await one.keysOf(3)).toContain('ann');
  });

  test('one model of a key', async () => {
    const [one, other] = [guardOf(two), guardOf(two)];
    const options = { providerName: 'openai', model: 'gpt 4/o' };
    const refuse = ({ keyId }: { keyId?: string | undefined }): unknown =>
      keyId === 'ann' ? Promise.reject(httpError(403)) : keyId;
    await one.guard.execute(refuse, options);
    await other.heard('key', ({ keyId, model, to }) => keyId === 'ann' && model === 'gpt 4/o' && to === 'cooling');
    expect(await other.keysOf(9, options)).not.toContain('ann');
    expect(await other.keysOf(3)).toContain('ann');
  });

  test('a group', async () => {
    const grouped = { keys: [key('ann', { group: 'team' }), key('ben', { group: 'team' }), key('cleo')] };
    const [one, other] = [guardOf(grouped), guardOf(grouped)];
    const refuse = ({ keyId }: { keyId?: string | undefined }): unknown =>
      keyId === 'cleo' ? keyId : Promise.reject(httpError(429, { 'retry-after': '30' }));
    expect(await one.guard.execute(refuse, 'openai')).toBe('cleo');
    await other.heard('key', ({ group, to }) => group === 'team' && to === 'cooling');
    expect(new Set(await other.keysOf(9))).toEqual(new Set(['cleo']));
  });

  test('the first attempt after a cool-down is one, over all guards; its answer opens the key everywhere', async () => {
    const single = { maxWaitMs: 60_000, keys: [key('ann')] };
    const [one, other] = [guardOf(single), guardOf(single)];
    let refusals = 0;
    await one.guard.execute(() => (refusals++ === 0 ? Promise.reject(httpError(429, { 'retry-after-ms': '300' })) : 1), 'openai');
    await one.heard('key', ({ to }) => to === 'ready');
    await other.heard('key', ({ to }) => to === 'ready');
    expect(await other.keysOf(1)).toEqual(['ann']);
  });

  test('only one guard probes', async () => {
    const single = { maxWaitMs: 60_000, keys: [key('ann')] };
    const [one, other] = [guardOf(single), guardOf(single)];
    const third = guardOf({ keys: [key('ann')] }, { retry: { enabled: false } });
    await rejectionOf(third.guard.execute(() => Promise.reject(httpError(429, { 'retry-after-ms': '300' })), 'openai'));
    await one.heard('key', ({ to }) => to === 'cooling');
    await other.heard('key', ({ to }) => to === 'cooling');
    const probe = held();
    const calls = [one, other].map(({ guard }) => guard.execute(probe.fn, 'openai'));
    await expect.poll(probe.runs).toBe(1);
    // Whoever has not got through asks again when the probe has ended, and not before.
    await Promise.all([one, other].map(each => each.keysOf(1, { deadlineMs: 100 })));
    expect(probe.runs()).toBe(1);
    probe.finish('good');
    expect(await Promise.all(calls)).toEqual(['good', 'good']);
  });
});

test('a client that gives its names a prefix shares with those that do not: the store names what is its own', async () => {
  const client = new Redis(redis.url, { keyPrefix: 'app:', lazyConnect: true });
  const two = { keys: [key('ann'), key('ben')] };
  const [one, other] = [sharedGuard({ client, prefix: redis.prefix, ...PATIENT }, two), guardOf(two)];
  await Promise.all([one.keysOf(1), other.keysOf(1)]);
  one.guard.keys.disable('openai', 'ann');
  await other.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
  other.guard.keys.enable('openai', 'ann');
  await one.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'ready');
});

test('a provider that one guard leaves alone is left alone by all, until one finds it well', async () => {
  const breaker = { circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 300 }, retry: { enabled: false } };
  const [one, other] = [guardOf({ keys: [key('ann')] }, breaker), guardOf({ keys: [key('ann')] }, breaker)];
  expect(await other.keysOf(1)).toEqual(['ann']);
  await rejectionOf(one.guard.execute(() => Promise.reject(httpError(503)), 'openai'));
  await other.heard('breaker', ({ state }) => state === 'OPEN');
  expect(await rejectionOf(other.guard.execute(() => 1, 'openai'))).toMatchObject({ code: 'CIRCUIT_OPEN' });
  await expect.poll(() => other.keysOf(1), { timeout: 20_000 }).toEqual(['ann']);
  await one.heard('breaker', ({ state }) => state === 'CLOSED');
  expect(await one.keysOf(1)).toEqual(['ann']);
});

test('nothing in Redis, its names included, shows a secret or a provider', async () => {
  const one = guardOf({ keys: [key('ann', { limits: { rpm: 5 } }), key('ben')] });
  await one.guard.execute(({ keyId }) => (keyId === 'ann' ? Promise.reject(httpError(401)) : 1), 'openai');
  const client = redis.client();
  const names = await client.keys(`${redis.prefix}*`);
  expect(names.length).toBeGreaterThan(2);
  const dumps = await Promise.all(names.map(name => client.dump(name)));
  client.disconnect();
  expect(`${names.join()} ${dumps.join()}`).not.toMatch(/secret-of|ann|openai/);
});
