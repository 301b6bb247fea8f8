import { describe, expect, test } from 'vitest';
import { ExecutionGuard } from '../../src/index.ts';
import {
  benchOf,
  fateOf,
  held,
  httpError,
  ManualClock,
  networkError,
  rejectionOf,
  scripted,
  settle,
  tripBreaker,
} from './support.ts';

/** When each attempt of a failing call began, in ms after the first. */
async function attemptTimes(config: object, outcome: unknown, random = 0): Promise<number[]> {
  const clock = new ManualClock();
  const guard = new ExecutionGuard(config, { clock, random: () => random, env: {} });
  const startedAt = clock.now();
  const times: number[] = [];
  const call = guard.execute(() => {
    times.push(clock.now() - startedAt);
    if (outcome instanceof Response) return outcome.clone();
    throw outcome;
  }, 'p');
  fateOf(call);
  await clock.advance(3_600_000);
  return times;
}

describe('back-off', () => {
  test('doubles, up to its maximum', async () => {
    const retry = { maxRetries: 5, initialBackoffMs: 100, maxBackoffMs: 500, jitterMs: 0 };
    expect(await attemptTimes({ retry }, httpError(503))).toEqual([0, 100, 300, 700, 1200, 1700]);
  });

  test('has up to jitterMs of random time on top', async () => {
    const retry = { maxRetries: 2, initialBackoffMs: 100, jitterMs: 50 };
    expect(await attemptTimes({ retry }, httpError(503), 0.5)).toEqual([0, 125, 350]);
  });

  test('of one call does not hold up another', async () => {
    const { guard } = benchOf({ retry: { initialBackoffMs: 60_000 } });
    fateOf(guard.execute(scripted(httpError(503)).fn, 'p'));
    await settle();
    expect(await guard.execute(() => 'at once', 'p')).toBe('at once');
  });

  test('counts calls under way as waiting', async () => {
    const { guard, clock } = benchOf({ retry: { initialBackoffMs: 1000 } });
    const call = guard.execute(scripted(httpError(503), 'fine').fn, 'p');
    await settle();
    expect(guard.getStats().queue).toMatchObject({ currentSize: 1, processing: false });
    await clock.advance(1000);
    await call;
    expect(guard.getStats().queue.currentSize).toBe(0);
  });

  test('takes the settings that hold when it begins', async () => {
    const { guard, clock } = benchOf({ retry: { initialBackoffMs: 1000, maxRetries: 5 } });
    const { fn, runs } = scripted(httpError(503));
    const call = fateOf(guard.execute(fn, 'p'));
    await settle();
    guard.updateConfig({ initialBackoffMs: 10, maxRetries: 2 });
    await clock.advance(1000);
    expect(runs()).toBe(2);
    await clock.advance(20);
    expect(runs()).toBe(3);
    expect(call.state).toBe('rejected');
  });
});

describe('what is tried again', () => {
  const retry = { initialBackoffMs: 10, maxRetries: 1 };

  test.each([
    ['a status', httpError(500), 2],
    ['statusCode', httpError(502, {}, 'statusCode'), 2],
    ['the status of a response', Object.assign(new Error('axios'), { response: { status: 503 } }), 2],
    ['a numeric code', Object.assign(new Error('genai'), { code: 504 }), 2],
    ['a cause', new Error('wrapped', { cause: httpError(503) }), 2],
    ['an error Response', new Response('busy', { status: 503 }), 2],
    ['a 429 Response', new Response('slow down', { status: 429 }), 2],
    ['a reset connection', networkError('ECONNRESET'), 2],
    ['a refused connection', networkError('ECONNREFUSED'), 2],
    ['an unknown host', networkError('ENOTFOUND'), 2],
    ['a failed fetch', new TypeError('fetch failed', { cause: networkError('ECONNRESET') }), 2],
    ['a timeout', new DOMException('timed out', 'TimeoutError'), 2],
    ['a 400', httpError(400), 1],
    ['a 401', httpError(401), 1],
    ['a 404', httpError(404), 1],
    ['a 400 Response', new Response('no', { status: 400 }), 1],
    ['an ordinary error', new Error('bug'), 1],
    ['a TypeError of the callback itself', new TypeError('x is not a function'), 1],
    ['the abort of a signal of its own', new DOMException('aborted', 'AbortError'), 1],
  ])('%s', async (_name, outcome, attempts) => {
    expect(await attemptTimes({ retry }, outcome)).toHaveLength(attempts);
  });

  test('a thrown null is no reason to, and no TypeError', async () => {
    const { guard } = benchOf({ retry });
    expect(await rejectionOf(guard.execute(() => Promise.reject(null), 'p'))).toBeNull();
  });

  test('only listed statuses are', async () => {
    expect(await attemptTimes({ retry: { ...retry, retryableStatusCodes: [500] } }, httpError(503))).toHaveLength(1);
    expect(await attemptTimes({ retry: { ...retry, retryableStatusCodes: [500] } }, httpError(500))).toHaveLength(2);
    expect(await attemptTimes({ retry: { ...retry, retryableStatusCodes: [408] } }, httpError(408))).toHaveLength(2);
  });

  test('nothing is, where retry.enabled is false or maxRetries is 0', async () => {
    expect(await attemptTimes({ retry: { enabled: false } }, httpError(503))).toHaveLength(1);
    expect(await attemptTimes({ maxRetries: 0 }, httpError(503))).toHaveLength(1);
  });

  test('another guard that refuses inside the callback is passed on as it is', async () => {
    const inner = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    const outer = benchOf({ retry });
    await inner.guard.execute(() => 1);
    const { fn, runs } = scripted('x');
    const error = await rejectionOf(outer.guard.execute(() => inner.guard.execute(fn), 'p'));
    expect(error).toMatchObject({ code: 'RATE_LIMITED' });
    expect(runs()).toBe(0);
    expect(outer.guard.isProviderHealthy('p')).toBe(true);
  });

  test('another guard that is closed inside the callback does not count as this one closed', async () => {
    const inner = benchOf();
    const { guard } = benchOf({ retry });
    inner.guard.close();
    expect(await rejectionOf(guard.execute(() => inner.guard.execute(() => 1), 'p'))).toMatchObject({ code: 'CLOSED' });
    expect(guard.getStats().retry.finalFailures).toBe(1);
  });
});

