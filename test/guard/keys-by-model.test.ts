import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ConfigError, FallbackError, PoolExhaustedError } from '../../src/index.ts';
import type { ExecutionGuardConfig, KeyProviderConfig } from '../../src/guard/config/types.ts';
import { benchOf, catching, httpError, rejectionOf, scripted, settle, type Bench } from './support.ts';

const entry = (id: string): { id: string; key: string } => ({ id, key: `secret-of-${id}-0123456789` });

function bench(pool: KeyProviderConfig, config: ExecutionGuardConfig = {}, env?: Record<string, string>): Bench {
  const providers = { ...config.keyManagement?.providers, p: pool };
  return benchOf({ ...config, keyManagement: { maxWaitMs: 0, providers } }, env);
}

/** The keys that a call of the model may have, in order of their ids. */
function keysFor({ guard }: Bench, model?: string): string[] {
  const { keys } = guard.explain('p', { model });
  return keys.filter(({ why }) => !why.startsWith('does not serve')).map(({ id }) => id).sort();
}

const POOL: KeyProviderConfig = {
  keys: [entry('rest')],
  models: {
    'gpt-4*': [entry('four')],
    'gpt-4o': [entry('exact')],
    'gpt-4o-*': [entry('mini')],
    '*-audio*': [entry('audio')],
  },
};

describe('A call gets the keys of its model', () => {
  test.each([
    ['gpt-4o', ['exact']],
    ['gpt-4o-mini', ['mini']],
    ['gpt-4o-audio', ['mini']],
    ['gpt-4-turbo', ['four']],
    ['tts-audio-1', ['audio']],
    ['gpt-3.5', ['rest']],
    ['GPT-4o', ['rest']],
  ])('of the most specific pattern that fits, and no others: %s', async (model, ids) => {
    const made = bench(POOL);
    expect(keysFor(made, model)).toEqual(ids);
    expect(await made.guard.execute(({ keyId }) => keyId, { providerName: 'p', model })).toBe(ids[0]);
  });

  test('even where those are away and others are not', async () => {
    const { guard } = bench(POOL);
    guard.keys.disable('p', 'exact');
    const error = await rejectionOf(guard.execute(() => 'never', { providerName: 'p', model: 'gpt-4o' }));
    expect(error).toBeInstanceOf(PoolExhaustedError);
  });

  test('without a model any key serves', () => {
    expect(keysFor(bench(POOL))).toEqual(['audio', 'exact', 'four', 'mini', 'rest']);
  });

  test('without `keys`, models that nothing fits have none', () => {
    const made = bench({ models: { 'gpt-4o': [entry('exact')] } });
    expect(keysFor(made, 'gpt-4o')).toEqual(['exact']);
    expect(keysFor(made, 'other')).toEqual([]);
  });

  test('in one pool: a failure moves on within the list, and the stats show all keys', async () => {
    const { guard } = bench({ keys: [entry('rest')], models: { m: [entry('a'), entry('b')] } });
    const { fn } = scripted(httpError(429), 'fine');
    expect(await guard.execute(fn, { providerName: 'p', model: 'm' })).toBe('fine');
    const keys = guard.getStats().keys['p']?.keys.map(({ id, requests }) => `${id} ${requests}`);
    expect(keys).toEqual(['rest 0', 'a 1', 'b 1']);
  });

  test('whatever the lists are, as their words say', () => {
    const part = fc.constantFrom('a', 'b', '*');
    const pattern = fc.array(part, { minLength: 1, maxLength: 4 }).map(parts => parts.join(''));
    const lists = fc.uniqueArray(pattern, { maxLength: 5 }).chain(patterns =>
      fc.tuple(
        fc.constant(patterns),
        fc.array(fc.subarray(['', ...patterns], { minLength: 1 }), { minLength: 1, maxLength: 4 }),
      ),
    );
    const model = fc.array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 5 }).map(parts => parts.join(''));
    fc.assert(
      fc.property(lists, model, ([patterns, places], asked) => {
        const entriesOf = (list: string): { id: string; key: string }[] =>
          places.flatMap((of, i) => (of.includes(list) ? [entry(`k${i}`)] : []));
        const made = bench(
          { keys: entriesOf(''), models: Object.fromEntries(patterns.map(list => [list, entriesOf(list)])) },
        );
        const fits = (list: string): boolean => new RegExp(`^${list.replaceAll('*', '.*')}$`).test(asked);
        const rank = (list: string): number[] => [
          list === asked ? 0 : 1,
          -list.replaceAll('*', '').length,
          list.match(/\*+/g)?.length ?? 0,
          patterns.indexOf(list),
        ];
        const order = (x: number[], y: number[]): number => x.map((n, i) => n - y[i]!).find(n => n !== 0) ?? 0;
        const [best = ''] = patterns.filter(fits).sort((x, y) => order(rank(x), rank(y)));
        expect(keysFor(made, asked)).toEqual(entriesOf(best).map(({ id }) => id).sort());
      }),
      { numRuns: 300 },
    );
  });
});

