import { describe, expect, test } from 'vitest';
import * as api from '../../src/index.ts';
import type {
  ExecutionGuardConfig,
  ExecutionStats,
  KeyProviderConfig,
  ProviderStatus,
  RateLimitRule,
} from '../../src/index.ts';
import { benchOf, held, httpError, rejectionOf, scripted, settle, tripBreaker } from './support.ts';

const POOL = { keyManagement: { providers: { '*gemini*': { keys: ['secret-one'] } } } };

describe('exports', () => {
  test('what callers of the old guard import is there', () => {
    expect(api.ExecutionGuard).toBeTypeOf('function');
    expect(typeof api.executionGuard.execute).toBe('function');
    expect(api.guardedExecute).toBeTypeOf('function');
    expect(api.canMakeRequest).toBeTypeOf('function');
    expect(api.isProviderHealthy).toBeTypeOf('function');
    expect(typeof api.ExecutionGuard.getInstance).toBe('function');
    expect(typeof api.ExecutionGuard.clearAllData).toBe('function');
  });

  test('what they call on it is there', () => {
    const { guard } = benchOf();
    for (const method of [
      'execute',
      'getStats',
      'getConfig',
      'updateConfig',
      'clearCache',
      'clearAllRecords',
      'resetCircuitBreaker',
      'isProviderInRecovery',
    ] as const) {
      expect(typeof guard[method], method).toBe('function');
    }
  });

  test('the types they name are there', () => {
    const rule: RateLimitRule = { requests: 1, windowMs: 1000 };
    const provider: KeyProviderConfig = { keys: ['a', undefined], strategy: 'weighted', fallbackBehavior: 'useFirst' };
    const config: ExecutionGuardConfig = {
      rateLimiting: { rules: { burst: rule } },
      keyManagement: { providers: { x: provider } },
    };
    const stats: ExecutionStats = benchOf(config).guard.getStats();
    const statuses: ProviderStatus[] = Object.values(stats.providers);
    expect(statuses).toEqual([]);
  });
});

describe('the key', () => {
  test('is undefined where no pool matches the provider: such providers are untouched', async () => {
    const { guard } = benchOf(POOL);
    await guard.execute(
      ({ apiKey, keyId }) => {
        expect(apiKey).toBeUndefined();
        expect(keyId).toBeUndefined();
      },
      { providerName: 'deepseek' },
    );
  });

  test('is undefined where no provider is named', async () => {
    const { guard } = benchOf(POOL);
    expect(await guard.execute(({ apiKey }) => apiKey)).toBeUndefined();
    expect(await guard.execute(({ apiKey }) => apiKey, {})).toBeUndefined();
    expect(await guard.execute(({ apiKey }) => apiKey, '')).toBeUndefined();
  });

  test('goes to the provider named by options, or by the second argument itself', async () => {
    const { guard } = benchOf(POOL);
    expect(await guard.execute(({ apiKey }) => apiKey, { providerName: 'google-gemini' })).toBe('secret-one');
    expect(await guard.execute(({ apiKey }) => apiKey, 'google-gemini')).toBe('secret-one');
    expect(await guard.execute(({ apiKey }) => apiKey, { providerName: () => 'google-gemini' })).toBe('secret-one');
  });

  test('comes with what the attempt is about', async () => {
    const { guard } = benchOf({ keyManagement: { providers: { gemini: { keys: [{ id: 'a', key: 'secret-a' }] } } } });
    const seen = await guard.execute(
      ({ apiKey, keyId, provider, model, attempt, signal: { aborted } }) => [
        [apiKey, keyId, provider, model],
        [attempt, aborted],
      ],
      { providerName: 'gemini', model: 'flash' },
    );
    expect(seen).toEqual([
      ['secret-a', 'a', 'gemini', 'flash'],
      [1, false],
    ]);
  });

  test('named by keyId is preferred, and an unknown one is ignored', async () => {
    const keys = ['a', 'b', 'c'].map(id => ({ id, key: `secret-${id}` }));
    const { guard } = benchOf({ keyManagement: { providers: { gemini: { keys } } } });
    for (let i = 0; i < 3; i++) {
      expect(await guard.execute(({ keyId }) => keyId, { providerName: 'gemini', keyId: 'c' })).toBe('c');
    }
    expect(await guard.execute(({ keyId }) => keyId, { providerName: 'gemini', keyId: 'nobody' })).toBe('a');
  });
});