describe('Retry-After', () => {
  const retry = { maxRetries: 1, initialBackoffMs: 100, jitterMs: 0 };

  test.each([
    ['in seconds', { 'retry-after': '7' }, 7000],
    ['in ms', { 'retry-after-ms': '1500' }, 1500],
    ['as an HTTP date', { 'retry-after': new Date(Date.UTC(2026, 10, 20, 12, 0, 20)).toUTCString() }, 20_000],
    ['as the reset of a limit used up', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '6' }, 6000],
    ['shorter than the back-off, which wins', { 'retry-after-ms': '20' }, 100],
    ['that is garbage', { 'retry-after': 'soon' }, 100],
  ])('%s is waited for', async (_name, headers, afterMs) => {
    expect(await attemptTimes({ retry }, httpError(429, headers as Record<string, string>))).toEqual([0, afterMs]);
    expect(await attemptTimes({ retry }, new Response('no', { status: 503, headers }))).toEqual([0, afterMs]);
  });

  test('in the body, as Gemini gives it, is waited for', async () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3s' }];
    const body = { error: { code: 503, status: 'UNAVAILABLE', message: 'overloaded', details } };
    expect(await attemptTimes({ retry }, Response.json(body, { status: 503 }))).toEqual([0, 3000]);
  });

  test('longer than maxRetryAfterMs ends the call: nobody waits an hour for one answer', async () => {
    const { guard } = benchOf({ retry });
    const error = httpError(429, { 'retry-after': '3600' });
    expect(await rejectionOf(guard.execute(scripted(error).fn, 'p'))).toBe(error);
  });

  test('that would outlast the call\'s deadline ends it with the provider\'s own error, at once', async () => {
    const { guard } = benchOf({ retry });
    const error = httpError(429, { 'retry-after': '10' });
    expect(await rejectionOf(guard.execute(scripted(error).fn, { providerName: 'p', deadlineMs: 5000 }))).toBe(error);
  });
});

describe('idempotent: false', () => {
  const options = { providerName: 'broker', idempotent: false };
  const retry = { initialBackoffMs: 10, maxRetries: 2, retryableStatusCodes: [408, 429, 500, 503] };

  test.each([
    ['a 500', httpError(500), 1],
    ['a reset connection', networkError('ECONNRESET'), 1],
    ['a 408', httpError(408), 1],
    ['a refused connection: nothing was sent', networkError('ECONNREFUSED'), 2],
    ['an unknown host: nothing was sent', networkError('ENOTFOUND'), 2],
    ['a connection never made: nothing was sent', networkError('UND_ERR_CONNECT_TIMEOUT'), 2],
    ['a 429: the provider refused it', httpError(429), 2],
  ])('is run %s', async (_name, error, attempts) => {
    const { guard, clock } = benchOf({ retry });
    const { fn, runs } = scripted(error, 'done');
    fateOf(guard.execute(fn, options));
    await clock.advance(60_000);
    expect(runs()).toBe(attempts);
  });

  test('does not run twice where an attempt timed out', async () => {
    const { guard, clock } = benchOf({ retry });
    const never = held();
    const call = rejectionOf(guard.execute(never.fn, { ...options, attemptTimeoutMs: 100 }));
    await clock.advance(60_000);
    expect(await call).toMatchObject({ code: 'ATTEMPT_TIMEOUT' });
    expect(never.runs()).toBe(1);
  });
});

