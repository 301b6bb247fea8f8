import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import OpenAI from 'openai';
import {
  Agent,
  Client,
  fetch as undiciFetch,
  getGlobalDispatcher,
  interceptors,
  pipeline,
  request,
  setGlobalDispatcher,
  type Dispatcher,
} from 'undici';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createGuardedFetch } from '../../src/fetch/index.ts';
import { ExecutionGuard, executionGuard, guardedExecute } from '../../src/index.ts';
import { register, RegisterError, unregister } from '../../src/register/index.ts';
import { preload } from '../../src/register/preload.ts';
import type { RegisterConfig } from '../../src/register/section.ts';
import { slot } from '../../src/register/slot.ts';
import { failureOf, opened } from '../integration/harness.ts';
import { fakeOpenAIKey, startOpenAI, startScripted, type OpenAIServer, type ScriptedAnswer } from '../support/loopback/index.ts';

const lines: string[] = [];

vi.mock('../../src/register/say.ts', () => ({ say: (line: string) => lines.push(line) }));

const NAMES = ['ann', 'ben'] as const;
const PLACE = Symbol.for('undici.globalDispatcher.1');
const NEW_PLACE = Symbol.for('undici.globalDispatcher.2');
const before = { fetch: globalThis.fetch, env: process.env, dispatcher: getGlobalDispatcher() };

beforeEach(() => {
  lines.length = 0;
});

afterEach(() => {
  unregister();
  expect(globalThis.fetch).toBe(before.fetch);
  expect(process.env).toBe(before.env);
  expect(getGlobalDispatcher()).toBe(before.dispatcher);
  // The shared guard lives as long as the process.
  executionGuard.updateConfig({ keyManagement: { providers: {} } });
});

function config(pool: object = {}, rest: RegisterConfig = {}): RegisterConfig {
  const keys = NAMES.map(id => ({ id, key: fakeOpenAIKey(id) }));
  return { retry: { maxRetries: 0 }, ...rest, keyManagement: { maxWaitMs: 0, providers: { openai: { keys, ...pool } } } };
}

async function openAI(): Promise<OpenAIServer> {
  const server = await startOpenAI({
    organisations: Object.fromEntries(NAMES.map(name => [name, {}])),
    keys: Object.fromEntries(NAMES.map(name => [fakeOpenAIKey(name), { id: name, organisation: name }])),
  });
  return opened(server);
}

async function scripted(...script: ScriptedAnswer[]): ReturnType<typeof startScripted> {
  return opened(await startScripted(script, { repeatLast: true }));
}

const placeholder = { authorization: 'Bearer guard:openai' };
const requests = (): number[] => executionGuard.getStats().keys['openai']!.keys.map(key => key.requests);
const inFlight = (): number => executionGuard.getStats().keys['openai']!.keys.reduce((sum, key) => sum + key.inFlight, 0);

