import OpenAI, { APIError, AuthenticationError, RateLimitError } from 'openai';
import { describe, expect, test } from 'vitest';
import { PoolExhaustedError, type CallContext, type KeyConfig } from '../../src/index.ts';
import {
  fakeGeminiKey,
  fakeOpenAIKey,
  startGemini,
  startOpenAI,
  startScripted,
  type OpenAIDescription,
  type OpenAIServer,
} from '../support/loopback/index.ts';
import { ManualClock, settle } from '../support/manual-clock.ts';
import {
  ask,
  chat,
  failureOf,
  inFlight,
  MINUTE_MS,
  openAI,
  opened,
  reportsOf,
  setUp,
  statesOf,
  type Setup,
} from './harness.ts';

const PROVIDER = 'openai';

interface World extends Setup {
  readonly server: OpenAIServer;
}

type Keys = Record<string, { readonly organisation: string } & Omit<KeyConfig, 'id' | 'key' | 'group'>>;
type Options = Parameters<typeof setUp>[0] & { readonly pool?: object };

/** A server and a guard that know the same keys, by the names given to them, and share one clock. */
async function world(
  keys: Keys,
  description: Partial<OpenAIDescription> = {},
  { pool, ...config }: Options = {},
): Promise<World> {
  const clock = new ManualClock();
  const names = Object.values(keys).map(({ organisation }) => organisation);
  const server = opened(
    await startOpenAI({
      clock,
      organisations: Object.fromEntries(names.map(name => [name, {}])),
      ...description,
      keys: Object.fromEntries(
        Object.entries(keys).map(([id, { organisation }]) => [fakeOpenAIKey(id), { id, organisation }]),
      ),
    }),
  );
  const poolKeys = Object.entries(keys).map(([id, { organisation, ...traits }]) => ({
    id,
    key: fakeOpenAIKey(id),
    group: organisation,
    ...traits,
  }));
  return {
    server,
    ...setUp({ ...config, keyManagement: { providers: { [PROVIDER]: { keys: poolKeys, ...pool } } } }, clock),
  };
}

const ONE: Keys = { a: { organisation: 'org-a', limits: { concurrency: 1 } } };
const THREE: Keys = { a: { organisation: 'org-a' }, b: { organisation: 'org-b' }, c: { organisation: 'org-c' } };
const SIBLINGS: Keys = {
  a1: { organisation: 'org-a' },
  a2: { organisation: 'org-a' },
  b: { organisation: 'org-b' },
};
const ALL_READY = { a: 'ready', b: 'ready', c: 'ready' };

const keyIds = ({ server }: World): string[] => server.requests.map(({ keyId }) => keyId);

