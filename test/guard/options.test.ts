import { describe, expect, test } from 'vitest';
import type { ExecuteOptions } from '../../src/index.ts';
import { benchOf, rejectionOf } from './support.ts';

/** What a caller without types may pass. */
const bad = (value: unknown): ExecuteOptions => value as ExecuteOptions;

describe('options that would be misread', () => {
  test.each([
    ['a number for options', 7, 'options'],
    ['a provider name that is none', { providerName: 7 }, 'options.providerName'],
    ['a provider name of null', { providerName: null }, 'options.providerName'],
    ['a signal that is none', { signal: {} }, 'options.signal'],
    ['a signal of null', { signal: null }, 'options.signal'],
    ['a controller for its signal', { signal: new AbortController() }, 'options.signal'],
    ['a model that is none', { model: 7 }, 'options.model'],
    ['a model of null', { model: null }, 'options.model'],
    ['negative tokens', { tokens: -1 }, 'options.tokens'],
    ['tokens as text', { tokens: '100' }, 'options.tokens'],
    ['a priority of NaN', { priority: NaN }, 'options.priority'],
    ['an endless priority', { priority: Infinity }, 'options.priority'],
    ['a deadline of NaN', { deadlineMs: NaN }, 'options.deadlineMs'],
    ['an attempt timeout of 0', { attemptTimeoutMs: 0 }, 'options.attemptTimeoutMs'],
    ['an attempt timeout as text', { attemptTimeoutMs: '5s' }, 'options.attemptTimeoutMs'],
  ])('%s reject the call before anything is done', async (_name, options, path) => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    let runs = 0;
    expect(await rejectionOf(guard.execute(() => runs++, bad(options)))).toMatchObject({
      code: 'CONFIG_INVALID',
      issues: [{ path, message: expect.stringMatching(/^expected .+, found .+/) as string }],
    });
    expect(runs).toBe(0);
    expect(guard.canMakeRequest()).toBe(true);
  });

  test('several at once are all named', async () => {
    const { guard } = benchOf();
    const error = await rejectionOf(guard.execute(() => 1, bad({ providerName: 5, deadlineMs: '5', signal: {} })));
    expect(error).toMatchObject({
      issues: [{ path: 'options.providerName' }, { path: 'options.signal' }, { path: 'options.deadlineMs' }],
    });
  });

  test.each([0, -1])('a budget of %i ms that is left runs nothing: the call has met its deadline', async deadlineMs => {
    const { guard } = benchOf();
    let runs = 0;
    expect(await rejectionOf(guard.execute(() => runs++, { deadlineMs }))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(runs).toBe(0);
  });

  test.each([
    ['undefined', undefined],
    ['a promise', Promise.resolve(1)],
    ['a string', 'fn'],
  ])('%s in place of the callback rejects, and does not throw', async (_name, fn) => {
    const { guard } = benchOf();
    expect(await rejectionOf(guard.execute(fn as unknown as () => number))).toMatchObject({
      code: 'CONFIG_INVALID',
      issues: [{ path: 'fn' }],
    });
  });

  test('show no value that could be a secret', async () => {
    const { guard } = benchOf();
    const error = await rejectionOf(guard.execute(() => 1, bad({ signal: 'sk-secret', providerName: 'p' })));
    expect(`${String(error)}${JSON.stringify(error)}`).not.toContain('sk-secret');
  });
});

describe('options that are fine', () => {
  test.each([
    ['null', null],
    ['undefined', undefined],
    ['an empty object', {}],
    ['undefined members', { providerName: undefined, signal: undefined, tokens: undefined, deadlineMs: undefined }],
    ['unknown members', { anything: 1 }],
    ['an object without a prototype', Object.assign(Object.create(null) as object, { providerName: 'p' })],
    ['zeroes', { tokens: 0, priority: 0 }],
    ['negative and broken priorities', { priority: -1.5 }],
  ])('%s', async (_name, options) => {
    const { guard } = benchOf();
    expect(await guard.execute(() => 'fine', bad(options))).toBe('fine');
  });

  test('a frozen one is not written to', async () => {
    const { guard } = benchOf();
    const options = Object.freeze({ providerName: 'p', req: Object.freeze({}) });
    expect(await guard.execute(() => 'fine', options)).toBe('fine');
  });

  test('the AbortSignal of a polyfill, or of another realm', async () => {
    const { guard } = benchOf();
    const listeners = new Set<() => void>();
    const polyfill = {
      aborted: false,
      reason: undefined,
      addEventListener: (_type: string, listener: () => void) => listeners.add(listener),
      removeEventListener: (_type: string, listener: () => void) => listeners.delete(listener),
    };
    expect(await guard.execute(() => 'fine', bad({ signal: polyfill }))).toBe('fine');
    expect(listeners.size).toBe(0);
    const call = rejectionOf(guard.execute(() => new Promise(() => undefined), bad({ signal: polyfill })));
    polyfill.aborted = true;
    for (const listener of listeners) listener();
    expect(await call).toMatchObject({ code: 'ABORTED' });
  });
});