describe('register', () => {
  test('configures the shared guard, and says what it guards', async () => {
    const server = await openAI();
    server.setKeyState(fakeOpenAIKey('ann'), 'invalid_key');
    expect(register(config())).toBe(true);
    const client = new OpenAI({ apiKey: 'guard:openai', baseURL: `${server.url}/v1` });
    const answer = await client.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }] });
    expect(answer.choices[0]?.message.content).toBe('You said: hello');
    expect(requests()).toEqual([1, 1]);
    expect(lines).toEqual(['execution-guard: guards openai (2 keys); config the configuration']);
  });

  test('says nothing where it is to be quiet', () => {
    register(config({}, { register: { quiet: true } }));
    expect(lines).toEqual([]);
  });

  test.each<[string, RegisterConfig]>([
    ['no pool', { maxRetries: 1 }],
    ['a guard that is off', { ...config(), enabled: false }],
    ['keys that are off', { keyManagement: { ...config().keyManagement, enabled: false } }],
  ])('does nothing with %s, and takes off what was there', (_, nothing) => {
    register(config());
    expect(register(nothing)).toBe(false);
    expect(globalThis.fetch).toBe(before.fetch);
  });

  test('does nothing without a file', () => {
    expect(register()).toBe(false);
    expect(lines).toEqual([]);
  });

  test('twice guards once, by the later configuration', async () => {
    const server = await scripted({ body: 'hello' });
    register(config());
    register(config({ keys: [{ id: 'cleo', key: fakeOpenAIKey('cleo') }] }));
    await (await fetch(server.url, { headers: placeholder })).text();
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${fakeOpenAIKey('cleo')}`]);
    expect(requests()).toEqual([1]);
  });

  test('refuses what is wrong, and leaves everything as it is', () => {
    register(config());
    const registered = globalThis.fetch;
    for (const wrong of [
      config({ strategy: 'none' }),
      config({ profile: 'none' }),
      config({}, { register: { interceptEnv: { KEY: 'key:acme' } } }),
      'missing.json',
    ]) {
      expect(() => register(wrong)).toThrow(RegisterError);
    }
    expect(globalThis.fetch).toBe(registered);
  });

  test('does not hide an error of another kind', () => {
    const update = vi.spyOn(ExecutionGuard.getInstance(), 'updateConfig').mockImplementation(() => {
      throw new RangeError('broken');
    });
    expect(() => register(config())).toThrow(RangeError);
    update.mockRestore();
  });
});

describe('the global fetch', () => {
  test('looks like the one it stands for', () => {
    register(config());
    expect([fetch.name, fetch === before.fetch]).toEqual(['fetch', false]);
    expect(Object.getOwnPropertyDescriptor(globalThis, 'fetch')).toMatchObject({ writable: true, enumerable: true, configurable: true });
  });

  test('goes on working for those who have kept it, unguarded', async () => {
    const server = await scripted({ body: 'hello' });
    register(config());
    const kept = fetch;
    const dispatcher = getGlobalDispatcher();
    unregister();
    await (await kept(server.url, { headers: placeholder })).text();
    await (await request(server.url, { headers: placeholder, dispatcher })).body.dump();
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([placeholder.authorization, placeholder.authorization]);
  });

  test('is left where the program has put another in place', () => {
    register(config());
    const own: typeof fetch = () => Promise.resolve(new Response());
    globalThis.fetch = own;
    unregister();
    expect(globalThis.fetch).toBe(own);
    globalThis.fetch = before.fetch;
  });

  test('is not made where there is none', () => {
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'fetch')!;
    Reflect.deleteProperty(globalThis, 'fetch');
    register(config());
    expect('fetch' in globalThis).toBe(false);
    unregister();
    Object.defineProperty(globalThis, 'fetch', descriptor);
  });

  test('does not guard what the program guards by itself', async () => {
    const server = await scripted({ body: 'hello' });
    register(config());
    const guard = opened(new ExecutionGuard({ keyManagement: { providers: { openai: { keys: ['its-own-key'] } } } }));
    for (const guarded of [createGuardedFetch(guard), createGuardedFetch(executionGuard)]) {
      await (await guarded(server.url, { headers: placeholder })).text();
    }
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([
      'Bearer its-own-key',
      `Bearer ${fakeOpenAIKey('ann')}`,
    ]);
    expect(requests()).toEqual([1, 0]);
  });
});

describe('a key of the pool, in a client that holds one', () => {
  test('is replaced by the best one where the host is that of the API, and goes out as it is to any other host', async () => {
    const sent: (string | null)[] = [];
    globalThis.fetch = (_, init) => {
      sent.push(new Headers(init?.headers).get('authorization'));
      return Promise.resolve(new Response());
    };
    register(config());
    executionGuard.keys.disable('openai', 'ann');
    const headers = { authorization: `Bearer ${fakeOpenAIKey('ann')}` };
    await fetch('https://api.openai.com/v1/models', { headers });
    await fetch('https://llm.test/v1/models', { headers });
    expect(sent).toEqual([`Bearer ${fakeOpenAIKey('ben')}`, headers.authorization]);
    unregister();
    globalThis.fetch = before.fetch;
  });
});

describe('a dispatcher of one\'s own', () => {
  /** What a server was sent by each of them. */
  async function sentBy(...send: ((url: string, dispatcher: Agent) => Promise<unknown>)[]): Promise<unknown[]> {
    const server = await scripted({ body: 'hello' });
    register(config());
    const agent = new Agent();
    for (const each of send) await each(server.url, agent);
    await agent.close();
    return server.requests.map(({ headers }) => headers.authorization);
  }

  test('takes nothing from the global fetch', async () => {
    const sent = await sentBy(async (url, dispatcher) => (await fetch(url, Object.assign<RequestInit, object>({ headers: placeholder }, { dispatcher }))).text());
    expect(sent).toEqual([`Bearer ${fakeOpenAIKey('ann')}`]);
  });

  test('is not guarded in undici\'s own functions and clients, and neither is node:http', async () => {
    const sent = await sentBy(
      async (url, dispatcher) => (await request(url, { headers: placeholder, dispatcher })).body.dump(),
      async (url, dispatcher) => (await undiciFetch(url, { headers: placeholder, dispatcher })).text(),
      async url => {
        const client = new Client(url);
        await (await client.request({ path: '/', method: 'GET', headers: placeholder })).body.dump();
        await client.close();
      },
      url => new Promise(resolve => get(url, { headers: placeholder, agent: false }, answer => answer.resume().once('end', resolve))),
    );
    expect(sent).toEqual(Array(4).fill(placeholder.authorization));
  });
});

describe('guardedExecute', () => {
  test.each(['fetch', 'request'] as const)('holds one key for an attempt that sends it by %s', async how => {
    const server = await scripted({ body: 'hello' });
    register(config({ keys: [{ id: 'ann', key: fakeOpenAIKey('ann'), limits: { concurrency: 1 } }] }));
    const send = async (headers: Record<string, string>): Promise<void> => {
      if (how === 'fetch') await (await fetch(server.url, { headers })).text();
      else await (await request(server.url, { headers })).body.dump();
    };
    await guardedExecute(({ apiKey }) => send({ authorization: `Bearer ${apiKey}`, 'x-guard': 'guard:openai' }), 'openai');
    await executionGuard.execute(({ apiKey }) => send({ authorization: `Bearer ${apiKey}` }), 'openai');
    expect(requests()).toEqual([2]);
    expect(server.requests).toHaveLength(2);
  });

  test('has the requests guarded that an attempt sends with another key, and those of the attempts around it not', async () => {
    const server = await scripted({ body: 'hello' });
    register(config());
    const send = async (key: string): Promise<string> => (await fetch(server.url, { headers: { authorization: `Bearer ${key}` } })).text();
    await guardedExecute(async ({ apiKey: outer }) => {
      await guardedExecute(() => send(outer!), 'no-pool');
      await guardedExecute(() => send(outer!), 'openai');
      await send('guard:openai');
    }, 'openai');
    const used = server.requests.map(({ headers }) => NAMES.find(name => headers.authorization?.endsWith(fakeOpenAIKey(name))));
    expect(used.slice(0, 2)).toEqual(['ann', 'ann']);
    expect(requests().reduce((sum, count) => sum + count, 0)).toBe(3);
  });

  test('refuses what is no function, as ever', async () => {
    register(config());
    expect(await failureOf(executionGuard.execute(5 as never, 'openai'))).toMatchObject({ code: 'CONFIG_INVALID' });
  });

  test('is left alone where somebody has replaced it since', () => {
    register(config());
    const guard = ExecutionGuard.getInstance();
    const own: ExecutionGuard['execute'] = () => Promise.reject(new Error('own'));
    Object.defineProperty(guard, 'execute', { value: own, configurable: true, writable: true });
    unregister();
    expect(Reflect.get(guard, 'execute')).toBe(own);
    Reflect.deleteProperty(guard, 'execute');
  });
});

describe('undici', () => {
  test('sends a body again, whatever it is', async () => {
    const server = await scripted({ status: 401 }, { body: 'hello' });
    register(config());
    function* words(): Generator<string> {
      yield 'one ';
      yield 'two';
    }
    const bodies = ['one two', Buffer.from('one two'), words() as never, new Blob(['one two']).stream() as never];
    for (const body of bodies) {
      executionGuard.keys.resetCooldown('openai', 'ann');
      await (await request(server.url, { method: 'POST', headers: placeholder, body })).body.dump();
    }
    expect(server.requests.slice(0, 2).map(({ body }) => body.toString())).toEqual(['one two', 'one two']);
    expect(server.requests.map(({ body }) => body.toString())).toEqual(Array(5).fill('one two'));
  });

  test('pipes through the guard', async () => {
    const server = await scripted({ status: 401 }, { body: 'hello' });
    register(config());
    const pipe = pipeline(server.url, { method: 'POST', headers: placeholder }, ({ body }) => body);
    pipe.end('a body');
    expect(await text(pipe)).toBe('hello');
    expect(server.requests.map(({ body }) => body.toString())).toEqual(['a body', 'a body']);
  });

  test('has its query, its headers and its cookies passed on', async () => {
    const server = await scripted({ status: 204, headers: { 'set-cookie': ['a=1', 'b=2'] as never, 'x-answer': 'é' } });
    register(config());
    const { statusCode, headers, body } = await request(`${server.url}/v1/things`, {
      query: { a: 'b c', d: ['1', '2'] },
      headers: { ...placeholder, 'X-Many': ['1', '2'] },
    });
    expect([statusCode, await body.text(), headers['set-cookie'], headers['x-answer']]).toEqual([204, '', ['a=1', 'b=2'], 'é']);
    const [sent] = server.requests;
    expect([sent?.query.toString(), sent?.headers['x-many']]).toEqual(['a=b+c&d=1&d=2', '1, 2']);
    expect(sent?.headers['accept-encoding']).toBe('identity');
  });

  test('hears of a refusal of the guard as of an answer', async () => {
    register(config({ keys: [] }));
    const { statusCode, body } = await request('http://127.0.0.1:1', { headers: placeholder });
    expect([statusCode, await body.json()]).toMatchObject([503, { error: { code: 'NO_KEY' } }]);
  });

  test('hears of the network\'s own error', async () => {
    register(config());
    expect(await failureOf(request('http://127.0.0.1:1', { headers: placeholder }))).toMatchObject({ code: 'ECONNREFUSED' });
    const server = await scripted('reset');
    const error = await failureOf(undiciFetch(server.url, { headers: placeholder }));
    expect(error).toMatchObject({ name: 'TypeError', message: 'fetch failed', cause: { code: 'ECONNRESET' } });
  });

  test('aborts before, during and after the headers', async () => {
    const server = await scripted('hang');
    register(config());
    const reason = new Error('enough');
    const aborted = request(server.url, { headers: placeholder, signal: AbortSignal.abort(reason) });
    expect(await failureOf(aborted)).toBe(reason);
    const controller = new AbortController();
    const hanging = request(server.url, { headers: placeholder, signal: controller.signal });
    await server.arrived(1);
    controller.abort(reason);
    expect(await failureOf(hanging)).toBe(reason);
    await server.idle();
    expect(inFlight()).toBe(0);
  });

  test('follows a redirect without taking a key to another host', async () => {
    const other = await scripted({ body: 'elsewhere' });
    const server = await scripted({ status: 302, headers: { location: `${other.url}/there` } });
    register(config());
    const headers = { 'x-api-key': 'guard:openai' };
    expect(await (await undiciFetch(server.url, { headers })).text()).toBe('elsewhere');
    expect(await (await request(server.url, { headers })).body.text()).toBe('elsewhere');
    expect(other.requests.map(sent => sent.headers['x-api-key'])).toEqual([undefined, undefined]);
  });

  test('reads a long answer at its own pace', async () => {
    const long = 'x'.repeat(2_000_000);
    const server = await scripted({ body: long });
    register(config());
    const { body } = await request(server.url, { headers: placeholder, highWaterMark: 1024 });
    expect((await body.text()).length).toBe(long.length);
    expect(inFlight()).toBe(0);
  });

  test('keeps what it is beside: its class, its events, its end', () => {
    register(config());
    const guarded = getGlobalDispatcher();
    expect(guarded).not.toBe(before.dispatcher);
    expect(guarded.constructor).toBe(before.dispatcher.constructor);
    expect(guarded.listenerCount('connect')).toBe(before.dispatcher.listenerCount('connect'));
  });

  test('is guarded from version 8 on, where it was loaded before; and what is none is left alone', async () => {
    const closed: unknown[] = [];
    const newer = {
      dispatch: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) =>
        before.dispatcher.dispatch(options, handler),
      close(this: unknown) {
        closed.push(this);
      },
    };
    const known: unknown = Reflect.get(globalThis, NEW_PLACE);
    Reflect.set(globalThis, NEW_PLACE, newer);
    register(config());
    const guarded = Reflect.get(globalThis, NEW_PLACE) as typeof newer;
    expect(guarded).not.toBe(newer);
    guarded.close();
    expect(closed).toEqual([newer]);

    const server = await scripted({ body: 'hello', headers: { 'set-cookie': 'a=1' } });
    const heard: unknown[] = [];
    const origin = server.url;
    await new Promise<void>(resolve => {
      const options = { origin, path: '/', method: 'GET', headers: Object.entries(placeholder).flat() } as const;
      guarded.dispatch(options, {
        onRequestStart: controller => heard.push('start', controller.paused, controller.aborted, controller.reason),
        onResponseStart: (_, status, headers) => heard.push(status, headers['set-cookie']),
        onResponseData: (controller, chunk) => {
          heard.push(chunk.toString());
          controller.pause();
          heard.push(controller.paused);
          controller.resume();
        },
        onResponseEnd: (_, trailers) => {
          heard.push(trailers);
          resolve();
        },
      });
    });
    expect(heard).toEqual(['start', false, false, null, 200, ['a=1'], 'hello', true, {}]);
    expect(server.requests[0]?.headers.authorization).toBe(`Bearer ${fakeOpenAIKey('ann')}`);
    unregister();
    expect(Reflect.get(globalThis, NEW_PLACE)).toBe(newer);

    Reflect.set(globalThis, NEW_PLACE, {});
    expect(register(config())).toBe(true);
    unregister();
    Reflect.set(globalThis, NEW_PLACE, known);
  });

  test('aborts through the newer handlers, once', async () => {
    const server = await scripted({ chunks: ['data: one\n\n'], ending: 'stall' });
    register(config());
    const reason = new Error('enough');
    const error = await new Promise(resolve => {
      getGlobalDispatcher().dispatch({ origin: server.url, path: '/', method: 'GET', headers: placeholder }, {
        onResponseData: controller => {
          controller.pause();
          controller.abort(reason);
          controller.abort(new Error('again'));
        },
        onRequestStart: () => undefined,
        onResponseError: (_, failure) => resolve(failure),
      });
    });
    expect(error).toBe(reason);
    await server.idle();
    expect(inFlight()).toBe(0);
  });

  test('ends a request whose handler throws', async () => {
    const server = await scripted({ body: 'hello' });
    register(config());
    const broken = new Error('broken');
    const error = await new Promise(resolve => {
      const older = {
        onConnect: () => undefined,
        onHeaders: () => {
          throw broken;
        },
        onData: () => true,
        onComplete: () => undefined,
        onError: resolve,
      };
      getGlobalDispatcher().dispatch({ origin: server.url, path: '/', method: 'GET', headers: placeholder }, older);
    });
    expect(error).toBe(broken);
    await server.idle();
  });

  test('ends a request whose handler throws at its end', async () => {
    const server = await scripted({ body: 'hello' });
    register(config());
    const broken = new Error('broken');
    const error = await new Promise(resolve => {
      getGlobalDispatcher().dispatch({ origin: server.url, path: '/', method: 'GET', headers: placeholder }, {
        onRequestStart: () => undefined,
        onResponseEnd: () => {
          throw broken;
        },
        onResponseError: (_, failure) => resolve(failure),
      });
    });
    expect(error).toBe(broken);
  });

  test('guards the dispatcher that the program sets later, once, and gives it back', async () => {
    const server = await scripted({ body: 'hello' });
    register(config());
    const own = Object.create(before.dispatcher) as Dispatcher;
    setGlobalDispatcher(own);
    await (await request(server.url, { headers: placeholder })).body.dump();
    await (await fetch(server.url, { headers: placeholder })).text();
    setGlobalDispatcher(getGlobalDispatcher());
    await (await undiciFetch(server.url, { headers: placeholder })).text();
    const keys = ['ann', 'ben', 'ann'].map(name => `Bearer ${fakeOpenAIKey(name)}`);
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(keys);
    expect(requests()).toEqual([2, 1]);
    unregister();
    expect(getGlobalDispatcher()).toBe(own);
    setGlobalDispatcher(before.dispatcher);
  });

  test('a dispatcher kept from one registration is guarded by the next that it is set in', async () => {
    const server = await scripted({ body: 'hello' });
    register(config());
    const kept = getGlobalDispatcher();
    register(config());
    setGlobalDispatcher(kept);
    await (await request(server.url, { headers: placeholder })).body.dump();
    expect(server.requests[0]?.headers.authorization).toBe(`Bearer ${fakeOpenAIKey('ann')}`);
  });

  test('how globals are defined is left as it was found', () => {
    const { defineProperty } = Object;
    register(config());
    expect(Object.defineProperty.name).toBe('defineProperty');
    Object.defineProperty(globalThis, 'aName', { value: 'a value', configurable: true });
    expect(Reflect.get(globalThis, 'aName')).toBe('a value');
    Reflect.deleteProperty(globalThis, 'aName');
    setGlobalDispatcher(before.dispatcher);
    expect(() => Object.defineProperty(globalThis, PLACE, { get: () => undefined })).toThrow(TypeError);
    unregister();
    expect(Object.defineProperty).toBe(defineProperty);

    // Somebody else watches too, and goes later than this does.
    register(config());
    const ours = Object.defineProperty;
    Object.defineProperty = (...args) => ours(...args);
    const theirs = Object.defineProperty;
    unregister();
    expect(Object.defineProperty).toBe(theirs);
    setGlobalDispatcher(before.dispatcher);
    Object.defineProperty = defineProperty;
  });

  test.each([
    ['redirect', interceptors.redirect({ maxRedirections: 3 })],
    ['retry', interceptors.retry({ maxRetries: 2, minTimeout: 1 })],
    ['cache', interceptors.cache()],
    ['dns', interceptors.dns()],
  ])('works with the interceptor %s', async (_, interceptor) => {
    const server = await scripted({ body: 'hello', headers: { 'cache-control': 'no-store' } });
    register(config());
    const dispatcher = getGlobalDispatcher().compose(interceptor);
    for (const headers of [placeholder, { authorization: 'Bearer mine' }]) {
      expect(await (await request(server.url, { headers, dispatcher })).body.text()).toBe('hello');
    }
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${fakeOpenAIKey('ann')}`, 'Bearer mine']);
  });
});

