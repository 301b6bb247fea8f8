import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { rejectionOf } from '../guard/support.ts';
import { closeGuards, PATIENT, sharedGuard, type SharedGuard } from '../support/redis/shared-guard.ts';
import { SomeRedis } from '../support/redis/some-redis.ts';

let redis: SomeRedis;

beforeAll(async () => {
  redis = await SomeRedis.start();
});

beforeEach(() => redis.clear());

afterEach(closeGuards);

afterAll(() => redis.close());

const guardsOf = (count: number, provider: object): SharedGuard[] =>
  Array.from({ length: count }, () => sharedGuard({ ...redis.store, ...PATIENT }, provider));

const key = (id: string, traits: object = {}): object => ({ id, key: `secret-of-${id}`, ...traits });

describe('limits of single models', () => {
  test('are those of all guards together, and leave other models alone', async () => {
    const guards = guardsOf(3, { keys: [key('ann', { limits: { rpm: 9, models: { pro: { rpm: 4 }, 'flash*': { rpm: 2 } } } })] });
    const callsOf = async (model: string) => (await Promise.all(guards.map(each => each.keysOf(3, { model })))).flat().length;
    expect(await callsOf('pro')).toBe(4);
    expect([await callsOf('flash'), await callsOf('flash-lite')]).toEqual([2, 0]);
    expect(await callsOf('else')).toBe(3);
  });

  test('of a group hold for all its keys, whoever has them', async () => {
    const keys = [key('ann', { group: 'team' }), key('ben', { group: 'team' })];
    const guards = guardsOf(2, { groups: { team: { limits: { models: { pro: { rpm: 3 } } } } }, keys });
    const used = await Promise.all(guards.map(each => each.keysOf(4, { model: 'pro' })));
    expect(used.flat()).toHaveLength(3);
    const [one] = guards;
    const refusal = await rejectionOf(one!.guard.execute(() => 1, { providerName: 'openai', model: 'pro' }));
    expect(refusal).toMatchObject({ keys: [{ state: 'exhausted' }, { state: 'exhausted' }] });
    expect(await one!.keysOf(1, { model: 'flash' })).toHaveLength(1);
  });

  test('of attempts at once are free when the attempt of another guard is over', async () => {
    const [one, other] = guardsOf(2, { maxWaitMs: 30_000, keys: [key('ann', { limits: { models: { pro: { concurrency: 1 } } } })] });
    const options = { providerName: 'openai', model: 'pro' };
    let finish!: () => void;
    const begun = new Promise<void>(begin => {
      void one!.guard.execute(() => new Promise<void>(resolve => {
        finish = resolve;
        begin();
      }), options);
    });
    await begun;
    const next = other!.guard.execute(({ keyId }) => keyId, options);
    expect(await other!.keysOf(1, { model: 'flash' })).toEqual(['ann']);
    finish();
    expect(await next).toBe('ann');
  });

  test('taken in blocks are passed by no guard, and used by all of them together', async () => {
    const provider = { keys: [key('ann', { limits: { models: { pro: { rpm: 40 }, flash: { rpm: 60 } } } })] };
    const guards = Array.from({ length: 2 }, () => sharedGuard({ ...redis.store, ...PATIENT, blockSize: 10 }, provider));
    for (const [model, limit] of [['pro', 40], ['flash', 60]] as const) {
      const used = await Promise.all(guards.map(each => each.keysOf(50, { model })));
      expect(used.flat().length).toBeLessThanOrEqual(limit);
      expect(used.flat().length).toBeGreaterThan(limit - 20);
    }
  });
});

describe('limits that only answers tell', () => {
  const headers = { 'x-ratelimit-limit-requests': '6', 'x-ratelimit-remaining-requests': '5', 'x-ratelimit-reset-requests': '50s' };
  const told = (guard: SharedGuard, model: string | undefined) =>
    guard.guard.execute(() => new Response(null, { headers }), { providerName: 'openai', model });

  test.each(['gpt-4o', undefined])('of model %s are counted for all guards, as soon as one has heard of them', async model => {
    const [one, ...others] = guardsOf(4, { keys: [key('ann')] });
    await told(one!, model);
    const known = (each: SharedGuard): number => each.guard.keys.list()[0]!.keys[0]!.learned.length;
    await expect.poll(() => others.map(known)).toEqual([1, 1, 1]);
    const used = await Promise.all([one!, ...others].map(each => each.keysOf(5, { model })));
    // Each of them knows of five that are left; the first call was made before anybody could count it.
    expect(used.flat().length).toBeLessThanOrEqual(6);
    expect(used.flat().length).toBeGreaterThanOrEqual(5);
  });

  test('that refill are counted as they come back, with what was used before anybody counted', async () => {
    const [one, other] = guardsOf(2, { keys: [key('ann')] });
    for (const used of [10, 20, 30]) {
      const figures = { remaining: `${60 - used}`, reset: `${used}s`, limit: '60' };
      const names = Object.entries(figures).map(([name, figure]) => [`x-ratelimit-${name}-requests`, figure] as const);
      await one!.guard.execute(() => new Response(null, { headers: Object.fromEntries(names) }), { providerName: 'openai', model: 'gpt-4o' });
    }
    await expect.poll(() => other!.guard.keys.list()[0]!.keys[0]!.learned[0]?.left).toBeLessThanOrEqual(31);
    const startedAt = Date.now();
    const callsOf = async (each: SharedGuard): Promise<number> => (await each.keysOf(20, { model: 'gpt-4o' })).length;
    let used = await callsOf(one!) + await callsOf(other!);
    expect(used).toBeGreaterThanOrEqual(29);
    // One a second comes back: neither guard has to wait until the minute is over.
    await expect.poll(async () => (used += await callsOf(one!) + await callsOf(other!)), { timeout: 10_000 }).toBeGreaterThanOrEqual(32);
    expect(used).toBeLessThanOrEqual(31 + (Date.now() - startedAt) / 1000);
  }, 20_000);

  test('are left to who has declared some', async () => {
    const [one, other] = guardsOf(2, { keys: [key('ann', { limits: { rpm: 30 } })] });
    await told(one!, 'gpt-4o');
    expect((await Promise.all([one!, other!].map(each => each.keysOf(4, { model: 'gpt-4o' })))).flat()).toHaveLength(8);
  });
});
