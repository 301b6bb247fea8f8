import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { createGuardedFetch } from '../../src/fetch/index.ts';
import { resourceIn, resourcesUsed } from '../../src/fetch/resources.ts';
import { ExecutionGuard } from '../../src/index.ts';
import { fakeGeminiKey, fakeOpenAIKey, startGemini, startOpenAI } from '../support/loopback/index.ts';
import { event, opened, setUp } from './support.ts';

const NAMES = ['ann', 'ben', 'cleo'] as const;

describe('what an answer says was made', () => {
  test.each<[string, unknown, string | undefined]>([
    ['a file of OpenAI', { id: 'file-1234', object: 'file' }, 'file-1234'],
    ['a response of OpenAI', { id: 'resp_1234', object: 'response', output: [] }, 'resp_1234'],
    ['a response in an event', { type: 'response.created', response: { id: 'resp_1234', object: 'response' } }, 'resp_1234'],
    ['a file of Anthropic', { id: 'file_011C', type: 'file' }, 'file_011C'],
    ['a batch of Anthropic', { id: 'msgbatch_01', type: 'message_batch' }, 'msgbatch_01'],
    ['a cached content of Gemini', { name: 'cachedContents/abc' }, 'cachedContents/abc'],
    ['an uploaded file of Gemini', { file: { name: 'files/abc', uri: 'https://x/files/abc' } }, 'files/abc'],
    ['a video of OpenAI', { id: 'video_1', object: 'video' }, 'video_1'],
    ['a run of evaluations', { id: 'evalrun_1', object: 'eval.run' }, 'evalrun_1'],
    ['a file of Azure', { id: 'assistant-1234', object: 'file' }, 'assistant-1234'],
    ['a skill of Anthropic', { id: 'skill_01', type: 'skill' }, 'skill_01'],
    ['a session of Anthropic', { id: 'sesn_01', type: 'session' }, 'sesn_01'],
    ['an agent of Mistral', { id: 'ag_01', object: 'agent' }, 'ag_01'],
    ['an operation of Gemini', { name: 'operations/abc' }, 'operations/abc'],
    ['an operation of a model', { name: 'models/veo-3.0-generate/operations/abc' }, 'operations/abc'],
    ['an interaction in an event', { event_type: 'interaction.start', interaction: { id: 'v1_a', object: 'interaction' } }, 'v1_a'],
    ['no chat', { id: 'chatcmpl-1', object: 'chat.completion' }, undefined],
    ['no message', { id: 'msg_1', type: 'message' }, undefined],
    ['no model', { name: 'models/gemini' }, undefined],
    ['no kind without an id', { object: 'file' }, undefined],
    ['nothing', 'text', undefined],
  ])('%s', (_, answer, name) => {
    expect(resourceIn(answer)).toBe(name);
  });
});

