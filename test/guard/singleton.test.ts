import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { canMakeRequest, executionGuard, ExecutionGuard, guardedExecute, isProviderHealthy } from '../../src/index.ts';
import { httpError, rejectionOf, scripted } from './support.ts';

const KEY = Symbol.for('execution-guard');

// One guard per process is the point of it; each test gets a process's beginning.
beforeEach(() => {
  Reflect.deleteProperty(globalThis, KEY);
});
afterEach(() => {
  ExecutionGuard.getInstance().close();
  Reflect.deleteProperty(globalThis, KEY);
});

describe('the shared guard', () => {
  test('is made when it is first used, not before', () => {
    expect(KEY in globalThis).toBe(false);
    executionGuard.getStats();
    expect(KEY in globalThis).toBe(true);
  });

  test('is one, however it is reached', async () => {
    const providers = { p: { keys: ['a-key'] } };
    executionGuard.updateConfig({ keyManagement: { providers }, retry: { enabled: false } });
    expect(await guardedExecute(({ apiKey }) => apiKey, 'p')).toBe('a-key');
    expect(await executionGuard.execute(({ apiKey }) => apiKey, { providerName: 'p' })).toBe('a-key');
    expect(await ExecutionGuard.getInstance().execute(({ apiKey }) => apiKey, 'p')).toBe('a-key');
    expect(executionGuard.getStats().providers.p).toMatchObject({ totalRequests: 3 });
    expect(ExecutionGuard.getInstance()).toBe(ExecutionGuard.getInstance());
    await rejectionOf(guardedExecute(scripted(httpError(500)).fn, 'p'));
    expect(isProviderHealthy('p')).toBe(false);
    expect(executionGuard.isProviderInRecovery('p')).toBe(true);
  });

  test('is one for the ESM and the CommonJS copy of the package', () => {
    const theirs = new ExecutionGuard();
    Reflect.set(globalThis, KEY, theirs);
    expect(ExecutionGuard.getInstance()).toBe(theirs);
  });

  test('needs no provider and no options', async () => {
    expect(await guardedExecute(() => 'done')).toBe('done');
  });

  test('limits by request, and asking costs nothing', async () => {
    executionGuard.updateConfig({ rateLimiting: { rules: { burst: 1 } } });
    const req = { sessionId: 's' };
    expect(canMakeRequest(req)).toBe(true);
    expect(canMakeRequest(req)).toBe(true);
    await guardedExecute(() => 1, { req });
    expect(canMakeRequest(req)).toBe(false);
    expect(canMakeRequest()).toBe(true);
    ExecutionGuard.clearAllData();
    expect(canMakeRequest(req)).toBe(true);
  });

  test('is an ExecutionGuard, and its methods may be taken off it', async () => {
    expect(executionGuard).toBeInstanceOf(ExecutionGuard);
    const execute: unknown = Reflect.get(executionGuard, 'execute');
    expect(await Reflect.apply(execute as () => unknown, undefined, [() => 'done'])).toBe('done');
    expect('execute' in executionGuard).toBe(true);
    expect('nothing' in executionGuard).toBe(false);
    expect(executionGuard.keys.list()).toEqual([]);
    expect(executionGuard.constructor).toBe(ExecutionGuard);
  });

  test('can be waited for by mistake', async () => {
    expect(await Promise.resolve(executionGuard)).toBe(executionGuard);
  });

  test('can be spied on, and other guards are not', async () => {
    const spy = vi.spyOn(executionGuard, 'execute').mockResolvedValue('mocked');
    expect(await executionGuard.execute(() => 'real')).toBe('mocked');
    expect(spy).toHaveBeenCalledTimes(1);
    expect(await new ExecutionGuard().execute(() => 'real')).toBe('real');
    spy.mockRestore();
    expect(await executionGuard.execute(() => 'real')).toBe('real');
  });

  test('can be spied on without being replaced', async () => {
    const spy = vi.spyOn(executionGuard, 'execute');
    expect(await executionGuard.execute(() => 'real', 'p')).toBe('real');
    expect(spy).toHaveBeenCalledWith(expect.any(Function), 'p');
    spy.mockRestore();
  });

  test('takes members of one\'s own', () => {
    Object.assign(executionGuard, { label: 'main' });
    expect(ExecutionGuard.getInstance()).toHaveProperty('label', 'main');
  });
});
