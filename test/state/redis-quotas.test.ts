import { afterEach, beforeEach, expect, test } from 'vitest';
import { GuardProcess, type Called } from '../support/redis/process.ts';
import { RedisServer } from '../support/redis/server.ts';

// Processes start, and calls wait for Redis, for as long as the machine takes: no outcome here depends on its speed.
const PATIENT = { storeTimeoutMs: 30_000 };
const LONG_MS = 60_000;

let server: RedisServer;
const processes: GuardProcess[] = [];

beforeEach(async () => {
  server = await RedisServer.start();
});

afterEach(async () => {
  await Promise.all(processes.splice(0).map(each => each.kill()));
  await server.close();
});

async function start(count: number, guard: object, store: object = PATIENT): Promise<GuardProcess[]> {
  const started = await Promise.all(Array.from({ length: count }, () => GuardProcess.start(server.url, guard, store)));
  processes.push(...started);
  return started;
}

function poolOf(provider: object): object {
  return { queue: { maxQueueSize: 10_000 }, keyManagement: { maxWaitMs: 0, providers: { openai: provider } } };
}

function keysUsed(calls: readonly Called[]): Record<string, number> {
  const used: Record<string, number> = {};
  for (const key of calls.flatMap(({ keys }) => keys)) used[key] = (used[key] ?? 0) + 1;
  return used;
}

test('four processes use three keys of 50 requests a minute 150 times, and not once more or less', async () => {
  const keys = ['ann', 'ben', 'cleo'].map(id => ({ id, key: `secret-of-${id}`, limits: { rpm: 50 } }));
  const four = await start(4, poolOf({ keys }));
  const calls = (await Promise.all(four.map(each => each.call(500, { providerName: 'openai' })))).flat();
  expect(calls).toHaveLength(2000);
  expect(keysUsed(calls)).toEqual({ ann: 50, ben: 50, cleo: 50 });
  expect(calls.filter(({ ok }) => ok)).toHaveLength(150);
  expect(new Set(calls.filter(({ ok }) => !ok).map(({ code }) => code))).toEqual(new Set(['POOL_EXHAUSTED']));
}, LONG_MS);

test('five calls of 30 tokens find room for three under 100 tokens a minute', async () => {
  const five = await start(5, poolOf({ keys: [{ id: 'ann', key: 'secret-of-ann', limits: { tpm: 100 } }] }));
  const calls = await Promise.all(five.map(each => each.call(1, { providerName: 'openai', tokens: 30 })));
  expect(calls.flat().filter(({ ok }) => ok)).toHaveLength(3);
}, LONG_MS);