describe('the value', () => {
  test.each([
    ['undefined', undefined],
    ['null', null],
    ['a BigInt', 10n],
    ['an object', { a: 1 }],
    ['a Date', new Date()],
    ['a Map', new Map([[1, 2]])],
    ['a Buffer', Buffer.from('x')],
    ['an object that looks like an error', { status: 500, error: 'mine' }],
    ['an Error as a value', new Error('returned, not thrown')],
    ['a Response', new Response('body')],
  ])('%s comes back as it is', async (_name, value) => {
    const { guard } = benchOf();
    expect(await guard.execute(() => Promise.resolve(value), 'p')).toBe(value);
    expect(await guard.execute(() => value, 'p')).toBe(value);
    expect(guard.getStats().providers.p).toMatchObject({ failureCount: 0, inRecovery: false });
  });

  test('of a callback without arguments comes back, too', async () => {
    const { guard } = benchOf();
    const noArguments = (): Promise<string> => Promise.resolve('done');
    expect(await guard.execute(noArguments)).toBe('done');
  });

  test('of a thenable is waited for', async () => {
    const { guard } = benchOf();
    // As query builders are: they run when they are waited for.
    const thenable: PromiseLike<string> = { then: (...handlers) => Promise.resolve('done').then(...handlers) };
    expect(await guard.execute(() => thenable)).toBe('done');
    expect(await guard.execute(() => thenable, { attemptTimeoutMs: 1000 })).toBe('done');
  });

  test('a Response that is still 429 after all attempts is returned, unread, not thrown', async () => {
    const { guard, clock } = benchOf({ retry: { maxRetries: 2, initialBackoffMs: 100 } });
    const { fn, runs } = scripted(
      new Response('first', { status: 429 }),
      new Response('second', { status: 429 }),
      new Response('third', { status: 429 }),
    );
    const call = guard.execute(fn, 'p');
    await clock.advance(1000);
    const response = (await call) as Response;
    expect(runs()).toBe(3);
    expect(response.status).toBe(429);
    expect(response.bodyUsed).toBe(false);
    expect(await response.text()).toBe('third');
  });

  test('the body of an error Response that nobody will see is let go', async () => {
    const { guard, clock } = benchOf({ retry: { initialBackoffMs: 100 } });
    let cancelled = 0;
    const body = (): ReadableStream<Uint8Array> =>
      new ReadableStream({
        pull(controller) {
          controller.enqueue(new Uint8Array(1000));
        },
        cancel() {
          cancelled++;
        },
      });
    const call = guard.execute(scripted(new Response(body(), { status: 503 }), 'fine').fn, 'p');
    await clock.advance(5000);
    expect(await call).toBe('fine');
    expect(cancelled).toBe(1);
  });

  test.each([
    ['an Error', new Error('mine')],
    ['null', null],
    ['undefined', undefined],
    ['a string', 'text'],
    ['a number', 42],
    ['a frozen object', Object.freeze({ status: 400 })],
    ['a symbol', Symbol('s')],
  ])('%s that is thrown is rethrown as it is', async (_name, thrown: unknown) => {
    const { guard } = benchOf();
    expect(await rejectionOf(guard.execute(() => Promise.reject(thrown), 'p'))).toBe(thrown);
    expect(
      await rejectionOf(
        guard.execute(() => {
          throw thrown;
        }, 'p'),
      ),
    ).toBe(thrown);
    expect(await rejectionOf(guard.execute(() => Promise.reject(thrown), { attemptTimeoutMs: 10 }))).toBe(thrown);
  });

  test('an error that is still there after all attempts is the last one, the same object', async () => {
    const { guard, clock } = benchOf({ retry: { maxRetries: 1, initialBackoffMs: 100 } });
    const last = httpError(503);
    const call = rejectionOf(guard.execute(scripted(httpError(500), last).fn, 'p'));
    await clock.advance(1000);
    expect(await call).toBe(last);
  });
});

