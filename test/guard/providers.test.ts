import { describe, expect, test } from 'vitest';
import { benchOf, fateOf, held, httpError, networkError, rejectionOf, scripted, settle, tripBreaker } from './support.ts';

const NO_RETRY = { retry: { enabled: false } };

describe('recovery', () => {
  test('begins with a failure and ends after recoveryWindowMs, without a timer', async () => {
    const { guard, clock } = benchOf({ ...NO_RETRY, fallback: { recoveryWindowMs: 1000 } });
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'p'));
    expect(guard.isProviderInRecovery('p')).toBe(true);
    expect(guard.isProviderHealthy('p')).toBe(false);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
    await clock.advance(999);
    expect(guard.isProviderInRecovery('p')).toBe(true);
    await clock.advance(1);
    expect(guard.isProviderInRecovery('p')).toBe(false);
    expect(guard.getStats().providers.p).toMatchObject({ isOnline: true, inRecovery: false });
  });

  test('ends at once with an answer', async () => {
    const { guard } = benchOf(NO_RETRY);
    await rejectionOf(guard.execute(scripted(networkError()).fn, 'p'));
    await guard.execute(() => 'fine', 'p');
    expect(guard.isProviderHealthy('p')).toBe(true);
    expect(guard.getStats().providers.p).toMatchObject({ failureCount: 0, totalRequests: 2 });
    expect(guard.getStats().providers.p).not.toHaveProperty('lastFailure');
  });

  test.each([
    ['a bad request', httpError(400)],
    ['a 404', httpError(404)],
    ['an error of the callback itself', new Error('bug')],
  ])('does not begin with %s', async (_name, error) => {
    const { guard } = benchOf(NO_RETRY);
    await rejectionOf(guard.execute(scripted(error).fn, 'p'));
    expect(guard.isProviderHealthy('p')).toBe(true);
    expect(guard.getStats().providers.p).toMatchObject({ failureCount: 0, totalRequests: 1 });
  });

  test('does not begin with a rejection of the guard', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    await guard.execute(() => 1, 'other');
    await rejectionOf(guard.execute(() => 1, 'p'));
    expect(guard.isProviderHealthy('p')).toBe(true);
    expect(guard.getStats().providers.p).toMatchObject({ totalRequests: 0 });
  });

  test('lasts while the breaker is open, and not a moment longer: who asks first would never probe it', async () => {
    const bench = benchOf({
      ...NO_RETRY,
      circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 5000 },
      fallback: { recoveryWindowMs: 1000 },
    });
    const { guard, clock } = bench;
    await tripBreaker(bench, 'p', 1);
    await clock.advance(4999);
    expect(guard.isProviderHealthy('p')).toBe(false);
    await clock.advance(1);
    expect(guard.isProviderHealthy('p')).toBe(true);
    expect(await guard.execute(() => 'back', 'p')).toBe('back');
  });

  test('does not last for as long as the clock is set back', async () => {
    const { guard, clock } = benchOf({ ...NO_RETRY, fallback: { recoveryWindowMs: 1000 } });
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'p'));
    clock.set(clock.now() - 3_600_000);
    expect(guard.isProviderHealthy('p')).toBe(true);
  });

  test('is not looked at where fallback is switched off', async () => {
    const { guard } = benchOf({ ...NO_RETRY, fallback: { enabled: false } });
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'p'));
    expect(guard.isProviderHealthy('p')).toBe(true);
    expect(guard.getStats().providers.p).toMatchObject({ inRecovery: false, isOnline: true, failureCount: 1 });
  });

  test('of a provider nobody has called has not begun', () => {
    const { guard } = benchOf();
    expect(guard.isProviderHealthy('never-heard-of')).toBe(true);
    expect(guard.getStats().providers).toEqual({});
  });

  test('is not ended by the late answer of a call that failed over: each call books once', async () => {
    const { guard } = benchOf({ ...NO_RETRY, keyManagement: { providers: { p: { keys: ['a-key', 'b-key'] } } } });
    expect(await guard.execute(scripted(httpError(429), 'fine').fn, 'p')).toBe('fine');
    expect(guard.getStats().providers.p).toMatchObject({ totalRequests: 1, failureCount: 0 });
  });
});

