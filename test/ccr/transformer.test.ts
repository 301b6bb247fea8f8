import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import ExecutionGuardTransformer from '../../src/ccr/index.ts';
import type { GuardTransformerOptions } from '../../src/ccr/options.ts';
import { opened } from '../integration/harness.ts';

const URL = 'http://upstream.test/v1/chat/completions';
const SECRETS = { ann: 'secret-of-ann', ben: 'secret-of-ben' };

const OPTIONS: GuardTransformerOptions = {
  keyManagement: {
    maxWaitMs: 0,
    providers: { openai: { keys: Object.entries(SECRETS).map(([id, key]) => ({ id, key })) } },
  },
};

/** Plays the network: answers by key. */
const network = vi.fn<typeof fetch>();
/** The keys that went out. */
const used = (): (string | null)[] => network.mock.calls.map(([, init]) => new Headers(init?.headers).get('authorization'));

const withKey = (key: string): RequestInit => ({ method: 'POST', headers: { Authorization: `Bearer ${key}` }, body: '{}' });

function transformer(options = OPTIONS): ExecutionGuardTransformer {
  return opened(new ExecutionGuardTransformer(options));
}

function logger(): { lines: string[]; info: (message: string) => void; warn: (message: string) => void } {
  const lines: string[] = [];
  return { lines, info: line => void lines.push(`info ${line}`), warn: line => void lines.push(`warn ${line}`) };
}

beforeEach(() => {
  vi.stubGlobal('fetch', network);
  network.mockReset().mockImplementation(() => Promise.resolve(new Response('hello')));
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
});

describe('a request', () => {
  test('with a placeholder gets a key, and the next one where that is refused', async () => {
    transformer();
    network.mockImplementationOnce(() => Promise.resolve(new Response('slow down', { status: 429 })));
    const response = await fetch(URL, withKey('guard:openai'));
    expect([response.status, await response.text()]).toEqual([200, 'hello']);
    expect(used()).toEqual(['Bearer secret-of-ann', 'Bearer secret-of-ben']);
  });

  test('keeps what else the router has passed', async () => {
    transformer();
    const init = { ...withKey('guard:openai'), keepalive: true };
    // The types of Node know nothing of what its fetch takes.
    Object.assign(init, { dispatcher: 'of the router' });
    await fetch(URL, init);
    expect(network.mock.calls[0]?.[1]).toMatchObject({ keepalive: true, dispatcher: 'of the router' });
  });

  test.each([
    ['with a key of its own', [URL, withKey('sk-own')]],
    ['to a host that has a pool, with a key of its own', ['https://api.openai.com/v1/models', withKey('sk-own')]],
    ['without a key', [URL]],
    ['that is none', ['data:,hello', withKey('guard:openai')]],
  ] as const)('%s goes out as it is', async (_, [url, init]) => {
    transformer();
    await fetch(url, init);
    expect(network).toHaveBeenCalledTimes(1);
    expect(network.mock.calls[0]?.[0]).toBe(url);
    expect(network.mock.calls[0]?.[1]).toBe(init);
  });

  test('for a pool that is not there is refused', async () => {
    transformer();
    const response = await fetch(URL, withKey('guard:nobody'));
    expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('no pool for `nobody`')]);
    expect(network).not.toHaveBeenCalled();
  });

  test('ends when its own signal is aborted', async () => {
    transformer();
    const controller = new AbortController();
    network.mockImplementation((_, init) => new Promise((_resolve, reject) => {
      init?.signal?.addEventListener('abort', () => reject(init.signal?.reason));
      controller.abort(new Error('enough'));
    }));
    await expect(fetch(URL, { ...withKey('guard:openai'), signal: controller.signal })).rejects.toThrow('enough');
  });
});

test('gives fetch back when it is closed, and lets others keep what they have put in its place', () => {
  const first = transformer();
  expect(fetch).not.toBe(network);
  first.close();
  expect(fetch).toBe(network);

  const second = transformer();
  const later = vi.fn<typeof fetch>();
  vi.stubGlobal('fetch', later);
  second.close();
  expect(fetch).toBe(later);
});