describe('keys that OpenAI refuses', () => {
  test('a revoked key costs one call, once, and no caller sees it', async () => {
    const it = await world(THREE);
    it.server.setKeyState(fakeOpenAIKey('a'), 'revoked');
    for (let call = 0; call < 6; call++) {
      const answer = await it.guard.execute(chat(it.server.url), PROVIDER);
      expect(answer.choices[0]?.message.content).toBe('You said: hello');
    }
    expect(keyIds(it).filter(id => id === 'a')).toHaveLength(1);
    expect(statesOf(it.guard, PROVIDER)).toEqual({ a: 'disabled', b: 'ready', c: 'ready' });
  });

  test('a lone revoked key is not hammered', async () => {
    const it = await world({ a: { organisation: 'org-a' } }, {}, { pool: { maxWaitMs: 0 } });
    it.server.setKeyState(fakeOpenAIKey('a'), 'revoked');
    const seen = new Set<string>();
    for (let second = 0; second < 600; second++) {
      const error = await failureOf(it.answer(it.guard.execute(chat(it.server.url), PROVIDER)));
      if (!(error instanceof AuthenticationError || error instanceof PoolExhaustedError)) throw error;
      seen.add(error instanceof AuthenticationError ? 'refused' : 'exhausted');
      await it.clock.advance(1000);
    }
    expect([...seen]).toEqual(['refused', 'exhausted']);
    expect(it.server.requests.length).toBeLessThan(12);
  });

  test('a deactivated account is out with all its keys', async () => {
    const it = await world(SIBLINGS);
    it.server.setKeyState(fakeOpenAIKey('a1'), 'deactivated');
    it.server.setKeyState(fakeOpenAIKey('a2'), 'deactivated');
    for (let call = 0; call < 4; call++) await it.guard.execute(chat(it.server.url), PROVIDER);
    expect(keyIds(it)).toEqual(['a1', 'b', 'b', 'b', 'b']);
  });

  test('a key that may not use one model serves the others', async () => {
    const it = await world(THREE, {
      organisations: { 'org-a': { models: { 'gpt-4o': false, 'gpt-4o-mini': {} } }, 'org-b': {}, 'org-c': {} },
    });
    const call = (model: string) =>
      it.guard.execute(chat(it.server.url, 'hello', model), { providerName: PROVIDER, model });
    for (let turn = 0; turn < 6; turn++) await call('gpt-4o');
    expect(keyIds(it).filter(id => id === 'a')).toHaveLength(1);
    for (let turn = 0; turn < 3; turn++) await call('gpt-4o-mini');
    expect(keyIds(it).slice(-3).sort()).toEqual(['a', 'b', 'c']);
  });

  test('another provider\'s server that refuses every key convicts none', async () => {
    const it = await world(THREE);
    const stranger = opened(await startOpenAI({ organisations: {}, keys: {} }));
    for (let call = 0; call < 5; call++) {
      expect(await failureOf(it.answer(it.guard.execute(chat(stranger.url), PROVIDER)))).toMatchObject({ status: 401 });
    }
    expect(statesOf(it.guard, PROVIDER)).toEqual(ALL_READY);
    await it.guard.execute(chat(it.server.url), PROVIDER);
  });
});

