import { describe, expect, test } from 'vitest';
import { ConfigError, NoKeyError, PoolExhaustedError } from '../../src/guard/errors.ts';
import type { CallContext } from '../../src/guard/options.ts';
import { OK, PATTERN, poolBench, PROVIDER, secretOf } from './keys-bench.ts';
import { benchOf, httpError, rejectionOf, scripted } from './support.ts';

const keyOf = ({ apiKey }: CallContext): string | undefined => apiKey;

describe('every retry goes to another key', () => {
  test('at once after a key\'s fault, without spending a retry', async () => {
    const { ask, asked, replies, guard } = poolBench(['a', 'b', 'c']);
    replies['a'] = 429;
    replies['b'] = 401;
    expect(await ask()).toEqual(OK('c'));
    expect(asked).toEqual(['a', 'b', 'c']);
    expect(guard.getStats().retry.totalRetries).toBe(0);
  });

  test('after a provider\'s fault too, once the back-off is over', async () => {
    const { ask, asked, replies, guard } = poolBench(['a', 'b']);
    replies['a'] = 503;
    const fate = await ask({}, 999);
    expect(fate.state).toBe('pending');
    expect(asked).toEqual(['a']);
    expect(await ask({}, 1)).toEqual(OK('b'));
    expect(fate).toEqual(OK('b'));
    expect(guard.getStats().retry.totalRetries).toBe(1);
  });

  test('and comes back to the first where there is no other', async () => {
    const { ask, asked, replies } = poolBench(['a']);
    replies['a'] = [503, 'ok'];
    expect(await ask({}, 1000)).toEqual(OK('a'));
    expect(asked).toEqual(['a', 'a']);
  });
});

describe('keyManagement.enabled', () => {
  test('false hands out no key', async () => {
    const { guard } = poolBench(['a'], { guard: { keyManagement: { enabled: false } } });
    expect(await guard.execute(keyOf, PROVIDER)).toBeUndefined();
    expect(guard.explain(PROVIDER)).toMatchObject({ pool: undefined, keyId: undefined, keys: [] });
  });

  test('takes effect at once', async () => {
    const { guard } = poolBench(['a']);
    expect(await guard.execute(keyOf, PROVIDER)).toBe(secretOf('a'));
    guard.updateConfig({ keyManagement: { enabled: false } });
    expect(await guard.execute(keyOf, PROVIDER)).toBeUndefined();
    guard.updateConfig({ keyManagement: { enabled: true } });
    expect(await guard.execute(keyOf, PROVIDER)).toBe(secretOf('a'));
  });
});

test('weighted gives every key its share', async () => {
  const { ask, asked } = poolBench([{ id: 'a', weight: 3 }, { id: 'b', weight: 1 }, { id: 'c', weight: 0 }], {
    strategy: 'weighted',
  });
  for (let i = 0; i < 40; i++) await ask();
  expect(asked.filter(id => id === 'a')).toHaveLength(30);
  expect(asked.filter(id => id === 'b')).toHaveLength(10);
});

