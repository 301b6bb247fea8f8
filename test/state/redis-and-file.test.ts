import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { httpError, rejectionOf } from '../guard/support.ts';
import { closeGuards, PATIENT, sharedGuard, type SharedGuard } from '../support/redis/shared-guard.ts';
import { GuardProcess } from '../support/redis/process.ts';
import { RedisServer } from '../support/redis/server.ts';

const key = (id: string, traits: object = {}): object => ({ id, key: `secret-of-${id}`, ...traits });
const two = { keys: [key('ann'), key('ben')] };

let server: RedisServer;
let directory: string;

beforeEach(async () => {
  server = await RedisServer.start();
  directory = mkdtempSync(path.join(tmpdir(), 'execution-guard-both-'));
});

afterEach(async () => {
  closeGuards();
  await server.close();
  rmSync(directory, { recursive: true, force: true });
});

const persistence = () => ({ enabled: true, dataFile: path.join(directory, 'state.json') });

/** A guard with a file of its own beside the store. */
const both = (provider: object = two): SharedGuard =>
  sharedGuard({ url: server.url, ...PATIENT }, provider, { persistence: persistence() });

const shared = (provider: object = two): SharedGuard => sharedGuard({ url: server.url, ...PATIENT }, provider);

const states = ({ guard }: SharedGuard): Record<string, string> =>
  Object.fromEntries(guard.explain('openai').keys.map(({ id, state }) => [id, state]));

const refuseAnn = ({ keyId }: { keyId?: string | undefined }): unknown =>
  keyId === 'ann' ? Promise.reject(httpError(401)) : keyId;

/** Guards whose calls have refused the key. */
async function convictAnn({ guard }: SharedGuard): Promise<void> {
  expect(await guard.execute(refuseAnn, { providerName: 'openai', keyId: 'ann' })).toBe('ben');
}

describe.each([['the provider\'s', 'gemini'], ['a rolling', undefined]])('a restart in the middle of %s day', (_, profile) => {
  const daily = { keys: [key('ann', { limits: { rpd: 10 } })], ...(profile !== undefined && { profile }) };

  test.each([
    ['a file', false, true],
    ['Redis', true, false],
    ['both', true, true],
  ])('with %s: the quota goes on where it was', async (__, hasStore, hasFile) => {
    const config = {
      deduplication: { enabled: false },
      keyManagement: { maxWaitMs: 0, providers: { openai: daily } },
      ...(hasFile && { persistence: persistence() }),
    };
    const use = async (times: number, isKilled: boolean): Promise<number> => {
      const process = await GuardProcess.start(hasStore ? server.url : undefined, config, PATIENT);
      const calls = await process.call(times, { providerName: 'openai' });
      // Without Redis the last second is lost by a crash, and by an end nothing.
      if (isKilled) await process.kill();
      else await process.end();
      return calls.filter(({ ok }) => ok).length;
    };
    expect(await use(3, hasStore)).toBe(3);
    expect(await use(4, false)).toBe(4);
    expect(await use(20, false)).toBe(3);
  });
});

describe('with both', () => {
  test('what Redis knows of a key takes the place of what the file says', async () => {
    const first = both();
    const other = shared();
    await Promise.all([first.keysOf(1), other.keysOf(1)]);
    await convictAnn(first);
    first.guard.keys.disable('openai', 'ben');
    await other.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
    await other.heard('key', ({ keyId, to }) => keyId === 'ben' && to === 'disabled');
    first.guard.close();
    other.guard.keys.enable('openai', 'ann');
    other.guard.keys.enable('openai', 'ben');
    const late = shared();
    await expect.poll(async () => (await late.keysOf(1), states(late))).toEqual({ ann: 'ready', ben: 'ready' });
    const second = both();
    expect(states(second)).toEqual({ ann: 'disabled', ben: 'disabled' });
    await expect.poll(() => states(second)).toEqual({ ann: 'ready', ben: 'ready' });
    await second.keysOf(1);
    expect(states(other)).toEqual({ ann: 'ready', ben: 'ready' });
  });

  test('what Redis has lost the file brings back, for all', async () => {
    const first = both();
    await first.keysOf(1);
    await convictAnn(first);
    first.guard.keys.disable('openai', 'ben');
    first.guard.close();
    await server.kill();
    await server.begin();
    const other = shared();
    await other.keysOf(1);
    expect(states(other)).toEqual({ ann: 'ready', ben: 'ready' });
    const second = both();
    await other.heard('key', ({ keyId, to }) => keyId === 'ann' && to === 'disabled');
    await other.heard('key', ({ keyId, to }) => keyId === 'ben' && to === 'disabled');
    expect(states(second)).toEqual({ ann: 'disabled', ben: 'disabled' });
  });

  test('a process that begins while Redis is away begins with what the file says', async () => {
    const limited = { keys: [key('ann', { limits: { rpd: 5 } }), key('ben')] };
    const first = both(limited);
    expect(await first.keysOf(3, { keyId: 'ann' })).toEqual(['ann', 'ann', 'ann']);
    first.guard.keys.disable('openai', 'ben');
    first.guard.close();
    await server.kill();
    const second = sharedGuard({ url: server.url, storeTimeoutMs: 200 }, limited, { persistence: persistence() });
    expect(await second.keysOf(10)).toEqual(['ann', 'ann']);
  });

  test('what is not shared is kept in the file', async () => {
    const first = sharedGuard({ url: server.url, ...PATIENT }, two, { persistence: persistence(), retry: { enabled: false } });
    await rejectionOf(first.guard.execute(() => Promise.reject(httpError(503)), 'openai'));
    first.guard.close();
    expect(both().guard.isProviderInRecovery('openai')).toBe(true);
    expect(shared().guard.isProviderInRecovery('openai')).toBe(false);
  });
});
