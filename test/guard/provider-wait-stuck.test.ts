import { describe, expect, test } from 'vitest';
import { OK, poolBench } from './keys-bench.ts';
import { FINE, namesOf, NO_RETRY, providerOf, RECOVERY_MS } from './provider-wait-bench.ts';
import { fateOf, held, httpError, networkError, rejectionOf, settle } from './support.ts';

describe('calls that wait for an open breaker are not forgotten', () => {
  test('where the one that finds out never comes back', async () => {
    const provider = providerOf({ maxWaitMs: 120_000 });
    await provider.fail();
    provider.reply = held().fn;
    provider.call('lost');
    await provider.clock.advance(RECOVERY_MS);
    provider.reply = 'fine';
    const waiting = provider.call('b');
    await provider.clock.advance(59_999);
    expect(namesOf(provider)).toEqual(['lost']);
    await provider.clock.advance(1);
    expect(waiting).toEqual(FINE);
    expect(await provider.guard.execute(() => 'fine', 'p')).toBe('fine');
  });

  describe('where the provider says that it will answer sooner than the breaker would have closed', () => {
    const binance = { providerName: 'binance' };
    const limited = (): Error => httpError(429, { 'retry-after': '5' });

    test('to a call that began before it opened', async () => {
      const provider = providerOf({ recoveryTimeMs: 60_000, maxWaitMs: 120_000 });
      const early = held();
      const first = fateOf(provider.guard.execute(early.fn, binance));
      await rejectionOf(provider.guard.execute(() => Promise.reject(networkError()), binance));
      const waiting = provider.call('a', binance);
      await settle();
      early.fail(limited());
      await settle();
      expect(first.state).toBe('rejected');
      await provider.clock.advance(5000);
      expect(waiting).toEqual(FINE);
    });

    test('to the one that finds out', async () => {
      const provider = providerOf({ recoveryTimeMs: 60_000, maxWaitMs: 120_000 });
      await rejectionOf(provider.guard.execute(() => Promise.reject(networkError()), binance));
      provider.reply = limited();
      const first = provider.call('a', binance);
      const waiting = provider.call('b', binance);
      await provider.clock.advance(60_000);
      expect(first.state).toBe('rejected');
      provider.reply = 'fine';
      await provider.clock.advance(5000);
      expect(waiting).toEqual(FINE);
    });
  });

  test('where the recovery time is made shorter', async () => {
    const provider = providerOf({ recoveryTimeMs: 60_000, maxWaitMs: 120_000 });
    await provider.fail();
    const waiting = provider.call('a');
    await settle();
    provider.guard.updateConfig({ circuitBreaker: { recoveryTimeMs: 5000 } });
    await provider.clock.advance(5000);
    expect(waiting).toEqual(FINE);
  });

  test('where the clock is set back', async () => {
    const provider = providerOf();
    await provider.fail();
    const waiting = provider.call('a');
    await settle();
    provider.clock.set(provider.clock.now() - 3_600_000);
    await provider.clock.advance(RECOVERY_MS + 1);
    expect(waiting).toEqual(FINE);
  });

  test('where they had begun, and stood in the queue for a slot, when it opened', async () => {
    const provider = providerOf({}, { retry: NO_RETRY, queue: { concurrency: 1 } });
    const first = held();
    provider.reply = first.fn;
    const failing = provider.call('a');
    const queued = provider.call('b');
    await settle();
    provider.reply = 'fine';
    first.fail(httpError(500));
    await settle();
    expect(failing.state).toBe('rejected');
    expect(queued.state).toBe('pending');
    await provider.clock.advance(RECOVERY_MS);
    expect(queued).toEqual(FINE);
  });
});

test('a provider that answers none of five calls for a second is left alone, though no other call comes', async () => {
  const retry = { maxRetries: 8, initialBackoffMs: 1000, maxBackoffMs: 1000, jitterMs: 0 };
  const provider = providerOf({ failureThreshold: 20, recoveryTimeMs: 60_000, maxWaitMs: 600_000 }, { retry });
  provider.reply = httpError(503);
  for (let index = 0; index < 5; index++) provider.call(`call ${index}`);
  await provider.clock.advance(1000);
  expect(provider.state()).toBe('OPEN');
});

test('a call that was woken for a key does not keep it from other providers while its own is left alone', async () => {
  const bench = poolBench([{ id: 'a', limits: { rpm: 2 } }], {
    guard: { retry: NO_RETRY, circuitBreaker: { onOpen: 'wait', failureThreshold: 1, recoveryTimeMs: 300_000 } },
  });
  const early = held();
  bench.replies.a = [early.fn, 'ok'];
  bench.call();
  bench.call({ providerName: 'vendor-y' });
  await settle();
  bench.call({ deadlineMs: 900_000 });
  const other = bench.call({ providerName: 'vendor-y', deadlineMs: 900_000 });
  await settle();
  early.fail(httpError(500));
  await bench.clock.advance(65_000);
  expect(other).toEqual(OK('a'));
});
