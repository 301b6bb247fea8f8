import { describe, expect, test } from 'vitest';
import { environmentKeyFor, loadKeysFromEnv, variableBase } from '../../src/keys/environment.ts';
import { secretId } from '../../src/keys/mask.ts';

const secretsOf = (name: string, env: Record<string, string | undefined>) =>
  loadKeysFromEnv(name, env).map(({ key }) => key);

describe('loadKeysFromEnv', () => {
  test('takes every spelling, in one order whatever the order of the environment', () => {
    const env = {
      GEMINI_API_KEY_BACKUP_2: 'backup-2',
      GEMINI_API_KEY_BACKUP_1: 'backup-1',
      GEMINI_API_KEY_BACKUP: 'backup',
      GEMINI_KEY_TEAM_B: 'team-b',
      GEMINI_KEY_TEAM_A: 'team-a',
      GEMINI_API_KEYS: 'list-1,list-2',
      GEMINI_API_KEY_10: 'ten',
      GEMINI_API_KEY2: 'two',
      GEMINI_API_KEY_1: 'one',
      GEMINI_API_KEY: 'plain',
    };
    const expected = [
      'plain', 'one', 'two', 'ten', 'list-1', 'list-2', 'team-a', 'team-b', 'backup', 'backup-1', 'backup-2',
    ];
    expect(secretsOf('gemini', env)).toEqual(expected);
    expect(secretsOf('gemini', Object.fromEntries(Object.entries(env).toReversed()))).toEqual(expected);
  });

  test('takes the variable of exactly that name first, once', () => {
    const env = { MY_TOKEN_API_KEY: 'second', MY_TOKEN: '"first"', MY_TOKENS: 'x', my_token: 'y' };
    expect(loadKeysFromEnv('MY_TOKEN', env)).toEqual([
      { id: secretId('first'), key: 'first', variable: 'MY_TOKEN' },
      { id: secretId('second'), key: 'second', variable: 'MY_TOKEN_API_KEY' },
    ]);
    expect(secretsOf('MY_TOKEN', { MY_TOKEN: 'guard:mine', MY_TOKEN_API_KEY: 'other' })).toEqual(['other']);
    expect(secretsOf('GEMINI_API_KEY_2', { GEMINI_API_KEY: 'one', GEMINI_API_KEY_2: 'two' })).toEqual(['two']);
    expect(secretsOf('GEMINI_API_KEYS', { GEMINI_API_KEYS: 'a,b', GEMINI_API_KEY: 'c' })).toEqual(['c', 'a', 'b']);
  });

  test('says where each key came from, and gives backups priority 1', () => {
    const env = { GEMINI_API_KEY: 'a', GEMINI_KEY_Prod: 'b', GEMINI_API_KEY_BACKUP_1: 'c' };
    expect(loadKeysFromEnv('gemini', env)).toEqual([
      { id: secretId('a'), key: 'a', variable: 'GEMINI_API_KEY' },
      { id: 'prod', key: 'b', variable: 'GEMINI_KEY_Prod' },
      { id: secretId('c'), key: 'c', priority: 1, variable: 'GEMINI_API_KEY_BACKUP_1' },
    ]);
  });

  test('an id follows its key when the variables are swapped, and a replaced key gets a new one', () => {
    const idsByKey = (env: Record<string, string>) =>
      new Map(loadKeysFromEnv('gemini', env).map(({ id, key }) => [key, id]));
    const before = idsByKey({ GEMINI_API_KEY_1: 'a', GEMINI_API_KEY_2: 'b' });
    const swapped = idsByKey({ GEMINI_API_KEY_1: 'b', GEMINI_API_KEY_2: 'a' });
    const replaced = idsByKey({ GEMINI_API_KEY_1: 'new', GEMINI_API_KEY_2: 'b' });
    expect(swapped.get('a')).toBe(before.get('a'));
    expect(swapped.get('b')).toBe(before.get('b'));
    expect([...before.values()]).not.toContain(replaced.get('new'));
  });

  test('two variables that would share an id get two', () => {
    const keys = loadKeysFromEnv('gemini', { GEMINI_KEY_a: 'first', GEMINI_KEY_A: 'second' });
    expect(keys).toHaveLength(2);
    expect(new Set(keys.map(({ id }) => id)).size).toBe(2);
  });

  test('leaves other vendors\' variables alone', () => {
    expect(secretsOf('gemini', {
      GEMINI_PRO_API_KEY: 'x',
      MYGEMINI_API_KEY: 'x',
      GEMINI_API_KEY_FILE: 'x',
      GEMINI_API_KEYCHAIN: 'x',
      GEMINI_API_KEY_BACKUP_x: 'x',
      GEMINI_KEY_: 'x',
      GEMINI_KEY: 'x',
      GOOGLE_API_KEY: 'x',
      GEMINI: 'x',
    })).toEqual([]);
  });

  test('trims, strips quotes, drops blanks', () => {
    expect(secretsOf('gemini', {
      GEMINI_API_KEY: '  "quoted"  ',
      GEMINI_API_KEY_1: '\' spaced \'',
      GEMINI_API_KEY_2: '   ',
      GEMINI_API_KEY_3: '""',
      GEMINI_API_KEY_4: undefined,
      GEMINI_API_KEY_5: 'in"side',
    })).toEqual(['quoted', 'spaced', 'in"side']);
  });

  test.each([
    'a,b', ' a , b ', 'a b', 'a\nb\n', 'a,\r\n\tb,,', '"a,b"', '"a","b"', '\'a\' \'b\'',
  ])('the list %j holds two keys', (list) => {
    expect(secretsOf('gemini', { GEMINI_API_KEYS: list })).toEqual(['a', 'b']);
  });

  test('a secret that occurs twice is taken once, where it comes first', () => {
    const keys = loadKeysFromEnv('gemini', {
      GEMINI_API_KEY_BACKUP_1: 'same',
      GEMINI_API_KEYS: 'same,other,other',
      GEMINI_API_KEY: 'same',
    });
    expect(keys.map(({ key, variable }) => [key, variable])).toEqual([
      ['same', 'GEMINI_API_KEY'],
      ['other', 'GEMINI_API_KEYS'],
    ]);
  });

  test('reads the process environment unless given another', () => {
    process.env['EXECUTION_GUARD_TEST_API_KEY'] = 'from-process';
    try {
      expect(loadKeysFromEnv('execution-guard-test').map(({ key }) => key)).toEqual(['from-process']);
      expect(environmentKeyFor('execution-guard-test', '*')).toBe('from-process');
    } finally {
      delete process.env['EXECUTION_GUARD_TEST_API_KEY'];
    }
  });

  test('a name without letters finds nothing', () => {
    expect(secretsOf('*', { _API_KEY: 'x', API_KEY: 'x' })).toEqual([]);
    expect(secretsOf('__proto__', { PROTO_API_KEY: 'a' })).toEqual(['a']);
  });
});

