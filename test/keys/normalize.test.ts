import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { secretId } from '../../src/keys/mask.ts';
import { normalizeKeys, type KeyEntry } from '../../src/keys/normalize.ts';

function normalize(entries: readonly KeyEntry[] | { env: string }, env: Record<string, string> = {}) {
  const warnings: string[] = [];
  const keys = normalizeKeys({ keys: entries }, { pattern: '*gemini*', env, warn: (message) => warnings.push(message) });
  return { keys, warnings };
}

describe('normalizeKeys', () => {
  test('fills in what a key does not declare', () => {
    const { keys, warnings } = normalize(['secret']);
    expect(keys).toEqual([{ id: secretId('secret'), key: 'secret', weight: 1, priority: 0, tags: [] }]);
    expect(warnings).toEqual([]);
  });

  test('keeps what a key declares', () => {
    const declared = {
      id: 'prod',
      key: 'secret',
      weight: 5,
      priority: 2,
      models: ['gpt-4*'],
      excludeModels: ['gpt-4-turbo'],
      group: 'org-1',
      limits: { rpm: 10, tpm: 20, rpd: 30, tpd: 40, concurrency: 5 },
      tier: 'paid',
      region: 'eu',
      tags: ['batch'],
    };
    expect(normalize([declared]).keys).toEqual([declared]);
  });

  test.each(['$GEMINI_KEY', ' ${GEMINI_KEY} ', '$gemini'])('warns of %s, by its position: it is a key like any other', written => {
    const { keys, warnings } = normalize(['secret', { key: written }]);
    expect(keys).toHaveLength(2);
    expect(warnings).toEqual([
      expect.stringMatching(/^keyManagement\.providers\["\*gemini\*"\]\.keys\[1\] is written like a variable but taken as/),
    ]);
    expect(warnings.join('')).not.toMatch(/gemini_key|\$gemini/i);
  });

  test.each(['$2b$10$secret', 'a$NAME', '$', '$1', '${A}${B}'])('takes %s for a key', written => {
    expect(normalize([written]).warnings).toEqual([]);
  });

  test('undefined options mean their defaults', () => {
    const entry = { key: 'secret', weight: undefined, priority: undefined, tags: undefined, id: undefined };
    const { keys } = normalize([entry]);
    expect(keys[0]).toMatchObject({ id: secretId('secret'), weight: 1, priority: 0, tags: [] });
  });

  test('keys and ids are trimmed', () => {
    expect(normalize([' a \n', { id: ' two ', key: '\tb' }]).keys.map(({ id, key }) => [id, key])).toEqual([
      [secretId('a'), 'a'],
      ['two', 'b'],
    ]);
  });

  test('blank entries are left out, by position', () => {
    const { keys, warnings } = normalize(['a', undefined, null, '  ', {}, { key: null }, { id: 'x', key: '' }, 'b']);
    expect(keys.map(({ key }) => key)).toEqual(['a', 'b']);
    expect(warnings).toEqual([1, 2, 3, 4, 5, 6].map((position) =>
      `keyManagement.providers["*gemini*"].keys[${position}] is blank and was left out`));
  });

  test('a repeated secret is left out', () => {
    const { keys, warnings } = normalize(['a', { id: 'again', key: ' a' }]);
    expect(keys).toHaveLength(1);
    expect(warnings).toEqual([
      'keyManagement.providers["*gemini*"].keys[1] is the same key as keys[0] and was left out',
    ]);
  });

  test('a repeated id is left out', () => {
    const { keys, warnings } = normalize([undefined, { id: 'x', key: 'a' }, { id: 'x', key: 'b' }]);
    expect(keys.map(({ key }) => key)).toEqual(['a']);
    expect(warnings[1]).toBe('keyManagement.providers["*gemini*"].keys[2] has the same id as keys[1] and was left out');
  });

  test('an entry left out does not shadow a later one', () => {
    const { keys } = normalize([{ id: 'x', key: 'a' }, { id: 'x', key: 'b' }, { id: 'y', key: 'b' }]);
    expect(keys.map(({ id, key }) => [id, key])).toEqual([['x', 'a'], ['y', 'b']]);
  });

  test('an id that gives the secret away is replaced', () => {
    const { keys, warnings } = normalize([{ id: 'prod-sk-12345', key: 'sk-12345' }]);
    expect(keys[0]!.id).toBe(secretId('sk-12345'));
    expect(warnings.join()).not.toContain('sk-12345');
    expect(warnings).toHaveLength(1);
  });

  test('an id may contain a placeholder by chance', () => {
    expect(normalize([{ id: 'alpha', key: 'a' }]).keys[0]!.id).toBe('alpha');
  });

  test('a key keeps its id when the order changes', () => {
    const idsOf = (entries: string[]) => new Map(normalize(entries).keys.map(({ id, key }) => [key, id]));
    expect(idsOf(['a', 'b', 'c'])).toEqual(new Map([...idsOf(['c', 'a', 'b'])].sort()));
  });

  test('keys from the environment keep id, priority and variable', () => {
    const { keys, warnings } = normalize({ env: 'gemini' }, { GEMINI_KEY_PROD: 'a', GEMINI_API_KEY_BACKUP_1: 'b' });
    expect(keys).toEqual([
      { id: 'prod', key: 'a', weight: 1, priority: 0, tags: [], variable: 'GEMINI_KEY_PROD' },
      { id: secretId('b'), key: 'b', weight: 1, priority: 1, tags: [], variable: 'GEMINI_API_KEY_BACKUP_1' },
    ]);
    expect(warnings).toEqual([]);
  });

  test('a literal key and the same key from the environment have the same id', () => {
    expect(normalize(['a']).keys[0]!.id).toBe(normalize({ env: 'gemini' }, { GEMINI_API_KEY: 'a' }).keys[0]!.id);
  });

  test.each([
    ['MY_TOKEN', 'neither MY_TOKEN nor MY_TOKEN_API_KEY is set'],
    ['GEMINI_API_KEY', 'GEMINI_API_KEY is not set'],
  ])('an environment without %s is said by the names that were looked for', (name, what) => {
    expect(normalize({ env: name }).warnings).toEqual([
      `keyManagement.providers["*gemini*"].keys found no key in the environment: ${what}`,
    ]);
  });

  test('an environment without keys is said', () => {
    expect(normalize({ env: 'gemini' })).toEqual({
      keys: [],
      warnings: [
        'keyManagement.providers["*gemini*"].keys found no key in the environment: GEMINI_API_KEY is not set',
      ],
    });
  });

  test('no warning holds a secret, and secrets and ids come out unique', () => {
    const secret = fc.constantFrom('SECRET-1', 'SECRET-2', ' SECRET-1 ', '');
    const entry = fc.oneof(
      secret,
      fc.constantFrom(undefined, null),
      fc.record({ id: fc.constantFrom('x', 'y', 'SECRET-1', ''), key: secret }),
    );
    fc.assert(fc.property(fc.array(entry), (entries) => {
      const { keys, warnings } = normalize(entries);
      expect(warnings.join()).not.toContain('SECRET');
      expect(new Set(keys.map(({ key }) => key)).size).toBe(keys.length);
      expect(new Set(keys.map(({ id }) => id)).size).toBe(keys.length);
    }));
  });
});
