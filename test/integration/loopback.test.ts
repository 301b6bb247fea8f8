import { ApiError, GoogleGenAI } from '@google/genai';
import OpenAI, {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  toFile,
} from 'openai';
import { afterEach, describe, expect, test } from 'vitest';
import {
  fakeGeminiAuthKey,
  fakeGeminiKey,
  fakeOpenAIKey,
  startGemini,
  startOpenAI,
} from '../support/loopback/index.ts';
import type { Breakage, CommonFailure, GeminiFailure, OpenAIFailure } from '../support/loopback/index.ts';
import { isRecord } from '../support/loopback/json.ts';

const FLASH = 'gemini-2.5-flash';

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

/** What the promise rejects with. */
async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('the call succeeded');
}

describe('the Gemini SDK against the loopback server', () => {
  async function gemini(key = fakeGeminiKey('a')) {
    const server = await startGemini({
      projects: { 'proj-a': { rpm: 100, rpd: 1000, tpm: 100_000 } },
      keys: { [fakeGeminiKey('a')]: { project: 'proj-a' }, [fakeGeminiAuthKey('b')]: { project: 'proj-a' } },
    });
    open.push(server);
    return { server, ai: new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: server.url } }) };
  }

  test.each([fakeGeminiKey('a'), fakeGeminiAuthKey('b')])('generates with either shape of key', async (key) => {
    const { server, ai } = await gemini(key);
    const answer = await ai.models.generateContent({ model: FLASH, contents: 'good morning' });
    expect(answer.text).toBe('You said: good morning');
    expect(answer.usageMetadata).toMatchObject({ promptTokenCount: 3, candidatesTokenCount: 6, totalTokenCount: 9 });
    expect(server.requests).toMatchObject([{ model: FLASH, group: 'proj-a', status: 200, kind: 'ok' }]);
  });

  test('streams in pieces with usage that counts up', async () => {
    const { ai } = await gemini();
    const texts: string[] = [];
    const totals: number[] = [];
    for await (const chunk of await ai.models.generateContentStream({ model: FLASH, contents: 'good morning' })) {
      texts.push(chunk.text ?? '');
      totals.push(chunk.usageMetadata?.candidatesTokenCount ?? 0);
    }
    expect(texts).toHaveLength(4);
    expect(texts.join('')).toBe('You said: good morning');
    expect(totals).toEqual([2, 3, 5, 6]);
  });

  test.each(['v1', 'v1beta'])('speaks API version %s', async (apiVersion) => {
    const { server } = await gemini();
    const ai = new GoogleGenAI({ apiKey: fakeGeminiKey('a'), httpOptions: { baseUrl: server.url, apiVersion } });
    expect((await ai.models.generateContent({ model: FLASH, contents: 'hi' })).text).toBe('You said: hi');
    expect(server.requests[0]?.path).toBe(`/${apiVersion}/models/${FLASH}:generateContent`);
  });

  test('counts tokens and lists models', async () => {
    const { ai } = await gemini();
    expect((await ai.models.countTokens({ model: FLASH, contents: 'good morning' })).totalTokens).toBe(3);
    const names: unknown[] = [];
    for await (const model of await ai.models.list()) names.push(model.name);
    expect(names).toContain(`models/${FLASH}`);
  });

  const failures: readonly (readonly [GeminiFailure | CommonFailure, number, string, string])[] = [
    ['missing_key', 403, 'PERMISSION_DENIED', 'unregistered callers'],
    ['revoked', 400, 'INVALID_ARGUMENT', 'API_KEY_INVALID'],
    ['expired', 400, 'INVALID_ARGUMENT', 'API key expired'],
    ['leaked', 403, 'PERMISSION_DENIED', 'reported as leaked'],
    ['suspended', 403, 'PERMISSION_DENIED', `api_key:${fakeGeminiKey('a')}`],
    ['key_blocked', 403, 'PERMISSION_DENIED', 'API_KEY_HTTP_REFERRER_BLOCKED'],
    ['service_disabled', 403, 'PERMISSION_DENIED', 'SERVICE_DISABLED'],
    ['location', 400, 'FAILED_PRECONDITION', 'User location'],
    ['unknown_model', 404, 'NOT_FOUND', `models/${FLASH} is not found`],
    ['rpm', 429, 'RESOURCE_EXHAUSTED', 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier'],
    ['rpd', 429, 'RESOURCE_EXHAUSTED', 'GenerateRequestsPerDayPerProjectPerModel-FreeTier'],
    ['capacity', 429, 'RESOURCE_EXHAUSTED', 'MODEL_CAPACITY_EXHAUSTED'],
    ['overloaded', 503, 'UNAVAILABLE', 'The model is overloaded'],
    ['internal', 500, 'INTERNAL', 'An internal error'],
    ['deadline', 504, 'DEADLINE_EXCEEDED', 'timed out'],
  ];
  test.each(failures)('%s reads as an ApiError %i with the whole body', async (kind, code, status, words) => {
    const { server, ai } = await gemini();
    server.failNext(1, kind);
    const error = await failureOf(ai.models.generateContent({ model: FLASH, contents: 'hello' }));
    if (!(error instanceof ApiError)) throw error;
    expect(error.status).toBe(code);
    expect(error.message).toContain(words);
    expect(JSON.parse(error.message)).toMatchObject({ error: { code, status } });
    expect(server.requests).toMatchObject([{ status: code, kind }]);
  });

  test('a bad key of the newer shape is refused as a token', async () => {
    const { ai } = await gemini(fakeGeminiAuthKey('nobody'));
    const error = await failureOf(ai.models.generateContent({ model: FLASH, contents: 'hello' }));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 401 });
    expect(String(error)).toContain('ACCESS_TOKEN_TYPE_UNSUPPORTED');
  });

  test('a model nobody serves is not found', async () => {
    const { ai } = await gemini();
    const error = await failureOf(ai.models.generateContent({ model: 'gemini-0', contents: 'hello' }));
    expect(error).toMatchObject({ status: 404 });
  });

  const streams: readonly (readonly [Breakage, number])[] = [
    ['stream_error', 0],
    ['stream_error_late', 2],
    ['cut', 2],
  ];
  test.each(streams)('a stream broken by %s fails after %i chunks', async (kind, expected) => {
    const { server, ai } = await gemini();
    server.failNext(1, kind);
    let chunks = 0;
    const error = await failureOf(
      (async () => {
        for await (const chunk of await ai.models.generateContentStream({ model: FLASH, contents: 'good morning' })) {
          if (chunk.text) chunks += 1;
        }
      })(),
    );
    expect(chunks).toBe(expected);
    if (kind === 'cut') expect(error).not.toBeInstanceOf(ApiError);
    else expect(error).toMatchObject({ status: 503 });
  });

  test('a call that hangs ends with its abort', async () => {
    const { server, ai } = await gemini();
    server.setOutage('hang');
    const controller = new AbortController();
    const config = { abortSignal: controller.signal };
    const failed = failureOf(ai.models.generateContent({ model: FLASH, contents: 'hello', config }));
    await server.arrived(1);
    controller.abort();
    expect(await failed).toMatchObject({ name: 'AbortError' });
    await server.idle();
    expect(server.requests).toMatchObject([{ aborted: true }]);
  });
});

