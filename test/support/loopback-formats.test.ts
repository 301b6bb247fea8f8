import { afterEach, describe, expect, test } from 'vitest';
import { anthropic, azure, cohere, compatible, mistral, startLoopback } from './loopback/index.ts';
import type { Breakage, CommonFailure, GroupLimits, Provider } from './loopback/index.ts';

/*
 * What the servers say is what the providers' documentation says of them. Where an answer differs from one
 * provider to the next it stands here in full.
 */

const NOON_UTC = Date.UTC(2026, 6, 1, 12);

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

interface Api {
  readonly provider: () => Provider<never>;
  readonly path: string;
  readonly model: string;
  /** The header that has the key; `authorization` when absent. */
  readonly keyHeader?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly fields?: object;
}

const VERSION = { 'anthropic-version': '2023-06-01' };

const APIS = {
  anthropic: {
    provider: () => anthropic(),
    path: '/v1/messages',
    model: 'claude-sonnet-4-6',
    keyHeader: 'x-api-key',
    headers: VERSION,
    fields: { max_tokens: 100 },
  },
  azure: {
    provider: () => azure(),
    path: '/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21',
    model: 'gpt-4o',
    keyHeader: 'api-key',
  },
  cohere: { provider: () => cohere(), path: '/v2/chat', model: 'command-a-03-2025' },
  deepseek: { provider: () => compatible('deepseek'), path: '/chat/completions', model: 'deepseek-chat' },
  fireworks: {
    provider: () => compatible('fireworks'),
    path: '/inference/v1/chat/completions',
    model: 'accounts/fireworks/models/llama-v3p3-70b-instruct',
  },
  groq: {
    provider: () => compatible('groq'),
    path: '/openai/v1/chat/completions',
    model: 'llama-3.3-70b-versatile',
  },
  mistral: { provider: () => mistral(), path: '/v1/chat/completions', model: 'mistral-small-latest' },
  openrouter: {
    provider: () => compatible('openrouter'),
    path: '/api/v1/chat/completions',
    model: 'openai/gpt-4o',
  },
  together: {
    provider: () => compatible('together'),
    path: '/v1/chat/completions',
    model: 'meta-llama/Llama-3.3-70B-Instruct-Turbo',
  },
  xai: { provider: () => compatible('xai'), path: '/v1/chat/completions', model: 'grok-4' },
} satisfies Record<string, Api>;

type Name = keyof typeof APIS;

interface Question {
  /** In its place; none where it is empty. */
  readonly key?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly stream?: boolean;
  readonly fields?: object;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Of the headers those that speak of limits. */
  readonly limits: Readonly<Record<string, string>>;
  readonly text: string;
  readonly body: unknown;
}

type Ask = (question?: Question) => Promise<Answer>;