describe('the text of errors', () => {
  test.each([
    [500, '500ms'],
    [10_000, '10s'],
    [60_000, '1m'],
    [3_600_000, '1h'],
    [86_400_000, '1d'],
  ])('"Rate limit exceeded: N requests per ..." prints a window of %i ms as %s', async (windowMs, printed) => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: { requests: 1, windowMs } } } });
    await guard.execute(() => 1);
    expect(await rejectionOf(guard.execute(() => 2))).toMatchObject({
      message: expect.stringContaining(`Rate limit exceeded: 1 requests per ${printed}. `) as string,
      code: 'RATE_LIMITED',
      retryAfterMs: windowMs,
    });
  });

  test('"Queue full (N items). Request rejected."', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1, maxQueueSize: 1 } });
    const first = held();
    const calls = [guard.execute(first.fn), guard.execute(() => 'second')];
    expect(await rejectionOf(guard.execute(() => 'third'))).toMatchObject({
      message: expect.stringMatching(/^Queue full \(1 items\)\. Request rejected\./) as string,
      code: 'QUEUE_FULL',
    });
    first.finish('first');
    expect(await Promise.all(calls)).toEqual(['first', 'second']);
  });

  test('"Circuit breaker is OPEN - service temporarily unavailable"', async () => {
    const bench = benchOf({ retry: { enabled: false }, circuitBreaker: { failureThreshold: 2, recoveryTimeMs: 5000 } });
    await tripBreaker(bench, 'p', 2);
    expect(await rejectionOf(bench.guard.execute(() => 1, 'p'))).toMatchObject({
      message: expect.stringMatching(/^Circuit breaker is OPEN - service temporarily unavailable/) as string,
      code: 'CIRCUIT_OPEN',
      provider: 'p',
      retryAfterMs: 5000,
    });
  });
});

describe('sessions', () => {
  const RULES = { rateLimiting: { rules: { burst: 1 } } };

  test.each([
    ['sessionId', { sessionId: 'a', ip: '1' }, { sessionId: 'b', ip: '1' }],
    ['ip, where there is no sessionId', { ip: '1' }, { ip: '2' }],
    ['ip, where the sessionId is empty', { sessionId: '', ip: '1' }, { sessionId: '', ip: '2' }],
    ['a number', { sessionId: 1 }, { sessionId: 2 }],
  ])('are told apart by req: %s', async (_name, one, other) => {
    const { guard } = benchOf({ ...RULES, deduplication: { enabled: false } });
    await guard.execute(() => 1, { req: one });
    expect(guard.canMakeRequest(one)).toBe(false);
    expect(guard.canMakeRequest(other)).toBe(true);
    expect(await guard.execute(() => 2, { req: other })).toBe(2);
    expect(await rejectionOf(guard.execute(() => 3, { req: one }))).toMatchObject({ code: 'RATE_LIMITED' });
  });

  test('are told apart by the option sessionId before anything of the request', async () => {
    const { guard } = benchOf(RULES);
    await guard.execute(() => 1, { sessionId: 'mine', req: { sessionId: 'x' }, skipDeduplication: true });
    expect(guard.canMakeRequest({ sessionId: 'mine' })).toBe(false);
    expect(guard.canMakeRequest({ sessionId: 'x' })).toBe(true);
  });

  test('without any are one: anonymous', async () => {
    const { guard } = benchOf(RULES);
    await guard.execute(() => 1);
    for (const req of [undefined, null, {}, 'text', { sessionId: {} }]) expect(guard.canMakeRequest(req)).toBe(false);
  });

  test('of a request that cannot be read are anonymous, too', () => {
    const { guard } = benchOf(RULES);
    const hostile = new Proxy(
      {},
      {
        get() {
          throw new Error('no');
        },
      },
    );
    expect(guard.canMakeRequest(hostile)).toBe(true);
  });

  test('are not named in what an error prints', async () => {
    const { guard } = benchOf(RULES);
    const options = { sessionId: 'session-token-123' };
    await guard.execute(() => 1, options);
    const error = await rejectionOf(guard.execute(() => 2, options));
    expect(error).toMatchObject({ session: 'session-token-123' });
    expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain('session-token-123');
  });
});