describe('the OpenAI SDK against the loopback server', () => {
  const messages = [{ role: 'user' as const, content: 'good morning' }];
  const question = { model: 'gpt-4o', messages };

  async function openAI(key = fakeOpenAIKey('a')) {
    const server = await startOpenAI({
      organisations: { 'org-a': { rpm: 100, tpm: 10_000 } },
      keys: { [fakeOpenAIKey('a')]: { organisation: 'org-a' } },
    });
    open.push(server);
    return { server, client: new OpenAI({ apiKey: key, baseURL: `${server.url}/v1`, maxRetries: 0 }) };
  }

  test('completes a chat with rate headers', async () => {
    const { server, client } = await openAI();
    const { data, response } = await client.chat.completions.create(question).withResponse();
    expect(data.choices[0]?.message.content).toBe('You said: good morning');
    expect(data.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 6 });
    expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('99');
    expect(response.headers.get('x-ratelimit-reset-requests')).toBe('600ms');
    expect(server.requests).toMatchObject([{ keyId: 'key-1', group: 'org-a', model: 'gpt-4o', status: 200 }]);
  });

  test.each([true, false])('streams; the usage chunk comes when asked for (%s)', async (includeUsage) => {
    const { client } = await openAI();
    const stream = await client.chat.completions.create({
      ...question,
      stream: true,
      ...(includeUsage && { stream_options: { include_usage: true } }),
    });
    const texts: string[] = [];
    let completionTokens: number | undefined;
    for await (const chunk of stream) {
      const text = chunk.choices[0]?.delta.content;
      if (text) texts.push(text);
      completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
    }
    expect(texts).toHaveLength(4);
    expect(texts.join('')).toBe('You said: good morning');
    expect(completionTokens).toBe(includeUsage ? 6 : undefined);
  });

  test('responds, lists models and takes files', async () => {
    const { client } = await openAI();
    const response = await client.responses.create({ model: 'gpt-4o', input: 'good morning' });
    expect(response.output_text).toBe('You said: good morning');
    expect(response.usage).toMatchObject({ input_tokens: 3, output_tokens: 6 });
    const names: string[] = [];
    for await (const model of client.models.list()) names.push(model.id);
    expect(names).toContain('gpt-4o');
    const file = await client.files.create({ file: await toFile(Buffer.from('{}'), 'b.jsonl'), purpose: 'batch' });
    expect(await client.files.retrieve(file.id)).toMatchObject({ filename: 'b.jsonl', bytes: 2 });
  });

  const failures: readonly (readonly [
    OpenAIFailure | CommonFailure,
    number,
    string | null,
    abstract new (...parts: never) => APIError,
  ])[] = [
    ['missing_key', 401, null, AuthenticationError],
    ['revoked', 401, 'invalid_api_key', AuthenticationError],
    ['deactivated', 401, 'account_deactivated', AuthenticationError],
    ['missing_scope', 401, 'missing_scope', AuthenticationError],
    ['no_model_access', 403, 'model_not_found', PermissionDeniedError],
    ['location', 403, 'unsupported_country_region_territory', PermissionDeniedError],
    ['unknown_model', 404, 'model_not_found', NotFoundError],
    ['bad_request', 400, null, BadRequestError],
    ['rpm', 429, 'rate_limit_exceeded', RateLimitError],
    ['insufficient_quota', 429, 'insufficient_quota', RateLimitError],
    ['internal', 500, null, InternalServerError],
    ['overloaded', 503, 'server_is_overloaded', InternalServerError],
  ];
  test.each(failures)('%s reads as the SDK\'s own %i', async (kind, status, code, type) => {
    const { server, client } = await openAI();
    server.failNext(1, kind);
    const error = await failureOf(client.chat.completions.create(question));
    if (!(error instanceof APIError)) throw error;
    expect(error).toBeInstanceOf(type);
    expect(error).toMatchObject({ status, code, requestID: 'req_00000001' });
    expect(server.requests).toMatchObject([{ status, kind }]);
  });

  test('a bad key is echoed in part only', async () => {
    const { client } = await openAI(fakeOpenAIKey('nobody'));
    const error = await failureOf(client.chat.completions.create(question));
    expect(error).toMatchObject({ status: 401, code: 'invalid_api_key' });
    expect(String(error)).toMatch(/Incorrect API key provided: sk-proj-\*+body\./);
  });

  test('a limit says when to come back, in words and in headers', async () => {
    const { server, client } = await openAI();
    server.failNext(1, 'rpm');
    const error = await failureOf(client.chat.completions.create(question));
    if (!(error instanceof RateLimitError)) throw error;
    expect(error.headers.get('retry-after-ms')).toBe('38000');
    expect(error.message).toContain('Please try again in 38s.');
    expect(isRecord(error.error) && error.error.type).toBe('requests');
  });

  const streams: readonly (readonly [Breakage, string])[] = [
    ['stream_error', ''],
    ['stream_error_late', 'You sa'],
    ['cut', 'You said: go'],
  ];
  test.each(streams)('a stream broken by %s fails after "%s"', async (kind, before) => {
    const { server, client } = await openAI();
    server.failNext(1, kind);
    let text = '';
    const error = await failureOf(
      (async () => {
        for await (const chunk of await client.chat.completions.create({ ...question, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? '';
        }
      })(),
    );
    expect(text).toBe(before);
    if (kind === 'cut') expect(error).not.toBeInstanceOf(APIError);
    else expect(error).toMatchObject({ code: 'server_is_overloaded' });
  });

  test('broken connections, silence and aborts read as such', async () => {
    const { server, client } = await openAI();
    server.failNext(1, 'reset');
    const reset = await failureOf(client.chat.completions.create(question));
    expect(reset).toBeInstanceOf(APIConnectionError);
    expect(reset).not.toBeInstanceOf(APIConnectionTimeoutError);

    server.setOutage('hang');
    const controller = new AbortController();
    const failed = failureOf(client.chat.completions.create(question, { signal: controller.signal }));
    await server.arrived(2);
    controller.abort();
    expect(await failed).toBeInstanceOf(APIUserAbortError);
    await server.idle();
    expect(server.requests).toMatchObject([
      { kind: 'reset', aborted: false },
      { kind: 'hang', aborted: true },
    ]);
  });
});
