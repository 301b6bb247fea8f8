import { afterEach, describe, expect, test, vi } from 'vitest';
import { createGuardedFetch } from '../../src/fetch/index.ts';
import {
  failureOf,
  inFlight,
  MINUTE_MS,
  opened,
  reportsOf,
  setUp,
  statesOf,
  type Setup,
} from '../integration/harness.ts';
import { startLoopback, type Breakage, type CommonFailure, type GroupLimits } from '../support/loopback/index.ts';
import type { LoopbackServer } from '../support/loopback/index.ts';
import { settle } from '../support/manual-clock.ts';
import type { Adapter, Client, Connection } from './matrix/adapter.ts';
import { adapters as aiSdk } from './matrix/ai-sdk.ts';
import { adapters as anthropic } from './matrix/anthropic.ts';
import { adapters as cohere } from './matrix/cohere.ts';
import { adapters as genai } from './matrix/google-genai.ts';
import { adapters as groqAndTogether } from './matrix/groq-and-together.ts';
import { adapters as langchain } from './matrix/langchain.ts';
import { adapters as mistral } from './matrix/mistral.ts';
import { adapters as openai } from './matrix/openai.ts';

const ADAPTERS = [
  ...openai,
  ...anthropic,
  ...genai,
  ...mistral,
  ...cohere,
  ...groqAndTogether,
  ...aiSdk,
  ...langchain,
];

afterEach(() => {
  vi.useRealTimers();
});

/** Those that SDKs wait by; the guard and the servers have a clock of their own. */
const TIMERS: { toFake: ('setTimeout' | 'clearTimeout')[] } = { toFake: ['setTimeout', 'clearTimeout'] };
const DAY_MS = 86_400_000;

const NAMES = ['ann', 'ben', 'cleo'] as const;
const QUESTION = 'a long question';
const ANSWER = 'You said: a long question';

interface World extends Setup {
  readonly server: LoopbackServer<never>;
  readonly client: Client;
  /** The hosts that requests were meant for. */
  readonly hosts: string[];
  /** What the SDK asks of its fetch. */
  readonly calls: { made: number; underWay: number };
  readonly revoke: (name: string) => void;
  /** Somebody else makes a request with this key: the guard knows nothing of what it uses up. */
  readonly useElsewhere: (name: string) => Promise<unknown>;
  readonly servedKeys: () => string[];
}

interface Circumstances extends Partial<Connection> {
  readonly limits?: Partial<Record<string, GroupLimits>>;
  readonly outage?: CommonFailure | Breakage;
  /** Whether the client is told the server's address, which nobody knows, in place of the provider's. */
  readonly elsewhere?: boolean;
  /** The guard's own. */
  readonly maxRetries?: number;
}

/** Three organisations with a key each, and one client that knows none of them. */
async function world(
  adapter: Adapter,
  { limits = {}, outage, elsewhere, maxRetries = 1, ...more }: Circumstances = {},
): Promise<World> {
  const keys = NAMES.map(id => ({ id, key: adapter.secret(id) }));
  const setup = setUp({
    retry: { maxRetries },
    keyManagement: { maxWaitMs: 0, providers: { [adapter.pool]: { keys } } },
  });
  const server = opened(
    await startLoopback<never>(adapter.server(), {
      clock: setup.clock,
      groups: Object.fromEntries(NAMES.map(name => [name, limits[name] ?? {}])),
      keys: Object.fromEntries(keys.map(({ id, key }) => [key, { id, group: id }])),
      ...(outage !== undefined && { outage }),
    }),
  );
  const hosts: string[] = [];
  const calls = { made: 0, underWay: 0 };
  const client = adapter.connect({
    apiKey: 'guard',
    fetch: counted(createGuardedFetch(setup.guard, { fetch: detour(server.url, hosts) }), calls),
    origin: elsewhere ? server.url : undefined,
    retries: false,
    ...more,
  });
  return {
    ...setup,
    server,
    client,
    hosts,
    calls,
    useElsewhere: name => {
      const other = { apiKey: adapter.secret(name), fetch: detour(server.url, []), origin: undefined, retries: false };
      return adapter.connect(other).say('hello');
    },
    revoke: name => server.setKeyState(adapter.secret(name), 'invalid_key'),
    servedKeys: () => server.requests.map(({ keyId }) => keyId),
  };
}

