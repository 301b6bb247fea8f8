import { describe, expect, test } from 'vitest';
import { profileFor } from '../../src/faults/profiles.ts';

describe('profileFor', () => {
  test.each([
    ['gemini', 'gemini'],
    ['google-gemini', 'gemini'],
    ['Gemini-2.5-Flash', 'gemini'],
    ['my/google/keys', 'gemini'],
    ['google-vertex', 'generic'],
    ['vertex-gemini', 'generic'],
    ['openai', 'openai'],
    ['my-openai-eu', 'openai'],
    ['gpt-4o', 'openai'],
    ['chatgpt', 'generic'],
    ['azure-openai', 'generic'],
    ['anthropic', 'generic'],
    ['', 'generic'],
    ['constructor', 'generic'],
    ['__proto__', 'generic'],
    ['toString', 'generic'],
    ['a\nb', 'generic'],
  ])('%s is read as %s', (provider, profile) => {
    expect(profileFor(provider).name).toBe(profile);
  });

  test('a declared name wins over the name of the provider', () => {
    expect(profileFor('openai', 'gemini').name).toBe('gemini');
    expect(profileFor('openai', 'generic').name).toBe('generic');
  });

  test('a profile of one\'s own is taken as it is', () => {
    const own = { name: 'own', providers: [], rules: [] };
    expect(profileFor('openai', own)).toBe(own);
  });

  test.each(['gemeni', 'constructor', '__proto__', ''])('an unknown name, "%s", is an error', (name) => {
    expect(() => profileFor('openai', name)).toThrow(
      `Unknown fault profile "${name}". Known profiles: gemini, generic, openai.`,
    );
  });
});
