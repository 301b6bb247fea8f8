import { afterAll, beforeAll, expect, test } from 'vitest';
import { ManualClock } from '../support/manual-clock.ts';
import { countedIn } from '../support/redis/counts.ts';
import { RedisServer } from '../support/redis/server.ts';
import { requestFor, storePool } from '../support/redis/store-pool.ts';

let server: RedisServer;

beforeAll(async () => {
  server = await RedisServer.start();
});

afterAll(() => server.close());

test('who may use no channel counts each thing once, and is told that nothing will be heard', async () => {
  const client = server.client();
  // What Redis gives a user of whom only keys and commands are said.
  await client.acl('SETUSER', 'worker', 'on', '>a-password', '~*', '+@all', 'resetchannels');
  const url = server.url.replace('//', '//worker:a-password@');
  const { candidate, close, pool, warnings } = storePool({ url }, new ManualClock());
  const request = requestFor([candidate('ann', { rpm: 20, concurrency: 1 })]);
  const { receipt } = await pool.lease(request);
  // Somebody waits now, and is to be told of what is given back.
  expect(await pool.lease(request)).toMatchObject({ granted: undefined });
  receipt!.correct(-1, 0);
  receipt!.release();
  await expect.poll(async () => (await pool.lease(request)).granted).toBe(0);
  expect(await countedIn(client)).toEqual([1]);
  expect(warnings).toEqual([expect.stringMatching(/^Redis does not let this process listen \(NOPERM\)/)]);
  close();
  client.disconnect();
});