describe('followers of an equal call in flight', () => {
  const request = (): object => ({ url: '/v1/chat', body: { a: 1 } });

  test('share a plain answer, each with a copy of its own', async () => {
    const { guard } = benchOf();
    const leader = held<{ list: number[] }>();
    const calls = [1, 2, 3].map(() => guard.execute(leader.fn, { req: request() }));
    leader.finish({ list: [1] });
    const answers = await Promise.all(calls);
    expect(leader.runs()).toBe(1);
    expect(answers).toEqual([{ list: [1] }, { list: [1] }, { list: [1] }]);
    answers[1]?.list.push(2);
    expect(answers[2]).toEqual({ list: [1] });
  });

  test.each([
    ['undefined', () => undefined],
    ['a Response', () => new Response('body')],
    ['a stream', () => new Response('body').body],
  ])('run their own callback where the answer is %s', async (_name, make) => {
    const { guard } = benchOf();
    let runs = 0;
    const answers: unknown[] = [];
    const fn = async (): Promise<unknown> => {
      await Promise.resolve();
      runs++;
      return make();
    };
    for (const answer of await Promise.all([1, 2, 3].map(() => guard.execute(fn, { req: request() })))) answers.push(answer);
    expect(runs).toBe(3);
    if (answers[0] !== undefined) expect(new Set(answers).size).toBe(3);
  });

  test('each run theirs where it works by side effect', async () => {
    const { guard } = benchOf();
    const replies: string[] = [];
    const reply = (to: string) => async (): Promise<void> => {
      await Promise.resolve();
      replies.push(to);
    };
    await Promise.all(['a', 'b', 'c'].map(to => guard.execute(reply(to), { req: request() })));
    expect(replies.sort()).toEqual(['a', 'b', 'c']);
  });
});

describe('providerName as a function', () => {
  test('is read before the first attempt, and once more after the callback ran', async () => {
    const { guard } = benchOf();
    let provider = 'first-choice';
    const asked: string[] = [];
    await guard.execute(
      ({ provider: given }) => {
        expect(given).toBe('first-choice');
        provider = 'second-choice';
      },
      {
        providerName: () => {
          asked.push(provider);
          return provider;
        },
      },
    );
    expect(asked).toEqual(['first-choice', 'second-choice']);
  });

  test('what it says after the callback ran is the provider that health and stats are booked on', async () => {
    const { guard } = benchOf({ retry: { enabled: false } });
    let provider = 'front';
    const fail = (): Promise<never> => {
      provider = 'fallback';
      return Promise.reject(httpError(500));
    };
    await rejectionOf(guard.execute(fail, { providerName: () => provider }));
    expect(guard.isProviderInRecovery('fallback')).toBe(true);
    expect(guard.isProviderInRecovery('front')).toBe(false);
    expect(guard.getStats().providers.fallback).toMatchObject({ failureCount: 1, totalRequests: 1 });
    expect(guard.getStats().providers.front).toMatchObject({ failureCount: 0, totalRequests: 0 });
  });

  test.each([
    ['undefined', () => undefined],
    ['null', () => null as unknown as undefined],
    ['a number', () => 7 as unknown as string],
  ])('may not know yet, and say %s', async (_name, providerName) => {
    const { guard } = benchOf(POOL);
    const seen = await guard.execute(({ apiKey, provider }) => [apiKey, provider], { providerName });
    expect(seen).toEqual([undefined, '']);
    expect(guard.getStats().providers).toEqual({});
  });

  test('that throws before the call rejects it with what it threw', async () => {
    const { guard } = benchOf();
    const error = new Error('no route');
    const { fn, runs } = scripted('x');
    const providerName = (): string => {
      throw error;
    };
    expect(await rejectionOf(guard.execute(fn, { providerName }))).toBe(error);
    expect(runs()).toBe(0);
  });

  test('that throws after the call does not spoil its answer', async () => {
    const { guard } = benchOf();
    let isOver = false;
    const providerName = (): string => {
      if (isOver) throw new Error('gone');
      return 'p';
    };
    const answer = await guard.execute(
      () => {
        isOver = true;
        return 'fine';
      },
      { providerName },
    );
    expect(answer).toBe('fine');
    expect(guard.getStats().providers.p).toMatchObject({ totalRequests: 1 });
  });
});