describe('fallbackBehavior', () => {
  test('fail never calls upstream without a key', async () => {
    const { guard, warnings } = benchOf({ keyManagement: { providers: { vendor: { keys: ['', '  ', undefined, null] } } } });
    const { fn, runs } = scripted('answer');
    const error = await rejectionOf(guard.execute(fn, 'vendor'));
    expect(error).toBeInstanceOf(NoKeyError);
    expect(error).toMatchObject({ code: 'NO_KEY', provider: 'vendor' });
    expect(runs()).toBe(0);
    expect(warnings).toHaveLength(4);
  });

  test('fail does not wake a key that is away', async () => {
    const { ask, asked, guard } = poolBench(['a'], { maxWaitMs: 0 });
    guard.keys.disable(PATTERN, 'a');
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
    expect(asked).toEqual([]);
  });

  test('useFirst takes the first key of the configuration when none is ready in time', async () => {
    const { ask, asked, replies, guard } = poolBench(['a', 'b'], { fallbackBehavior: 'useFirst', maxWaitMs: 1000 });
    replies['*'] = 429;
    await ask({ keyId: 'b' });
    asked.length = 0;
    replies['*'] = 'ok';
    const pool = { keys: ['b', 'a'].map(id => ({ id, key: secretOf(id) })), fallbackBehavior: 'useFirst' as const };
    guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { ...pool, maxWaitMs: 1000 } } } });
    expect(await ask({}, 1000)).toEqual(OK('b'));
    expect(asked).toEqual(['b']);
  });

  test('useFirst uses it once: what it is answered then is the answer', async () => {
    const { ask, asked, replies, guard } = poolBench(['a', 'b'], { fallbackBehavior: 'useFirst', maxWaitMs: 0 });
    guard.keys.disable(PATTERN, 'b');
    replies['a'] = httpError(429, { 'retry-after': '600' });
    await ask();
    asked.length = 0;
    expect((await ask()).value).toMatchObject({ status: 429 });
    expect(asked).toEqual(['a']);
  });

  test('useFirst passes over a key that was taken out by hand or does not serve the model', async () => {
    const { ask, guard, replies } = poolBench(['a', { id: 'b', models: ['other'] }, 'c'], {
      fallbackBehavior: 'useFirst',
      maxWaitMs: 0,
    });
    guard.keys.disable(PATTERN, 'a');
    replies['c'] = [401, 'ok'];
    await ask({ model: 'm' });
    await ask({ model: 'm' });
    expect(await ask({ model: 'm' })).toEqual(OK('c'));
  });

  test('useFirst has nobody to use where all are out', async () => {
    const { ask, guard } = poolBench(['a'], { fallbackBehavior: 'useFirst', maxWaitMs: 0 });
    guard.keys.disable(PATTERN, 'a');
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
  });

  test('useEnvironment reads the provider\'s own variable, and no other vendor\'s', async () => {
    const env = { GOOGLE_API_KEY: 'google-secret', OPENAI_API_KEY: ' "openai-secret" ' };
    const providers = {
      '*openai*': { keys: [], fallbackBehavior: 'useEnvironment' },
      '*mistral*': { keys: [], fallbackBehavior: 'useEnvironment' },
    } as const;
    const { guard } = benchOf({ keyManagement: { providers } }, env);
    expect(await guard.execute(keyOf, 'openai')).toBe('openai-secret');
    expect(await rejectionOf(guard.execute(keyOf, 'mistral'))).toBeInstanceOf(NoKeyError);
  });

  test('useEnvironment does not hand out a key that the pool has put aside', async () => {
    const { ask, replies, asked, clock } = poolBench([{ id: 'a', key: 'pool-secret' }], {
      fallbackBehavior: 'useEnvironment',
      env: { VENDOR_API_KEY: 'pool-secret' },
    });
    replies['a'] = [429, 'ok'];
    const fate = await ask();
    expect(asked).toEqual(['a']);
    await clock.advance(5000);
    expect(fate).toEqual(OK('a'));
  });

  test('useEnvironment is better than waiting', async () => {
    const { ask, guard } = poolBench(['a'], { fallbackBehavior: 'useEnvironment', env: { VENDOR_API_KEY: 'spare-secret' } });
    guard.keys.disable(PATTERN, 'a');
    expect(await ask()).toEqual(OK('none'));
    expect(await guard.execute(keyOf, PROVIDER)).toBe('spare-secret');
  });
});

describe('resolution', () => {
  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])('a provider named %s is a name like any other', async name => {
    const { guard } = poolBench(['a']);
    expect(await guard.execute(keyOf, name)).toBeUndefined();
    expect(guard.explain(name).pool).toBeUndefined();
    const own = benchOf({ keyManagement: { providers: { [name === '__proto__' ? 'x' : name]: { keys: ['its-own-key'] } } } });
    if (name !== '__proto__') expect(await own.guard.execute(keyOf, name)).toBe('its-own-key');
  });

  test('the most specific pattern wins, wherever it stands', async () => {
    const providers = {
      gemini: { keys: ['of-gemini'] },
      '*gemini*pro*': { keys: ['of-gemini-pro'] },
      '*google*gemini*': { keys: ['of-google-gemini'] },
      'google-gemini-exact': { keys: ['of-exact'] },
    };
    const { guard } = benchOf({ keyManagement: { providers } });
    expect(await guard.execute(keyOf, 'my-gemini')).toBe('of-gemini');
    expect(await guard.execute(keyOf, 'google-gemini')).toBe('of-google-gemini');
    expect(await guard.execute(keyOf, 'gemini-2-pro')).toBe('of-gemini-pro');
    expect(await guard.execute(keyOf, 'Google-Gemini-Exact')).toBe('of-exact');
  });

  test('a provider without a pool is left alone', async () => {
    const { guard } = poolBench(['a']);
    expect(await guard.execute(({ apiKey, keyId }) => [apiKey, keyId], 'someone-else')).toEqual([undefined, undefined]);
    expect(await guard.execute(keyOf)).toBeUndefined();
  });
});

