import Groq, { APIError as GroqError } from 'groq-sdk';
import Together, { APIError as TogetherError } from 'together-ai';
import { compatible } from '../../support/loopback/index.ts';
import { fakeSecret } from './adapter.ts';
import type { Adapter } from './adapter.ts';

const groq: Adapter = {
  name: 'groq-sdk',
  pool: 'groq',
  host: 'api.groq.com',
  server: () => compatible('groq'),
  secret: fakeSecret('gsk_'),
  connect: ({ apiKey, fetch, origin, retries }) => {
    const model = 'llama-3.3-70b-versatile';
    const client = new Groq({
      apiKey,
      fetch,
      ...(!retries && { maxRetries: 0 }),
      ...(origin !== undefined && { baseURL: origin }),
    });
    return {
      say: async (content) => {
        const answer = await client.chat.completions.create({ model, messages: [{ role: 'user', content }] });
        return answer.choices[0]?.message.content ?? '';
      },
      async *stream(content, signal) {
        const chunks = await client.chat.completions.create(
          { model, messages: [{ role: 'user', content }], stream: true },
          { signal },
        );
        for await (const chunk of chunks) yield chunk.choices[0]?.delta.content ?? '';
      },
      upload: (file) => client.audio.transcriptions.create({ file, model: 'whisper-large-v3-turbo' }),
    };
  },
  status: (error) => (error instanceof GroqError ? (error.status as number | undefined) : undefined),
  ownRetries: { onServerError: 1, onNetworkError: 3 },
  timeoutMs: 60_000,
  upload: { path: '/openai/v1/audio/transcriptions' },
};

const together: Adapter = {
  name: 'together-ai',
  pool: 'together',
  host: 'api.together.ai',
  server: () => compatible('together'),
  secret: fakeSecret(''),
  connect: ({ apiKey, fetch, origin, retries }) => {
    const model = 'meta-llama/Llama-3.3-70B-Instruct-Turbo';
    const client = new Together({
      apiKey,
      fetch,
      ...(!retries && { maxRetries: 0 }),
      ...(origin !== undefined && { baseURL: `${origin}/v1` }),
    });
    return {
      say: async (content) => {
        const answer = await client.chat.completions.create({ model, messages: [{ role: 'user', content }] });
        return answer.choices[0]?.message?.content ?? '';
      },
      async *stream(content, signal) {
        const chunks = await client.chat.completions.create(
          { model, messages: [{ role: 'user', content }], stream: true },
          { signal },
        );
        for await (const chunk of chunks) yield chunk.choices[0]?.delta.content ?? '';
      },
      upload: (file) => client.audio.transcriptions.create({ file, model: 'openai/whisper-large-v3' }),
    };
  },
  status: (error) => (error instanceof TogetherError ? (error.status as number | undefined) : undefined),
  ownRetries: { onServerError: 1, onNetworkError: 3 },
  timeoutMs: 60_000,
  upload: { path: '/v1/audio/transcriptions' },
};

export const adapters: readonly Adapter[] = [groq, together];