describe('the environment', () => {
  test('answers with placeholders or with the best key, and the guard is not misled by it', () => {
    vi.stubEnv('OPENAI_API_KEY', 'first-key-of-all');
    vi.stubEnv('OPENAI_API_KEY_2', 'second-key-of-all');
    register(config({ keys: { env: 'OPENAI_API_KEY' } }, { register: { interceptEnv: true } }));
    expect(process.env['OPENAI_API_KEY']).toBe('guard:openai');
    register(config({ keys: { env: 'OPENAI_API_KEY' } }, { register: { interceptEnv: 'key' } }));
    const [first] = executionGuard.keys.list()[0]!.keys;
    expect(process.env['OPENAI_API_KEY']).toBe('first-key-of-all');
    executionGuard.keys.disable('openai', first!.id);
    expect(process.env['OPENAI_API_KEY']).toBe('second-key-of-all');
    executionGuard.updateConfig(config({ keys: { env: 'OPENAI_API_KEY' } }));
    expect(executionGuard.keys.list()[0]!.keys).toHaveLength(2);
    unregister();
    expect(process.env['OPENAI_API_KEY']).toBe('first-key-of-all');
    vi.unstubAllEnvs();
  });

  test('answers with the first key where none is ready, and as ever where there is none', () => {
    register(config({ keys: [{ id: 'ann', key: 'only-key' }] }, { register: { interceptEnv: { KEY: 'key:openai' } } }));
    executionGuard.keys.disable('openai', 'ann');
    expect(process.env['KEY']).toBe('only-key');
    executionGuard.keys.remove('openai', 'ann');
    expect(process.env['KEY']).toBeUndefined();
  });
});

