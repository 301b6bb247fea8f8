import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { countedIn } from '../support/redis/counts.ts';
import { GuardProcess, type Called } from '../support/redis/process.ts';
import { RedisServer } from '../support/redis/server.ts';

// Processes start, and calls wait for Redis, for as long as the machine takes: no outcome here depends on its speed.
const PATIENT = { storeTimeoutMs: 30_000 };

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
});

test('five calls of 30 tokens find room for three under 100 tokens a minute', async () => {
  const five = await start(5, poolOf({ keys: [{ id: 'ann', key: 'secret-of-ann', limits: { tpm: 100 } }] }));
  const calls = await Promise.all(five.map(each => each.call(1, { providerName: 'openai', tokens: 30 })));
  expect(calls.flat().filter(({ ok }) => ok)).toHaveLength(3);
});

test('a process that is killed gives its places back after the lease time, and what it has used stays used', async () => {
  const [one, other] = await start(2, {
    keyManagement: {
      providers: { openai: { leaseMs: 2000, maxWaitMs: 50_000, keys: [{ id: 'ann', key: 'secret-of-ann', limits: { concurrency: 2, rpm: 5 } }] } },
    },
  });
  let begun = 0;
  const bothBegun = one!.event(({ upstream }) => upstream === 'ann' && ++begun === 2);
  const failed = one!.call(2, { providerName: 'openai' }, 'hold');
  await bothBegun;
  const since = performance.now();
  await Promise.all([one!.kill(), expect(failed).rejects.toThrow()]);
  const calls = await other!.call(3, { providerName: 'openai' });
  expect(calls.map(({ ok }) => ok)).toEqual([true, true, true]);
  // No sooner than the lease of the killed process allows, give or take the time it took to hear of its attempts.
  expect(performance.now() - since).toBeGreaterThan(1000);
  const more = await other!.call(1, { providerName: 'openai', deadlineMs: 3000 });
  expect(more.map(({ ok }) => ok)).toEqual([false]);
});

describe.each([
  ['killed, and empty when it is back', [], () => server.kill(), () => server.begin()],
  ['killed, and back with its data', ['--appendonly', 'yes', '--appendfsync', 'always'], () => server.kill(), () => server.begin()],
  ['paused', [], () => server.pause(), () => server.resume()],
])('Redis under load, %s', (_, options, strike, relent) => {
  test('no call of any process fails or waits for it, and afterwards all of them are counted, once', async () => {
    await server.close();
    server = await RedisServer.start(options);
    const keys = [{ id: 'ann', key: 'secret-of-ann', limits: { rpm: 100_000 } }];
    const boundMs = 500;
    const three = await start(3, poolOf({ keys }), { storeTimeoutMs: boundMs });
    const load = async (times: number): Promise<Called[]> =>
      (await Promise.all(three.map(each => each.call(times, { providerName: 'openai' })))).flat();
    const heard = (text: string): Promise<unknown> =>
      Promise.all(three.map(each => each.event(({ warning }) => String(warning).startsWith(text))));
    const calls = await load(20);
    const [away, back] = [heard('Redis is away'), heard('Redis is back')];
    const during = load(100);
    await strike();
    // Redis comes back after these, and not for them.
    calls.push(...(await during), ...(await load(20)));
    await away;
    const alone: Called[] = [];
    for (let i = 0; i < 20; i++) alone.push(...(await load(1)));
    // Most of them wait for nothing at all, however slow the machine is.
    const waits = alone.map(({ durationMs }) => durationMs).sort((one, other) => one - other);
    expect(waits[waits.length / 2]).toBeLessThan(boundMs / 2);
    await relent();
    await back;
    calls.push(...alone, ...(await load(20)));
    expect(calls.filter(({ ok }) => !ok)).toEqual([]);
    const sent = calls.flatMap(each => each.keys).length;
    expect(sent).toBe(540);
    const client = server.client();
    await expect.poll(() => countedIn(client), { timeout: 20_000 }).toEqual([sent]);
    client.disconnect();
  });
});
