import { CohereClientV2, CohereError } from 'cohere-ai';
import { cohere } from '../../support/loopback/index.ts';
import { fakeSecret } from './adapter.ts';
import type { Adapter } from './adapter.ts';

const model = 'command-a-03-2025';

export const adapters: readonly Adapter[] = [
  {
    name: 'cohere-ai',
    pool: 'cohere',
    host: 'api.cohere.com',
    server: () => cohere(),
    secret: fakeSecret(''),
    connect: ({ apiKey, fetch, origin, retries }) => {
      const client = new CohereClientV2({
        token: apiKey,
        fetch,
        ...(!retries && { maxRetries: 0 }),
        ...(origin !== undefined && { baseUrl: origin }),
      });
      return {
        say: async (content) => {
          const answer = await client.chat({ model, messages: [{ role: 'user', content }] });
          return (answer.message.content ?? []).map((part) => (part.type === 'text' ? part.text : '')).join('');
        },
        async *stream(content, abortSignal) {
          const events = await client.chatStream({ model, messages: [{ role: 'user', content }] }, { abortSignal });
          for await (const event of events) {
            if (event.type === 'content-delta') yield event.delta?.message?.content?.text ?? '';
          }
        },
        upload: (file) => client.datasets.create(file, undefined, { name: 'words', type: 'embed-input' }),
      };
    },
    status: (error) => (error instanceof CohereError ? error.statusCode : undefined),
    ownRetries: { onServerError: 3, onNetworkError: 1 },
    timeoutMs: 300_000,
    upload: { path: '/v1/datasets' },
  },
];
