import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ExecutionGuard } from '../../src/index.ts';
import { redisStore, type RedisStoreOptions } from '../../src/redis.ts';
import { RedisServer } from '../support/redis/server.ts';

let server: RedisServer;
const guards: ExecutionGuard[] = [];

beforeAll(async () => {
  server = await RedisServer.start();
});

afterEach(() => {
  for (const guard of guards.splice(0)) guard.close();
});

afterAll(() => server.close());

function guardOf(store: RedisStoreOptions | undefined, warn: (message: string) => void = () => undefined): ExecutionGuard {
  const keys = [{ id: 'ann', key: 'secret-of-ann', limits: { rpm: 3 } }];
  const keyManagement = { maxWaitMs: 0, providers: { openai: { keys } } };
  const guard = new ExecutionGuard({ keyManagement, ...(store && { store: redisStore(store) }) }, { warn, env: {} });
  guards.push(guard);
  return guard;
}

describe('a guard is ready', () => {
  test('when its store can be asked: what others have used is known from the first call on', async () => {
    const store = { url: server.url, storeTimeoutMs: 30_000 };
    const first = guardOf(store);
    await first.ready();
    for (let call = 0; call < 3; call++) await first.execute(() => 'fine', 'openai');
    const second = guardOf(store);
    await second.ready();
    await expect(second.execute(() => 'fine', 'openai')).rejects.toMatchObject({ code: 'POOL_EXHAUSTED' });
  });

  test('when its store is known to be away, which a warning says', async () => {
    const warnings: string[] = [];
    await guardOf({ url: 'redis://127.0.0.1:1' }, message => warnings.push(message)).ready();
    expect(warnings).toEqual([expect.stringContaining('Redis is away (ECONNREFUSED)')]);
  });

  test('at once where it has none, and after it was closed', async () => {
    await guardOf(undefined).ready();
    const guard = guardOf({ url: server.url });
    guard.close();
    await guard.ready();
  });
});

test('what Redis says of a sign-in is named in the warning', async () => {
  const locked = await RedisServer.start();
  const client = locked.client();
  await client.config('SET', 'requirepass', 'a-password');
  client.disconnect();
  const warnings: string[] = [];
  const url = locked.url.replace('//', '//:another-password@');
  await guardOf({ url }, message => warnings.push(message)).ready();
  expect(warnings[0]).toMatch(/^Redis is away \((?:WRONGPASS|NOAUTH)\)/);
  expect(warnings.join()).not.toContain('password@');
  await locked.close();
});

describe('options that are wrong are refused', () => {
  const url = 'redis://localhost';
  test.each<[string, unknown, string]>([
    ['no options', undefined, 'options: expected an object, found a value of type undefined'],
    ['null', null, 'options: expected an object, found null'],
    ['neither', {}, 'expected either `url` or `client`'],
    ['both', { url, client: new Redis({ lazyConnect: true }) }, 'expected either `url` or `client`'],
    ['a URL of something else', { url: 'http://secret@host' }, 'url: expected a URL that begins with `redis://` or `rediss://`, its path empty or the number of a database, found a value of type string'],
    ['a database that is no number', { url: 'redis://host/cache' }, 'its path empty or the number of a database, found a value of type string'],
    ['no client', { client: {} }, 'client: expected an ioredis client, found a value of type object'],
    ['a misspelt mode', { url, onStoreFailure: 'rejct' }, 'onStoreFailure: expected `local` or `reject`, found a value of type string'],
    ['a misspelt name', { url, prefx: 'x' }, 'unknown option `prefx`; known: url, client, prefix, storeTimeoutMs, onStoreFailure, blockSize'],
    ['no prefix', { url, prefix: ' ' }, 'prefix: expected a string that is not blank'],
    ['no time', { url, storeTimeoutMs: 0 }, 'storeTimeoutMs: expected a number of ms above 0, found the number 0'],
    ['no block', { url, blockSize: 1.5 }, 'blockSize: expected a whole number, 1 or more, found the number 1.5'],
  ])('%s', (_, options, said) => {
    expect(() => redisStore(options as RedisStoreOptions)).toThrow(said);
  });
});
