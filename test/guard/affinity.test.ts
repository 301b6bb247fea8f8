import { describe, expect, test } from 'vitest';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import { ConfigError, NoKeyError, PoolExhaustedError } from '../../src/index.ts';
import type { ExecuteOptions } from '../../src/guard/options.ts';
import { benchOf, catching, fateOf, held, httpError, rejectionOf, settle } from './support.ts';
import type { Bench } from './support.ts';

const NAMES = ['ann', 'ben', 'cleo', 'dora', 'eve', 'finn'];

function bench(more: object = {}, names: readonly string[] = NAMES): Bench {
  const keys = names.map(id => ({ id, key: `secret-of-${id}` }));
  return benchOf({
    deduplication: { enabled: false },
    keyManagement: { maxWaitMs: 0, providers: { vendor: { keys, ...more } } },
  });
}

async function keyFor({ guard }: Bench, options: ExecuteOptions = {}): Promise<string | undefined> {
  return guard.execute(({ keyId }) => keyId, { providerName: 'vendor', ...options });
}

async function keysFor(it: Bench, options: ExecuteOptions, calls = 4): Promise<(string | undefined)[]> {
  const keys = [];
  for (let call = 0; call < calls; call++) keys.push(await keyFor(it, options));
  return [...new Set(keys)];
}