test('the cursor belongs to the pool: names that lead to it take turns together', async () => {
  const { ask, asked } = poolBench(['a', 'b', 'c']);
  for (const providerName of ['vendor-1', 'vendor-2', 'vendor-3', 'VENDOR-1']) await ask({ providerName });
  expect(asked).toEqual(['a', 'b', 'c', 'a']);
});

test('a key that was refused is out of rotation', async () => {
  const { ask, asked, replies, states } = poolBench(['a', 'b']);
  replies['a'] = 401;
  for (let i = 0; i < 6; i++) expect((await ask()).state).toBe('resolved');
  expect(asked).toEqual(['a', 'b', 'b', 'b', 'b', 'b', 'b']);
  expect(states()).toEqual({ a: 'disabled', b: 'ready' });
});

test('keys are trimmed', async () => {
  const { guard } = benchOf({ keyManagement: { providers: { vendor: { keys: ['  padded-secret\n'] } } } });
  expect(await guard.execute(keyOf, 'vendor')).toBe('padded-secret');
});

test('no raw key appears in configuration, stats, lists, explanations or errors', async () => {
  const { ask, guard, replies } = poolBench(['a', 'b'], { maxWaitMs: 0 });
  replies['*'] = 429;
  await ask();
  const error = (await ask()).value;
  const shown = JSON.stringify([guard.getConfig(), guard.getStats(), guard.keys.list(), guard.explain(PROVIDER), error]);
  expect(error).toBeInstanceOf(PoolExhaustedError);
  expect(shown).not.toContain('secret-of');
  expect(String(error)).not.toContain('secret-of');
});

test('a request fault penalises nobody and is not taken to another key', async () => {
  const { ask, asked, replies, guard, states } = poolBench(['a', 'b']);
  const error = httpError(400);
  replies['a'] = error;
  expect((await ask()).value).toBe(error);
  expect(asked).toEqual(['a']);
  expect(states()).toEqual({ a: 'ready', b: 'ready' });
  expect(guard.keys.get(PATTERN, 'a')).toMatchObject({ healthScore: 1, failures: { rejected: 1 } });
});

describe('what a callback is told', () => {
  test('of its key: the secret and the id, and nothing where there is no pool', async () => {
    const { guard } = poolBench(['a']);
    const context = await guard.execute(({ apiKey, keyId, provider, attempt }) => ({ apiKey, keyId, provider, attempt }), PROVIDER);
    expect(context).toEqual({ apiKey: secretOf('a'), keyId: 'a', provider: PROVIDER, attempt: 1 });
  });

  test('a key that is asked for is taken if it is ready; an unknown id is ignored', async () => {
    const { ask, guard } = poolBench(['a', 'b', 'c']);
    expect(await ask({ keyId: 'c' })).toEqual(OK('c'));
    expect(await ask({ keyId: 'nobody' })).toEqual(OK('a'));
    guard.keys.disable(PATTERN, 'c');
    expect(await ask({ keyId: 'c' })).toEqual(OK('b'));
  });

  test('a key that is asked for and refused is not asked for again in the same call', async () => {
    const { ask, asked, replies } = poolBench(['a', 'b']);
    replies['b'] = 429;
    expect(await ask({ keyId: 'b' })).toEqual(OK('a'));
    expect(asked).toEqual(['b', 'a']);
  });

  test('a suspect that is asked for stands behind the others all the same', async () => {
    const { ask, replies, states } = poolBench(['a', 'b', 'c'], { guard: { retry: { enabled: false } } });
    replies['a'] = 401;
    replies['b'] = 400;
    await ask();
    expect(states()).toEqual({ a: 'suspect', b: 'ready', c: 'ready' });
    expect(await ask({ keyId: 'a' })).toEqual(OK('c'));
  });
});

test('a key without limits may be asked as often as one likes, at once', async () => {
  const { call, asked, clock } = poolBench(['a']);
  const fates = Array.from({ length: 50 }, () => call());
  await clock.advance(0);
  expect(asked).toHaveLength(50);
  expect(fates.every(({ state }) => state === 'resolved')).toBe(true);
});

test('keys are read from the environment where the pool says so', async () => {
  const env = { VENDOR_API_KEY: 'first-secret', VENDOR_API_KEY_2: 'second-secret' };
  const { guard } = benchOf({ keyManagement: { providers: { vendor: { keys: { env: 'VENDOR' } } } } }, env);
  expect([await guard.execute(keyOf, 'vendor'), await guard.execute(keyOf, 'vendor')]).toEqual(['first-secret', 'second-secret']);
});

test('an unknown profile is a ConfigError', () => {
  expect(() => poolBench(['a'], { profile: 'nobody' })).toThrow(ConfigError);
});
