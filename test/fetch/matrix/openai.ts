import OpenAI, { APIError, AzureOpenAI } from 'openai';
import { azure, compatible, fakeOpenAIKey, openAI } from '../../support/loopback/index.ts';
import type { Compatible } from '../../support/loopback/index.ts';
import { fakeSecret } from './adapter.ts';
import type { Adapter, Client, Connection } from './adapter.ts';

const status = (error: unknown): number | undefined =>
  error instanceof APIError ? (error.status as number | undefined) : undefined;

function chats(client: OpenAI, model: string): Client {
  return {
    say: async (content) => {
      const answer = await client.chat.completions.create({ model, messages: [{ role: 'user', content }] });
      return answer.choices[0]?.message.content ?? '';
    },
    async *stream(content, signal) {
      const chunks = await client.chat.completions.create(
        { model, messages: [{ role: 'user', content }], stream: true, stream_options: { include_usage: true } },
        { signal },
      );
      for await (const chunk of chunks) yield chunk.choices[0]?.delta.content ?? '';
    },
  };
}

function options({ apiKey, fetch, retries }: Connection): { apiKey: string; fetch: typeof fetch; maxRetries?: 0 } {
  return { apiKey, fetch, ...(!retries && { maxRetries: 0 }) };
}

/** The SDK with the address of somebody else's API. */
function elsewhere(name: Compatible, title: string, baseURL: string, model: string, prefix: string): Adapter {
  const { host, pathname } = new URL(baseURL);
  return {
    name: `openai for ${title}`,
    pool: name,
    host,
    server: () => compatible(name),
    secret: fakeSecret(prefix),
    connect: (it) =>
      chats(new OpenAI({ ...options(it), baseURL: it.origin === undefined ? baseURL : it.origin + pathname }), model),
    status,
    ownRetries: { onServerError: 1, onNetworkError: 3 },
    timeoutMs: 600_000,
    upload: { none: `${title} takes no files in this way` },
  };
}

const own: Adapter = {
  name: 'openai',
  pool: 'openai',
  host: 'api.openai.com',
  server: () => openAI(),
  secret: fakeOpenAIKey,
  connect: (it) => {
    const client = new OpenAI({ ...options(it), ...(it.origin !== undefined && { baseURL: `${it.origin}/v1` }) });
    return { ...chats(client, 'gpt-4o'), upload: (file) => client.files.create({ file, purpose: 'batch' }) };
  },
  status,
  ownRetries: { onServerError: 1, onNetworkError: 3 },
  timeoutMs: 600_000,
  upload: { path: '/v1/files' },
};

const onAzure: Adapter = {
  name: 'openai, AzureOpenAI',
  pool: 'azure',
  host: 'acme.openai.azure.com',
  server: () => azure(),
  secret: fakeSecret(''),
  connect: (it) => {
    const endpoint = it.origin ?? 'https://acme.openai.azure.com';
    const client = new AzureOpenAI({ ...options(it), endpoint, apiVersion: '2024-10-21' });
    return { ...chats(client, 'gpt-4o'), upload: (file) => client.files.create({ file, purpose: 'batch' }) };
  },
  status,
  ownRetries: { onServerError: 1, onNetworkError: 3 },
  timeoutMs: 600_000,
  upload: { path: '/openai/files' },
};

export const adapters: readonly Adapter[] = [
  own,
  onAzure,
  elsewhere('openrouter', 'OpenRouter', 'https://openrouter.ai/api/v1', 'openai/gpt-4o', 'sk-or-v1-'),
  elsewhere('xai', 'xAI', 'https://api.x.ai/v1', 'grok-4', 'xai-'),
  elsewhere('deepseek', 'DeepSeek', 'https://api.deepseek.com', 'deepseek-chat', 'sk-'),
  elsewhere(
    'fireworks',
    'Fireworks',
    'https://api.fireworks.ai/inference/v1',
    'accounts/fireworks/models/llama-v3p3-70b-instruct',
    'fw_',
  ),
];
