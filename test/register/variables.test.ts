import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/guard/config/parse.ts';
import type { RegisterSection } from '../../src/register/section.ts';
import { answersOf } from '../../src/register/variables.ts';

type InterceptEnv = RegisterSection['interceptEnv'];

function read(interceptEnv: InterceptEnv, pools: Record<string, object>, env: Record<string, string> = {}) {
  const providers = Object.fromEntries(
    Object.entries(pools).map(([pattern, pool]) => [pattern, { keys: ['a-key'], ...pool }]),
  );
  const { keyManagement } = parseConfig({ keyManagement: { providers } });
  return answersOf(interceptEnv, keyManagement.providers, env);
}

/** The variables that answer, each with what it answers. */
function answered(
  interceptEnv: InterceptEnv,
  pools: Record<string, object>,
  env?: Record<string, string>,
): Record<string, string> {
  const { answers, issues } = { answers: undefined, ...read(interceptEnv, pools, env) };
  if (!answers) throw new Error(`refused: ${issues.length} issues`);
  return Object.fromEntries([...answers].map(([name, { provider, with: kind }]) => [name, `${kind} ${provider}`]));
}

test.each([undefined, false])('none, unless they are asked for: %s', interceptEnv => {
  expect(answered(interceptEnv, { openai: {} })).toEqual({});
});

describe('the usual ones', () => {
  test('are named after the pool, after what its keys were read from, and after the provider', () => {
    expect(answered(true, { '*gemini*': { keys: { env: 'GOOGLE_KEYS_API_KEY' } }, acme: {} })).toEqual({
      GOOGLE_KEYS_API_KEY: 'placeholder gemini',
      ACME_API_KEY: 'placeholder acme',
      GEMINI_API_KEY: 'placeholder gemini',
      GOOGLE_GENERATIVE_AI_API_KEY: 'placeholder gemini',
    });
  });

  test('are the very variable that holds the key, where there is one of that name', () => {
    const pools = { acme: { keys: { env: 'MY_TOKEN' } }, other: { keys: { env: 'OTHER' } }, third: {} };
    expect(answered(true, pools, { MY_TOKEN: 'a-key', third: 'x', THIRD: 'x' })).toEqual({
      MY_TOKEN: 'placeholder acme',
      MY_TOKEN_API_KEY: 'placeholder acme',
      OTHER_API_KEY: 'placeholder other',
      THIRD_API_KEY: 'placeholder third',
    });
  });

  test('go to the pool that is named like them, whatever the order', () => {
    const answers = { OPENAI_EU_API_KEY: 'key openai-eu', OPENAI_API_KEY: 'key openai' };
    expect(answered('key', { 'openai-eu': {}, openai: {} })).toEqual(answers);
  });

  test.each([
    ['a pattern whose letters lead to another pool', { '*openai*': {}, 'openai': {} }, 'OPENAI_API_KEY'],
    ['a catch-all', { '*': {}, 'openai': {} }, 'OPENAI_API_KEY'],
    ['a name that no header can hold', { 'über uns': {}, 'openai': {} }, 'OPENAI_API_KEY'],
    ['exchanges, whose clients sign', { binance: {}, kraken: {}, openai: {} }, 'OPENAI_API_KEY'],
    ['a name without letters', { '--': {}, 'openai': {} }, 'OPENAI_API_KEY'],
  ])('leave out %s', (_, pools, only) => {
    expect(answered('placeholder', pools)).toEqual({ [only]: 'placeholder openai' });
  });

  test('follow the declared profile', () => {
    expect(Object.keys(answered(true, { house: { profile: 'cohere' } }))).toEqual([
      'HOUSE_API_KEY',
      'COHERE_API_KEY',
      'CO_API_KEY',
    ]);
  });
});

test('those that are named, with what is said', () => {
  expect(answered({ A: 'guard:my-openai', B: 'key:openai' }, { openai: {} })).toEqual({
    A: 'placeholder my-openai',
    B: 'key openai',
  });
});

test('none that is to answer for a provider without a pool', () => {
  expect(read({ A: 'guard:acme', B: 'key:openai' }, { openai: {} }).issues).toEqual([
    { path: 'register.interceptEnv.A', message: 'expected the name of a provider that has a pool, found another name' },
  ]);
});
