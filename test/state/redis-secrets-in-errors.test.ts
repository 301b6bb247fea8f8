import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { ExecutionGuard } from '../../src/index.ts';
import { redisStore } from '../../src/redis.ts';
import { SomeRedis } from '../support/redis/some-redis.ts';

const PASSWORD = 'hunter2-secret-value';

async function errorOf(url: string): Promise<unknown> {
  const store = redisStore({ url, onStoreFailure: 'reject', storeTimeoutMs: 500 });
  const keyManagement = { providers: { openai: { keys: [{ key: 'sk-very-secret-0123456789' }] } } };
  const guard = new ExecutionGuard({ store, keyManagement }, { env: {}, warn: () => undefined });
  const error: unknown = await guard.execute(() => 'fine', 'openai').catch((reason: unknown) => reason);
  guard.close();
  return error;
}

test('an error of the store does not tell a password that Redis has refused', async () => {
  const redis = await SomeRedis.start();
  const client = redis.client();
  await client.config('SET', 'requirepass', 'another one');
  const { host } = new URL(redis.url);
  const error = await errorOf(`redis://user:${PASSWORD}@${host}/0`);
  client.disconnect();
  await redis.close();
  expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' });
  expect(inspect(error, { depth: 9 })).not.toContain(PASSWORD);
  expect(inspect(error)).not.toContain(PASSWORD);
}, 20_000);

test('a URL that cannot be read is refused, and not quoted', () => {
  const make = (): unknown => redisStore({ url: `redis://:${PASSWORD}@127.0.0.1:notaport` });
  expect(make).toThrow('redisStore: url: expected a URL');
  expect(make).not.toThrow(PASSWORD);
});
