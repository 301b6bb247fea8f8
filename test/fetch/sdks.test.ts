import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ApiError, GoogleGenAI } from '@google/genai';
import { streamText } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import OpenAI, { APIError, APIUserAbortError, AuthenticationError, NotFoundError, RateLimitError } from 'openai';
import type TogetherClient from 'together-ai';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createGuardedFetch } from '../../src/fetch/index.ts';
import type { ExecutionGuard } from '../../src/index.ts';
import {
  fakeGeminiAuthKey,
  fakeGeminiKey,
  fakeOpenAIKey,
  startGemini,
  startOpenAI,
  type GeminiServer,
  type OpenAIServer,
} from '../support/loopback/index.ts';
import { settle } from '../support/manual-clock.ts';
import { failureOf, FLASH, MINUTE_MS, opened, reportsOf, setUp, type Setup } from '../integration/harness.ts';

// What every SDK is to do stands in the matrix; this is what is special about one.

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** Its uploads work as CommonJS alone: as an ES module it finds no `require` to load its file functions with. */
const Together = createRequire(import.meta.url)('together-ai') as typeof TogetherClient;

const NAMES = ['ann', 'ben', 'cleo'] as const;

interface OpenAIWorld extends Setup {
  readonly server: OpenAIServer;
  readonly client: OpenAI;
}

/** Three organisations with a key each, and one client that knows none of them. */
async function openAIWorld(description: object = {}): Promise<OpenAIWorld> {
  const server = opened(
    await startOpenAI({
      organisations: Object.fromEntries(NAMES.map(name => [name, {}])),
      keys: Object.fromEntries(NAMES.map(name => [fakeOpenAIKey(name), { id: name, organisation: name }])),
      ...description,
    }),
  );
  const keys = NAMES.map(id => ({ id, key: fakeOpenAIKey(id) }));
  const setup = setUp({
    retry: { maxRetries: 1 },
    keyManagement: {
      maxWaitMs: 0,
      providers: { openai: { keys }, 'openai-files': { keys: keys.filter(({ id }) => id === 'ben') } },
    },
  });
  return { ...setup, server, client: clientOf('openai', server, setup.guard) };
}

function clientOf(pool: string, server: OpenAIServer, guard: ExecutionGuard): OpenAI {
  return new OpenAI({ apiKey: `guard:${pool}`, baseURL: `${server.url}/v1`, fetch: createGuardedFetch(guard) });
}

function say(client: OpenAI, content = 'hello', options?: OpenAI.RequestOptions) {
  return client.chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content }] }, options);
}

function stream(client: OpenAI, options?: OpenAI.RequestOptions) {
  return client.chat.completions.create(
    {
      model: 'gpt-4o',
      messages: [{ role: 'user', content: 'a long question' }],
      stream: true,
      stream_options: { include_usage: true },
    },
    options,
  );
}

describe('the OpenAI SDK', () => {
  test('gets the refusal of the provider when every key is refused, after one round', async () => {
    const { client, server } = await openAIWorld();
    for (const name of NAMES) server.setKeyState(fakeOpenAIKey(name), 'invalid_key');
    // The SDK's own retries are left on: it is told not to make any.
    expect(await failureOf(say(client))).toBeInstanceOf(AuthenticationError);
    expect(server.requests).toHaveLength(3);
  });

  test('gets a 429 with the time to wait, at once, when the whole pool is resting', async () => {
    const { client, server } = await openAIWorld({
      organisations: Object.fromEntries(NAMES.map(name => [name, { rpm: 1 }])),
    });
    // Somebody else has used the quota up.
    for (const name of NAMES) {
      await say(new OpenAI({ apiKey: fakeOpenAIKey(name), baseURL: `${server.url}/v1` }));
    }
    const last = await failureOf(say(client));
    expect(last).toBeInstanceOf(RateLimitError);
    expect(server.requests).toHaveLength(6);

    const refused = await failureOf(say(client));
    expect(server.requests).toHaveLength(6);
    if (!(refused instanceof APIError)) throw new Error('not an answer');
    expect(refused.status).toBe(429);
    expect(refused.code).toBe('POOL_EXHAUSTED');
    expect(Number(new Headers(refused.headers as Headers).get('retry-after'))).toBeGreaterThan(0);
  });

  test('does see one that comes after some content: the beginning is out', async () => {
    const { client, server } = await openAIWorld();
    server.failNext(1, 'stream_error_late');
    let text = '';
    const reading = async (): Promise<void> => {
      for await (const chunk of await stream(client)) text += chunk.choices[0]?.delta.content ?? '';
    };
    expect(await failureOf(reading())).toBeInstanceOf(APIError);
    expect(text).not.toBe('');
    expect(server.requests).toHaveLength(1);
  });

  test('hears of its abort before the answer as its own', async () => {
    const { client, server } = await openAIWorld({ outage: 'hang' });
    const controller = new AbortController();
    const call = failureOf(say(client, 'hello', { signal: controller.signal }));
    await server.arrived(1);
    controller.abort();
    expect(await call).toBeInstanceOf(APIUserAbortError);
    await server.idle();
  });
});