describe('smoothed figures', () => {
  test('follow what the provider does', async () => {
    const { guard } = benchOf(NO_RETRY);
    const rates: number[] = [];
    for (const outcome of [httpError(500), httpError(500), 'fine', 'fine', 'fine']) {
      await Promise.allSettled([guard.execute(scripted(outcome).fn, 'p')]);
      await rejectionOf(guard.execute(() => Promise.reject(new Error('no fault')), 'p'));
      rates.push(guard.getStats().providers.p?.errorRate ?? NaN);
    }
    expect(rates[1]!).toBeGreaterThan(rates[0]!);
    expect(rates[4]!).toBeLessThan(rates[1]!);
    for (const rate of rates) expect(rate).toBeGreaterThanOrEqual(0);
  });
});

describe('hostile names', () => {
  const MEMBERS = ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'prototype'];
  const HOSTILE = [...MEMBERS, ' ', '\u0000', '*', 'a/b', '💥'];

  test.each(HOSTILE)('%j is a name like any other', async name => {
    const { guard } = benchOf({ ...NO_RETRY, keyManagement: { providers: { gemini: { keys: ['secret'] } } } });
    expect(await guard.execute(({ apiKey, provider }) => [apiKey, provider], name)).toEqual([undefined, name]);
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, name));
    expect(guard.isProviderHealthy(name)).toBe(false);
    guard.resetCircuitBreaker(name);
    const { providers } = guard.getStats();
    expect(Object.keys(providers)).toEqual([name]);
    expect(Object.getOwnPropertyDescriptor(providers, name)?.value).toMatchObject({ name, failureCount: 1 });
    expect(Object.getPrototypeOf(providers)).toBe(Object.prototype);
    expect(guard.explain(name)).toMatchObject({ provider: name, pool: undefined });
  });

  test.each(['constructor', 'toString'])('%j may be the name of a pool, too', async name => {
    const providers = Object.fromEntries([[name, { keys: ['secret'] }]]);
    const { guard } = benchOf({ keyManagement: { providers } });
    expect(await guard.execute(({ apiKey }) => apiKey, name)).toBe('secret');
    expect(Object.keys(guard.getStats().keys)).toEqual([name]);
  });

  test('ten thousand of them do not fill the memory', async () => {
    const { guard } = benchOf();
    await guard.execute(() => 1, 'mine');
    for (let i = 0; i < 10_000; i++) {
      await guard.execute(() => i, `client-${i}`);
      if (i % 500 === 0) await guard.execute(() => i, 'mine');
    }
    const { providers } = guard.getStats();
    expect(Object.keys(providers).length).toBeLessThanOrEqual(1000);
    expect(providers.mine).toMatchObject({ totalRequests: 21 });
  });

  test('do not make a provider forget its calls under way, or its open breaker', async () => {
    const { guard, clock } = benchOf({ ...NO_RETRY, queue: { concurrency: 1 }, circuitBreaker: { failureThreshold: 1 } });
    const first = held();
    const call = guard.execute(first.fn, 'busy');
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'down'));
    for (let i = 0; i < 3000; i++) await guard.execute(() => i, `client-${i}`);
    const { fn, runs } = scripted('x');
    const second = fateOf(guard.execute(fn, 'busy'));
    expect(await rejectionOf(guard.execute(fn, 'down'))).toMatchObject({ code: 'CIRCUIT_OPEN' });
    await settle();
    expect(runs()).toBe(0);
    first.finish('x');
    await call;
    await settle();
    expect(second.state).toBe('resolved');
    await clock.advance(60_000);
    for (let i = 0; i < 3000; i++) await guard.execute(() => i, `other-${i}`);
    expect(guard.getStats().providers).not.toHaveProperty('down');
    expect(guard.getStats().providers).not.toHaveProperty('busy');
  });

  test('a call under way outlives being forgotten', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1 } });
    const first = held();
    const calls = [guard.execute(first.fn, 'mine'), guard.execute(() => 'second', 'mine')];
    for (let i = 0; i < 1001; i++) await guard.execute(() => i, `client-${i}`);
    first.finish('first');
    expect(await Promise.all(calls)).toEqual(['first', 'second']);
    expect(clock.pending.foreground).toBe(0);
  });
});

