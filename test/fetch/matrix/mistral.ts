import { HTTPClient, Mistral } from '@mistralai/mistralai';
import { MistralError } from '@mistralai/mistralai/models/errors';
import { mistral } from '../../support/loopback/index.ts';
import { fakeSecret } from './adapter.ts';
import type { Adapter } from './adapter.ts';

const model = 'mistral-small-latest';

function textOf(content: unknown): string {
  return typeof content === 'string' ? content : '';
}

export const adapters: readonly Adapter[] = [
  {
    name: '@mistralai/mistralai',
    pool: 'mistral',
    host: 'api.mistral.ai',
    server: () => mistral(),
    secret: fakeSecret(''),
    // It does not retry unless it is asked to.
    connect: ({ apiKey, fetch, origin }) => {
      const client = new Mistral({
        apiKey,
        httpClient: new HTTPClient({ fetcher: fetch }),
        ...(origin !== undefined && { serverURL: origin }),
      });
      return {
        say: async (content) => {
          const answer = await client.chat.complete({ model, messages: [{ role: 'user', content }] });
          return textOf(answer.choices[0]?.message?.content);
        },
        async *stream(content, signal) {
          const events = await client.chat.stream({ model, messages: [{ role: 'user', content }] }, { signal });
          for await (const { data } of events) yield textOf(data.choices[0]?.delta.content);
        },
        upload: (file) => client.files.upload({ file, purpose: 'batch' }),
      };
    },
    status: (error) => (error instanceof MistralError ? error.statusCode : undefined),
    ownRetries: { onServerError: 1, onNetworkError: 1 },
    timeoutMs: 'never',
    upload: { path: '/v1/files' },
  },
];
