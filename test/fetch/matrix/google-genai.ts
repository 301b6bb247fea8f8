import { ApiError, GoogleGenAI } from '@google/genai';
import { fakeGeminiKey, gemini } from '../../support/loopback/index.ts';
import type { Adapter } from './adapter.ts';

const model = 'gemini-2.5-flash';

export const adapters: readonly Adapter[] = [
  {
    name: '@google/genai',
    pool: 'gemini',
    host: 'generativelanguage.googleapis.com',
    server: () => gemini(),
    secret: fakeGeminiKey,
    // It does not retry unless it is asked to.
    connect: ({ apiKey, fetch, origin }) => {
      const client = new GoogleGenAI({
        apiKey,
        httpOptions: { fetch, ...(origin !== undefined && { baseUrl: origin }) },
      });
      return {
        say: async (contents) => (await client.models.generateContent({ model, contents })).text ?? '',
        async *stream(contents, abortSignal) {
          const chunks = await client.models.generateContentStream({ model, contents, config: { abortSignal } });
          for await (const chunk of chunks) yield chunk.text ?? '';
        },
        upload: (file) => client.files.upload({ file, config: { mimeType: 'text/plain' } }),
      };
    },
    status: (error) => (error instanceof ApiError ? error.status : undefined),
    ownRetries: { onServerError: 1, onNetworkError: 1 },
    timeoutMs: 'never',
    upload: { path: '/upload/v1beta/files' },
  },
];