describe('what a request may use', () => {
  const url = new URL('https://api.openai.com/v1/files/file-abcd/content?upload_id=up-1');

  const anything = { has: () => true };
  const known = (...names: string[]) => new Set(names);
  const plain = new URL('https://generativelanguage.googleapis.com/v1beta/models/flash:generateContent');

  test('stands in its address', () => {
    expect(resourcesUsed({ url }, undefined, known('up-1', 'file-abcd', 'files/file-abcd', 'resp_1'))).toEqual(
      ['file-abcd', 'files/file-abcd', 'up-1'],
    );
    const operation = new URL('https://x.test/v1beta/models/veo-3.0/operations/o1');
    expect(resourcesUsed({ url: operation }, undefined, known('operations/o1'))).toEqual(['operations/o1']);
    const action = new URL('https://x.test/v1beta/batches/b1:cancel?file=files%2Ff1');
    expect(resourcesUsed({ url: action }, undefined, known('batches/b1', 'files/f1'))).toEqual(['batches/b1', 'files/f1']);
    expect(resourcesUsed({ url: plain }, undefined, known('up-1'))).toEqual([]);
  });

  const json = '{"previous_response_id":"resp_12345","tools":[{"vector_store_ids":[ "vs_1" , "vs_2"]}]}';
  const bytes = new Uint8Array(Buffer.from(json));
  const form = new FormData();
  form.set('file_id', 'resp_12345');
  form.set('file', new Blob([json]));

  test.each([
    ['text', json, ['resp_12345', 'vs_2']],
    ['a Buffer', Buffer.from(json), ['resp_12345', 'vs_2']],
    ['an ArrayBuffer', bytes.buffer, ['resp_12345', 'vs_2']],
    ['a form', form, ['resp_12345']],
    ['parameters', new URLSearchParams({ a: 'vs_2' }), ['vs_2']],
    ['nothing', undefined, []],
    ['a blob', new Blob([json]), []],
  ])('stands in its body: %s', (_, body, names) => {
    expect(resourcesUsed({ url: plain }, body, known('resp_12345', 'vs_2', 'file-1'))).toEqual(names);
  });

  test('stands in Google\'s names and addresses, however their slashes are written', () => {
    const gemini = { cachedContent: 'cachedContents/a1', contents: [{ parts: [{ fileData: { fileUri: 'https://x/v1beta/files/b2' } }] }] };
    const body = JSON.stringify(gemini);
    for (const text of [body, body.replaceAll('/', '\\/')]) {
      expect(resourcesUsed({ url: plain }, text, known('cachedContents/a1', 'files/b2'))).toEqual(['cachedContents/a1', 'files/b2']);
    }
  });

  test('is no name that a text speaks of, nor the name of a member', () => {
    const said = 'what does the log line "open file-abc123 failed" mean? And "file-abc123"? Or see https://x/files/b2';
    const body = JSON.stringify({ messages: [{ content: said }], 'file-abc123': 1, path: String.raw`\file-abc123` });
    expect(resourcesUsed({ url: plain }, body, known('file-abc123', 'files/b2'))).toEqual([]);
  });

  test.each([5, 3000])('is not too far behind, nor one of too many: %s kB of text before it', kilobytes => {
    const others = Array.from({ length: 2000 }, (_, index) => `file-${10_000 + index}`);
    const body = JSON.stringify({ input: 'x'.repeat(kilobytes * 1024), others, id: 'resp_12345' });
    expect(resourcesUsed({ url: plain }, body, known('resp_12345'))).toEqual(['resp_12345']);
  });

  test('is no longer than names are', () => {
    expect(resourceIn({ id: `file-${'x'.repeat(300)}`, object: 'file' })).toBeUndefined();
    const value = 'x'.repeat(301);
    expect(resourcesUsed({ url: plain }, JSON.stringify({ value, a: 'file-1' }), anything)).not.toContain(value);
  });
});

