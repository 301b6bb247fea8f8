import { beforeAll, describe, expect, test } from 'vitest';
import type { ExecutionGuard, SelectionStrategy } from '../../src/index.ts';
import { benchOf, fateOf, httpError, settle, type ManualClock } from './support.ts';

const KEYS = 100_000;
const GROUP_SIZE = 5000;

/** A strategy that counts how often it is asked or told anything: what a search costs. */
function counting() {
  const count = { total: 0 };
  let cursor = 0;
  const note = (): void => {
    count.total++;
  };
  const strategy: SelectionStrategy = {
    name: 'counting',
    select(ready) {
      note();
      return ready.next(cursor);
    },
    onReady: note,
    onAway: note,
    onLease(key) {
      note();
      cursor = key.position + 1;
    },
    onSettle: note,
  };
  return { strategy, count };
}

describe('a pool of a hundred thousand keys', () => {
  const { strategy, count } = counting();
  let guard: ExecutionGuard;
  let clock: ManualClock;

  /** How often the strategy was spoken to while `run` ran. */
  const costOf = async (run: () => unknown): Promise<number> => {
    const before = count.total;
    await run();
    return count.total - before;
  };
  const call = (reply?: Error): Promise<unknown> =>
    guard.execute(({ keyId, attempt }) => {
      if (reply && attempt === 1) throw reply;
      return keyId;
    }, 'vendor');

  beforeAll(async () => {
    const keys = Array.from({ length: KEYS }, (_, i) => ({
      id: `k${i}`,
      key: `secret-of-k${i}`,
      ...(i < GROUP_SIZE && { group: 'org' }),
      ...(i === KEYS - 1 && { limits: { concurrency: 1 } }),
    }));
    ({ guard, clock } = benchOf({
      retry: { jitterMs: 0 },
      keyManagement: { providers: { vendor: { keys, strategy, groups: { org: { limits: { rpm: 1_000_000 } } } } } },
    }));
    await call();
  });

  test('is looked through once, to begin with', () => {
    expect(count.total).toBeGreaterThanOrEqual(KEYS);
    expect(count.total).toBeLessThan(KEYS + 10);
  });

  test('costs a call one look, one lease and one settlement', async () => {
    expect(await costOf(async () => {
      for (let i = 0; i < 100; i++) await call();
    })).toBe(300);
  });

  test('costs a refused call a few more', async () => {
    const cost = await costOf(async () => {
      for (let i = 0; i < 20; i++) await call(httpError(401));
    });
    expect(cost).toBeLessThan(20 * 16);
  });

  test('puts a big group aside once, and not again while it rests', async () => {
    const limited = httpError(429, { 'retry-after': '60' });
    expect(await guard.execute(({ keyId, attempt }) => {
      if (attempt === 1) throw limited;
      return keyId;
    }, { providerName: 'vendor', keyId: 'k0' })).not.toBe('k0');
    await costOf(call);
    expect(await costOf(async () => {
      for (let i = 0; i < 100; i++) await call();
    })).toBe(300);
  });

  test('costs a key that is away nothing at all', async () => {
    for (let i = GROUP_SIZE; i < GROUP_SIZE + 50; i++) guard.keys.disable('vendor', `k${i}`);
    await call();
    expect(await costOf(async () => {
      for (let i = 0; i < 100; i++) await call();
    })).toBeLessThan(100 * 3 + 200);
    expect(await costOf(async () => {
      for (let i = 0; i < 100; i++) await call();
    })).toBe(300);
  });

  test('waits for a busy key without looking through the others', async () => {
    // Once round, past the keys that are away.
    await guard.execute(() => 1, { providerName: 'vendor', keyId: `k${KEYS - 1}` });
    await call();
    const open: (() => void)[] = [];
    const busy = fateOf(guard.execute(() => new Promise<void>(resolve => open.push(resolve)), { providerName: 'vendor', keyId: `k${KEYS - 1}` }));
    await settle();
    expect(await costOf(async () => {
      await guard.execute(() => 1, { providerName: 'vendor', keyId: `k${KEYS - 1}` });
      open[0]!();
      await settle();
    })).toBeLessThan(20);
    expect(busy.state).toBe('resolved');
  });

  test('needs no timer', () => {
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('fails with an error of moderate size', async () => {
    const { guard: small } = benchOf({
      keyManagement: { maxWaitMs: 0, providers: { vendor: { keys: Array.from({ length: 500 }, (_, i) => ({ id: `k${i}`, key: `secret-of-k${i}`, models: ['x'] })) } } },
    });
    const fate = fateOf(small.execute(() => 1, { providerName: 'vendor', model: 'y' }));
    await settle();
    expect(fate.value).toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect((fate.value as { keys: unknown[] }).keys).toHaveLength(100);
  });
});
