import Groq, { APIError as GroqError } from 'groq-sdk';
import Together, { APIError as TogetherError } from 'together-ai';
import { compatible } from '../../support/loopback/index.ts';
import { fakeSecret } from './adapter.ts';
import type { Adapter, Client, Connection } from './adapter.ts';

/** The part of both SDKs that the matrix uses; they were made with one generator. */
interface Sdk {
  readonly chat: {
    readonly completions: {
      create(body: Question): PromiseLike<{ choices: { message?: { content?: string | null } | null }[] }>;
      create(
        body: Question & { stream: true },
        options: { signal: AbortSignal },
      ): PromiseLike<AsyncIterable<{ choices: { delta: { content?: string | null } }[] }>>;
    };
  };
}

interface Question {
  model: string;
  messages: { role: 'user'; content: string }[];
}

/** `path` follows the origin where a server stands at another address than the provider's own. */
function settingsOf({ apiKey, fetch, origin, retries }: Connection, path: string) {
  return { apiKey, fetch, ...(!retries && { maxRetries: 0 }), ...(origin !== undefined && { baseURL: origin + path }) };
}

function talks(sdk: Sdk, model: string): Client {
  const question = (content: string): Question => ({ model, messages: [{ role: 'user', content }] });
  return {
    say: async (content) => {
      const answer = await sdk.chat.completions.create(question(content));
      return answer.choices[0]?.message?.content ?? '';
    },
    async *stream(content, signal) {
      const chunks = await sdk.chat.completions.create({ ...question(content), stream: true }, { signal });
      for await (const chunk of chunks) yield chunk.choices[0]?.delta.content ?? '';
    },
  };
}

export const adapters: readonly Adapter[] = [
  {
    name: 'groq-sdk',
    pool: 'groq',
    host: 'api.groq.com',
    server: () => compatible('groq'),
    secret: fakeSecret('gsk_'),
    connect: (it) => {
      const sdk = new Groq(settingsOf(it, ''));
      return {
        ...talks(sdk, 'llama-3.3-70b-versatile'),
        upload: (file) => sdk.audio.transcriptions.create({ file, model: 'whisper-large-v3-turbo' }),
      };
    },
    status: (error) => (error instanceof GroqError ? (error.status as number | undefined) : undefined),
    ownRetries: { onServerError: 1, onNetworkError: 3 },
    timeoutMs: 60_000,
    upload: { path: '/openai/v1/audio/transcriptions' },
  },
  {
    name: 'together-ai',
    pool: 'together',
    host: 'api.together.ai',
    server: () => compatible('together'),
    secret: fakeSecret(''),
    connect: (it) => {
      const sdk = new Together(settingsOf(it, '/v1'));
      return {
        ...talks(sdk, 'meta-llama/Llama-3.3-70B-Instruct-Turbo'),
        upload: (file) => sdk.audio.transcriptions.create({ file, model: 'openai/whisper-large-v3' }),
      };
    },
    status: (error) => (error instanceof TogetherError ? (error.status as number | undefined) : undefined),
    ownRetries: { onServerError: 1, onNetworkError: 3 },
    timeoutMs: 60_000,
    upload: { path: '/v1/audio/transcriptions' },
  },
];