describe('quotas that OpenAI enforces', () => {
  test('an organisation without credit rests for an hour, and its calls go elsewhere', async () => {
    const it = await world(SIBLINGS);
    it.server.setKeyState(fakeOpenAIKey('a1'), 'insufficient_quota');
    it.server.setKeyState(fakeOpenAIKey('a2'), 'insufficient_quota');
    const calls = async (count: number): Promise<string[]> => {
      const before = it.server.requests.length;
      for (let call = 0; call < count; call++) await it.guard.execute(chat(it.server.url), PROVIDER);
      return keyIds(it).slice(before);
    };
    expect(await calls(4)).toEqual(['a1', 'b', 'b', 'b', 'b']);
    await it.clock.advance(60 * MINUTE_MS - 1);
    expect(await calls(3)).toEqual(['b', 'b', 'b']);
    await it.clock.advance(1);
    expect((await calls(4)).filter(id => id.startsWith('a'))).toHaveLength(1);
  });

  test('a limit rests the organisation for as long as the header says', async () => {
    const it = await world({ a1: { organisation: 'org-a' }, a2: { organisation: 'org-a' } }, {
      organisations: { 'org-a': { rpm: 10 } },
    }, { pool: { maxWaitMs: MINUTE_MS } });
    const startedAt = it.clock.now();
    for (let call = 0; call < 11; call++) await it.answer(it.guard.execute(chat(it.server.url), PROVIDER));
    // One request comes back every 6 s.
    expect(it.clock.now() - startedAt).toBeGreaterThanOrEqual(6000);
    expect(it.clock.now() - startedAt).toBeLessThan(7000);
    expect(it.server.requests.filter(({ status }) => status === 429)).toHaveLength(1);
  });

  test('a request larger than the whole limit is not sent to every key', async () => {
    const it = await world(THREE, {
      organisations: { 'org-a': { tpm: 5 }, 'org-b': { tpm: 5 }, 'org-c': { tpm: 5 } },
    });
    const call = it.guard.execute(chat(it.server.url, 'a sentence of many more than five tokens'.repeat(9)), PROVIDER);
    expect(await failureOf(it.answer(call))).toBeInstanceOf(RateLimitError);
    expect(it.server.requests).toHaveLength(1);
    expect(statesOf(it.guard, PROVIDER)).toEqual(ALL_READY);
  });

  test('without a pool a limit is waited for', async () => {
    const clock = new ManualClock();
    const server = opened(
      await startOpenAI({
        clock,
        organisations: { org: { rpm: 1 } },
        keys: { [fakeOpenAIKey('own')]: { organisation: 'org' } },
      }),
    );
    const { guard, answer } = setUp({}, clock);
    const own = chat(server.url);
    const call = () => answer(guard.execute(context => own({ ...context, apiKey: fakeOpenAIKey('own') }), PROVIDER));
    await call();
    const startedAt = clock.now();
    expect((await call()).choices).toHaveLength(1);
    expect(clock.now() - startedAt).toBeGreaterThanOrEqual(MINUTE_MS);
  });

  test('reported usage is counted with the key, also when it comes with the last chunk of a stream', async () => {
    const it = await world({ a: { organisation: 'org-a', limits: { tpm: 1000 } } });
    const messages = [{ role: 'user' as const, content: 'good morning' }];
    await it.guard.execute(
      async context => {
        const { usage } = await openAI(it.server.url, context).chat.completions.create({ model: 'gpt-4o', messages });
        context.reportUsage({ inputTokens: usage?.prompt_tokens, outputTokens: usage?.completion_tokens, cost: 0.25 });
      },
      { providerName: PROVIDER, tokens: 500 },
    );
    expect(reportsOf(it.guard, PROVIDER)).toMatchObject([
      { inputTokens: 3, outputTokens: 6, cost: 0.25, quota: { tpm: { used: 9 } } },
    ]);

    let context!: CallContext;
    const chunks = await it.guard.execute(
      given => {
        context = given;
        return openAI(it.server.url, given).chat.completions.create({
          model: 'gpt-4o',
          messages,
          stream: true,
          stream_options: { include_usage: true },
        });
      },
      { providerName: PROVIDER, tokens: 500 },
    );
    expect(reportsOf(it.guard, PROVIDER)).toMatchObject([{ quota: { tpm: { used: 509 } } }]);
    for await (const { usage } of chunks) {
      if (usage) context.reportUsage({ inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens });
    }
    expect(reportsOf(it.guard, PROVIDER)).toMatchObject([
      { inputTokens: 6, outputTokens: 12, quota: { tpm: { used: 18 } } },
    ]);
  });
});