describe('One secret under several models', () => {
  test('is one key that serves them all, and nothing between them', () => {
    const shared = entry('shared');
    const made = bench({ models: { 'gpt-4*': [shared], 'gpt-4o*': [entry('other')], 'gpt-4o': [shared] } });
    expect(made.warnings).toEqual([]);
    expect(made.guard.keys.list()[0]?.keys.map(({ id }) => id)).toEqual(['shared', 'other']);
    expect(keysFor(made, 'gpt-4o')).toEqual(['shared']);
    expect(keysFor(made, 'gpt-4-turbo')).toEqual(['shared']);
    expect(keysFor(made, 'gpt-4o-mini')).toEqual(['other']);
  });

  test('may stand under `keys` as well', () => {
    const made = bench({ keys: [entry('both'), entry('rest')], models: { m: [entry('both')] } });
    expect(keysFor(made, 'm')).toEqual(['both']);
    expect(keysFor(made, 'other')).toEqual(['both', 'rest']);
  });

  test('has what any of its entries says, the first one first', () => {
    const { key } = entry('x');
    const { guard } = bench(
      { keys: [key], models: { m: [{ id: 'ann', key, weight: 3 }], n: [{ id: 'ben', key, weight: 5, tier: 'paid' }] } },
    );
    expect(guard.keys.list()[0]?.keys).toMatchObject([{ id: 'ann', weight: 3, tier: 'paid' }]);
    expect(() => guard.keys.get('p', 'ann')).not.toThrow();
  });

  test('twice in one list is said, by its place', () => {
    const { warnings } = bench({ models: { m: [entry('a'), entry('a'), { ...entry('b'), id: 'a' }, ' '] } });
    expect(warnings).toEqual([
      'keyManagement.providers["p"].models["m"][1] is the same key as models["m"][0] and was left out',
      'keyManagement.providers["p"].models["m"][2] has the same id as models["m"][0] and was left out',
      'keyManagement.providers["p"].models["m"][3] is blank and was left out',
    ]);
  });
});

describe('Lists from the environment', () => {
  test('stand beside others', () => {
    const made = bench({ keys: { env: 'P_API_KEY' }, models: { m: { env: 'LARGE_API_KEY' } } }, {}, {
      P_API_KEY: 'secret-1',
      LARGE_API_KEY: 'secret-2',
      LARGE_KEY_ANN: 'secret-3',
    });
    expect(keysFor(made, 'm')).toHaveLength(2);
    expect(keysFor(made, 'm')).toContain('ann');
    expect(keysFor(made, 'other')).toHaveLength(1);
  });

  test('that are empty are said, by their place', () => {
    const { warnings } = bench({ models: { m: { env: 'LARGE_API_KEY' } } });
    expect(warnings).toEqual([
      'keyManagement.providers["p"].models["m"] found no key in the environment: LARGE_API_KEY is not set',
    ]);
  });
});

describe('An entry\'s own models', () => {
  test('narrow its list further', () => {
    const made = bench(
      { models: { 'gpt-4*': [{ ...entry('a'), excludeModels: ['*-turbo'] }, { ...entry('b'), models: ['*-turbo'] }] } },
    );
    expect(keysFor(made, 'gpt-4-turbo')).toEqual(['b']);
    expect(keysFor(made, 'gpt-4o')).toEqual(['a']);
  });
});