describe('files of the OpenAI SDK', () => {
  const file = (): File => new File(['{"custom_id":"1"}'], 'batch.jsonl');

  /** With a key of its own: the guard does not learn whose the file is. */
  async function uploadedBefore({ server }: OpenAIWorld): Promise<string> {
    const earlier = new OpenAI({ apiKey: fakeOpenAIKey('ben'), baseURL: `${server.url}/v1` });
    const { id } = await earlier.files.create({ file: file(), purpose: 'batch' });
    return id;
  }

  test('that the guard knows nothing of are not found with the key of another organisation', async () => {
    const world = await openAIWorld();
    const id = await uploadedBefore(world);
    expect(await failureOf(world.client.files.retrieve(id))).toBeInstanceOf(NotFoundError);
  });

  test('that the guard knows nothing of are found through a pool of their organisation alone', async () => {
    const world = await openAIWorld();
    const id = await uploadedBefore(world);
    const { files } = clientOf('openai-files', world.server, world.guard);
    for (let i = 0; i < 3; i++) expect(await files.retrieve(id)).toMatchObject({ id, bytes: 17 });
  });
});

describe('the AI SDK', () => {
  test('says of a refusal at the beginning of a stream in onError, and ends the text', async () => {
    const { server, guard } = await openAIWorld();
    for (const name of NAMES) server.setKeyState(fakeOpenAIKey(name), 'invalid_key');
    const openai = createOpenAI({
      apiKey: 'guard:openai',
      baseURL: `${server.url}/v1`,
      fetch: createGuardedFetch(guard),
    });
    const errors: unknown[] = [];
    const { textStream } = streamText({
      model: openai('gpt-4o'),
      prompt: 'hello',
      maxRetries: 0,
      onError: ({ error }) => void errors.push(error),
    });
    let text = '';
    for await (const piece of textStream) text += piece;
    expect(text).toBe('');
    expect(errors).toMatchObject([{ statusCode: 401 }]);
  });
});

describe('files of the Together SDK', () => {
  const LINE = '{"text":"hello"}\n';

  interface Sent {
    readonly url: URL;
    readonly key: string | null;
    readonly body: string;
  }

  /** Uploads with a client that has a guarded fetch of its own, while `globally` makes the one of the platform. */
  async function upload(globally: (guard: ExecutionGuard, wire: typeof fetch) => typeof fetch): Promise<Sent[]> {
    const { guard } = setUp({ keyManagement: { providers: { together: { keys: ['secret'] } } } });
    const sent: Sent[] = [];
    const wire: typeof fetch = async (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      const body = await new Response(init?.body).text();
      sent.push({ url, key: new Headers(init?.headers).get('authorization'), body });
      if (url.host === 'storage.test') return new Response();
      if (init?.method !== 'POST') return Response.json({ id: 'file-1' });
      const headers = { location: 'https://storage.test/file-1?signature=1', 'x-together-file-id': 'file-1' };
      return new Response(undefined, { status: 302, headers });
    };
    vi.stubGlobal('fetch', globally(guard, wire));
    const client = new Together({ apiKey: 'guard', fetch: createGuardedFetch(guard, { fetch: wire }) });
    const directory = await mkdtemp(path.join(tmpdir(), 'execution-guard-'));
    try {
      const lines = path.join(directory, 'lines.jsonl');
      await writeFile(lines, LINE);
      await client.files.upload(lines, 'fine-tune', false);
    } finally {
      await rm(directory, { recursive: true });
    }
    return sent;
  }

  test('go past the fetch it was given, with the key it was given', async () => {
    const [announced, stored, retrieved] = await upload((_, wire) => wire);
    expect([announced?.url.pathname, announced?.key]).toEqual(['/v1/files', 'Bearer guard']);
    expect(stored?.body).toBe(LINE);
    expect([retrieved?.url.pathname, retrieved?.key]).toEqual(['/v1/files/file-1', 'Bearer secret']);
  });

  test('have a key of the pool where the fetch of the platform is guarded, and their storage has none', async () => {
    const sent = await upload((guard, wire) => createGuardedFetch(guard, { fetch: wire }));
    expect(sent.map(({ url, key }) => [url.host, key])).toEqual([
      ['api.together.xyz', 'Bearer secret'],
      ['storage.test', null],
      ['api.together.ai', 'Bearer secret'],
    ]);
  });
});

