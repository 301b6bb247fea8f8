import Anthropic, { APIError } from '@anthropic-ai/sdk';
import { anthropic, fakeAnthropicKey } from '../../support/loopback/index.ts';
import type { Adapter } from './adapter.ts';

const model = 'claude-sonnet-4-6';

export const adapters: readonly Adapter[] = [
  {
    name: '@anthropic-ai/sdk',
    pool: 'anthropic',
    host: 'api.anthropic.com',
    server: () => anthropic(),
    secret: fakeAnthropicKey,
    connect: ({ apiKey, fetch, origin, retries }) => {
      const client = new Anthropic({
        apiKey,
        fetch,
        ...(!retries && { maxRetries: 0 }),
        ...(origin !== undefined && { baseURL: origin }),
      });
      return {
        say: async (content) => {
          const answer = await client.messages.create({
            model,
            max_tokens: 100,
            messages: [{ role: 'user', content }],
          });
          return answer.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
        },
        async *stream(content, signal) {
          const events = await client.messages.create(
            { model, max_tokens: 100, messages: [{ role: 'user', content }], stream: true },
            { signal },
          );
          for await (const event of events) {
            if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') yield event.delta.text;
          }
        },
        upload: (file) => client.beta.files.upload({ file }),
      };
    },
    status: (error) => (error instanceof APIError ? (error.status as number | undefined) : undefined),
    ownRetries: { onServerError: 1, onNetworkError: 3 },
    timeoutMs: 600_000,
    upload: { path: '/v1/files' },
  },
];