/** Serves the API to one key, `good`, at noon; time stands still. */
async function serve(name: Name, limits: GroupLimits = {}, outage?: CommonFailure | Breakage): Promise<Ask> {
  const api: Api = APIS[name];
  const server = await startLoopback(api.provider(), {
    clock: () => NOON_UTC,
    groups: { acme: limits },
    keys: { good: { group: 'acme' } },
    ...(outage !== undefined && { outage }),
  });
  open.push(server);
  const { keyHeader = 'authorization' } = api;
  return async ({ key = 'good', path = api.path, headers = api.headers, stream = false, fields } = {}) => {
    const response = await fetch(server.url + path, {
      method: 'POST',
      headers: { ...(key && { [keyHeader]: keyHeader === 'authorization' ? `Bearer ${key}` : key }), ...headers },
      body: JSON.stringify({
        model: api.model,
        messages: [{ role: 'user', content: 'hello' }],
        stream,
        ...api.fields,
        ...fields,
      }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      limits: Object.fromEntries([...response.headers].filter(([header]) => /ratelimit|retry-after/.test(header))),
      text,
      body: stream ? undefined : (JSON.parse(text) as unknown),
    };
  };
}

/** What the events of a stream say, `[DONE]` left out. */
function dataOf(text: string): Record<string, unknown>[] {
  return [...text.matchAll(/^data: (\{.*)$/gm)].map(([, json = '']) => JSON.parse(json) as Record<string, unknown>);
}

const NO_LIMITS = {};

test.each<[Name, object]>([
  [
    'anthropic',
    {
      'anthropic-ratelimit-requests-limit': '10',
      'anthropic-ratelimit-requests-remaining': '9',
      'anthropic-ratelimit-requests-reset': '2026-07-01T12:00:06Z',
      'anthropic-ratelimit-input-tokens-limit': '1000',
      'anthropic-ratelimit-input-tokens-remaining': '998',
      'anthropic-ratelimit-input-tokens-reset': '2026-07-01T12:00:01Z',
    },
  ],
  [
    'azure',
    {
      'x-ratelimit-limit-requests': '10',
      'x-ratelimit-remaining-requests': '9',
      'x-ratelimit-reset-requests': '6',
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '998',
      'x-ratelimit-reset-tokens': '1',
    },
  ],
  ['cohere', NO_LIMITS],
  ['deepseek', NO_LIMITS],
  [
    'fireworks',
    {
      'x-ratelimit-limit-requests': '10',
      'x-ratelimit-remaining-requests': '9',
      'x-ratelimit-reset-requests': '6s',
      'x-ratelimit-limit-tokens-prompt': '1000',
      'x-ratelimit-remaining-tokens-prompt': '998',
      'x-ratelimit-reset-tokens-prompt': '120ms',
    },
  ],
  [
    // The day's requests beside the minute's tokens.
    'groq',
    {
      'x-ratelimit-limit-requests': '100',
      'x-ratelimit-remaining-requests': '99',
      'x-ratelimit-reset-requests': '14m24s',
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '998',
      'x-ratelimit-reset-tokens': '120ms',
    },
  ],
  [
    'mistral',
    {
      'x-ratelimit-limit-req-minute': '10',
      'x-ratelimit-remaining-req-minute': '9',
      'x-ratelimit-limit-tokens-minute': '1000',
      'x-ratelimit-remaining-tokens-minute': '998',
    },
  ],
  ['openrouter', NO_LIMITS],
  ['together', NO_LIMITS],
  ['xai', NO_LIMITS],
])('an answer of %s says of its limits what that API says', async (name, headers) => {
  const ask = await serve(name, { rpm: 10, tpm: 1000, rpd: 100 });
  const { status, limits } = await ask();
  expect(status).toBe(200);
  expect(limits).toEqual(headers);
});

test.each<[Name, number, object]>([
  [
    'anthropic',
    401,
    {
      type: 'error',
      error: { type: 'authentication_error', message: 'invalid x-api-key' },
      request_id: 'req_00000001',
    },
  ],
  ['azure', 401, { error: { code: '401', message: expect.stringContaining('or wrong API endpoint') as string } }],
  ['cohere', 401, { id: 'req_00000001', message: 'invalid api token' }],
  [
    'deepseek',
    401,
    {
      error: {
        message: 'Authentication Fails, Your api key: ****body is invalid',
        type: 'authentication_error',
        param: null,
        code: 'invalid_request_error',
      },
    },
  ],
  [
    'fireworks',
    401,
    {
      error: {
        object: 'error',
        type: 'invalid_request_error',
        code: 'UNAUTHORIZED',
        message: 'The API key is invalid.',
      },
    },
  ],
  [
    'groq',
    401,
    { error: { message: 'Invalid API Key', type: 'invalid_request_error', code: 'invalid_api_key' } },
  ],
  ['mistral', 401, { detail: 'Unauthorized' }],
  ['openrouter', 401, { error: { code: 401, message: 'User not found.' } }],
  [
    'together',
    401,
    {
      error: {
        message: 'Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys.',
        type: 'invalid_request_error',
        param: null,
        code: 'invalid_api_key',
      },
    },
  ],
  [
    // A 400, and the error is a text.
    'xai',
    400,
    {
      code: 'Client specified an invalid argument',
      error: expect.stringContaining('Incorrect API key provided') as string,
    },
  ],
])('%s refuses a key nobody knows with %i', async (name, status, body) => {
  const ask = await serve(name);
  expect(await ask({ key: 'nobody' })).toMatchObject({ status, body });
});

test.each<[Name, object, object]>([
  [
    'anthropic',
    {
      'retry-after': '60',
      'anthropic-ratelimit-requests-limit': '1',
      'anthropic-ratelimit-requests-remaining': '0',
      'anthropic-ratelimit-requests-reset': '2026-07-01T12:01:00Z',
    },
    {
      type: 'error',
      error: {
        type: 'rate_limit_error',
        message: expect.stringContaining('rate limit of 1 requests per minute (model: claude-sonnet-4-6)') as string,
      },
    },
  ],
  [
    'azure',
    {
      'retry-after': '60',
      'x-ratelimit-limit-requests': '1',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '60',
    },
    { error: { code: '429', message: expect.stringContaining('Please retry after 60 seconds.') as string } },
  ],
  ['cohere', NO_LIMITS, { message: expect.stringContaining('limited to 10 API calls / minute') as string }],
  [
    'deepseek',
    NO_LIMITS,
    { error: { message: 'Rate limit reached', type: 'rate_limit_error', code: 'invalid_request_error' } },
  ],
  [
    'fireworks',
    {
      'x-ratelimit-over-limit': 'yes',
      'x-ratelimit-limit-requests': '1',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '1m0s',
    },
    { error: { code: 'RATE_LIMIT_EXCEEDED', message: 'Rate limit exceeded, please try again later' } },
  ],
  [
    'groq',
    { 'retry-after': '60' },
    {
      error: {
        message: expect.stringContaining(
          'requests per minute (RPM): Limit 1, Used 1, Requested 1. Please try again in 1m0s.',
        ) as string,
        type: 'requests',
        code: 'rate_limit_exceeded',
      },
    },
  ],
  [
    'mistral',
    { 'x-ratelimit-limit-req-minute': '1', 'x-ratelimit-remaining-req-minute': '0' },
    { object: 'error', message: 'Rate limit exceeded', type: 'rate_limited', code: '1300', raw_status_code: 429 },
  ],
  [
    'openrouter',
    {
      'x-ratelimit-limit': '1',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': String(NOON_UTC + 60_000),
    },
    {
      error: {
        code: 429,
        message: 'Rate limit exceeded',
        metadata: { headers: { 'X-RateLimit-Reset': String(NOON_UTC + 60_000) }, provider_name: null },
      },
    },
  ],
  ['together', NO_LIMITS, { error: { type: 'model_rate_limit', code: null } }],
  [
    'xai',
    NO_LIMITS,
    { code: 'Some resource has been exhausted', error: expect.stringContaining('1 of 1 per minute') as string },
  ],
])('%s says that its minute is used up, and when it is back where the API says it', async (name, headers, body) => {
  const ask = await serve(name, { rpm: 1 });
  expect((await ask()).status).toBe(200);
  const { status, limits, body: refusal } = await ask();
  expect(status).toBe(429);
  expect(limits).toEqual(headers);
  expect(refusal).toMatchObject(body);
});

test.each<[Name, number, object]>([
  ['anthropic', 529, { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }],
  ['azure', 503, { error: { code: 'server_is_overloaded' } }],
  ['cohere', 503, { message: 'service unavailable' }],
  ['deepseek', 503, { error: { type: 'service_unavailable' } }],
  ['fireworks', 503, { error: { code: 'SERVICE_UNAVAILABLE' } }],
  ['groq', 503, { error: { message: 'Service Unavailable', type: 'internal_server_error' } }],
  ['mistral', 503, { object: 'error', code: '3000', raw_status_code: 503 }],
  [
    'openrouter',
    502,
    { error: { code: 502, metadata: { error_type: 'provider_unavailable', provider_name: 'Novita' } } },
  ],
  ['together', 503, { error: { message: 'The engine is overloaded' } }],
  ['xai', 503, { code: 'The service is currently unavailable', error: 'Overloaded' }],
])('%s is overloaded with %i', async (name, status, body) => {
  const ask = await serve(name, {}, 'overloaded');
  expect(await ask()).toMatchObject({ status, body });
});

const CHAT_USAGE = { prompt_tokens: 2, completion_tokens: 4, total_tokens: 6 };

test.each<[Name, object]>([
  ['azure', { choices: [{ finish_reason: 'stop' }] }],
  ['cohere', { type: 'message-end', delta: { usage: { billed_units: { input_tokens: 2, output_tokens: 4 } } } }],
  ['deepseek', { choices: [{ finish_reason: 'stop' }] }],
  ['fireworks', { choices: [{ finish_reason: 'stop' }], usage: CHAT_USAGE }],
  ['groq', { choices: [{ finish_reason: 'stop' }], x_groq: { usage: CHAT_USAGE } }],
  ['mistral', { choices: [{ finish_reason: 'stop' }], usage: CHAT_USAGE }],
  ['openrouter', { choices: [], usage: CHAT_USAGE }],
  ['together', { choices: [{ finish_reason: 'stop' }], usage: CHAT_USAGE }],
  ['xai', { choices: [], usage: CHAT_USAGE }],
])('a stream of %s that was asked for nothing more ends as that API ends it', async (name, last) => {
  const ask = await serve(name);
  const { text, headers } = await ask({ stream: true });
  expect(headers.get('content-type')).toMatch(/^text\/event-stream/);
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
  const events = dataOf(text);
  expect(events.at(-1)).toMatchObject(last);
  expect(events.filter((event) => 'usage' in event || 'x_groq' in event)).toHaveLength(
    'usage' in last || 'x_groq' in last ? 1 : 0,
  );
});

test.each(['azure', 'deepseek'] as const)('a stream of %s says what it used where it is asked', async (name) => {
  const ask = await serve(name);
  const { text } = await ask({ stream: true, fields: { stream_options: { include_usage: true } } });
  expect(dataOf(text).at(-1)).toMatchObject({ choices: [], usage: CHAT_USAGE });
});

test.each<[Name, string, object]>([
  ['anthropic', 'event: error\n', { type: 'error', error: { type: 'overloaded_error' } }],
  ['azure', '', { error: { code: 'server_is_overloaded' } }],
  ['cohere', 'event: message-end\n', { delta: { finish_reason: 'ERROR' } }],
  ['groq', '', { error: { type: 'internal_server_error' } }],
  ['mistral', '', { object: 'error', code: '3000' }],
  ['openrouter', '', { error: { metadata: { error_type: 'provider_unavailable' } } }],
])('an error in a stream of %s is an event', async (name, line, error) => {
  const ask = await serve(name, {}, 'stream_error_late');
  const { status, text } = await ask({ stream: true });
  expect(status).toBe(200);
  const events = text.trimEnd().split('\n\n');
  expect(events).toHaveLength(3);
  expect(events.at(-1)?.startsWith(`${line}data: `)).toBe(true);
  expect(dataOf(text).at(-1)).toMatchObject(error);
});

describe('anthropic', () => {
  test('takes the key from either header, and says whose it is', async () => {
    const ask = await serve('anthropic');
    for (const question of [{}, { key: '', headers: { ...VERSION, authorization: 'Bearer good' } }]) {
      const answer = await ask(question);
      expect(answer.headers.get('anthropic-organization-id')).toBe('acme');
      expect(answer.headers.get('request-id')).toMatch(/^req_\d+$/);
    }
  });

  test.each([
    ['anthropic-version: header is required', { headers: {} }],
    ['max_tokens: Field required', { fields: { max_tokens: undefined } }],
  ])('wants what the API wants: %s', async (message, question) => {
    const ask = await serve('anthropic');
    const body = { type: 'error', error: { type: 'invalid_request_error', message } };
    expect(await ask(question)).toMatchObject({ status: 400, body });
  });

  test('counts input tokens, without what is not known before the answer', async () => {
    const ask = await serve('anthropic', { tpm: 2 });
    expect((await ask()).status).toBe(200);
    const { status, limits, text } = await ask();
    expect(status).toBe(429);
    expect(limits).toMatchObject({
      'retry-after': '60',
      'anthropic-ratelimit-input-tokens-remaining': '0',
      'anthropic-ratelimit-input-tokens-reset': '2026-07-01T12:01:00Z',
    });
    expect(text).toContain('2 input tokens per minute');
  });

  test('streams a message from its start to its stop, and counts up what it uses', async () => {
    const ask = await serve('anthropic');
    const { text } = await ask({ stream: true });
    expect(text).toMatch(/^event: message_start\ndata: /);
    const events = dataOf(text);
    expect([...new Set(events.map(({ type }) => type))]).toEqual([
      'message_start',
      'content_block_start',
      'ping',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    expect(events[0]).toMatchObject({ message: { usage: { input_tokens: 2, output_tokens: 1 } } });
    expect(events.at(-2)).toMatchObject({ usage: { output_tokens: 4 } });
  });
});

describe('azure', () => {
  const DEPLOYMENTS = '/openai/deployments';

  test('takes no bearer token for a key', async () => {
    const ask = await serve('azure');
    expect(await ask({ key: '', headers: { authorization: 'Bearer good' } })).toMatchObject({ status: 401 });
  });

  test('wants the version of the API, and finds models by their deployment', async () => {
    const ask = await serve('azure');
    expect(await ask({ path: `${DEPLOYMENTS}/gpt-4o/chat/completions` })).toMatchObject({ status: 400 });
    const lost = await ask({ path: `${DEPLOYMENTS}/nothing/chat/completions?api-version=2024-10-21` });
    expect(lost).toMatchObject({ status: 404, body: { error: { code: 'DeploymentNotFound' } } });
  });

  test('begins a stream with its verdict on the prompt', async () => {
    const ask = await serve('azure');
    const [first] = dataOf((await ask({ stream: true })).text);
    expect(first).toMatchObject({ choices: [], prompt_filter_results: [] });
  });
});

describe('groq', () => {
  test.each([
    [{ tpm: 2 }, 'tokens', 'per minute (TPM): Limit 2, Used 2, Requested 2. Please try again in 1m0s.', '60'],
    [{ rpd: 1 }, 'requests', 'per day (RPD): Limit 1, Used 1, Requested 1. Please try again in 24h0m0s.', '86400'],
  ])('names the limit that was hit: %o', async (limits, type, words, retryAfter) => {
    const ask = await serve('groq', limits);
    await ask();
    const refused = await ask();
    expect(refused).toMatchObject({ status: 429, body: { error: { type } } });
    expect(refused.text).toContain(`on ${type} ${words}`);
    expect(refused.headers.get('retry-after')).toBe(retryAfter);
  });
});

test('cohere bills less than it counts', async () => {
  const ask = await serve('cohere');
  const { body } = await ask();
  expect(body).toMatchObject({
    usage: {
      billed_units: { input_tokens: 2, output_tokens: 4 },
      tokens: { input_tokens: 502, output_tokens: 4 },
    },
  });
});

test.each<[Name, number, object]>([
  ['cohere', 404, { message: "model 'nothing' not found" }],
  ['mistral', 400, { object: 'error', message: 'Invalid model: nothing', code: '1500' }],
  ['anthropic', 404, { error: { type: 'not_found_error', message: 'model: nothing' } }],
])('%s knows no other models', async (name, status, body) => {
  const ask = await serve(name);
  expect(await ask({ fields: { model: 'nothing' } })).toMatchObject({ status, body });
});