/** Sends what is meant for a provider to the server that plays it. */
function detour(origin: string, hosts: string[]): typeof fetch {
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.protocol === 'data:') return fetch(input, init);
    hosts.push(url.host);
    const there = new URL(url.pathname + url.search, origin);
    return fetch(input instanceof Request ? new Request(there, input) : there, init);
  };
}

function counted(guarded: typeof fetch, calls: World['calls']): typeof fetch {
  return async (input, init) => {
    calls.made++;
    calls.underWay++;
    try {
      return await guarded(input, init);
    } finally {
      calls.underWay--;
    }
  };
}

/** Tells when a call, which is to fail, is over. */
function watched(call: Promise<unknown>): { readonly isOver: boolean } {
  const state = { isOver: false };
  void failureOf(call).then(() => {
    state.isOver = true;
  });
  return state;
}

async function advance(byMs: number): Promise<void> {
  await settle();
  vi.advanceTimersByTime(byMs);
  await settle();
}

async function readWhole(client: Client): Promise<string> {
  let text = '';
  for await (const piece of client.stream(QUESTION, new AbortController().signal)) text += piece;
  return text;
}

describe.each(ADAPTERS)('$name', adapter => {
  test('has its requests spread over the keys, and knows none of them', async () => {
    const { client, servedKeys, hosts } = await world(adapter);
    for (let i = 0; i < 4; i++) expect(await client.say('hello')).toBe('You said: hello');
    expect(servedKeys()).toEqual(['ann', 'ben', 'cleo', 'ann']);
    expect(new Set(hosts)).toEqual(new Set([adapter.host]));
  });

  test('may name its pool, at an address that nobody knows', async () => {
    const { client, servedKeys } = await world(adapter, { apiKey: `guard:${adapter.pool}`, elsewhere: true });
    expect(await client.say('hello')).toBe('You said: hello');
    expect(servedKeys()).toEqual(['ann']);
  });

  test('does not notice that a key was revoked', async () => {
    const { client, servedKeys, revoke, guard } = await world(adapter);
    revoke('ann');
    expect(await client.say('hello')).toBe('You said: hello');
    expect(statesOf(guard, adapter.pool)).toEqual({ ann: 'disabled', ben: 'ready', cleo: 'ready' });
    await client.say('hello');
    expect(servedKeys()).toEqual(['ann', 'ben', 'cleo']);
  });

  test('does not notice that a key is at its limit, and does not wait', async () => {
    const { client, useElsewhere, servedKeys, clock } = await world(adapter, { limits: { ann: { rpm: 1 } } });
    await useElsewhere('ann');
    const before = clock.now();
    for (let i = 0; i < 3; i++) expect(await client.say('hello')).toBe('You said: hello');
    expect(servedKeys().slice(1)).toEqual(['ann', 'ben', 'cleo', 'ben']);
    expect(clock.now()).toBe(before);
  });

  test('has its own error with the status 429 after one round, when all keys are at their limit', async () => {
    const limits = Object.fromEntries(NAMES.map(name => [name, { rpm: 1 }]));
    const { client, useElsewhere, server, servedKeys } = await world(adapter, { limits });
    for (const name of NAMES) await useElsewhere(name);
    expect(adapter.status(await failureOf(client.say('hello')))).toBe(429);
    expect(servedKeys().slice(3)).toEqual(['ann', 'ben', 'cleo']);
    // While all of them rest nobody is asked.
    expect(adapter.status(await failureOf(client.say('hello')))).toBe(429);
    expect(server.requests).toHaveLength(6);
  });

  test('streams, and what was used is booked on the key that was', async () => {
    const { client, revoke, guard } = await world(adapter);
    revoke('ann');
    expect(await readWhole(client)).toBe(ANSWER);
    await settle();
    const [, ben] = reportsOf(guard, adapter.pool);
    expect([ben?.inputTokens, ben?.outputTokens]).toEqual([4, 7]);
    expect(inFlight(guard, adapter.pool)).toBe(0);
  });

  test('never sees an error that comes before the content of a stream', async () => {
    const { client, server, answer, servedKeys } = await world(adapter);
    server.failNext(1, 'stream_error');
    expect(await answer(readWhole(client))).toBe(ANSWER);
    expect(servedKeys()).toEqual(['ann', 'ben']);
  });

  test('can abort in mid-stream: the request ends and the key is back', async () => {
    const { client, server, guard } = await world(adapter, { outage: 'stall' });
    const controller = new AbortController();
    const stream = client.stream(QUESTION, controller.signal)[Symbol.asyncIterator]();
    for (let piece = ''; piece === ''; ) piece = String((await stream.next()).value);
    expect(inFlight(guard, adapter.pool)).toBe(1);
    controller.abort();
    // Some SDKs end a stream that was aborted, others have it fail.
    await stream.next().catch(() => undefined);
    await server.idle();
    await settle();
    expect(server.requests.map(({ aborted }) => aborted)).toEqual([true]);
    expect(inFlight(guard, adapter.pool)).toBe(0);
  });

  test.each(['overloaded', 'reset'] as const)('makes no requests besides those of the guard: %s', async outage => {
    const { client, server, finish } = await world(adapter, { outage });
    const [outcome] = await finish(client.say('hello'));
    expect(outcome?.status).toBe('rejected');
    expect(server.requests).toHaveLength(2);
  });

  const { onServerError, onNetworkError } = adapter.ownRetries;
  test.each([
    [onServerError, 'overloaded'],
    [onNetworkError, 'reset'],
  ] as const)('asks %d times where it is left to retry by itself: %s', async (times, outage) => {
    const { client, calls } = await world(adapter, { outage, retries: true, maxRetries: 0 });
    vi.useFakeTimers(TIMERS);
    const call = watched(client.say('hello'));
    while (!call.isOver) {
      // With no request under way, the SDK can only be waiting to make its next one.
      if (calls.underWay === 0) vi.advanceTimersByTime(MINUTE_MS);
      await settle();
    }
    expect(calls.made).toBe(times);
  });

  const { timeoutMs } = adapter;
  test(`gives a request up after ${timeoutMs} ms, and the key is back`, async () => {
    const { client, server, guard, calls } = await world(adapter, { outage: 'hang' });
    vi.useFakeTimers(TIMERS);
    const call = watched(client.say('hello'));
    await server.arrived(1);
    await advance(timeoutMs === 'never' ? DAY_MS : timeoutMs - 1);
    expect(call.isOver).toBe(false);
    expect(inFlight(guard, adapter.pool)).toBe(1);
    if (timeoutMs === 'never') return;
    await advance(1);
    await server.idle();
    while (!call.isOver) await settle();
    expect(inFlight(guard, adapter.pool)).toBe(0);
    expect(calls.made).toBe(1);
  });

  const { upload } = adapter;
  if ('path' in upload) {
    test('uploads a file again with another key', async () => {
      const { client, server, servedKeys, revoke } = await world(adapter);
      revoke('ann');
      await client.upload?.(new File(['{"custom_id":"1"}'], 'batch.jsonl', { type: 'text/plain' }));
      expect(servedKeys().slice(0, 2)).toEqual(['ann', 'ben']);
      expect(server.requests.at(-1)).toMatchObject({ path: upload.path, status: 200 });
    });
  }
});