describe('a file that one key has uploaded', () => {
  test('is found again by the OpenAI SDK, though others take their turn', async () => {
    const server = opened(
      await startOpenAI({
        organisations: Object.fromEntries(NAMES.map(name => [name, {}])),
        keys: Object.fromEntries(NAMES.map(name => [fakeOpenAIKey(name), { id: name, organisation: name }])),
      }),
    );
    const keys = NAMES.map(id => ({ id, key: fakeOpenAIKey(id) }));
    const { guard } = setUp({ keyManagement: { maxWaitMs: 0, providers: { openai: { keys } } } });
    const fetch = createGuardedFetch(guard, { provider: 'openai' });
    const client = new OpenAI({ apiKey: 'guard', baseURL: `${server.url}/v1`, fetch, maxRetries: 0 });
    await client.models.list();
    const { id } = await client.files.create({ file: new File(['{}'], 'batch.jsonl'), purpose: 'batch' });
    for (let turn = 0; turn < 3; turn++) {
      expect((await client.files.retrieve(id)).id).toBe(id);
      await client.models.list();
    }
    const keyIds = server.requests.filter(({ path }) => path.startsWith('/v1/files')).map(({ keyId }) => keyId);
    expect(new Set(keyIds)).toEqual(new Set(['ben']));
    expect(new Set(server.requests.map(({ keyId }) => keyId)).size).toBe(3);
  });

  test('is uploaded to one key of Gemini in all its parts', async () => {
    const server = opened(
      await startGemini({
        projects: Object.fromEntries(NAMES.map(name => [name, {}])),
        keys: Object.fromEntries(NAMES.map(name => [fakeGeminiKey(name), { id: name, project: name }])),
      }),
    );
    const keys = NAMES.map(id => ({ id, key: fakeGeminiKey(id) }));
    const { guard } = setUp({ keyManagement: { maxWaitMs: 0, providers: { gemini: { keys } } } });
    const fetch = createGuardedFetch(guard, { provider: 'gemini' });
    const client = new GoogleGenAI({ apiKey: 'guard', httpOptions: { baseUrl: server.url, fetch } });
    for (let turn = 0; turn < 2; turn++) {
      const before = server.requests.length;
      const file = await client.files.upload({ file: new Blob(['hello'], { type: 'text/plain' }) });
      const contents = [{ fileData: { fileUri: file.uri ?? '', mimeType: 'text/plain' } }, 'What is this?'];
      await client.models.generateContent({ model: 'gemini-2.5-flash', contents });
      const used = server.requests.slice(before).map(({ keyId }) => keyId);
      expect(used.length).toBeGreaterThanOrEqual(3);
      expect(new Set(used).size).toBe(1);
    }
  });
});

/** Whose key a stand-in for OpenAI was called with, call by call. */
function recording(answer: () => Response, pool: object = {}) {
  const guard = opened(
    new ExecutionGuard(
      { keyManagement: { providers: { openai: { keys: NAMES.map(id => ({ id, key: `secret-of-${id}` })), ...pool } } } },
      { env: {} },
    ),
  );
  const used: (string | null)[] = [];
  const fetch = createGuardedFetch(guard, {
    fetch: (_, init) => {
      used.push(new Headers(init?.headers).get('authorization'));
      return Promise.resolve(answer());
    },
  });
  const post = async (body: object): Promise<string> =>
    (await fetch('https://api.openai.com/v1/responses', { method: 'POST', body: JSON.stringify(body) })).text();
  return { post, used };
}

test('a response that a stream has begun is gone on with by its key', async () => {
  const response = { id: 'resp_12345', object: 'response' };
  const { post, used } = recording(
    () =>
      new Response(
        event({ type: 'response.created', response }) + event({ type: 'response.output_text.delta', delta: 'hi' }),
        { headers: { 'content-type': 'text/event-stream' } },
      ),
  );
  await post({ input: 'hello' });
  for (let turn = 0; turn < 3; turn++) await post({ input: 'more', previous_response_id: 'resp_12345' });
  expect(new Set(used)).toEqual(new Set(['Bearer secret-of-ann']));
});

test.each([
  ['session', (turn: number) => ({ prompt_cache_key: 'chat-1', input: `turn ${turn}` })],
  ['prompt', (turn: number) => ({ messages: [{ role: 'user', content: 'hello' }, { role: 'user', content: `turn ${turn}` }] })],
  ['prompt', (turn: number) => ({ input: 'hello', temperature: turn })],
])('the %s of a request keeps it on one key', async (affinity, bodyOf) => {
  const { post, used } = recording(() => new Response('{}'), { affinity });
  for (let turn = 0; turn < 4; turn++) await post(bodyOf(turn));
  expect(new Set(used).size).toBe(1);
});

test('a function for affinity sees the address, the headers and the body', async () => {
  const seen: unknown[] = [];
  const affinity = (request: { url: string; headers: Headers; body: unknown }): string => {
    seen.push(request.url, request.headers instanceof Headers, request.body, request.body);
    return 'one';
  };
  const { post, used } = recording(() => new Response('{}'), { affinity });
  for (let turn = 0; turn < 3; turn++) await post({ turn });
  expect(seen.slice(0, 4)).toEqual(['https://api.openai.com/v1/responses', true, { turn: 0 }, { turn: 0 }]);
  expect(new Set(used).size).toBe(1);
});
