import { ApiError, GoogleGenAI } from '@google/genai';
import OpenAI, { APIError, APIUserAbortError, AuthenticationError, RateLimitError } from 'openai';
import { describe, expect, test } from 'vitest';
import { createGuardedFetch } from '../../src/fetch/index.ts';
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
import { failureOf, FLASH, inFlight, opened, reportsOf, setUp, statesOf, type Setup } from '../integration/harness.ts';

const NAMES = ['ann', 'ben', 'cleo'] as const;

interface OpenAIWorld extends Setup {
  readonly server: OpenAIServer;
  readonly client: OpenAI;
}

/** Three organisations with a key each, and one client that knows none of them. */
async function openAIWorld(description: object = {}, pool: object = {}): Promise<OpenAIWorld> {
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
    keyManagement: { maxWaitMs: 0, providers: { openai: { keys, ...pool } } },
  });
  const client = new OpenAI({
    apiKey: 'guard:openai',
    baseURL: `${server.url}/v1`,
    fetch: createGuardedFetch(setup.guard),
  });
  return { ...setup, server, client };
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
  test('has its requests spread over the keys, and knows none of them', async () => {
    const { client, server } = await openAIWorld();
    for (let i = 0; i < 4; i++) await say(client);
    expect(server.requests.map(({ keyId }) => keyId)).toEqual(['ann', 'ben', 'cleo', 'ann']);
  });

  test('does not notice that a key was revoked', async () => {
    const { client, server, guard } = await openAIWorld();
    server.setKeyState(fakeOpenAIKey('ann'), 'invalid_key');
    const answer = await say(client);
    expect(answer.choices[0]?.message.content).toBe('You said: hello');
    expect(statesOf(guard, 'openai')).toEqual({ ann: 'disabled', ben: 'ready', cleo: 'ready' });
    await say(client);
    expect(server.requests.map(({ keyId }) => keyId)).toEqual(['ann', 'ben', 'cleo']);
  });

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
    for (let i = 0; i < 3; i++) await say(client);
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

  test('streams through a key that works, and what was used is booked on it', async () => {
    const { client, server, guard } = await openAIWorld();
    server.setKeyState(fakeOpenAIKey('ann'), 'invalid_key');
    let text = '';
    for await (const chunk of await stream(client)) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('You said: a long question');
    const [, ben] = reportsOf(guard, 'openai');
    expect([ben?.inputTokens, ben?.outputTokens]).toEqual([4, 7]);
    await settle();
    expect(inFlight(guard, 'openai')).toBe(0);
  });

  test('never sees an error that comes before the content', async () => {
    const { client, server, finish } = await openAIWorld();
    server.failNext(1, 'stream_error');
    let text = '';
    const [opening] = await finish(stream(client));
    if (opening?.status !== 'fulfilled') throw new Error('no stream');
    for await (const chunk of opening.value) text += chunk.choices[0]?.delta.content ?? '';
    expect(text).toBe('You said: a long question');
    expect(server.requests).toHaveLength(2);
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

  test('can abort in mid-stream: the request ends and the key is back', async () => {
    const { client, server, guard } = await openAIWorld({ outage: 'stall' });
    const controller = new AbortController();
    const answer = await stream(client, { signal: controller.signal });
    expect(inFlight(guard, 'openai')).toBe(1);
    for await (const chunk of answer) if (chunk.choices[0]?.delta.content) break;
    controller.abort();
    await server.idle();
    await settle();
    expect(server.requests[0]?.aborted).toBe(true);
    expect(inFlight(guard, 'openai')).toBe(0);
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

  test('uploads a file again with another key', async () => {
    const { client, server } = await openAIWorld();
    server.setKeyState(fakeOpenAIKey('ann'), 'invalid_key');
    const file = new File(['{"custom_id":"1"}'], 'batch.jsonl');
    const uploaded = await client.files.create({ file, purpose: 'batch' });
    expect(uploaded).toMatchObject({ bytes: 17, filename: 'batch.jsonl' });
    expect(server.requests.map(({ keyId, path }) => `${keyId} ${path}`)).toEqual(['ann /v1/files', 'ben /v1/files']);
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

  test('streams, and is failed over where the stream begins with an error', async () => {
    const { client, server, finish } = await geminiWorld(secrets);
    server.failNext(1, 'stream_error');
    const [opening] = await finish(client.models.generateContentStream({ model: FLASH, contents: 'hello' }));
    if (opening?.status !== 'fulfilled') throw new Error('no stream');
    let text = '';
    for await (const chunk of opening.value) text += chunk.text ?? '';
    expect(text).toBe('You said: hello');
    expect(server.requests).toHaveLength(2);
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