describe('keys', () => {
  const pool = (...ids: string[]): object => ({
    providers: { llm: { keys: ids.map(id => ({ id, key: `secret-${id}` })) } },
  });

  test('a retry goes to another key, not to the one that failed', async () => {
    const { guard, clock } = benchOf({ retry: { initialBackoffMs: 10 }, keyManagement: pool('a', 'b', 'c') });
    const used: unknown[] = [];
    const call = guard.execute(({ keyId }) => {
      used.push(keyId);
      if (used.length < 3) throw httpError(503);
      return 'fine';
    }, 'llm');
    await clock.advance(1000);
    expect(await call).toBe('fine');
    expect(new Set(used).size).toBe(3);
  });

  test('a key\'s own fault moves on to the next key at once, and spends no retry', async () => {
    const { guard } = benchOf({ retry: { enabled: false }, keyManagement: pool('a', 'b', 'c') });
    const used: unknown[] = [];
    const answer = await guard.execute(({ keyId }) => {
      used.push(keyId);
      if (keyId !== 'c') throw httpError(429);
      return 'fine';
    }, 'llm');
    expect(answer).toBe('fine');
    expect(used).toEqual(['a', 'b', 'c']);
    expect(guard.getStats().retry.totalRetries).toBe(0);
  });

  test('a call half way through its keys does not fall behind newcomers that wait', async () => {
    const keys = [
      { id: 'small', key: 'secret-small', models: ['tiny'], limits: { concurrency: 1 } },
      { id: 'bad', key: 'secret-bad', models: ['big'] },
      { id: 'good', key: 'secret-good', models: ['big'] },
    ];
    const { guard } = benchOf({ retry: { enabled: false }, keyManagement: { providers: { llm: { keys } } } });
    const holder = held();
    const holding = guard.execute(holder.fn, { providerName: 'llm', model: 'tiny' });
    const bad = held();
    const failing = guard.execute(({ keyId }) => (keyId === 'bad' ? bad.fn() : 'fine'), {
      providerName: 'llm',
      model: 'big',
    });
    const waiting = guard.execute(() => 'waited', { providerName: 'llm', model: 'tiny' });
    await settle();
    expect(guard.getStats().keys.llm?.waiting).toBe(1);
    bad.fail(httpError(401));
    expect(await failing).toBe('fine');
    holder.finish('x');
    expect(await Promise.all([holding, waiting])).toEqual(['x', 'waited']);
  });

  test('the only key is tried again after a provider\'s failure', async () => {
    const { guard, clock } = benchOf({ retry: { initialBackoffMs: 10 }, keyManagement: pool('a') });
    const call = guard.execute(scripted(httpError(500), networkError(), 'fine').fn, 'llm');
    await clock.advance(1000);
    expect(await call).toBe('fine');
    expect(guard.getStats().retry).toEqual({ totalRetries: 2, successAfterRetry: 1, finalFailures: 0 });
  });

  test('a single key over its limit is waited for, as the provider asked', async () => {
    const { guard, clock } = benchOf({ keyManagement: pool('a') });
    const startedAt = clock.now();
    const { fn } = scripted(httpError(429, { 'retry-after': '5' }), 'fine');
    const call = guard.execute(fn, 'llm').then(answer => [answer, clock.now() - startedAt]);
    await clock.advance(60_000);
    expect(await call).toEqual(['fine', 5000]);
  });

  test('a status that means "the same key once more" keeps its key', async () => {
    const { guard, clock } = benchOf({
      retry: { initialBackoffMs: 10, retryableStatusCodes: [409] },
      keyManagement: pool('a', 'b'),
    });
    const used: unknown[] = [];
    const call = guard.execute(({ keyId }) => {
      used.push(keyId);
      if (used.length === 1) throw httpError(409);
      return 'fine';
    }, 'llm');
    await clock.advance(1000);
    expect(await call).toBe('fine');
    expect(used).toEqual(['a', 'a']);
  });

  test('all of them refused alike: the caller gets the provider\'s own error, and no key is burnt', async () => {
    const { guard } = benchOf({ keyManagement: pool('a', 'b', 'c', 'd', 'e') });
    const error = httpError(401);
    const { fn, runs } = scripted(error);
    expect(await rejectionOf(guard.execute(fn, 'llm'))).toBe(error);
    expect(runs()).toBe(3);
    expect(guard.getStats().keys.llm?.keys.map(({ state }) => state)).toEqual(Array(5).fill('ready'));
  });
});

describe('the breaker', () => {
  test('is asked before each further attempt: none is made once it has opened', async () => {
    const bench = benchOf({
      retry: { initialBackoffMs: 1000, maxRetries: 5 },
      circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 60_000 },
    });
    const { guard, clock } = bench;
    const patient = scripted(httpError(503));
    const call = fateOf(guard.execute(patient.fn, 'p'));
    await settle();
    // Another call ends meanwhile, and opens the breaker.
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, { providerName: 'p', deadlineMs: 500 }));
    await clock.advance(100_000);
    expect(patient.runs()).toBe(1);
    expect(call).toMatchObject({ state: 'rejected', value: { status: 503 } });
  });

  test('that is half-open gets one attempt of its probe, and no back-off before its answer', async () => {
    const bench = benchOf({ circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 1000 }, retry: { maxRetries: 0 } });
    const { guard, clock } = bench;
    await tripBreaker(bench, 'p', 1);
    await clock.advance(1000);
    guard.updateConfig({ maxRetries: 3 });
    const { fn, runs } = scripted(httpError(429));
    await rejectionOf(guard.execute(fn, 'p'));
    expect(runs()).toBe(1);
  });
});