describe('Keys at run time', () => {
  test('that are added stand with `keys`, or where they say themselves', async () => {
    const made = bench({ models: { m: [entry('a')] } });
    made.guard.keys.add('p', entry('new'));
    made.guard.keys.add('p', { ...entry('own'), models: ['m'] });
    expect(keysFor(made, 'm')).toEqual(['a', 'own']);
    expect(keysFor(made, 'other')).toEqual(['new']);
    expect(await made.guard.execute(({ keyId }) => keyId, { providerName: 'p', model: 'other' })).toBe('new');
  });

  test('that are added to a pool without lists serve all models', () => {
    const made = bench({ keys: [entry('a')] });
    made.guard.keys.add('p', entry('new'));
    expect(keysFor(made, 'm')).toEqual(['a', 'new']);
  });

  test('that are replaced keep their models', () => {
    const made = bench({ keys: [entry('rest')], models: { m: [entry('a')] } });
    made.guard.keys.replace('p', 'a', 'another-secret-0123456789', { id: 'a2' });
    expect(keysFor(made, 'm')).toEqual(['a2']);
    expect(keysFor(made, 'other')).toEqual(['rest']);
  });

  test('stay what they are through an update that does not name them, and change with one that does', () => {
    const made = bench({ keys: [entry('rest')], models: { m: [entry('a')] } });
    made.guard.updateConfig({ keyManagement: { maxWaitMs: 5 } });
    expect(keysFor(made, 'm')).toEqual(['a']);
    made.guard.updateConfig({ keyManagement: { providers: { p: { keys: [entry('rest'), entry('a')] } } } });
    expect(keysFor(made, 'm')).toEqual(['a', 'rest']);
  });
});

describe('A chain goes on', () => {
  test('when no key serves the model, and when those that do are used up', async () => {
    const made = bench(
      { models: { m: [entry('a')] } },
      { fallbacks: { p: ['q'] }, keyManagement: { providers: { q: { keys: [entry('q')] } } } },
    );
    const ask = (model: string): Promise<unknown> =>
      made.guard.execute(({ keyId }) => {
        if (keyId === 'a') throw httpError(429);
        return keyId;
      }, { providerName: 'p', model });
    expect(await ask('other')).toBe('q');
    expect(await ask('m')).toBe('q');
    made.guard.keys.disable('q', 'q');
    expect(await rejectionOf(ask('m'))).toBeInstanceOf(FallbackError);
  });
});

describe('The configuration', () => {
  test('shows masks, which may be sent back', async () => {
    const made = bench({ models: { m: [{ id: 'a', key: 'sk-proj-abcdefghijklmnop' }], n: { env: 'N_API_KEY' } } });
    const { keyManagement } = made.guard.getConfig();
    expect(JSON.stringify(keyManagement)).not.toContain('abcdefgh');
    const models = { m: [{ id: 'a', key: 'sk-proj-…' }], n: { env: 'N_API_KEY' } };
    expect(keyManagement.providers['p']).toMatchObject({ models });
    made.guard.updateConfig({ keyManagement: { providers: keyManagement.providers } });
    const key = await made.guard.execute(({ apiKey }) => apiKey, { providerName: 'p', model: 'm' });
    await settle();
    expect(key).toBe('sk-proj-abcdefghijklmnop');
  });

  test.each([
    [{}, 'providers.p.keys: expected an array of keys, or an object { env }, found nothing'],
    [{ models: {} }, 'providers.p.keys: expected an array of keys, or an object { env }, found nothing'],
    [{ models: { m: 'sk-1' } }, 'providers.p.models.m: expected an array of keys, or an object { env }, found a string'],
    [{ models: { m: [{ kez: 'sk-1' }] } }, 'providers.p.models.m[0].kez: unknown option `kez`, did you mean `key`?'],
    [{ models: { ' ': ['sk-1'] } }, 'the name must be a model or pattern that is not blank'],
    [{ models: ['sk-1'] }, 'providers.p.models: expected an object of lists of keys by model, found an array'],
  ])('is refused where it is wrong, and shows no key: %j', (pool, line) => {
    const error = catching(() => bench(pool as KeyProviderConfig));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain(line);
    expect(String(error)).not.toContain('sk-1');
  });
});