describe('getStats()', () => {
  function numbersOf(value: unknown, path = ''): [string, unknown][] {
    if (typeof value !== 'object' || value === null) return [[path, value]];
    return Object.entries(value).flatMap(([name, member]) => numbersOf(member, `${path}.${name}`));
  }

  test('has every number of the old guard, before the first call', () => {
    const stats = benchOf().guard.getStats();
    const usage = { current: 0, limit: 0, percentage: 0, windowMs: 0 };
    expect(stats).toEqual({
      deduplication: { totalCachedRequests: 0, totalDuplicateRequestsBlocked: 0, cacheHitRate: 0, memoryUsage: 0 },
      rateLimiting: {
        circuitBreakerState: 'CLOSED',
        totalRequestsTracked: 0,
        rulesUsage: { perMinuteUsage: usage, perHourUsage: usage, perDayUsage: usage, burstUsage: usage },
      },
      queue: { currentSize: 0, totalProcessed: 0, averageWaitTime: 0, processing: false },
      retry: { totalRetries: 0, successAfterRetry: 0, finalFailures: 0 },
      providers: {},
      keys: {},
    });
  });

  test('never has a number that is undefined or NaN: callers use toFixed', async () => {
    const bench = benchOf({
      ...POOL,
      retry: { enabled: false },
      rateLimiting: { rules: { burst: 100, perMinute: 200, perHour: 300, perDay: 400 } },
    });
    const { guard, clock } = bench;
    await guard.execute(() => ({ a: 1 }), { providerName: 'google-gemini', req: { url: '/a' } });
    await guard.execute(() => ({ a: 1 }), { providerName: 'google-gemini', req: { url: '/a' } });
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'other'));
    await clock.advance(1);
    const stats = guard.getStats();
    for (const { responseTime, errorRate, totalRequests, failureCount } of Object.values(stats.providers)) {
      for (const number of [responseTime, errorRate, totalRequests, failureCount]) {
        expect(number?.toFixed(1)).toMatch(/^\d+\.\d$/);
      }
    }
    for (const [path, value] of numbersOf({ ...stats, keys: [] })) {
      expect(value, path).not.toBeUndefined();
      expect(value, path).not.toBeNaN();
    }
  });

  test('counts deduplication', async () => {
    const { guard } = benchOf();
    await guard.execute(() => ({ a: 1 }), { req: { url: '/a' } });
    await guard.execute(() => ({ a: 1 }), { req: { url: '/a' } });
    expect(guard.getStats().deduplication).toMatchObject({
      totalCachedRequests: 1,
      totalDuplicateRequestsBlocked: 1,
      cacheHitRate: 0.5,
    });
    expect(guard.getStats().deduplication.memoryUsage).toBeGreaterThan(0);
  });

  test('shows the use of each rule, 0 to 100 %', async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 4, perMinute: { requests: 10 } } } });
    for (let i = 0; i < 3; i++) await guard.execute(() => i);
    expect(guard.getStats().rateLimiting).toMatchObject({
      totalRequestsTracked: 3,
      rulesUsage: {
        burstUsage: { current: 3, limit: 4, percentage: 75, windowMs: 10_000 },
        perMinuteUsage: { current: 3, limit: 10, percentage: 30, windowMs: 60_000 },
        perHourUsage: { current: 0, limit: 0, percentage: 0, windowMs: 0 },
      },
    });
  });

  test('counts what the queue did, and how long calls waited in it', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1 } });
    const first = held();
    const calls = [guard.execute(first.fn), guard.execute(() => 'second')];
    await settle();
    expect(guard.getStats().queue).toEqual({ currentSize: 1, totalProcessed: 1, averageWaitTime: 0, processing: true });
    await clock.advance(300);
    first.finish('first');
    await Promise.all(calls);
    const after = { currentSize: 0, totalProcessed: 2, averageWaitTime: 150, processing: false };
    expect(guard.getStats().queue).toEqual(after);
  });

  test('counts retries', async () => {
    const { guard, clock } = benchOf({ retry: { maxRetries: 2, initialBackoffMs: 10 } });
    const calls = [
      guard.execute(scripted(httpError(500), 'fine').fn, 'a'),
      rejectionOf(guard.execute(scripted(httpError(500)).fn, 'b')),
    ];
    await clock.advance(1000);
    await Promise.all(calls);
    expect(guard.getStats().retry).toEqual({ totalRetries: 3, successAfterRetry: 1, finalFailures: 1 });
  });

  test('shows each provider', async () => {
    const { guard, clock } = benchOf({ retry: { enabled: false } });
    const slow = held();
    const call = guard.execute(slow.fn, 'good');
    await clock.advance(40);
    slow.finish('fine');
    await call;
    const failedAt = clock.now();
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'bad'));
    const status = { circuitBreakerState: 'CLOSED', totalRequests: 1 };
    const healthy = { failureCount: 0, inRecovery: false, isOnline: true };
    expect(guard.getStats().providers).toEqual({
      good: { ...status, ...healthy, name: 'good', responseTime: 40, errorRate: 0 },
      bad: {
        ...status,
        name: 'bad',
        lastFailure: failedAt,
        failureCount: 1,
        inRecovery: true,
        isOnline: false,
        responseTime: 0,
        errorRate: 0.1,
      },
    });
  });

  test('takes the time of the answer for the response time, not that of the wait before it', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 1000 } });
    await guard.execute(() => 1, 'p');
    const slow = held();
    const call = guard.execute(slow.fn, 'p');
    await clock.advance(1000);
    expect(slow.runs()).toBe(1);
    await clock.advance(50);
    slow.finish('fine');
    await call;
    expect(guard.getStats().providers.p?.responseTime).toBe(50);
  });

  test('shows the worst breaker', async () => {
    const bench = benchOf({ retry: { enabled: false }, circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 1000 } });
    const { guard, clock } = bench;
    await guard.execute(() => 1, 'good');
    await tripBreaker(bench, 'bad', 1);
    expect(guard.getStats().rateLimiting.circuitBreakerState).toBe('OPEN');
    await clock.advance(1000);
    expect(guard.getStats().rateLimiting.circuitBreakerState).toBe('HALF_OPEN');
    await guard.execute(() => 1, 'bad');
    expect(guard.getStats().rateLimiting.circuitBreakerState).toBe('CLOSED');
  });

  test('has a section of keys, per pool and per key, without a secret', async () => {
    const { guard } = benchOf(POOL);
    await guard.execute(() => 1, 'google-gemini');
    const { keys } = guard.getStats();
    expect(keys['*gemini*']).toMatchObject({ pattern: '*gemini*', ready: 1, waiting: 0 });
    expect(keys['*gemini*']?.keys[0]).toMatchObject({ state: 'ready', requests: 1, successes: 1, inFlight: 0 });
    expect(JSON.stringify(guard.getStats())).not.toContain('secret-one');
  });

  test('hands out copies, not internals', async () => {
    const { guard } = benchOf(POOL);
    await guard.execute(() => 1, 'google-gemini');
    const before = guard.getStats();
    const { retry, providers } = guard.getStats();
    Object.assign(retry, { totalRetries: 99 });
    Object.assign(providers['google-gemini']!, { totalRequests: 99 });
    Reflect.deleteProperty(providers, 'google-gemini');
    expect(guard.getStats()).toEqual(before);
  });
});

