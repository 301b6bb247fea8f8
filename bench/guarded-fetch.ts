import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { timeInRounds, type Contender } from './rounds.ts';
import type { Row, Section } from './section.ts';
import type { Subject } from './subject.ts';

const ROUNDS = { rounds: 15, roundMs: 150 };
const KEYS = Array.from({ length: 10 }, (_, index) => ({ id: `key-${index}`, key: `bench-secret-${index}` }));

const prompt = 'Tell me about the sea. '.repeat(40);
const bodyOf = (stream: boolean): string =>
  JSON.stringify({ model: 'gpt-4o', stream, messages: [{ role: 'user', content: prompt }] });

/** In a thread of its own, so that its work is not taken for the client's. Answers as OpenAI's chat does. */
const SERVER = `
  const { createServer } = require('node:http');
  const { parentPort } = require('node:worker_threads');
  const text = 'The sea is wide. '.repeat(20);
  const usage = { prompt_tokens: 200, completion_tokens: 80, total_tokens: 280 };
  const answer = JSON.stringify({ object: 'chat.completion', choices: [{ message: { content: text } }], usage });
  const chunk = data => 'data: ' + JSON.stringify({ object: 'chat.completion.chunk', ...data }) + '\\n\\n';
  const events = text.split(' ').map(content => chunk({ choices: [{ delta: { content } }] }));
  events.push(chunk({ choices: [], usage }), 'data: [DONE]\\n\\n');
  const limits = {
    'x-ratelimit-limit-requests': '100000', 'x-ratelimit-remaining-requests': '99999', 'x-ratelimit-reset-requests': '1ms',
  };
  createServer((request, response) => {
    const isStream = request.url.endsWith('stream');
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': isStream ? 'text/event-stream' : 'application/json', ...limits });
      if (!isStream) return response.end(answer);
      // In a few writes, as a network would bring them.
      for (let at = 0; at < events.length; at += 10) response.write(events.slice(at, at + 10).join(''));
      response.end();
    });
  }).listen(0, '127.0.0.1', function () { parentPort.postMessage(this.address().port); });
`;

/** What a request through the guard takes longer than one without. */
export async function guardedFetch({ ExecutionGuard, createGuardedFetch }: Subject): Promise<Section> {
  const server = new Worker(SERVER, { eval: true });
  const [port] = (await once(server, 'message')) as [number];
  const guard = new ExecutionGuard({ keyManagement: { providers: { openai: { keys: KEYS } } } });
  const guarded = createGuardedFetch(guard, { provider: 'openai' });
  const rows: Row[] = [];
  try {
    for (const kind of ['answer', 'stream']) {
      const contender = (label: string, send: typeof fetch): Contender => ({
        label: `${kind}: ${label}`,
        run: async count => {
          const init = { method: 'POST', headers: { authorization: 'Bearer guard' }, body: bodyOf(kind === 'stream') };
          for (let i = 0; i < count; i++) await (await send(`http://127.0.0.1:${port}/v1/${kind}`, init)).text();
        },
      });
      const times = await timeInRounds([contender('fetch', fetch), contender('guarded fetch', guarded)], ROUNDS);
      const base = times.get(`${kind}: fetch`) ?? NaN;
      rows.push(...[...times].map(([label, value]) => ({ label, value, unit: 'µs', ratio: value / base })));
    }
  } finally {
    guard.close();
    await server.terminate();
  }
  return {
    name: 'guarded fetch',
    note: 'A chat of 1 KB each way over loopback, read to its end, one after the other. The ratio is over fetch of the platform.',
    rows,
  };
}