describe('a provider without a name', () => {
  test('is guarded, and left out of the table', async () => {
    const { guard } = benchOf({ ...NO_RETRY, circuitBreaker: { failureThreshold: 1 } });
    await rejectionOf(guard.execute(scripted(httpError(500)).fn));
    expect(await rejectionOf(guard.execute(() => 1))).toMatchObject({ code: 'CIRCUIT_OPEN' });
    expect(guard.getStats().providers).toEqual({});
  });
});

describe('a provider with a pool', () => {
  test("rejects with NO_KEY where the pool has none, rather than to call without a key ('fail')", async () => {
    const { guard, warnings } = benchOf({ keyManagement: { providers: { p: { keys: [undefined, ' ', null] } } } });
    const { fn, runs } = scripted('x');
    expect(await rejectionOf(guard.execute(fn, 'p'))).toMatchObject({ code: 'NO_KEY', provider: 'p' });
    expect(runs()).toBe(0);
    expect(warnings.length).toBeGreaterThan(0);
  });

  test("uses the provider's own environment variable, and nobody else's ('useEnvironment')", async () => {
    const pool = { keys: [], fallbackBehavior: 'useEnvironment' as const };
    const { guard } = benchOf(
      { keyManagement: { providers: { openai: pool, deepseek: pool } } },
      { OPENAI_API_KEY: 'env-key', GOOGLE_API_KEY: 'google-key' },
    );
    expect(await guard.execute(({ apiKey, keyId }) => [apiKey, keyId], 'openai')).toEqual(['env-key', undefined]);
    expect(await rejectionOf(guard.execute(({ apiKey }) => apiKey, 'deepseek'))).toMatchObject({ code: 'NO_KEY' });
  });

  test("uses the environment's key while its own are away, too", async () => {
    const { guard } = benchOf(
      { keyManagement: { providers: { openai: { keys: ['pool-key'], fallbackBehavior: 'useEnvironment' } } } },
      { OPENAI_API_KEY: 'env-key' },
    );
    const key = guard.keys.list()[0]!.keys[0]!.id;
    guard.keys.disable('openai', key);
    expect(await guard.execute(({ apiKey }) => apiKey, 'openai')).toBe('env-key');
    guard.keys.enable('openai', key);
    expect(await guard.execute(({ apiKey }) => apiKey, 'openai')).toBe('pool-key');
  });

  test("uses the first key whatever its state, once waiting was in vain ('useFirst')", async () => {
    const { guard, clock } = benchOf({
      ...NO_RETRY,
      keyManagement: { maxWaitMs: 5000, providers: { p: { keys: ['first-key'], fallbackBehavior: 'useFirst' } } },
    });
    await rejectionOf(guard.execute(scripted(httpError(429, { 'retry-after': '3600' })).fn, 'p'));
    const call = guard.execute(({ apiKey }) => apiKey, 'p');
    await clock.advance(5000);
    expect(await call).toBe('first-key');
  });

  test("does not use a key that a person has taken out, even so ('useFirst')", async () => {
    const { guard } = benchOf({
      keyManagement: { maxWaitMs: 0, providers: { p: { keys: ['first-key'], fallbackBehavior: 'useFirst' } } },
    });
    guard.keys.disable('p', guard.keys.list()[0]!.keys[0]!.id);
    expect(await rejectionOf(guard.execute(({ apiKey }) => apiKey, 'p'))).toMatchObject({ code: 'POOL_EXHAUSTED' });
  });

  test('rejects with POOL_EXHAUSTED, per key why not and when to come back', async () => {
    const { guard } = benchOf({
      ...NO_RETRY,
      keyManagement: { maxWaitMs: 1000, providers: { p: { keys: [{ id: 'a', key: 'secret' }] } } },
    });
    await rejectionOf(guard.execute(scripted(httpError(429, { 'retry-after': '60' })).fn, 'p'));
    expect(await rejectionOf(guard.execute(() => 1, 'p'))).toMatchObject({
      code: 'POOL_EXHAUSTED',
      provider: 'p',
      retryAfterMs: 60_000,
      keys: [{ id: 'a', state: expect.any(String) as string }],
    });
    expect(guard.getStats().retry.finalFailures).toBe(2);
  });

  test('names a hundred keys at most in its error', async () => {
    const keys = Array.from({ length: 150 }, (_, i) => ({ id: `k${i}`, key: `secret-${i}`, models: ['large'] }));
    const { guard } = benchOf({ keyManagement: { providers: { p: { keys } } } });
    const error = await rejectionOf(guard.execute(() => 1, { providerName: 'p', model: 'small' }));
    expect(error).toMatchObject({ code: 'POOL_EXHAUSTED', keys: { length: 100 } });
    expect(error).toMatchObject({ keys: { 0: { id: 'k0', reason: expect.stringContaining('small') as string } } });
    // Nothing comes back by waiting.
    expect(error).not.toHaveProperty('retryAfterMs');
  });

  test('names no time for a key held by an attempt under way', async () => {
    const keys = [{ id: 'a', key: 'secret', limits: { concurrency: 1 } }];
    const { guard } = benchOf({ keyManagement: { maxWaitMs: 0, providers: { p: { keys } } } });
    const slow = held();
    const call = guard.execute(slow.fn, 'p');
    const error = await rejectionOf(guard.execute(() => 1, 'p'));
    expect(error).toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect(error).not.toHaveProperty('retryAfterMs');
    slow.finish('x');
    await call;
  });

  test('is found by the most specific pattern, not by the first', async () => {
    const providers = { '*': { keys: ['any'] }, '*gemini*': { keys: ['gem'] }, 'my-gemini': { keys: ['mine'] } };
    const { guard } = benchOf({ keyManagement: { providers } });
    expect(await guard.execute(({ apiKey }) => apiKey, 'my-gemini')).toBe('mine');
    expect(await guard.execute(({ apiKey }) => apiKey, 'google-gemini-2')).toBe('gem');
    expect(await guard.execute(({ apiKey }) => apiKey, 'else')).toBe('any');
  });

  test('is left alone where keyManagement.enabled is false', async () => {
    const { guard } = benchOf({ keyManagement: { enabled: false, providers: { p: { keys: ['secret'] } } } });
    expect(await guard.execute(({ apiKey }) => apiKey, 'p')).toBeUndefined();
    guard.updateConfig({ keyManagement: { enabled: true } });
    expect(await guard.execute(({ apiKey }) => apiKey, 'p')).toBe('secret');
  });

  test('shares one cursor among all names that lead to it', async () => {
    const { guard } = benchOf({ keyManagement: { providers: { '*gemini*': { keys: ['a-key', 'b-key', 'c-key'] } } } });
    const used: unknown[] = [];
    for (const name of ['gemini-1', 'gemini-2', 'gemini-3']) {
      used.push(await guard.execute(({ apiKey }) => apiKey, name));
    }
    expect(used).toEqual(['a-key', 'b-key', 'c-key']);
  });

  test('reports the real use of tokens', async () => {
    const keys = [{ id: 'a', key: 'secret', limits: { tpm: 1000 } }];
    const { guard } = benchOf({ keyManagement: { providers: { p: { keys } } } });
    await guard.execute(
      ({ reportUsage }) => {
        reportUsage({ inputTokens: 100, outputTokens: 50, cost: 0.01 });
      },
      { providerName: 'p', tokens: 900 },
    );
    expect(guard.keys.get('p', 'a')).toMatchObject({
      inputTokens: 100,
      outputTokens: 50,
      cost: 0.01,
      quota: { tpm: { used: 150, left: 850 } },
    });
  });

  test('reportUsage is harmless where there is no key', async () => {
    const { guard } = benchOf();
    const answer = await guard.execute(({ reportUsage }) => {
      reportUsage({ inputTokens: 1 });
      return 'fine';
    }, 'p');
    expect(answer).toBe('fine');
  });
});
