import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compileGlob } from '../../src/keys/glob.ts';

describe('compileGlob', () => {
  test.each([
    ['gpt-4*', 'gpt-4', true],
    ['gpt-4*', 'gpt-4o-mini', true],
    ['gpt-4*', 'my-gpt-4', false],
    ['*', '', true],
    ['*', 'a/b,c:d\ne', true],
    ['**', 'x', true],
    ['', '', true],
    ['', 'x', false],
    ['*/gemini-*', 'google/gemini-pro', true],
    ['a*b*c', 'a/b/c', true],
    ['a*b*c', 'acb', false],
    ['ab*ba', 'aba', false],
    ['ab*ba', 'abba', true],
    ['a*a', 'a', false],
    ['*ab*b', 'aab', false],
    ['*ab*b', 'aabb', true],
    ['gpt.4', 'gptx4', false],
    ['[a-z]+(x)?$', '[a-z]+(x)?$', true],
    ['?', 'x', false],
  ])('%s against %j: %s', (pattern, text, expected) => {
    expect(compileGlob(pattern)(text)).toBe(expected);
  });

  test('case counts unless told otherwise', () => {
    expect(compileGlob('GPT-*')('gpt-4')).toBe(false);
    expect(compileGlob('GPT-*', { ignoreCase: true })('gpt-4')).toBe(true);
    expect(compileGlob('gpt-*', { ignoreCase: true })('GPT-4')).toBe(true);
    expect(compileGlob('gpt-*', { ignoreCase: false })('GPT-4')).toBe(false);
  });

  test('agrees with the obvious recursive definition', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '/'), maxLength: 8 });
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 8 });
    fc.assert(fc.property(letters, text, (pattern, subject) => {
      expect(compileGlob(pattern)(subject)).toBe(matchesByDefinition(pattern, subject));
    }), { numRuns: 3000 });
  });

  test('a pattern that would make a backtracking matcher explode', () => {
    const matches = compileGlob('*a*a*a*a*a*a*a*a*a*a*a*a*b');
    expect(matches('a'.repeat(100_000))).toBe(false);
    expect(matches(`${'a'.repeat(100_000)}b`)).toBe(true);
  });
});

function matchesByDefinition(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  const rest = pattern.slice(1);
  if (pattern.startsWith('*')) {
    return matchesByDefinition(rest, text) || (text !== '' && matchesByDefinition(pattern, text.slice(1)));
  }
  return text !== '' && text[0] === pattern[0] && matchesByDefinition(rest, text.slice(1));
}
