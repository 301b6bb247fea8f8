import { expect, test } from 'vitest';
import { checked } from '../../src/register/configuration.ts';

function complaints(content: unknown): string[] {
  try {
    checked(content, 'a.json');
  } catch (error) {
    return error instanceof Error ? error.message.split('\n  ') : [];
  }
  return [];
}

test('is the guard\'s, with a section of its own', () => {
  const register = {
    interceptEnv: { KEY: 'guard:gemini' },
    fetch: { estimateTokens: true, maxReplayBytes: 0 },
    quiet: true,
  };
  const { guard, resolved, section } = checked({ maxRetries: 2, register }, 'a.json');
  expect(guard).toEqual({ maxRetries: 2 });
  expect(resolved.retry.maxRetries).toBe(2);
  expect(section).toEqual(register);
});

test.each([undefined, {}])('may say nothing: %s', content => {
  expect(checked(content, 'a.json').section).toEqual({});
});

test('names everything that is wrong at once, in both parts', () => {
  expect(complaints({ maxRetries: -1, register: { quiet: 'yes', interceptEnv: 'keys', fetch: { maxReplayBytes: 0.5 } } })).toEqual([
    'a.json is not valid; please correct:',
    'maxRetries: expected a whole number, 0 or more, found the number -1',
    'register.interceptEnv: expected `true`, `false`, `placeholder`, `key`, or an object of answers by variable, ' +
      'found a string; did you mean `key`?',
    'register.fetch.maxReplayBytes: expected a whole number of bytes, 0 or more, found the number 0.5',
    'register.quiet: expected `true` or `false`, found the string "yes"',
  ]);
});

test.each([
  [{ register: [] }, 'register: expected an object of options, found an array'],
  [{ register: { interceptEnv: { 'A-B': 'guard:x' } } }, 'register.interceptEnv["A-B"]: the name must be the name of an environment variable'],
  [{ register: { interceptEnv: { KEY: 'sk-proj-secret0123456789' } } }, 'register.interceptEnv.KEY: expected `guard:` or `key:` and the name of a provider, found a string'],
  [{ register: { fetch: { estimateToken: true } } }, 'register.fetch.estimateToken: unknown option `estimateToken`, did you mean `estimateTokens`?'],
  [{ interceptEnv: true }, 'interceptEnv: belongs under `register`: `register.interceptEnv`'],
  [{ providers: {} }, 'providers: belongs under `keyManagement`: `keyManagement.providers`'],
  [{ registr: {} }, 'registr: unknown option `registr`, did you mean `register`?'],
  [{ zebra: 1 }, expect.stringMatching(/^zebra: unknown option `zebra`; known here: `enabled`, .*`register`$/) as string],
  [null, 'config: expected an object of options, found null'],
  [[], 'config: expected an object of options, found an array'],
  ['sk-proj-secret', 'config: expected an object of options, found a string'],
])('refuses %j', (content, complaint) => {
  expect(complaints(content)).toEqual(['a.json is not valid; please correct:', complaint]);
});