describe('getConfig()', () => {
  test('has every default filled in', () => {
    expect(benchOf().guard.getConfig()).toMatchObject({
      enabled: true,
      deduplication: { enabled: true, ttlSeconds: 30, maxCacheSize: 1000, excludeEndpoints: ['/api/analytics'] },
      retry: { maxRetries: 5, initialBackoffMs: 1000, maxBackoffMs: 30_000, jitterMs: 500 },
      circuitBreaker: { failureThreshold: 20, recoveryTimeMs: 60_000 },
    });
  });

  test('is deep: changing it changes nothing', () => {
    const { guard } = benchOf(POOL);
    const config: { retry: { maxRetries: number }; rateLimiting: { rules: object } } = guard.getConfig();
    config.retry.maxRetries = 99;
    Object.assign(config.rateLimiting.rules, { burst: { requests: 1, windowMs: 1 } });
    expect(guard.getConfig().retry.maxRetries).toBe(5);
    expect(guard.getConfig().rateLimiting.rules.burst).toBeNull();
  });

  test('shows no raw key', () => {
    expect(JSON.stringify(benchOf(POOL).guard.getConfig())).not.toContain('secret-one');
  });
});

describe('clearing', () => {
  test('clearCache() forgets answers', async () => {
    const { guard } = benchOf();
    const { fn, runs } = scripted('a');
    await guard.execute(fn, { req: { url: '/a' } });
    guard.clearCache();
    await guard.execute(fn, { req: { url: '/a' } });
    expect(runs()).toBe(2);
  });

  test('clearAllRecords(), or clearAllData(), forgets answers, counted requests and failures', async () => {
    for (const clear of ['clearAllRecords', 'clearAllData'] as const) {
      const { guard } = benchOf({ retry: { enabled: false }, rateLimiting: { rules: { burst: 1 } } });
      await rejectionOf(guard.execute(scripted(httpError(500)).fn, { providerName: 'p', req: {} }));
      expect(guard.canMakeRequest()).toBe(false);
      guard[clear]();
      expect(guard.canMakeRequest()).toBe(true);
      expect(guard.isProviderHealthy('p')).toBe(true);
      expect(guard.getStats().rateLimiting.totalRequestsTracked).toBe(0);
      expect(guard.getStats().providers.p).toMatchObject({ failureCount: 0, errorRate: 0, totalRequests: 0 });
    }
  });

  test('leaves no call without an end', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 } });
    const first = held();
    const calls = [guard.execute(first.fn), guard.execute(() => 'second')];
    await settle();
    guard.clearAllRecords();
    first.finish('first');
    expect(await Promise.all(calls)).toEqual(['first', 'second']);
  });

  test('does not bring the count below zero when a call that was counted before gives its place back', async () => {
    const { guard } = benchOf({ queue: { concurrency: 1 }, rateLimiting: { rules: { burst: 5 } } });
    const first = held();
    const call = guard.execute(first.fn);
    const controller = new AbortController();
    const waiting = rejectionOf(guard.execute(() => 1, { signal: controller.signal }));
    await settle();
    guard.clearAllRecords();
    controller.abort();
    await waiting;
    expect(guard.getStats().rateLimiting.totalRequestsTracked).toBe(0);
    first.finish('x');
    await call;
  });
});
