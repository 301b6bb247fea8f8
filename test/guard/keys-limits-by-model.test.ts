import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PoolExhaustedError } from '../../src/guard/errors.ts';
import type { KeyLimits } from '../../src/index.ts';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import { OK, PATTERN, poolBench, PROVIDER } from './keys-bench.ts';
import { benchOf, held, settle } from './support.ts';

const MINUTE_MS = 60_000 + ON_THE_WAY_MS;
const noWait = { maxWaitMs: 0 };

const oneKey = (limits: KeyLimits, options: Parameters<typeof poolBench>[1] = noWait) => poolBench([{ id: 'a', limits }], options);

describe('a limit of one model', () => {
  test('leaves the other models of the key alone', async () => {
    const { ask, asked, guard } = poolBench([{ id: 'a', limits: { models: { pro: { rpm: 1 } } } }, { id: 'b' }], {
      strategy: 'priority',
    });
    for (const model of ['pro', 'pro', 'flash', undefined, 'pro']) await ask({ model });
    expect(asked).toEqual(['a', 'b', 'a', 'a', 'b']);
    expect(guard.explain(PROVIDER, { model: 'pro' }).keys[0]).toMatchObject({ state: 'exhausted', why: 'quota for pro used up' });
    expect(guard.explain(PROVIDER, { model: 'flash' }).keys[0]).toMatchObject({ state: 'ready' });
  });

  test('holds beside those of all models: the first to be used up decides', async () => {
    const { ask, clock } = oneKey({ rpm: 3, models: { pro: { rpm: 1 } } });
    expect((await ask({ model: 'pro' })).state).toBe('resolved');
    expect((await ask({ model: 'pro' })).state).toBe('rejected');
    await ask({ model: 'flash' });
    await ask({ model: 'flash' });
    const refused = await ask({ model: 'flash' });
    expect(refused.value).toBeInstanceOf(PoolExhaustedError);
    expect(refused.value).toMatchObject({ keys: [{ reason: 'quota used up' }] });
    await clock.advance(MINUTE_MS);
    expect((await ask({ model: 'pro' })).state).toBe('resolved');
  });

  test('is that of the most specific entry, whose models count together', async () => {
    const { ask, key } = oneKey({ models: { 'gpt-4*': { rpm: 2 }, 'gpt-4o': { rpm: 1 } } });
    for (const model of ['gpt-4o', 'gpt-4-turbo', 'gpt-4.1']) expect((await ask({ model })).state).toBe('resolved');
    for (const model of ['gpt-4o', 'gpt-4-turbo', 'gpt-4.1']) expect((await ask({ model })).state).toBe('rejected');
    expect((await ask({ model: 'o3' })).state).toBe('resolved');
    expect(key('a').quota).toEqual({
      models: { 'gpt-4*': { rpm: { limit: 2, used: 2, left: 0 } }, 'gpt-4o': { rpm: { limit: 1, used: 1, left: 0 } } },
    });
  });

  test('of a group holds for all its keys', async () => {
    const { ask, asked, guard } = poolBench([{ id: 'a', group: 'red' }, { id: 'b', group: 'red' }, { id: 'c' }], {
      groups: { red: { limits: { models: { pro: { rpm: 2 } } } } },
    });
    for (let i = 0; i < 4; i++) await ask({ model: 'pro' });
    expect(asked.filter(id => id !== 'c')).toHaveLength(2);
    expect(guard.explain(PROVIDER, { model: 'pro' }).keys[0]?.why).toBe('quota of its group for pro used up');
  });

  test('counts tokens as they were used', async () => {
    const { ask, guard, key } = oneKey({ models: { pro: { tpm: 100, tpd: 1000 } } });
    const tooLarge = (await ask({ model: 'pro', tokens: 101 })).value;
    expect(tooLarge).toMatchObject({ keys: [{ reason: 'token limit for pro is below the 101 asked for' }] });
    expect(tooLarge).not.toHaveProperty('retryAfterMs');
    await guard.execute(({ reportUsage }) => reportUsage({ inputTokens: 20 }), { providerName: PROVIDER, model: 'pro', tokens: 90 });
    expect(key('a').quota.models?.['pro']).toMatchObject({ tpm: { used: 20 }, tpd: { used: 20 } });
    expect((await ask({ model: 'pro', tokens: 80 })).state).toBe('resolved');
    expect((await ask({ model: 'pro', tokens: 1 })).value).toMatchObject({ keys: [{ reason: 'quota for pro used up' }] });
  });

  test('of attempts at once is free again when an attempt is over', async () => {
    const { guard, call } = oneKey({ models: { pro: { concurrency: 1 } } }, { maxWaitMs: 10_000 });
    const running = held();
    void guard.execute(running.fn, { providerName: PROVIDER, model: 'pro' });
    await settle();
    const waiting = call({ model: 'pro' });
    const other = call({ model: 'flash' });
    await settle();
    expect([waiting.state, other.state]).toEqual(['pending', 'resolved']);
    expect(guard.explain(PROVIDER, { model: 'pro' }).keys[0]).toMatchObject({ state: 'busy', why: 'concurrency limit for pro reached' });
    running.finish('done');
    await settle();
    expect(waiting).toEqual(OK('a'));
  });

  test('of attempts at once is free after the lease time, whatever became of the attempt', async () => {
    const { guard, call, clock } = oneKey({ models: { pro: { concurrency: 1 } } }, { maxWaitMs: 60_000, leaseMs: 5000 });
    void guard.execute(held().fn, { providerName: PROVIDER, model: 'pro' });
    await settle();
    const waiting = call({ model: 'pro' });
    await clock.advance(4999);
    expect(waiting.state).toBe('pending');
    await clock.advance(1);
    expect(waiting).toEqual(OK('a'));
  });

  test('of attempts at once of a group is free for all its keys again, whichever has had the attempt', async () => {
    const { call, guard, replies } = poolBench([{ id: 'a', group: 'red' }, { id: 'b', group: 'red' }], {
      strategy: 'priority',
      maxWaitMs: 10_000,
      groups: { red: { limits: { models: { pro: { concurrency: 1 } } } } },
    });
    const running = held();
    replies.a = [running.fn];
    call({ model: 'pro' });
    await settle();
    const waiting = call({ model: 'pro' });
    await settle();
    guard.keys.disable(PATTERN, 'a');
    running.finish('done');
    await settle();
    expect(waiting).toEqual(OK('b'));
  });

  test('is waited for, while calls of other models pass', async () => {
    const { call, clock } = oneKey({ models: { pro: { rpm: 1 } } }, { maxWaitMs: 2 * MINUTE_MS });
    const [first, second] = [call({ model: 'pro' }), call({ model: 'pro' })];
    const other = call({ model: 'flash' });
    await settle();
    expect([first.state, second.state, other.state]).toEqual(['resolved', 'pending', 'resolved']);
    await clock.advance(MINUTE_MS);
    expect(second).toEqual(OK('a'));
  });

  test('goes on with what was counted when the configuration changes', async () => {
    const { ask, guard, key } = oneKey({ models: { pro: { rpm: 2 } } });
    const secret = 'secret-of-a-0123456789';
    const limited = (models: KeyLimits['models']) =>
      guard.updateConfig({ keyManagement: { providers: { vendor: { maxWaitMs: 0, keys: [{ id: 'a', key: secret, limits: { models } }] } } } });
    limited({ pro: { rpm: 2 } });
    await ask({ model: 'pro' });
    limited({ pro: { rpm: 1 }, flash: { rpm: 5 } });
    expect((await ask({ model: 'pro' })).state).toBe('rejected');
    expect(key('a').quota.models).toMatchObject({ pro: { rpm: { limit: 1, used: 1 } }, flash: { rpm: { limit: 5, used: 0 } } });
  });

  test('that is none is told with its place', () => {
    const config = (models: unknown): object => ({
      keyManagement: { providers: { openai: { keys: [{ key: 'secret', limits: { models } }] } } },
    });
    const place = 'keyManagement.providers.openai.keys[0].limits.models';
    expect(() => benchOf(config({ pro: { rpm: 0 } }))).toThrow(`${place}.pro.rpm`);
    expect(() => benchOf(config({ pro: { models: {} } }))).toThrow(`${place}.pro`);
  });
});

test('no model is called more often than its entry, its key and its group allow, and none less while others wait', async () => {
  const limit = fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined });
  const models = fc.constantFrom('pro', 'pro-2', 'flash');
  await fc.assert(
    fc.asyncProperty(fc.record({ rpm: limit, pro: limit, flash: limit }), fc.array(models, { maxLength: 20 }), async (limits, calls) => {
      const { rpm = Infinity, pro = Infinity, flash = Infinity } = limits;
      const { ask } = oneKey({ rpm: limits.rpm, models: { 'pro*': { rpm: limits.pro }, flash: { rpm: limits.flash } } });
      const left = { all: rpm, pro, flash };
      for (const model of calls) {
        const entry = model === 'flash' ? 'flash' : 'pro';
        const fits = left.all > 0 && left[entry] > 0;
        expect((await ask({ model })).state).toBe(fits ? 'resolved' : 'rejected');
        if (!fits) continue;
        left.all--;
        left[entry]--;
      }
    }),
    { numRuns: 50 },
  );
});