describe('variableBase', () => {
  test.each([
    ['google-gemini', 'GOOGLE_GEMINI'],
    ['*google*gemini*', 'GOOGLE_GEMINI'],
    ['openrouter,google/gemini-2.5:free', 'OPENROUTER_GOOGLE_GEMINI_2_5_FREE'],
    ['GEMINI_API_KEY', 'GEMINI'],
    ['GEMINI_API_KEYS', 'GEMINI'],
    ['', ''],
  ])('%j is %j', (name, base) => {
    expect(variableBase(name)).toBe(base);
  });
});

describe('environmentKeyFor', () => {
  test('reads the variable of the pattern, then that of the provider', () => {
    const env = { GEMINI_API_KEY: ' pattern ', GOOGLE_GEMINI_API_KEY: 'provider' };
    expect(environmentKeyFor('google-gemini', '*gemini*', env)).toBe('pattern');
    expect(environmentKeyFor('google-gemini', '*gemini*', { ...env, GEMINI_API_KEY: '' })).toBe('provider');
    expect(environmentKeyFor('google-gemini', '*', env)).toBe('provider');
  });

  test('GOOGLE_API_KEY is not handed to other vendors', () => {
    const env = { GOOGLE_API_KEY: 'google' };
    for (const provider of ['openai', 'anthropic', 'google-gemini', 'gemini']) {
      expect(environmentKeyFor(provider, `*${provider}*`, env)).toBeUndefined();
    }
    expect(environmentKeyFor('google', '*google*', env)).toBe('google');
    expect(environmentKeyFor('google', '*', env)).toBe('google');
  });

  test('a placeholder is no key', () => {
    const env = { GEMINI_API_KEY: 'guard:gemini', GEMINI_API_KEYS: 'guard,one' };
    expect(secretsOf('gemini', env)).toEqual(['one']);
    expect(environmentKeyFor('gemini', '*gemini*', env)).toBeUndefined();
  });

  test('nothing is found where nothing is set', () => {
    expect(environmentKeyFor('gemini', '*gemini*', {})).toBeUndefined();
    expect(environmentKeyFor('', '*', { API_KEY: 'x', _API_KEY: 'x' })).toBeUndefined();
  });
});
