import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { ExecutionGuard } from '../../src/index.ts';
import type { Bench } from './support.ts';
import {
  benchOf,
  catching,
  fateOf,
  heard,
  held,
  httpError,
  networkError,
  rejectionOf,
  scripted,
  settle,
  tripBreaker,
} from './support.ts';

const IDLE = { foreground: 0, background: 0 };

/** Time for a process of its own, on a busy machine. */
const PROCESS_MS = 60_000;

/** A program of its own, so that what it leaves behind is seen. */
async function run(program: string): Promise<{ stdout: string; stderr: string }> {
  const { execPath } = process;
  const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
  return promisify(execFile)(execPath, args, { timeout: PROCESS_MS });
}

describe('importing', () => {
  test('starts nothing, writes nothing, makes no guard, and lets the process end', async () => {
    const { stdout, stderr } = await run(`
      import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
      import { tmpdir } from 'node:os';
      import { chdir, getActiveResourcesInfo } from 'node:process';
      const here = mkdtempSync(tmpdir() + '/import-');
      const guard = new URL('./src/index.ts', import.meta.url);
      chdir(here);
      await import(guard);
      const timers = getActiveResourcesInfo().filter(kind => kind === 'Timeout');
      console.log(timers.length, readdirSync(here).length, Symbol.for('execution-guard') in globalThis);
      rmdirSync(here);
    `);
    expect(stdout.trim()).toBe('0 0 false');
    expect(stderr).toBe('');
  }, PROCESS_MS);

  test('and an idle guard let the process end, too', async () => {
    const { stdout } = await run(`
      import { ExecutionGuard } from './src/index.ts';
      const guard = new ExecutionGuard({
        queue: { concurrency: 1 },
        circuitBreaker: { failureThreshold: 1 },
        retry: { enabled: false },
        rateLimiting: { rules: { burst: 5 } },
        keyManagement: { providers: { p: { keys: ['a'], validate: () => true, healthCheck: { intervalMs: 1000 } } } },
      });
      const fail = () => Promise.reject(Object.assign(new Error('down'), { status: 500 }));
      await Promise.allSettled([guard.execute(() => 1, 'p'), guard.execute(fail, 'q'), guard.execute(() => 1, 'q')]);
      console.log('done');
    `);
    expect(stdout.trim()).toBe('done');
  }, PROCESS_MS);
});

describe('an idle guard has no timer', () => {
  test('before its first call', () => {
    const { clock } = benchOf({ queue: { concurrency: 1, minDelayMs: 1000 }, rateLimiting: { rules: { burst: 1 } } });
    expect(clock.pending).toEqual(IDLE);
  });

  test('after calls of every kind', async () => {
    const bench = benchOf({
      queue: { concurrency: 2, minDelayMs: 10 },
      retry: { initialBackoffMs: 10, maxRetries: 2 },
      circuitBreaker: { failureThreshold: 3 },
      rateLimiting: { onLimit: 'wait', rules: { burst: 10 } },
      keyManagement: { providers: { p: { keys: ['a-key', 'b-key'] } } },
    });
    const { guard, clock } = bench;
    const errors = [httpError(500), httpError(429), httpError(401), networkError(), new Error('bug')];
    const outcomes = ['fine', ...errors, undefined];
    const calls = outcomes.flatMap(outcome => [
      fateOf(guard.execute(scripted(outcome).fn, 'p')),
      fateOf(guard.execute(scripted(outcome, 'fine').fn, { providerName: 'q', deadlineMs: 60_000, req: { url: '/' } })),
      fateOf(guard.execute(scripted(outcome).fn, { attemptTimeoutMs: 1000, signal: new AbortController().signal })),
    ]);
    await clock.advance(600_000);
    expect(calls.filter(({ state }) => state === 'pending')).toEqual([]);
    expect(clock.pending).toEqual(IDLE);
  });

  test('as soon as the last call that waited is gone', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 60_000 } });
    await guard.execute(() => 1, 'p');
    const controller = new AbortController();
    const call = rejectionOf(guard.execute(() => 2, { providerName: 'p', signal: controller.signal }));
    await settle();
    expect(clock.pending.foreground).toBe(1);
    controller.abort();
    await call;
    expect(clock.pending).toEqual(IDLE);
  });

  test('for a provider that recovers, however often it has failed', async () => {
    const { guard, clock } = benchOf({ retry: { enabled: false }, circuitBreaker: { enabled: false } });
    for (let i = 0; i < 100; i++) await rejectionOf(guard.execute(scripted(httpError(500)).fn, 'p'));
    expect(clock.pending).toEqual(IDLE);
  });
});

