import { expect, test } from 'vitest';
import { checkGuardedFetch } from '../../src/fetch/check.ts';
import { createGuardedFetch } from '../../src/fetch/index.ts';
import { ConfigError, executionGuard } from '../../src/index.ts';
import { setUp } from './support.ts';

const { guard } = setUp({});

function complaints(given: unknown, options: unknown = {}): string[] {
  try {
    checkGuardedFetch(given, options);
  } catch (error) {
    if (error instanceof ConfigError) return error.issues.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

test('a guard and options that are known are taken, undefined ones too', () => {
  const call = { deadlineMs: 1, tags: ['a'], uses: undefined };
  const options = {
    provider: 'openai', route: () => undefined, fetch, maxReplayBytes: 0, estimateTokens: true, call,
  };
  expect(complaints(guard, options)).toEqual([]);
  expect(complaints(executionGuard, { provider: undefined, call: undefined })).toEqual([]);
});

test.each([
  [undefined, 'found nothing'],
  [null, 'found nothing'],
  ['openai', 'found a string'],
  [
    { keyManagement: { providers: { openai: { keys: ['sk-secret'] } } } },
    'found an object; a configuration goes into `new ExecutionGuard(...)` first',
  ],
])('%j is no guard', (given, found) => {
  expect(complaints(given)).toEqual([`guard: expected an ExecutionGuard, ${found}`]);
});

test.each<[unknown, string]>([
  [{ providr: 'openai' }, 'options.providr: unknown option `providr`, did you mean `provider`?'],
  [{ call: { deadlineMS: 5 } }, 'options.call.deadlineMS: unknown option `deadlineMS`, did you mean `deadlineMs`?'],
  [{ call: { model: 'gpt-4o' } }, expect.stringMatching(/^options\.call\.model: unknown option `model`; known here: `req`, /) as string],
  [{ provider: ' ' }, 'options.provider: expected the name of a provider, found a blank string'],
  [{ route: 'openai' }, 'options.route: expected a function, found a string'],
  [{ maxReplayBytes: -1 }, 'options.maxReplayBytes: expected a whole number of bytes, 0 or more, found the number -1'],
  [{ estimateTokens: 1 }, 'options.estimateTokens: expected `true` or `false`, found the number 1'],
  [null, 'options: expected an object of options, found null'],
])('options %j are refused', (options, complaint) => {
  expect(complaints(guard, options)).toEqual([complaint]);
});

test('what is wrong is said when the fetch is made', () => {
  expect(() => createGuardedFetch(guard, { call: { deadlineMS: 5 } as object })).toThrow(ConfigError);
});