describe('trouble at OpenAI', () => {
  test('an attempt that hangs ends in its time, however the callback treats the signal', async () => {
    const it = await world(THREE, {}, { retry: { initialBackoffMs: 100 } });
    it.server.failNext(2, 'hang');
    const deaf = ({ apiKey = '' }: CallContext) =>
      openAI(it.server.url, { apiKey }).chat.completions.create({
        model: 'gpt-4o',
        messages: [{ role: 'user', content: 'hello' }],
      });
    const call = it.guard.execute(deaf, { providerName: PROVIDER, attemptTimeoutMs: 1000 });
    await it.server.arrived(1);
    await it.clock.advance(1000);
    await it.clock.advance(700);
    await it.server.arrived(2);
    await it.clock.advance(1000);
    expect((await it.answer(call)).choices).toHaveLength(1);
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  test('a deadline ends the call in the middle of a back-off', async () => {
    const it = await world(THREE, { outage: 'overloaded' }, { retry: { initialBackoffMs: 1000, jitterMs: 0 } });
    const startedAt = it.clock.now();
    const call = it.guard.execute(chat(it.server.url), { providerName: PROVIDER, deadlineMs: 2500 });
    expect(await failureOf(it.answer(call))).toMatchObject({ status: 503 });
    expect(it.clock.now() - startedAt).toBeLessThanOrEqual(2500);
    expect(it.clock.pending.foreground).toBe(0);
  });
});

describe('streams', () => {
  const stream = (it: World, options: object = {}) =>
    it.guard.execute(
      context =>
        openAI(it.server.url, context).chat.completions.create(
          { model: 'gpt-4o', messages: [{ role: 'user', content: 'good morning' }], stream: true },
          { signal: context.signal },
        ),
      { providerName: PROVIDER, ...options },
    );

  async function textOf(chunks: AsyncIterable<OpenAI.ChatCompletionChunk>): Promise<string> {
    let text = '';
    for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? '';
    return text;
  }

  test('a stream keeps its key until it ends', async () => {
    const it = await world(ONE);
    const chunks = await stream(it);
    expect(inFlight(it.guard, PROVIDER)).toBe(1);
    expect(await textOf(chunks)).toBe('You said: good morning');
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  test('a stream that is split keeps its key until one half has ended', async () => {
    const it = await world(ONE);
    const [left, right] = (await stream(it)).tee();
    expect(await textOf(left)).toBe('You said: good morning');
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
    expect(await textOf(right)).toBe('You said: good morning');
  });

  test('a stream sent on as a web stream gives the key back at its end', async () => {
    const it = await world(ONE);
    const reader = (await stream(it)).toReadableStream().getReader();
    expect(inFlight(it.guard, PROVIDER)).toBe(1);
    while (!(await reader.read()).done) expect(inFlight(it.guard, PROVIDER)).toBe(1);
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  test('the SDK\'s own way to stop a stream gives the key back, read or not', async () => {
    const it = await world(ONE, { chunkDelayMs: 1000 });
    (await stream(it)).controller.abort();
    await it.server.idle();
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  test('a reader who breaks off ends the stream upstream and gives the key back', async () => {
    const it = await world(ONE, { chunkDelayMs: 1000 });
    for await (const chunk of await stream(it)) {
      expect(chunk.object).toBe('chat.completion.chunk');
      break;
    }
    await it.server.idle();
    expect(it.server.requests).toMatchObject([{ aborted: true }]);
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  test.each(['reading on', 'reading no further'])('a caller who aborts, %s, ends the stream upstream', async how => {
    const it = await world(ONE, { chunkDelayMs: 1000 });
    const caller = new AbortController();
    const chunks = await stream(it, { signal: caller.signal });
    expect(inFlight(it.guard, PROVIDER)).toBe(1);
    if (how === 'reading on') {
      // The SDK ends an aborted stream quietly.
      for await (const chunk of chunks) caller.abort(chunk);
    } else {
      caller.abort();
    }
    await it.server.idle();
    expect(it.server.requests).toMatchObject([{ aborted: true }]);
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  test.each(['its text', 'events', 'iteration'])('the SDK\'s stream helper gives the key back (%s)', async how => {
    const it = await world(ONE);
    const helper = await it.guard.execute(
      context =>
        openAI(it.server.url, context).chat.completions.stream({
          model: 'gpt-4o',
          messages: [{ role: 'user', content: 'good morning' }],
        }),
      PROVIDER,
    );
    expect(inFlight(it.guard, PROVIDER)).toBe(1);
    if (how === 'its text') expect(await helper.finalContent()).toBe('You said: good morning');
    else if (how === 'events') await helper.done();
    else for await (const chunk of helper) expect(chunk.choices).toHaveLength(1);
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  test('a stream that breaks off gives the key back and its reader the error', async () => {
    const it = await world(ONE);
    it.server.failNext(1, 'stream_error_late');
    expect(await failureOf(textOf(await stream(it)))).toBeInstanceOf(APIError);
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  test('an abort after the end of the stream reaches nobody', async () => {
    const it = await world(ONE);
    const caller = new AbortController();
    let signal!: AbortSignal;
    const chunks = await it.guard.execute(
      context => {
        ({ signal } = context);
        return openAI(it.server.url, context).chat.completions.create({
          model: 'gpt-4o',
          messages: [{ role: 'user', content: 'hello' }],
          stream: true,
        });
      },
      { providerName: PROVIDER, signal: caller.signal },
    );
    await textOf(chunks);
    caller.abort();
    expect(signal.aborted).toBe(false);
  });
});

describe('plain fetch', () => {
  const url = (it: World): string => `${it.server.url}/v1/chat/completions`;
  const post = (it: World, stream = false) => ({ apiKey, signal }: Pick<CallContext, 'apiKey' | 'signal'>) =>
    fetch(url(it), {
      method: 'POST',
      headers: { authorization: `Bearer ${apiKey ?? ''}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }], stream }),
      signal,
    });

  test('a Response that is still 429 after all attempts is returned, and can be read', async () => {
    const it = await world(THREE, {
      organisations: { 'org-a': { rpm: 1 }, 'org-b': { rpm: 1 }, 'org-c': { rpm: 1 } },
    });
    // Somebody else has used the quota up.
    for (const name of ['a', 'b', 'c']) {
      await post(it)({ apiKey: fakeOpenAIKey(name), signal: new AbortController().signal });
    }
    const response = await it.answer(it.guard.execute(post(it), PROVIDER));
    expect(response.status).toBe(429);
    expect(await response.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    expect(it.server.requests.slice(3).map(({ status }) => status)).toEqual([429, 429, 429]);
  });

  test('a Response of a refused key is dropped, its connection with it, and the next key asked', async () => {
    const it = await world(THREE);
    it.server.setKeyState(fakeOpenAIKey('a'), 'revoked');
    const dropped: Response[] = [];
    const response = await it.guard.execute(async context => {
      const answer = await post(it)(context);
      if (!answer.ok) dropped.push(answer);
      return answer;
    }, PROVIDER);
    expect(await response.json()).toMatchObject({ object: 'chat.completion' });
    expect(dropped).toHaveLength(1);
    expect(await dropped[0]!.text().catch((error: unknown) => error)).toBeInstanceOf(TypeError);
  });

  test('a body that is being read keeps the key', async () => {
    const it = await world(ONE);
    const response = await it.guard.execute(post(it, true), PROVIDER);
    expect(inFlight(it.guard, PROVIDER)).toBe(1);
    expect(await response.text()).toContain('[DONE]');
    await settle();
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
  });

  /** An answer whose body never ends and says when it was given up. */
  function endless(status: number): { readonly response: Response; readonly cancelled: Promise<unknown> } {
    let cancel!: (reason: unknown) => void;
    const cancelled = new Promise(resolve => {
      cancel = resolve;
    });
    const body = new ReadableStream({
      start: controller => controller.enqueue(new TextEncoder().encode('{}')),
      cancel,
    });
    return { response: new Response(body, { status }), cancelled };
  }

  test('a caller who gives up during the back-off gives up the Response before it', async () => {
    const it = await world(THREE);
    const caller = new AbortController();
    const { response, cancelled } = endless(503);
    const call = failureOf(
      it.guard.execute(() => response, { providerName: PROVIDER, signal: caller.signal }),
    );
    // The body is read for two seconds at most, to see whose fault it is.
    await it.clock.advance(2000);
    caller.abort();
    expect(await call).toMatchObject({ code: 'ABORTED' });
    await cancelled;
  });

  test('a Response that comes after its attempt has timed out is dropped', async () => {
    const it = await world(THREE, {}, { retry: { maxRetries: 0 } });
    const { response, cancelled } = endless(200);
    let answer!: (response: Response) => void;
    const late = new Promise<Response>(resolve => {
      answer = resolve;
    });
    const call = failureOf(it.guard.execute(() => late, { providerName: PROVIDER, attemptTimeoutMs: 1000 }));
    await it.clock.advance(1000);
    expect(await call).toMatchObject({ code: 'ATTEMPT_TIMEOUT' });
    answer(response);
    await cancelled;
  });

  test('a Response of the right status from the wrong server is the caller\'s', async () => {
    const it = await world(THREE);
    const other = opened(await startScripted([{ status: 200, body: { ok: true } }]));
    const response = await it.guard.execute(() => fetch(other.url), PROVIDER);
    expect(await response.json()).toEqual({ ok: true });
  });
});

describe('many calls at once', () => {
  test('200 calls over five keys stay within every limit and are all answered', async () => {
    const FIVE: Keys = Object.fromEntries(
      ['a', 'b', 'c', 'd', 'e'].map(id => [id, { organisation: `org-${id}`, limits: { concurrency: 3, rpm: 20 } }]),
    );
    const it = await world(FIVE, {}, {
      queue: { maxQueueSize: 200 },
      pool: { maxWaitMs: 5 * MINUTE_MS },
    });
    const running = new Map<string, number>();
    let most = 0;
    const calls = Array.from({ length: 200 }, (_, number) =>
      it.guard.execute(async context => {
        const key = context.keyId!;
        running.set(key, (running.get(key) ?? 0) + 1);
        most = Math.max(most, ...running.values());
        try {
          return await chat(it.server.url, `number ${number}`)(context);
        } finally {
          running.set(key, running.get(key)! - 1);
        }
      }, PROVIDER),
    );
    const ends = await it.finish(...calls);
    expect(ends.map(end => (end.status === 'fulfilled' ? end.value.choices[0]?.message.content : 'failed'))).toEqual(
      Array.from({ length: 200 }, (_, number) => `You said: number ${number}`),
    );
    expect(most).toBe(3);
    for (const id of Object.keys(FIVE)) {
      const times = it.server.requests.filter(({ keyId }) => keyId === id).map(({ at }) => at);
      times.forEach((at, position) => {
        expect(times.filter(other => other >= at && other < at + MINUTE_MS).length, `key ${id}, request ${position}`)
          .toBeLessThanOrEqual(20);
      });
    }
    expect(it.server.requests).toHaveLength(200);
    expect(inFlight(it.guard, PROVIDER)).toBe(0);
    expect(it.clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('two providers side by side do not wait for each other', async () => {
    const clock = new ManualClock();
    const openai = opened(
      await startOpenAI({ clock, organisations: { org: {} }, keys: { [fakeOpenAIKey('a')]: { organisation: 'org' } } }),
    );
    const google = opened(
      await startGemini({
        clock,
        projects: { proj: {} },
        keys: { [fakeGeminiKey('a')]: { project: 'proj' } },
        outage: 'hang',
      }),
    );
    const { guard } = setUp({
      queue: { concurrency: 1, minDelayMs: 1000 },
      keyManagement: {
        providers: { openai: { keys: [fakeOpenAIKey('a')] }, '*gemini*': { keys: [fakeGeminiKey('a')] } },
      },
    }, clock);
    const caller = new AbortController();
    const stuck = [1, 2, 3].map(() =>
      failureOf(guard.execute(ask(google.url), { providerName: 'google-gemini', signal: caller.signal })),
    );
    await google.arrived(1);
    expect((await guard.execute(chat(openai.url), 'openai')).choices).toHaveLength(1);
    expect(google.requests).toHaveLength(1);
    caller.abort();
    for (const error of await Promise.all(stuck)) expect(error).toMatchObject({ code: 'ABORTED' });
  });
});

describe('callers of every kind', () => {
  test('a callback of nothing is called as it is', async () => {
    const it = await world(THREE);
    const client = openAI(it.server.url, { apiKey: fakeOpenAIKey('b') });
    const names: string[] = [];
    const work = async () => {
      for await (const { id } of client.models.list()) names.push(id);
    };
    await it.guard.execute(work);
    await it.guard.execute(work, PROVIDER);
    expect(names).toHaveLength(6);
  });

  test('a provider without a pool gets no key, and its own errors', async () => {
    const it = await world(THREE);
    const seen: CallContext[] = [];
    const error = await failureOf(
      it.guard.execute(context => {
        seen.push(context);
        return chat(it.server.url)({ ...context, apiKey: 'sk-of-my-own' });
      }, 'deepseek'),
    );
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(seen).toHaveLength(1);
    expect(seen[0]).not.toHaveProperty('apiKey');
    expect(seen[0]).toMatchObject({ keyId: undefined, provider: 'deepseek' });
    expect(reportsOf(it.guard, PROVIDER).map(({ requests }) => requests)).toEqual([0, 0, 0]);
  });
});
