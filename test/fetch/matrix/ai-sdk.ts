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

type Endpoint = Pick<Connection, 'apiKey' | 'fetch'> & { readonly baseURL?: string };

/** `path` follows the origin where a server stands at another address than the provider's own. */
function endpointOf({ apiKey, fetch, origin }: Connection, path: string): Endpoint {
  return { apiKey, fetch, ...(origin !== undefined && { baseURL: `${origin}${path}` }) };
}

function adapter(its: Omit<Adapter, 'status' | 'ownRetries' | 'timeoutMs'>): Adapter {
  return { ...its, status, ownRetries: { onServerError: 3, onNetworkError: 3 }, timeoutMs: 'never' };
}

const openAIHost = { pool: 'openai', host: 'api.openai.com', server: () => openAI(), secret: fakeOpenAIKey };

export const adapters: readonly Adapter[] = [
  adapter({
    ...openAIHost,
    name: 'ai with @ai-sdk/openai',
    connect: (it) => {
      const provider = createOpenAI(endpointOf(it, '/v1'));
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
    upload: { path: '/v1/audio/transcriptions' },
  }),
  adapter({
    ...openAIHost,
    name: 'ai with @ai-sdk/openai, chat completions',
    connect: (it) => talks(createOpenAI(endpointOf(it, '/v1')).chat('gpt-4o'), it),
    upload: { none: 'the same as above' },
  }),
  adapter({
    name: 'ai with @ai-sdk/anthropic',
    pool: 'anthropic',
    host: 'api.anthropic.com',
    server: () => anthropic(),
    secret: fakeAnthropicKey,
    connect: (it) => talks(createAnthropic(endpointOf(it, '/v1'))('claude-sonnet-4-6'), it),
    upload: { none: 'it sends files inside its prompts' },
  }),
  adapter({
    name: 'ai with @ai-sdk/google',
    pool: 'gemini',
    host: 'generativelanguage.googleapis.com',
    server: () => gemini(),
    secret: fakeGeminiKey,
    connect: (it) => talks(createGoogleGenerativeAI(endpointOf(it, '/v1beta'))('gemini-2.5-flash'), it),
    upload: { none: 'it sends files inside its prompts' },
  }),
];