describe('the preloader', () => {
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    slot().hasRun = true;
  });

  test('runs once in a thread', () => {
    expect(slot().hasRun).toBe(true);
    vi.stubEnv('EXECUTION_GUARD_CONFIG', 'missing.json');
    preload();
    expect(lines).toEqual([]);
  });

  test('ends the process where the configuration is wrong', () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    vi.stubEnv('EXECUTION_GUARD_CONFIG', 'missing.json');
    slot().hasRun = false;
    preload();
    expect(exit).toHaveBeenCalledWith(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^execution-guard: missing\.json: there is no such file in /);
  });

  test('says that there is no configuration only where node was asked for it, and not where that is wanted', () => {
    const { execArgv } = process;
    for (const [args, variable] of [[['--import', 'execution-guard/register'], undefined], [[], undefined], [['-r', 'execution-guard/register'], '']] as const) {
      slot().hasRun = false;
      process.execArgv = [...args];
      vi.stubEnv('EXECUTION_GUARD_CONFIG', variable);
      preload();
    }
    process.execArgv = execArgv;
    expect(lines).toEqual([expect.stringMatching(/^execution-guard: no configuration found in /)]);
    expect(globalThis.fetch).toBe(before.fetch);
  });

  test('hides no error of another kind', () => {
    vi.spyOn(process, 'cwd').mockImplementation(() => {
      throw new RangeError('broken');
    });
    slot().hasRun = false;
    expect(preload).toThrow(RangeError);
  });
});
