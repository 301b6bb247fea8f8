import { describe, expect, test } from 'vitest';
import { CircuitOpenError, ExecutionGuard } from '../../src/index.ts';
import { ManualClock } from '../support/manual-clock.ts';

function world() {
  const clock = new ManualClock();
  const guard = new ExecutionGuard(
    { keyManagement: { providers: { binance: { keys: ['first-key', 'second-key'] } } } },
    { clock, random: () => 0 },
  );
  return { clock, guard };
}

describe('a limit on the address', () => {
  test('is no reason to try another key, and holds every later call back until the time the provider named', async () => {
    const { clock, guard } = world();
    const keys: (string | undefined)[] = [];
    const banned = (): Response => new Response('{"code":-1003,"msg":"Way too many requests"}', { status: 418, headers: { 'retry-after': '300' } });
    const answer = await guard.execute(ctx => (keys.push(ctx.apiKey), banned()), 'binance');
    expect(answer.status).toBe(418);
    expect(keys).toHaveLength(1);

    const refusal = await guard.execute(() => 'never', 'binance').catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(CircuitOpenError);
    expect(refusal).toMatchObject({ retryAfterMs: 300_000 });

    await clock.advance(299_999);
    await expect(guard.execute(() => 'never', 'binance')).rejects.toBeInstanceOf(CircuitOpenError);
    await clock.advance(1);
    expect(await guard.execute(() => 'back', 'binance')).toBe('back');
    expect(guard.getStats().providers.binance?.circuitBreakerState).toBe('CLOSED');
    expect(guard.keys.list()[0]?.keys.map(({ state }) => state)).toEqual(['ready', 'ready']);
  });
});

describe('an error inside a 200', () => {
  test('is a failure like any other: the next key answers', async () => {
    const clock = new ManualClock();
    const guard = new ExecutionGuard(
      { keyManagement: { providers: { kraken: { keys: ['first-key', 'second-key'] } } } },
      { clock, random: () => 0 },
    );
    const answer = await guard.execute(
      ctx => Promise.resolve(ctx.apiKey === 'first-key' ? { error: ['EAPI:Invalid key'] } : { error: [], result: 1 }),
      'kraken',
    );
    expect(answer).toEqual({ error: [], result: 1 });
    expect(guard.keys.list()[0]?.keys.map(({ state }) => state)).toEqual(['disabled', 'ready']);
  });
});
