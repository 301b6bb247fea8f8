import { describe, expect, test } from 'vitest';
import type { CircuitBreakerConfig } from '../../src/guard/config/types.ts';
import { benchOf, fateOf, httpError, rejectionOf, type Bench } from './support.ts';

const PROVIDER = 'binance';

interface World extends Bench {
  readonly ban: (seconds?: number) => Promise<void>;
  readonly state: () => string | undefined;
}

function world(circuitBreaker: CircuitBreakerConfig): World {
  const bench = benchOf({ retry: { enabled: false }, circuitBreaker });
  return {
    ...bench,
    ban: async seconds => {
      const headers = seconds === undefined ? undefined : { 'retry-after': String(seconds) };
      await rejectionOf(bench.guard.execute(() => Promise.reject(httpError(418, headers)), PROVIDER));
    },
    state: () => bench.guard.getStats().providers[PROVIDER]?.circuitBreakerState,
  };
}

describe('a ban of this address ends when the provider said', () => {
  test.each([
    ['sooner than the breaker would have closed', 600_000],
    ['later than the breaker would have closed', 1000],
  ])('%s', async (_name, recoveryTimeMs) => {
    const { ban, clock, guard, state } = world({ recoveryTimeMs });
    await ban(10);
    const refusal = await rejectionOf(guard.execute(() => 'never', PROVIDER));
    expect(refusal).toMatchObject({ code: 'CIRCUIT_OPEN', retryAfterMs: 10_000 });
    await clock.advance(9999);
    expect(state()).toBe('OPEN');
    await clock.advance(1);
    expect(await guard.execute(() => 'back', PROVIDER)).toBe('back');
    expect(state()).toBe('CLOSED');
  });

  test('a time that is absurd did not shut the provider off for good', async () => {
    const { ban, clock, guard } = world({ recoveryTimeMs: 1000 });
    await ban(999_999_999);
    await clock.advance(31 * 86_400_000 - 1);
    expect(await rejectionOf(guard.execute(() => 'never', PROVIDER))).toMatchObject({ code: 'CIRCUIT_OPEN', retryAfterMs: 1 });
    await clock.advance(1);
    expect(await guard.execute(() => 'back', PROVIDER)).toBe('back');
  });

  test('the later one of two', async () => {
    const { ban, clock, guard } = world({ recoveryTimeMs: 600_000 });
    const early = fateOf(guard.execute(() => Promise.reject(httpError(418, { 'retry-after': '20' })), PROVIDER));
    await ban(10);
    expect(early.state).toBe('rejected');
    await clock.advance(19_999);
    expect(await rejectionOf(guard.execute(() => 'never', PROVIDER))).toMatchObject({ retryAfterMs: 1 });
    await clock.advance(1);
    expect(await guard.execute(() => 'back', PROVIDER)).toBe('back');
  });

  test('of one that finds out, too', async () => {
    const { ban, clock, guard, state } = world({ recoveryTimeMs: 600_000 });
    await ban(10);
    await clock.advance(10_000);
    await ban(30);
    expect(await rejectionOf(guard.execute(() => 'never', PROVIDER))).toMatchObject({ retryAfterMs: 30_000 });
    await clock.advance(30_000);
    expect(state()).toBe('HALF_OPEN');
    expect(await guard.execute(() => 'back', PROVIDER)).toBe('back');
  });

  test('and so do calls that wait for it', async () => {
    const { ban, clock, guard } = world({ recoveryTimeMs: 600_000, onOpen: 'wait', maxWaitMs: 20_000 });
    await ban(10);
    const call = fateOf(guard.execute(() => 'back', PROVIDER));
    await clock.advance(9999);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call).toEqual({ state: 'resolved', value: 'back' });
  });

  test('while one without a time counts as a failure like any other', async () => {
    const { ban, clock, state } = world({ recoveryTimeMs: 50_000, failureThreshold: 2 });
    await ban();
    expect(state()).toBe('CLOSED');
    await ban();
    expect(state()).toBe('OPEN');
    await clock.advance(49_999);
    expect(state()).toBe('OPEN');
    await clock.advance(1);
    expect(state()).toBe('HALF_OPEN');
  });
});
