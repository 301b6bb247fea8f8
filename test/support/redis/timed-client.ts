import type { Redis } from 'ioredis';
import type { RedisServer } from './server.ts';

/** A client, and with it all connections made from it, whose scripts find the server's time to be what a test says. */
export function timedClient(server: RedisServer, now: () => number): Redis {
  const client = server.client();
  const duplicate = client.duplicate.bind(client);
  Reflect.set(client, 'duplicate', (options: object) => timed(duplicate(options), now));
  return client;
}

function timed(client: Redis, now: () => number): Redis {
  const run: (text: string, keys: number, ...args: string[]) => Promise<unknown> = client.eval.bind(client);
  Reflect.set(client, 'evalsha', () => Promise.reject(new Error('NOSCRIPT')));
  Reflect.set(client, 'eval', (text: string, keys: number, ...args: string[]) => {
    const time = now();
    const told = `{ ${Math.floor(time / 1000)}, ${(time % 1000) * 1000} }`;
    return run(text.replaceAll(/(redis\.)?call\('TIME'\)/g, told), keys, ...args);
  });
  return client;
}