describe('close()', () => {
  test('rejects what waits, and every later call', async () => {
    const { guard, clock } = benchOf({ queue: { concurrency: 1, minDelayMs: 1000 } });
    await guard.execute(() => 1, 'p');
    const waiting = fateOf(guard.execute(() => 2, 'p'));
    await settle();
    guard.close();
    await settle();
    expect(waiting.value).toMatchObject({ code: 'CLOSED', name: 'ClosedError' });
    expect(clock.pending).toEqual(IDLE);
    const { fn, runs } = scripted('x');
    expect(await rejectionOf(guard.execute(fn, 'p'))).toMatchObject({ code: 'CLOSED' });
    expect(runs()).toBe(0);
  });

  test('rejects the calls that follow another one, which then run nothing', async () => {
    const { guard, clock } = benchOf();
    const { signal } = new AbortController();
    const leader = held<undefined>();
    const asking = { providerName: 'p', deduplicationKey: 'k' };
    const leading = fateOf(guard.execute(leader.fn, asking));
    const followers = [asking, { ...asking, signal }, { ...asking, deadlineMs: 60_000 }].map(options =>
      fateOf(guard.execute(leader.fn, options)),
    );
    guard.close();
    await settle();
    for (const follower of followers) expect(follower).toMatchObject({ state: 'rejected', value: { code: 'CLOSED' } });
    leader.finish(undefined);
    await settle();
    expect(leading.state).toBe('resolved');
    expect(leader.runs()).toBe(1);
    expect(clock.pending).toEqual(IDLE);
  });

  test('ends a call that nothing bounds before it goes on to another key', async () => {
    const { guard } = benchOf({ keyManagement: { providers: { p: { keys: ['a-key', 'b-key'] } } } });
    const refused = held();
    const call = fateOf(guard.execute(refused.fn, 'p'));
    guard.close();
    refused.fail(httpError(429));
    await settle();
    expect(call).toMatchObject({ state: 'rejected', value: { code: 'CLOSED', attempts: [{ status: 429 }] } });
    expect(refused.runs()).toBe(1);
  });

  test('ends the checks of keys', async () => {
    let checks = 0;
    const validate = (): boolean => ++checks > 0;
    const { guard, clock } = benchOf({
      keyManagement: { providers: { p: { keys: ['a-key'], validate, healthCheck: { intervalMs: 1000 } } } },
    });
    await clock.advance(1000);
    expect(checks).toBe(1);
    guard.close();
    expect(clock.pending).toEqual(IDLE);
    await clock.advance(10_000);
    expect(checks).toBe(1);
  });

  test('ends the overlap of replaced keys', () => {
    const { guard, clock } = benchOf({ keyManagement: { providers: { p: { keys: [{ id: 'a', key: 'a-key' }] } } } });
    guard.keys.replace('p', 'a', 'new-key', { overlapMs: 60_000 });
    guard.close();
    expect(clock.pending).toEqual(IDLE);
  });

  test('lets an attempt finish that nothing bounds, and makes no further one', async () => {
    const { guard, clock } = benchOf();
    const [good, bad] = [held(), held()];
    const calls = [fateOf(guard.execute(good.fn, 'p')), fateOf(guard.execute(bad.fn, 'p'))];
    guard.close();
    good.finish('fine');
    bad.fail(httpError(503));
    await settle();
    expect(calls[0]).toEqual({ state: 'resolved', value: 'fine' });
    expect(calls[1]).toMatchObject({ state: 'rejected', value: { code: 'CLOSED', attempts: [{ status: 503 }] } });
    expect(bad.runs()).toBe(1);
    expect(clock.pending).toEqual(IDLE);
  });

  test('may be called twice, and leaves what can be asked', async () => {
    const { guard } = benchOf();
    await guard.execute(() => 1, 'p');
    guard.close();
    guard.close();
    expect(guard.getStats().providers.p).toMatchObject({ totalRequests: 1 });
    expect(guard.getConfig().enabled).toBe(true);
    expect(guard.canMakeRequest()).toBe(true);
    expect(guard.isProviderHealthy('p')).toBe(true);
  });

  test('is the end: the configuration cannot be changed, nor anything started, any more', () => {
    const { guard, clock } = benchOf();
    guard.close();
    const providers = { p: { keys: ['a-key'], validate: () => true, healthCheck: { intervalMs: 1000 } } };
    expect(catching(() => guard.updateConfig({ keyManagement: { providers } }))).toMatchObject({ code: 'CLOSED' });
    expect(clock.pending).toEqual(IDLE);
  });
});

