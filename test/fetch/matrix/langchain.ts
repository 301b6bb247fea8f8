import { ChatAnthropic } from '@langchain/anthropic';
import type { BaseChatModel } from '@langchain/core/language_models/chat_models';
import { ChatOpenAI } from '@langchain/openai';
import { anthropic, fakeAnthropicKey, fakeOpenAIKey, openAI } from '../../support/loopback/index.ts';
import type { Adapter, Client } from './adapter.ts';

function talks(model: BaseChatModel): Client {
  return {
    say: async (prompt) => (await model.invoke(prompt)).text,
    async *stream(prompt, signal) {
      for await (const chunk of await model.stream(prompt, { signal })) yield chunk.text;
    },
  };
}

/** It hands on the error of the SDK below, with fields of its own. */
function status(error: unknown): number | undefined {
  return error instanceof Error && 'status' in error && typeof error.status === 'number' ? error.status : undefined;
}

const none = 'it sends files inside its prompts';

export const adapters: readonly Adapter[] = [
  {
    name: '@langchain/openai, ChatOpenAI',
    pool: 'openai',
    host: 'api.openai.com',
    server: () => openAI(),
    secret: fakeOpenAIKey,
    connect: ({ apiKey, fetch, origin, retries }) =>
      talks(
        new ChatOpenAI({
          model: 'gpt-4o',
          apiKey,
          ...(!retries && { maxRetries: 0 }),
          configuration: { fetch, ...(origin !== undefined && { baseURL: `${origin}/v1` }) },
        }),
      ),
    status,
    ownRetries: { onServerError: 7, onNetworkError: 7 },
    timeoutMs: 600_000,
    upload: { none },
  },
  {
    name: '@langchain/anthropic, ChatAnthropic',
    pool: 'anthropic',
    host: 'api.anthropic.com',
    server: () => anthropic(),
    secret: fakeAnthropicKey,
    connect: ({ apiKey, fetch, origin, retries }) =>
      talks(
        new ChatAnthropic({
          model: 'claude-sonnet-4-6',
          apiKey,
          ...(!retries && { maxRetries: 0 }),
          clientOptions: { fetch, ...(origin !== undefined && { baseURL: origin }) },
        }),
      ),
    status,
    ownRetries: { onServerError: 7, onNetworkError: 7 },
    timeoutMs: 600_000,
    upload: { none },
  },
];
