import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { maskedConfig } from '../../../src/guard/config/masked.ts';
import { mergeConfig } from '../../../src/guard/config/merge.ts';
import { parseConfig } from '../../../src/guard/config/parse.ts';
import { maskSecret } from '../../../src/keys/mask.ts';
import { errorOf } from './support.ts';

const GEMINI = 'AIzaSyPlantedPlantedPlantedPlantedPlanted';
const FIRST = 'sk-proj-planted-first-0001';
const SECOND = 'sk-proj-planted-second-0002';

const validate = (): boolean => true;
const config = parseConfig({
  retry: { retryableStatusCodes: [500] },
  keyManagement: {
    providers: {
      gemini: { keys: [GEMINI, ' ', undefined, null, { key: undefined }], validate },
      openai: { keys: [{ id: 'first', key: ` ${FIRST}\n`, tags: ['a'] }, { id: 'second', key: SECOND }] },
      other: { keys: { env: 'OTHER_API_KEY' } },
    },
  },
});

const keysOf = (pattern: string, of = config): unknown => of.keyManagement.providers[pattern]?.keys;

describe('a masked configuration', () => {
  test('holds no secret, however it is printed', () => {
    const masked = maskedConfig(config);
    for (const text of [JSON.stringify(masked), inspect(masked, { depth: null })]) {
      for (const secret of [GEMINI, FIRST, SECOND, 'lanted']) expect(text).not.toContain(secret);
    }
  });

  test('differs in nothing but the secrets', () => {
    const masked = maskedConfig(config);
    const blank = { key: undefined, weight: 1, priority: 0 };
    expect(keysOf('gemini', masked)).toEqual([maskSecret(GEMINI), '', undefined, null, blank]);
    expect(keysOf('openai', masked)).toEqual([
      { id: 'first', key: maskSecret(FIRST), tags: ['a'], weight: 1, priority: 0 },
      { id: 'second', key: maskSecret(SECOND), weight: 1, priority: 0 },
    ]);
    expect(keysOf('other', masked)).toEqual({ env: 'OTHER_API_KEY' });
    expect(masked.keyManagement.providers['gemini']?.validate).toBe(validate);
    expect({ ...masked, keyManagement: undefined }).toEqual({ ...config, keyManagement: undefined });
  });

  test('shares no part with the original', () => {
    const masked = maskedConfig(config);
    const parts = (value: unknown): object[] =>
      typeof value === 'object' && value !== null ? [value, ...Object.values(value).flatMap(parts)] : [];
    const originals = new Set(parts(config));
    expect(parts(masked).filter(part => originals.has(part))).toEqual([]);
    expect(keysOf('gemini')).toContain(GEMINI);
  });
});

describe('a masked configuration that is sent back', () => {
  test('keeps every key, and takes what was edited', () => {
    const masked = maskedConfig(config);
    const update = { ...masked, retry: { ...masked.retry, maxRetries: 1 } };
    const merged = mergeConfig(config, update);
    expect(merged.retry.maxRetries).toBe(1);
    expect(merged.keyManagement).toEqual(config.keyManagement);
  });

  test('may lose a key, change one, and gain one', () => {
    const [, second] = maskedKeys('openai');
    const providers = {
      openai: { keys: ['sk-proj-brand-new', { ...second, weight: 5 }] },
      gemini: { keys: [maskSecret(GEMINI)] },
    };
    const merged = mergeConfig(config, { keyManagement: { providers } });
    const heavier = { id: 'second', key: SECOND, weight: 5, priority: 0 };
    expect(keysOf('openai', merged)).toEqual(['sk-proj-brand-new', heavier]);
    expect(keysOf('gemini', merged)).toEqual([GEMINI]);
  });

  test('is refused where a mask could stand for several keys', () => {
    const providers = { openai: { keys: [maskSecret(FIRST)] } };
    const { issues } = errorOf(() => mergeConfig(config, { keyManagement: { providers } }));
    expect(issues.map(({ path }) => path)).toEqual(['keyManagement.providers.openai.keys[0]']);
  });

  test('is refused where a mask stands for no key of this pool', () => {
    const wrong: readonly [pattern: string, key: string][] = [
      ['openai', maskSecret(GEMINI)],
      ['constructor', '…'],
      ['other', '…'],
    ];
    for (const [pattern, key] of wrong) {
      const providers = { [pattern]: { keys: [key] } };
      expect(errorOf(() => mergeConfig(config, { keyManagement: { providers } })).issues).toHaveLength(1);
    }
  });

  test.each([[null], [[]], ['x'], [{ openai: null }], [{ openai: { keys: 5 } }]])(
    'with providers: %j it is refused as any other',
    providers => {
      expect(errorOf(() => mergeConfig(config, { keyManagement: { providers } })).issues).toHaveLength(1);
    },
  );
});

function maskedKeys(pattern: string): (object | undefined)[] {
  const keys = keysOf(pattern, maskedConfig(config));
  if (!Array.isArray(keys)) return [];
  return keys.map((entry: unknown) => (typeof entry === 'object' && entry !== null ? entry : undefined));
}