describe('affinity', () => {
  test('without it calls go round', async () => {
    expect(await keysFor(bench(), { sessionId: 's' })).toHaveLength(4);
  });

  test.each<[string, (session: string) => ExecuteOptions]>([
    ['the option of the call', sessionId => ({ sessionId })],
    ['the request', sessionId => ({ req: { sessionId } })],
    ['the number of the request', sessionId => ({ req: { sessionId: sessionId.length } })],
    ['the metadata of an Anthropic body', session => ({ req: { body: { metadata: { user_id: session } } } })],
    ['the cache key of an OpenAI body', session => ({ req: { body: { prompt_cache_key: session } } })],
  ])('session: %s keeps a session on one key, and others on others', async (_, options) => {
    const it = bench({ affinity: 'session' });
    const keys = new Set<string | undefined>();
    for (let session = 1; session <= 20; session++) {
      const found = await keysFor(it, options('x'.repeat(session)));
      expect(found).toHaveLength(1);
      keys.add(found[0]);
    }
    expect(keys.size).toBeGreaterThan(3);
  });

  test('session: a call without one goes to any key', async () => {
    const it = bench({ affinity: 'session' });
    expect(await keysFor(it, { req: { body: { metadata: { user_id: '' } } } })).toHaveLength(4);
    expect(await keysFor(it, {})).toHaveLength(4);
  });

  test.each<[string, (turns: readonly string[]) => object]>([
    ['OpenAI chat', turns => ({ messages: [{ role: 'system', content: 'Be kind.' }, ...turns.map(content => ({ role: 'user', content }))] })],
    ['OpenAI responses', turns => ({ instructions: 'Be kind.', input: turns.map(content => ({ role: 'user', content })) })],
    ['Anthropic', turns => ({ system: [{ type: 'text', text: 'Be kind.' }], messages: turns.map(content => ({ role: 'user', content })) })],
    ['Gemini', turns => ({ systemInstruction: { parts: [{ text: 'Be kind.' }] }, contents: turns.map(text => ({ role: 'user', parts: [{ text }] })) })],
    ['a plain prompt', ([first]) => ({ prompt: first })],
  ])('prompt: %s: a conversation stays on its key as it grows', async (_, bodyOf) => {
    const it = bench({ affinity: 'prompt' });
    const keys = new Set<string | undefined>();
    for (let conversation = 0; conversation < 20; conversation++) {
      const first = `Question ${conversation}?`;
      const found = new Set<string | undefined>();
      for (const turns of [[first], [first, 'And then?'], [first, 'And then?', 'Why?']]) {
        found.add(await keyFor(it, { req: { body: bodyOf(turns) } }));
      }
      expect(found.size).toBe(1);
      for (const key of found) keys.add(key);
    }
    expect(keys.size).toBeGreaterThan(3);
  });

  test('prompt: what a very long one ends with makes no difference, and no call without one is held up', async () => {
    const it = bench({ affinity: 'prompt' });
    const long = 'word '.repeat(2000);
    const found = new Set<string | undefined>();
    for (const end of ['a', 'b', 'c', 'd']) found.add(await keyFor(it, { req: { body: { prompt: long + end } } }));
    expect(found.size).toBe(1);
    expect(await keysFor(it, { req: { body: {} } })).toHaveLength(4);
    const nested: unknown[] = [];
    nested.push(nested);
    expect(await keysFor(it, { req: { body: { prompt: nested } } })).toHaveLength(4);
  });

  test.each<[string, unknown]>([
    ['a role that is no text', { messages: [{ role: { toString: 1, valueOf: 1 }, content: 'hi' }] }],
    ['a trap', { messages: [new Proxy({}, { ownKeys: () => { throw new Error('trapped'); } })] }],
    ['no text at all', { messages: [null, 7, [[]]] }],
  ])('prompt: %s in a body fails no call', async (_, body) => {
    expect(await keyFor(bench({ affinity: 'prompt' }), { req: { body } })).toBeDefined();
  });

  test('a function of the request tells, and one that fails is no trouble', async () => {
    const it = bench({ affinity: (req: { tenant?: string } | undefined) => req!.tenant });
    expect(await keysFor(it, { req: { tenant: 'acme' } })).toHaveLength(1);
    expect(await keysFor(it, { req: { tenant: '' } })).toHaveLength(4);
    expect(await keysFor(it, {})).toHaveLength(4);
    expect(it.warnings).toEqual([
      'keyManagement.providers["vendor"].affinity threw TypeError; where it tells nothing, calls go to any key',
    ]);
  });

  test('the option of a call goes before that of the pool, and needs none', async () => {
    for (const it of [bench(), bench({ affinity: 'session' })]) {
      const found = new Set<string | undefined>();
      for (let session = 0; session < 6; session++) {
        found.add(await keyFor(it, { sessionId: String(session), affinity: 'tenant' }));
      }
      expect(found.size).toBe(1);
    }
  });

  test('while its key rests a session stays with one other, and comes back', async () => {
    const it = bench({ affinity: 'session' });
    const options = { providerName: 'vendor', sessionId: 's' };
    const home = await keyFor(it, options);
    const refused = httpError(429, { 'retry-after': '20' });
    const away = await it.guard.execute(({ keyId }) => (keyId === home ? Promise.reject(refused) : keyId), options);
    expect(away).not.toBe(home);
    expect(await keysFor(it, options)).toEqual([away]);
    await it.clock.advance(20_000);
    expect(await keysFor(it, options)).toEqual([home]);
  });

  test('prefers no suspect and no key that does not serve the model', async () => {
    const it = bench({ affinity: 'session' });
    const options = { providerName: 'vendor', sessionId: 's' };
    const home = await keyFor(it, options);
    await rejectionOf(it.guard.execute(({ keyId }) => Promise.reject(httpError(keyId === home ? 401 : 400)), options));
    expect(it.guard.explain('vendor').keys.find(({ id }) => id === home)?.state).toBe('suspect');
    expect(await keyFor(it, options)).not.toBe(home);

    const keys = NAMES.map(id => ({ id, key: `secret-of-${id}`, ...(id !== 'finn' && { excludeModels: ['large'] }) }));
    it.guard.updateConfig({ keyManagement: { providers: { vendor: { keys, affinity: 'session' } } } });
    expect(await keysFor(it, { ...options, model: 'large' })).toEqual(['finn']);
  });

  test('a key that is added takes over few sessions', async () => {
    const it = bench({ affinity: 'session' }, NAMES.slice(0, 5));
    const sessions = Array.from({ length: 100 }, (_, index) => `session ${index}`);
    const before = new Map<string, string | undefined>();
    for (const sessionId of sessions) before.set(sessionId, await keyFor(it, { sessionId }));
    it.guard.keys.add('vendor', { id: 'finn', key: 'secret-of-finn' });
    let moved = 0;
    for (const sessionId of sessions) {
      const key = await keyFor(it, { sessionId });
      if (key === 'finn') moved++;
      else expect(key).toBe(before.get(sessionId));
    }
    expect(moved).toBeGreaterThan(5);
    expect(moved).toBeLessThan(35);
  });

  test('is explained', async () => {
    const it = bench();
    const home = await keyFor(it, { affinity: 'tenant' });
    expect(it.guard.explain('vendor', { affinity: 'tenant' }).keyId).toBe(home);
    expect(it.guard.explain('vendor', { affinity: 'tenant' }).keys.find(({ chosen }) => chosen)?.why).toBe(
      'chosen by affinity',
    );
  });

  test('an affinity that is none is refused with its path', () => {
    expect(catching(() => bench({ affinity: 'user' }))).toMatchObject({
      issues: [
        {
          path: 'keyManagement.providers.vendor.affinity',
          message: expect.stringContaining('`session`, `prompt`') as string,
        },
      ],
    });
  });
});