describe('updateConfig()', () => {
  test('keeps what is not named', () => {
    const { guard } = benchOf({ retry: { maxRetries: 7, jitterMs: 3 }, queue: { concurrency: 4 } });
    guard.updateConfig({ retry: { maxRetries: 2 } });
    expect(guard.getConfig().retry).toMatchObject({ maxRetries: 2, jitterMs: 3 });
    expect(guard.getConfig().queue.concurrency).toBe(4);
  });

  test('takes undefined for "keep", also as a whole', () => {
    const { guard } = benchOf({ retry: { maxRetries: 7 } });
    const before = guard.getConfig();
    guard.updateConfig({ retry: { maxRetries: undefined }, queue: undefined });
    guard.updateConfig(undefined);
    guard.updateConfig({});
    expect(guard.getConfig()).toEqual(before);
  });

  test('takes the four knobs of the widget flat, on live traffic', async () => {
    const { guard, clock } = benchOf({ retry: { maxRetries: 0 } });
    guard.updateConfig({ minDelayMs: 200, initialBackoffMs: 500, maxQueueSize: 500, maxRetries: 2 });
    expect(guard.getConfig()).toMatchObject({
      queue: { minDelayMs: 200, maxQueueSize: 500 },
      retry: { initialBackoffMs: 500, maxRetries: 2 },
    });
    const { fn, runs } = scripted(httpError(503));
    const call = fateOf(guard.execute(fn, 'p'));
    await clock.advance(499);
    expect(runs()).toBe(1);
    await clock.advance(1);
    expect(runs()).toBe(2);
    await clock.advance(1000);
    expect(runs()).toBe(3);
    expect(call.state).toBe('rejected');
  });

  test.each([
    ['null', null],
    ['a number that is none', { retry: { maxRetries: NaN } }],
    ['a wrong type', { queue: { concurrency: 'two' } }],
    ['an unknown option', { retry: { maxRetrys: 3 } }],
    ['an unknown profile', { keyManagement: { providers: { p: { keys: ['a'], profile: 'gemni' } } } }],
    ['null for a section', { retry: null }],
  ])('refuses %s with a readable error, and has changed nothing then', (_name, update) => {
    const { guard } = benchOf({ keyManagement: { providers: { old: { keys: ['old-key'] } } } });
    const before = guard.getConfig();
    const error = catching(() => guard.updateConfig(update as object));
    expect(error).toMatchObject({ name: 'ConfigError', code: 'CONFIG_INVALID' });
    expect(String(error)).not.toContain('old-key');
    expect(guard.getConfig()).toEqual(before);
    expect(Object.keys(guard.getStats().keys)).toEqual(['old']);
  });

  test('replaces the map of providers: a key that is not named any more is gone', async () => {
    const providers = { p: { keys: ['a-key', 'b-key'] }, q: { keys: ['c-key'] } };
    const { guard } = benchOf({ keyManagement: { providers } });
    guard.updateConfig({ keyManagement: { providers: { p: { keys: ['b-key'] } } } });
    for (let i = 0; i < 3; i++) expect(await guard.execute(({ apiKey }) => apiKey, 'p')).toBe('b-key');
    expect(await guard.execute(({ apiKey }) => apiKey, 'q')).toBeUndefined();
  });

  test('keeps what keys have learned, and the counts of sessions and providers', async () => {
    const bench = benchOf({
      retry: { enabled: false },
      circuitBreaker: { failureThreshold: 1 },
      rateLimiting: { rules: { burst: 5 } },
      keyManagement: { providers: { p: { keys: [{ id: 'a', key: 'a-key' }] } } },
    });
    const { guard } = bench;
    await rejectionOf(guard.execute(scripted(httpError(429, { 'retry-after': '60' })).fn, 'p'));
    await tripBreaker(bench, 'q', 1);
    guard.updateConfig({
      circuitBreaker: { recoveryTimeMs: 120_000 },
      keyManagement: { providers: { p: { keys: [{ id: 'a', key: 'a-key', weight: 2 }] } } },
    });
    expect(guard.keys.get('p', 'a')).toMatchObject({ state: 'cooling', weight: 2, requests: 1 });
    expect(guard.getStats().providers.q?.circuitBreakerState).toBe('OPEN');
    expect(guard.getStats().rateLimiting.rulesUsage.burstUsage.current).toBe(2);
  });

  test('leaves calls under way alone', async () => {
    const { guard } = benchOf({ keyManagement: { providers: { p: { keys: ['a-key'] } } } });
    const slow = held();
    const call = guard.execute(slow.fn, 'p');
    const off = { enabled: false };
    guard.updateConfig({ keyManagement: { providers: {} }, retry: off, deduplication: off, queue: off });
    slow.finish('fine');
    expect(await call).toBe('fine');
    expect(guard.getStats().keys).toEqual({});
  });

  test('a call that waits for a key of a pool that is taken away comes to an end', async () => {
    const { guard, clock } = benchOf({
      keyManagement: { providers: { p: { keys: [{ key: 'a-key', limits: { concurrency: 1 } }] } } },
    });
    const slow = held();
    const first = guard.execute(slow.fn, 'p');
    const waiting = fateOf(guard.execute(() => 'next', 'p'));
    await settle();
    guard.updateConfig({ keyManagement: { providers: {} } });
    slow.finish('fine');
    await first;
    await clock.advance(60_000);
    expect(waiting.state).toBe('rejected');
    expect(clock.pending).toEqual(IDLE);
  });

  test('a key that is added serves those that wait', async () => {
    const { guard } = benchOf({
      keyManagement: { providers: { p: { keys: [{ key: 'a-key', limits: { concurrency: 1 } }] } } },
    });
    const slow = held();
    const first = guard.execute(slow.fn, 'p');
    const waiting = fateOf(guard.execute(({ apiKey }) => apiKey, 'p'));
    await settle();
    guard.keys.add('p', 'b-key');
    await settle();
    expect(waiting.value).toBe('b-key');
    slow.finish('x');
    await first;
  });

  test('switching deduplication on and off holds at once', async () => {
    const { guard } = benchOf();
    const { fn, runs } = scripted('a');
    const options = { req: { url: '/a' } };
    await guard.execute(fn, options);
    guard.updateConfig({ deduplication: { enabled: false } });
    await guard.execute(fn, options);
    expect(runs()).toBe(2);
    guard.updateConfig({ deduplication: { enabled: true } });
    await guard.execute(fn, options);
    expect(runs()).toBe(2);
  });

  test('takes back a configuration that was read with masked keys', async () => {
    const { guard } = benchOf({ keyManagement: { providers: { p: { keys: ['AIza-secret-of-mine'] } } } });
    guard.updateConfig(guard.getConfig());
    expect(await guard.execute(({ apiKey }) => apiKey, 'p')).toBe('AIza-secret-of-mine');
  });
});

