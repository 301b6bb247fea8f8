import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { closeGuards, PATIENT, sharedGuard } from '../support/redis/shared-guard.ts';
import { RedisServer } from '../support/redis/server.ts';

let server: RedisServer;
let clients: Redis[];

beforeEach(async () => {
  server = await RedisServer.start();
  clients = [];
});

afterEach(async () => {
  closeGuards();
  for (const client of clients) client.disconnect();
  await server.close();
});

/** A client that is told of all that connections made from it subscribe to. */
function clientHeard(subscribed: (client: Redis, times: number) => Promise<unknown> | undefined): Redis {
  const client = server.client();
  clients.push(client);
  const duplicate = client.duplicate.bind(client);
  Reflect.set(client, 'duplicate', (options: object) => {
    const copy = duplicate(options);
    const subscribe = copy.subscribe.bind(copy);
    let times = 0;
    Reflect.set(copy, 'subscribe', (...channels: string[]) => subscribed(copy, ++times) ?? subscribe(...channels));
    return copy;
  });
  return client;
}

async function cutListeners(): Promise<void> {
  const client = server.client();
  clients.push(client);
  await client.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
}

const two = { keys: ['ann', 'ben'].map(id => ({ id, key: `secret-of-${id}` })) };

test('a listener that was cut off hears again what others say', async () => {
  let times = 0;
  const client = clientHeard((_, count) => {
    times = count;
    return undefined;
  });
  const [one, other] = [sharedGuard({ client, ...PATIENT }, two), sharedGuard({ url: server.url, ...PATIENT }, two)];
  await Promise.all([one.guard.ready(), other.guard.ready()]);
  const before = times;
  await cutListeners();
  await expect.poll(() => times).toBeGreaterThan(before);
  other.guard.keys.disable('openai', 'ben');
  expect(await one.heard('key', ({ to }) => to === 'disabled')).toMatchObject({ keyId: 'ben' });
});

test('a connection that is lost again while it asks to listen ends no process', async () => {
  let isRefused = false;
  const client = clientHeard((_, times) => {
    if (times < 3) return undefined;
    isRefused = true;
    return Promise.reject(new Error('Connection is closed.'));
  });
  const { guard } = sharedGuard({ client, ...PATIENT }, two);
  await guard.ready();
  await cutListeners();
  // An unhandled rejection would fail the run.
  await expect.poll(() => isRefused).toBe(true);
  expect(await guard.execute(({ keyId }) => keyId, 'openai')).toBe('ann');
});