describe('two transformers', () => {
  const gemini = { keyManagement: { maxWaitMs: 0, providers: { gemini: { keys: ['secret-of-gem'] } } } };
  const ask = async (name: string): Promise<number> => (await fetch(URL, withKey(`guard:${name}`))).status;

  test('serve each the pools that it has', async () => {
    transformer();
    transformer(gemini);
    expect([await ask('openai'), await ask('gemini'), await ask('nobody')]).toEqual([200, 200, 503]);
    expect(used()).toEqual(['Bearer secret-of-ann', 'Bearer secret-of-gem']);
  });

  test.each([[[0, 1]], [[1, 0]]])('give fetch back when both are closed, in the order %j', async order => {
    const both = [transformer(), transformer(gemini)];
    const names = ['openai', 'gemini'];
    const [first = 0, last = 0] = order;
    both[first]!.close();
    expect([await ask(names[first]!), await ask(names[last]!)]).toEqual([503, 200]);
    both[last]!.close();
    expect(fetch).toBe(network);
  });

  test('a fetch that somebody has kept lets everything pass once it is closed', async () => {
    const made = transformer();
    const kept = fetch;
    made.close();
    await kept(URL, withKey('guard:openai'));
    expect(used()).toEqual(['Bearer guard:openai']);
  });
});

describe('the log of the router', () => {
  test('hears what was odd before there was a log, and what happens later', async () => {
    const { keyManagement } = OPTIONS;
    const made = transformer({
      keyManagement: { ...keyManagement, providers: { ...keyManagement?.providers, gemini: { keys: ['', 'one'] } } },
    });
    const log = logger();
    made.logger = log;
    expect(log.lines).toEqual([
      expect.stringMatching(/^warn execution-guard: .*gemini/),
      'info execution-guard: pool "openai" has 2 keys',
      'info execution-guard: pool "gemini" has 1 key',
    ]);
    log.lines.length = 0;
    network.mockImplementationOnce(() => Promise.resolve(new Response('slow down', { status: 429 })));
    await fetch(URL, { ...withKey('guard:openai'), body: '{"model":"gpt-4o"}' });
    expect(log.lines).toEqual([
      'info execution-guard: pool "openai": key ann for gpt-4o: ready -> cooling, rate_limit',
      'info execution-guard: openai: on from key ann to key ben: rate_limit',
    ]);
  });

  test('hears of groups and breakers', async () => {
    const keys = [{ id: 'ann', key: SECRETS.ann, group: 'team' }, { id: 'ben', key: SECRETS.ben, group: 'team' }];
    const made = transformer({
      maxRetries: 0,
      circuitBreaker: { failureThreshold: 1 },
      keyManagement: { maxWaitMs: 0, providers: { openai: { keys } } },
    });
    const log = logger();
    made.logger = log;
    network.mockImplementationOnce(() => Promise.resolve(new Response('slow down', { status: 429 })));
    await fetch(URL, withKey('guard:openai'));
    for (const id of ['ann', 'ben']) made.guard.keys.resetCooldown('openai', id);
    network.mockImplementationOnce(() => Promise.resolve(new Response('broken', { status: 500 })));
    await fetch(URL, withKey('guard:openai'));
    expect(log.lines).toContain('info execution-guard: pool "openai": group team: ready -> cooling, rate_limit');
    expect(log.lines).toContain('warn execution-guard: openai: circuit breaker OPEN');
  });
});

test('reads variables from the environment', async () => {
  vi.stubEnv('KEY_OF_ANN', SECRETS.ann);
  transformer({ keyManagement: { providers: { openai: { keys: ['$KEY_OF_ANN'] } } } });
  await fetch(URL, withKey('guard:openai'));
  expect(used()).toEqual(['Bearer secret-of-ann']);
});

test('is not made of options that are wrong, and fetch stays as it is', () => {
  expect(() => transformer({ keyManagement: { providers: { openai: { keys: ['one'], profile: 'opnai' } } } })).toThrow(
    /options\.keyManagement\.providers\["openai"\]\.profile/,
  );
  expect(fetch).toBe(network);
});
