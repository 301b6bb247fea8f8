import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, experimental_transcribe, generateText, RetryError, streamText } from 'ai';
import type { LanguageModel } from 'ai';
import {
  anthropic,
  fakeAnthropicKey,
  fakeGeminiKey,
  fakeOpenAIKey,
  gemini,
  openAI,
} from '../../support/loopback/index.ts';
import type { Adapter, Client, Connection } from './adapter.ts';

function talks(model: LanguageModel, { retries }: Connection): Client {
  const settings = retries ? {} : { maxRetries: 0 };
  return {
    say: async (prompt) => (await generateText({ model, prompt, ...settings })).text,
    stream: (prompt, abortSignal) => streamText({ model, prompt, abortSignal, ...settings }).textStream,
  };
}

function status(error: unknown): number | undefined {
  const last: unknown = RetryError.isInstance(error) ? error.lastError : error;
  return APICallError.isInstance(last) ? last.statusCode : undefined;
}

export const adapters: readonly Adapter[] = [
  {
    name: 'ai with @ai-sdk/openai',
    pool: 'openai',
    host: 'api.openai.com',
    server: () => openAI(),
    secret: fakeOpenAIKey,
    connect: (it) => {
      const { apiKey, fetch, origin } = it;
      const provider = createOpenAI({ apiKey, fetch, ...(origin !== undefined && { baseURL: `${origin}/v1` }) });
      return {
        ...talks(provider('gpt-4o'), it),
        upload: async (file) =>
          experimental_transcribe({
            model: provider.transcription('whisper-1'),
            audio: await file.bytes(),
            maxRetries: 0,
          }),
      };
    },
    status,
    ownRetries: { onServerError: 3, onNetworkError: 3 },
    timeoutMs: 'never',
    upload: { path: '/v1/audio/transcriptions' },
  },
  {
    name: 'ai with @ai-sdk/openai, chat completions',
    pool: 'openai',
    host: 'api.openai.com',
    server: () => openAI(),
    secret: fakeOpenAIKey,
    connect: (it) => {
      const { apiKey, fetch, origin } = it;
      const provider = createOpenAI({ apiKey, fetch, ...(origin !== undefined && { baseURL: `${origin}/v1` }) });
      return talks(provider.chat('gpt-4o'), it);
    },
    status,
    ownRetries: { onServerError: 3, onNetworkError: 3 },
    timeoutMs: 'never',
    upload: { none: 'the same as above' },
  },
  {
    name: 'ai with @ai-sdk/anthropic',
    pool: 'anthropic',
    host: 'api.anthropic.com',
    server: () => anthropic(),
    secret: fakeAnthropicKey,
    connect: (it) => {
      const { apiKey, fetch, origin } = it;
      const provider = createAnthropic({ apiKey, fetch, ...(origin !== undefined && { baseURL: `${origin}/v1` }) });
      return talks(provider('claude-sonnet-4-6'), it);
    },
    status,
    ownRetries: { onServerError: 3, onNetworkError: 3 },
    timeoutMs: 'never',
    upload: { none: 'it sends files inside its prompts' },
  },
  {
    name: 'ai with @ai-sdk/google',
    pool: 'gemini',
    host: 'generativelanguage.googleapis.com',
    server: () => gemini(),
    secret: fakeGeminiKey,
    connect: (it) => {
      const { apiKey, fetch, origin } = it;
      const provider = createGoogleGenerativeAI({
        apiKey,
        fetch,
        ...(origin !== undefined && { baseURL: `${origin}/v1beta` }),
      });
      return talks(provider('gemini-2.5-flash'), it);
    },
    status,
    ownRetries: { onServerError: 3, onNetworkError: 3 },
    timeoutMs: 'never',
    upload: { none: 'it sends files inside its prompts' },
  },
];