interface GeminiWorld extends Setup {
  readonly server: GeminiServer;
  readonly client: GoogleGenAI;
}

async function geminiWorld(
  secrets: Readonly<Record<string, string>>,
  projects: Readonly<Record<string, object>> = {},
): Promise<GeminiWorld> {
  const names = Object.keys(secrets);
  const server = opened(
    await startGemini({
      projects: Object.fromEntries(names.map(name => [name, projects[name] ?? {}])),
      keys: Object.fromEntries(names.map(name => [secrets[name]!, { id: name, project: name }])),
    }),
  );
  const keys = names.map(id => ({ id, key: secrets[id]! }));
  const setup = setUp({ keyManagement: { maxWaitMs: 0, providers: { 'google-gemini': { keys } } } });
  const client = new GoogleGenAI({
    apiKey: 'guard:google-gemini',
    httpOptions: { baseUrl: server.url, fetch: createGuardedFetch(setup.guard) },
  });
  return { ...setup, server, client };
}

describe('the Gemini SDK', () => {
  const secrets = { ann: fakeGeminiKey('ann'), ben: fakeGeminiAuthKey('ben') };

  test('moves on when a project has used up its minute, for that model alone', async () => {
    const { client, server, guard } = await geminiWorld(secrets, { ann: { rpm: 1 } });
    for (let i = 0; i < 2; i++) await client.models.generateContent({ model: FLASH, contents: 'hello' });
    await client.models.generateContent({ model: 'gemini-2.5-pro', contents: 'hello' });
    expect(server.requests.map(({ keyId }) => keyId)).toEqual(['ann', 'ben', 'ann']);
    expect(reportsOf(guard, 'google-gemini')[0]).toMatchObject({ inputTokens: 4, outputTokens: 8 });
  });

  test.each([
    [1, { maxRetries: 0 }, 'a 503'],
    [1, { maxRetries: 0 }, 'no connection'],
    [5, {}, 'a 503'],
    [5, {}, 'no connection'],
  ])('asks %d times for an interaction that fails, with the options %o and %s', async (times, options, failure) => {
    const { guard } = setUp({
      retry: { maxRetries: 0 },
      keyManagement: { providers: { 'google-gemini': { keys: [secrets.ann] } } },
    });
    let asked = 0;
    const wire: typeof fetch = () => {
      asked++;
      if (failure === 'no connection') return Promise.reject(new TypeError('fetch failed'));
      return Promise.resolve(Response.json({ error: { code: 503, message: 'overloaded' } }, { status: 503 }));
    };
    const { interactions } = new GoogleGenAI({
      apiKey: 'guard',
      httpOptions: { fetch: createGuardedFetch(guard, { fetch: wire }) },
    });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const state = { isOver: false };
    void failureOf(interactions.create({ model: FLASH, input: 'hello' }, options)).then(() => {
      state.isOver = true;
    });
    while (!state.isOver) {
      await settle();
      vi.advanceTimersByTime(MINUTE_MS);
    }
    expect(asked).toBe(times);
  });

  test('is not shown the key that the provider repeats in its refusal', async () => {
    const { client, server } = await geminiWorld(secrets);
    for (const secret of Object.values(secrets)) server.setKeyState(secret, 'suspended');
    const error = await failureOf(client.models.generateContent({ model: FLASH, contents: 'hello' }));
    if (!(error instanceof ApiError)) throw error;
    expect(error.status).toBe(403);
    expect(error.message).toContain('CONSUMER_SUSPENDED');
    for (const secret of Object.values(secrets)) expect(error.message).not.toContain(secret);
    expect(error.message).toContain('AQ.…');
  });
});
