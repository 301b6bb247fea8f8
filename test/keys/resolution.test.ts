import { describe, expect, test } from 'vitest';
import { ProviderResolver } from '../../src/keys/resolution.ts';

function resolver(...patterns: string[]): ProviderResolver<string> {
  return new ProviderResolver(patterns.map((pattern) => [pattern, pattern]));
}

describe('ProviderResolver', () => {
  test('exact beats wildcard beats substring, whatever the order', () => {
    const patterns = ['gemini', '*gemini*', 'google-gemini'];
    for (const order of [patterns, patterns.toReversed()]) {
      expect(resolver(...order).resolve('google-gemini')).toBe('google-gemini');
      expect(resolver(...order).resolve('my-gemini-2')).toBe('*gemini*');
    }
    expect(resolver('google-gemini', 'gemini').resolve('google-gemini-2')).toBe('google-gemini');
  });

  test('the most specific substring wins, not the first', () => {
    expect(resolver('open', 'openrouter').resolve('my-openrouter')).toBe('openrouter');
  });

  test('the most specific wildcard wins: literal characters, then fewer wildcards, then order', () => {
    expect(resolver('*', '*gemini*', '*gemini-pro*').resolve('google-gemini-pro-1')).toBe('*gemini-pro*');
    expect(resolver('*a*b*', '*ab*').resolve('xaby')).toBe('*ab*');
    expect(resolver('*ab*', 'ab*').resolve('aby')).toBe('ab*');
    expect(resolver('a*b', 'ab*').resolve('abb')).toBe('a*b');
    expect(resolver('ab*', 'a*b').resolve('abb')).toBe('ab*');
    expect(resolver('***gem*', '*gem*').resolve('gem')).toBe('***gem*');
  });

  test('a broad wildcard is still preferred to a substring', () => {
    expect(resolver('gemini', '*').resolve('my-gemini')).toBe('*');
  });

  test('case does not matter', () => {
    expect(resolver('*Gemini*').resolve('GOOGLE-GEMINI')).toBe('*Gemini*');
    expect(resolver('OpenAI').resolve('openai')).toBe('OpenAI');
    expect(resolver('OpenAI').resolve('my-OPENAI')).toBe('OpenAI');
  });

  test('of two spellings of one pattern the first counts', () => {
    expect(resolver('Gemini', 'GEMINI').resolve('gemini')).toBe('Gemini');
  });

  test('the star crosses slashes, commas and colons; everything else is literal', () => {
    expect(resolver('openrouter,*:free').resolve('openrouter,google/gemini-pro:free')).toBe('openrouter,*:free');
    expect(resolver('gpt.4').resolve('gptx4')).toBeUndefined();
    expect(resolver('a+(b)?').resolve('A+(B)?')).toBe('a+(b)?');
  });

  test('a pattern written with stars also matches its own spelling', () => {
    expect(resolver('*', '*x*y').resolve('*x*y')).toBe('*x*y');
  });

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty', ''])('the name %j is harmless', (name) => {
    expect(resolver('gemini', '*openai*').resolve(name)).toBeUndefined();
    expect(resolver('*').resolve(name)).toBe('*');
    expect(new ProviderResolver([[name, 'own']]).resolve(name)).toBe('own');
  });

  test('an empty pattern is not contained in every name', () => {
    expect(resolver('').resolve('gemini')).toBeUndefined();
  });

  test('undefined is a legitimate pool and no longer looks further', () => {
    const resolve = new ProviderResolver<string | undefined>([['gemini', undefined], ['*', 'any']]);
    expect(resolve.resolve('gemini')).toBeUndefined();
  });

  test('answers are the same when asked again, found or not, however long the name', () => {
    const providers = resolver('*gemini*');
    const long = `gemini-${'x'.repeat(100_000)}`;
    for (let time = 0; time < 2; time += 1) {
      expect(providers.resolve('gemini')).toBe('*gemini*');
      expect(providers.resolve('openai')).toBeUndefined();
      expect(providers.resolve(long)).toBe('*gemini*');
    }
  });

  test('more names than are remembered still resolve', () => {
    const providers = resolver('*gemini*');
    for (let i = 0; i < 2500; i += 1) providers.resolve(`gemini-${i}`);
    expect(providers.resolve('gemini-0')).toBe('*gemini*');
    expect(providers.resolve('openai-0')).toBeUndefined();
  });

  test('a hostile pattern and name are matched without backtracking', () => {
    expect(resolver('*a*a*a*a*a*a*a*a*b').resolve('a'.repeat(50_000))).toBeUndefined();
  });
});