describe('what one key has made', () => {
  /** A bench where Cleo has made a file. */
  async function withFile(more: object = {}): Promise<Bench> {
    const it = bench(more);
    await it.guard.execute(({ bind }) => bind('file-1'), { providerName: 'vendor', keyId: 'cleo' });
    return it;
  }

  test('is used with that key', async () => {
    const it = await withFile();
    expect(await keysFor(it, { uses: 'file-1' })).toEqual(['cleo']);
    expect(await keysFor(it, { uses: ['unknown', 'file-1'] })).toEqual(['cleo']);
    expect(await keysFor(it, { uses: 'unknown' })).toHaveLength(4);
  });

  test('is waited for, however many other keys are ready', async () => {
    const it = await withFile({ maxWaitMs: 30_000 });
    const refused = httpError(429, { 'retry-after': '20' });
    await rejectionOf(it.guard.execute(() => Promise.reject(refused), { providerName: 'vendor', keyId: 'cleo', deadlineMs: 1 }));
    const fate = fateOf(keyFor(it, { uses: 'file-1' }));
    await it.clock.advance(19_999);
    expect(fate.state).toBe('pending');
    await it.clock.advance(1);
    expect(fate).toEqual({ state: 'resolved', value: 'cleo' });
  });

  test('is not asked of others: the error says why', async () => {
    const it = await withFile({ keys: NAMES.slice(0, 3).map(id => ({ id, key: `secret-of-${id}`, limits: { rpm: 1 } })) });
    expect(await rejectionOf(keyFor(it, { uses: 'file-1' }))).toMatchObject({
      code: 'POOL_EXHAUSTED',
      keys: [
        { id: 'ann', reason: 'does not have what the call uses' },
        { id: 'ben', reason: 'does not have what the call uses' },
        { id: 'cleo', state: 'exhausted' },
      ],
      retryAfterMs: 60_000 + ON_THE_WAY_MS,
    });
  });

  test('a failure is not taken to another key either', async () => {
    const it = await withFile();
    const asked: (string | undefined)[] = [];
    const call = it.guard.execute(({ keyId }) => {
      asked.push(keyId);
      return Promise.reject(httpError(401));
    }, { providerName: 'vendor', uses: 'file-1' });
    expect(await rejectionOf(call)).toMatchObject({ status: 401 });
    expect(asked).toEqual(['cleo']);
  });

  test('can be used with the keys of its group too, the maker first', async () => {
    const keys = NAMES.map(id => ({ id, key: `secret-of-${id}`, group: id < 'd' ? 'research' : undefined }));
    const it = await withFile({ keys });
    expect(await keysFor(it, { uses: 'file-1' })).toEqual(['cleo']);
    it.guard.keys.disable('vendor', 'cleo');
    const found = await keysFor(it, { uses: 'file-1' });
    expect(['ann', 'ben']).toContain(found[0]);
    expect(found).toHaveLength(1);
  });

  test('a key that refused the call is no reason to look again at once, while another one rests', async () => {
    const keys = NAMES.map(id => ({ id, key: `secret-of-${id}`, group: id === 'ann' || id === 'cleo' ? 'research' : undefined }));
    const it = await withFile({ keys, maxWaitMs: 600_000 });
    const asked: (string | undefined)[] = [];
    const fate = fateOf(it.guard.execute(({ keyId }) => {
      asked.push(keyId);
      if (keyId === 'cleo') throw httpError(401);
      if (asked.length < 3) throw httpError(429, { 'retry-after': '300' });
      return 'done';
    }, { providerName: 'vendor', uses: 'file-1' }));
    await it.clock.advance(299_999);
    expect(fate.state).toBe('pending');
    await it.clock.advance(1);
    expect(fate.value).toBe('done');
    expect(asked).toEqual(['cleo', 'ann', 'ann']);
  });

  test('passes to the key that takes the place of its own, at run time or by the configuration', async () => {
    const it = await withFile();
    it.guard.keys.replace('vendor', 'cleo', 'another-secret-of-cleo', { id: 'cleo-2' });
    expect(await keysFor(it, { uses: 'file-1' })).toEqual(['cleo-2']);
    const keys = [...NAMES.map(id => ({ id, key: `secret-of-${id}` })), { id: 'cleo-2', key: 'a-third-secret-of-cleo' }];
    it.guard.updateConfig({ keyManagement: { providers: { vendor: { keys } } } });
    expect(await keysFor(it, { uses: 'file-1' })).toEqual(['cleo-2']);
  });

  test('is lost with its key: then any key may say so', async () => {
    const it = await withFile();
    it.guard.keys.disable('vendor', 'cleo');
    expect(await rejectionOf(keyFor(it, { uses: 'file-1' }))).toMatchObject({
      keys: [{ id: 'ann', state: 'unsuitable' }, {}, { id: 'cleo', reason: 'disabled by hand: disabled by hand' }, {}, {}, {}],
    });
    it.guard.keys.enable('vendor', 'cleo');
    expect(await keysFor(it, { uses: 'file-1' })).toEqual(['cleo']);
    it.guard.keys.remove('vendor', 'cleo');
    expect(await keysFor(it, { uses: 'file-1' })).toHaveLength(4);
  });

  test('newcomers wait behind those who wait for it already', async () => {
    const it = await withFile({
      maxWaitMs: 30_000,
      keys: NAMES.map(id => ({ id, key: `secret-of-${id}`, limits: { concurrency: 1 } })),
    });
    const call = held();
    const first = it.guard.execute(call.fn, { providerName: 'vendor', uses: 'file-1' });
    const fates = [keyFor(it, { uses: 'file-1' }), keyFor(it, { uses: 'file-1' })].map(fateOf);
    await settle();
    call.finish('done');
    await first;
    await settle();
    expect(fates).toEqual([
      { state: 'resolved', value: 'cleo' },
      { state: 'resolved', value: 'cleo' },
    ]);
  });

  test('the first key stands in for none that has it', async () => {
    const it = await withFile({ fallbackBehavior: 'useFirst', keys: NAMES.map(id => ({ id, key: `secret-of-${id}`, limits: { rpm: 1 } })) });
    expect(await keyFor(it, { uses: 'file-1' })).toBe('cleo');
  });

  test('no key of the environment stands in for it', async () => {
    const keys = NAMES.map(id => ({ id, key: `secret-of-${id}`, limits: { rpm: 1 } }));
    const it = benchOf(
      { keyManagement: { maxWaitMs: 0, providers: { vendor: { keys, fallbackBehavior: 'useEnvironment' } } } },
      { VENDOR_API_KEY: 'from-outside' },
    );
    await it.guard.execute(({ bind }) => bind('file-1'), { providerName: 'vendor', keyId: 'cleo' });
    expect(await rejectionOf(keyFor(it, { uses: 'file-1' }))).toBeInstanceOf(PoolExhaustedError);
  });

  test('binding where there is no key binds nothing', async () => {
    const it = bench({}, []);
    expect(await rejectionOf(keyFor(it))).toBeInstanceOf(NoKeyError);
    await it.guard.execute(({ bind }) => bind('file-1'), 'other');
    await it.guard.execute(() => 'fine', { providerName: 'other', uses: 'file-1' });
  });

  test.each<[string, unknown]>([
    ['affinity', 1],
    ['uses', [1]],
    ['uses', 1],
  ])('options.%s is checked', async (name, value) => {
    const error = await rejectionOf(keyFor(bench(), { [name]: value }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ issues: [{ path: `options.${name}` }] });
  });
});