describe('new ExecutionGuard()', () => {
  test.each([
    ['null', null],
    ['a string', 'fast'],
    ['a bad value', { queue: { maxQueueSize: -1 } }],
    ['an unknown profile', { keyManagement: { providers: { p: { keys: ['a'], profile: 'gemni' } } } }],
  ])('refuses %s', (_name, config) => {
    expect(catching(() => new ExecutionGuard(config as object))).toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('names the profile that is not known, and those that are', () => {
    const providers = { p: { keys: ['a'], profile: 'gemni' } };
    expect(catching(() => new ExecutionGuard({ keyManagement: { providers } }))).toMatchObject({
      issues: [{ path: 'keyManagement.providers["p"].profile', message: expect.stringContaining('gemini') as string }],
    });
  });

  test('accepts an extra top-level enabled', () => {
    expect(benchOf({ enabled: true }).guard.getConfig().enabled).toBe(true);
  });

  test('does not keep a reference to its configuration', async () => {
    const config = { retry: { maxRetries: 1 }, keyManagement: { providers: { p: { keys: ['a-key'] } } } };
    const { guard } = benchOf(config);
    config.retry.maxRetries = 99;
    config.keyManagement.providers.p.keys[0] = 'changed';
    expect(guard.getConfig().retry.maxRetries).toBe(1);
    expect(await guard.execute(({ apiKey }) => apiKey, 'p')).toBe('a-key');
  });

  test('works with the clock, chance and environment of the process where none are given', async () => {
    const guard = new ExecutionGuard({ retry: { maxRetries: 1, initialBackoffMs: 1, jitterMs: 1 } });
    expect(await guard.execute(scripted(httpError(503), 'fine').fn, { deadlineMs: 10_000 })).toBe('fine');
    guard.close();
  });

  test('warns through the process where nobody else listens', async () => {
    const warning = new Promise<Error>(resolve => process.once('warning', resolve));
    new ExecutionGuard({ keyManagement: { providers: { p: { keys: ['a-key', ' '] } } } }).close();
    expect(await warning).toMatchObject({ name: 'ExecutionGuardWarning' });
  });
});

describe('enabled: false', () => {
  const config = {
    enabled: false,
    queue: { concurrency: 1, maxQueueSize: 0 },
    rateLimiting: { rules: { burst: 1 } },
    circuitBreaker: { failureThreshold: 1 },
    keyManagement: { providers: { p: { keys: ['a-key'] } } },
  };

  test('passes every call straight through: no key, no limit, no retry', async () => {
    const { guard } = benchOf(config);
    const [first, second] = [held(), held()];
    const calls = [guard.execute(first.fn, 'p'), guard.execute(second.fn, { providerName: 'p', req: { url: '/a' } })];
    expect([first.runs(), second.runs()]).toEqual([1, 1]);
    first.finish('a');
    second.finish('b');
    expect(await Promise.all(calls)).toEqual(['a', 'b']);
    const { fn, runs } = scripted(httpError(503));
    expect(await rejectionOf(guard.execute(fn, 'p'))).toMatchObject({ status: 503 });
    expect(runs()).toBe(1);
    expect(await guard.execute(({ apiKey }) => apiKey, 'p')).toBeUndefined();
    expect(guard.canMakeRequest()).toBe(true);
  });

  test('returns an error Response as it is', async () => {
    const { guard } = benchOf(config);
    const response = new Response('busy', { status: 503 });
    expect(await guard.execute(() => response, 'p')).toBe(response);
  });

  test('still hears of aborts and deadlines', async () => {
    const { guard, clock } = benchOf(config);
    const call = rejectionOf(guard.execute(held().fn, { deadlineMs: 100 }));
    await clock.advance(100);
    expect(await call).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  test('can be switched on again', async () => {
    const { guard } = benchOf(config);
    guard.updateConfig({ enabled: true });
    expect(await guard.execute(({ apiKey }) => apiKey, 'p')).toBe('a-key');
    expect(guard.canMakeRequest()).toBe(false);
  });
});

test('no rejection is ever unhandled', async () => {
  const unhandled: unknown[] = [];
  const listen = (reason: unknown): void => {
    unhandled.push(reason);
  };
  process.on('unhandledRejection', listen);
  const config = {
    queue: { concurrency: 1, maxQueueSize: 3 },
    retry: { initialBackoffMs: 10, maxRetries: 1 },
    circuitBreaker: { failureThreshold: 2, recoveryTimeMs: 100 },
    rateLimiting: { onLimit: 'wait', rules: { burst: { requests: 3, windowMs: 100 } } },
    keyManagement: { maxWaitMs: 50, providers: { p: { keys: ['a-key', 'b-key'] } } },
  } as const;
  const bench: Bench = benchOf(config);
  const { guard, clock } = bench;
  guard.on('call', () => Promise.reject(new Error('an async listener')));
  const controller = new AbortController();
  const { signal } = controller;
  const optionsOfCalls = [{}, { deadlineMs: 20 }, { attemptTimeoutMs: 5 }, { signal }, { req: { url: '/same' } }];
  const calls = [httpError(500), httpError(401), networkError(), new Error('bug'), 'fine'].flatMap(outcome =>
    optionsOfCalls.map(options =>
      fateOf(guard.execute(scripted(outcome).fn, { providerName: 'p', ...options })),
    ),
  );
  await clock.advance(30);
  controller.abort();
  await clock.advance(1000);
  guard.close();
  await settle();
  process.off('unhandledRejection', listen);
  expect(unhandled).toEqual([]);
  expect(calls.filter(({ state }) => state === 'pending')).toEqual([]);
  expect(bench.warnings.some(warning => warning.includes('listener'))).toBe(true);
});

test('a rotation is told', () => {
  const { guard, clock } = benchOf({ keyManagement: { providers: { p: { keys: [{ id: 'a', key: 'a-key' }] } } } });
  const rotations = heard(guard, 'rotation');
  const newKeyId = guard.keys.replace('p', 'a', 'new-key');
  expect(rotations).toEqual([{ pool: 'p', oldKeyId: 'a', newKeyId, retireAt: clock.now() }]);
});
