import { describe, expect, test } from 'vitest';
import type { ExecutionGuardConfig, KeyProviderConfig } from '../../src/guard/config/types.ts';
import type { CallContext, ExecuteOptions } from '../../src/guard/options.ts';
import { PoolExhaustedError } from '../../src/index.ts';
import { benchOf, fateOf, httpError, ManualClock, settle, type Bench, type Fate } from './support.ts';

const MINUTE_MS = 60_000;
const LIMIT = 10;

interface Exchange extends Bench {
  /** When each request came, as ms since the beginning, with its key. */
  readonly asked: { readonly at: number; readonly key: string | undefined }[];
  /** What came of the provider's refusals. */
  readonly refused: () => number;
  readonly call: (options?: ExecuteOptions) => Fate;
  /** What is used by others. */
  readonly use: (weight: number) => unknown;
}

/** Binance at the beginning of a minute, for calls that weigh one each and take `tookMs`; two keys. */
function exchange(pool: Partial<KeyProviderConfig> = {}, config: ExecutionGuardConfig = {}, env: Record<string, string> = {}): Exchange {
  const { keyManagement, ...rest } = config;
  const keys = [{ id: 'ann', key: 'secret-of-ann' }, { id: 'ben', key: 'secret-of-ben' }];
  const bench = benchOf({ ...rest, keyManagement: { ...keyManagement, providers: { '*binance*': { keys, ...pool } } } }, env);
  const { clock, guard } = bench;
  const startAt = clock.now();
  const asked: Exchange['asked'] = [];
  let minute = 0;
  let used = 0;
  let refused = 0;
  const count = (weight: number): boolean => {
    const now = Math.floor(clock.now() / MINUTE_MS);
    if (now !== minute) used = 0;
    minute = now;
    if (used + weight > LIMIT) return false;
    used += weight;
    return true;
  };
  const fn = async ({ keyId }: CallContext): Promise<Response> => {
    asked.push({ at: clock.now() - startAt, key: keyId });
    const isServed = count(1);
    const headers: Record<string, string> = { 'x-mbx-used-weight-1m': String(used) };
    await new Promise<void>(resolve => clock.setTimeout(resolve, 20));
    if (isServed) return new Response(null, { headers });
    refused++;
    headers['retry-after'] = String(Math.ceil((MINUTE_MS - (clock.now() % MINUTE_MS)) / 1000));
    const msg = `Too much request weight used; current limit is ${LIMIT} request weight per 1 MINUTE.`;
    return new Response(JSON.stringify({ code: -1003, msg }), { status: 429, headers });
  };
  return {
    ...bench,
    asked,
    refused: () => refused,
    call: (options = {}) => fateOf(guard.execute(fn, { providerName: 'binance', ...options })),
    use: count,
  };
}

/** Uses the address up, so that its limit is told; the next minute has begun afterwards. */
async function learn({ call, clock, use }: Exchange): Promise<void> {
  use(LIMIT);
  call();
  await clock.advance(2 * MINUTE_MS);
  call();
  await clock.advance(MINUTE_MS);
}

async function rejection(fate: Fate): Promise<unknown> {
  await settle();
  expect(fate.state).toBe('rejected');
  return fate.value;
}

test('the bench begins with a minute', () => {
  expect(new ManualClock().now() % MINUTE_MS).toBe(0);
});

describe('a limit on the address that a refusal has told', () => {
  test('is never reached again: calls wait for the minute to turn', async () => {
    const bench = exchange();
    await learn(bench);
    const before = bench.refused();
    await bench.clock.advance(40_000);
    const fates = Array.from({ length: 25 }, () => bench.call({ deadlineMs: 100_000 }));
    await bench.clock.advance(100_000);
    expect(fates.every(({ state }) => state === 'resolved')).toBe(true);
    expect(bench.refused()).toBe(before);
    const minutes = bench.asked.slice(-25).map(({ at }) => Math.floor(at / MINUTE_MS));
    expect(minutes.filter(minute => minute === minutes[0])).toHaveLength(LIMIT);
    expect(new Set(minutes).size).toBe(3);
  });

  test('counts what is under way, and lets others go where that turns out to be less', async () => {
    const bench = exchange();
    await learn(bench);
    bench.use(4);
    bench.call();
    await bench.clock.advance(1000);
    const { length } = bench.asked;
    const before = bench.refused();
    const lost = fateOf(bench.guard.execute(() => Promise.reject(httpError(400)), 'binance'));
    const aborter = new AbortController();
    fateOf(bench.guard.execute(() => new Promise(() => undefined), { providerName: 'binance', signal: aborter.signal }));
    const fates = Array.from({ length: 8 }, () => bench.call({ deadlineMs: 2 * MINUTE_MS }));
    expect(bench.asked.length - length).toBe(3);
    await bench.clock.advance(100);
    // Answers have told that the one that was lost has not been counted; the other one still may be.
    expect(bench.asked.length - length).toBe(4);
    expect(lost.state).toBe('rejected');
    aborter.abort();
    await bench.clock.advance(MINUTE_MS);
    expect(fates.every(({ state }) => state === 'resolved')).toBe(true);
    expect(bench.refused()).toBe(before);
  });

  test('is kept to where other programs use it as well', async () => {
    const bench = exchange();
    await learn(bench);
    bench.use(8);
    bench.call();
    await bench.clock.advance(1000);
    bench.use(1);
    // Nobody has told of that one, so the provider has to.
    bench.call();
    await bench.clock.advance(1000);
    const { length } = bench.asked;
    const late = bench.call({ deadlineMs: MINUTE_MS });
    await bench.clock.advance(5000);
    expect(bench.asked).toHaveLength(length);
    await bench.clock.advance(MINUTE_MS);
    expect(late.state).not.toBe('pending');
  });

  test('turns away at once who cannot wait so long, and says when to come back, and why', async () => {
    const bench = exchange();
    await learn(bench);
    bench.use(LIMIT - 1);
    bench.call();
    await bench.clock.advance(10_000);
    const { length } = bench.asked;
    for (const options of [{ deadlineMs: 5000 }, {}]) {
      const error = await rejection(bench.call(options));
      expect(error).toBeInstanceOf(PoolExhaustedError);
      expect(error).toMatchObject({ retryAfterMs: 50_000 });
      expect((error as PoolExhaustedError).keys.map(({ reason, state }) => [state, reason])).toEqual([
        ['exhausted', "the provider's weight of this address is used up"],
        ['exhausted', "the provider's weight of this address is used up"],
      ]);
    }
    expect(bench.asked).toHaveLength(length);
    const { keyId, keys } = bench.guard.explain('binance');
    expect(keyId).toBeUndefined();
    expect(keys[0]).toMatchObject({ state: 'exhausted', until: bench.clock.now() + 50_000 });
    expect(bench.guard.keys.list()[0]?.keys.map(({ state }) => state)).toEqual(['ready', 'ready']);
  });

  test('lets nobody wait where the pool says so', async () => {
    const bench = exchange({ maxWaitMs: 0 });
    await learn(bench);
    bench.use(LIMIT - 1);
    bench.call();
    await bench.clock.advance(59_000);
    expect(await rejection(bench.call({ deadlineMs: MINUTE_MS }))).toMatchObject({ code: 'POOL_EXHAUSTED', retryAfterMs: 1000 });
  });

  test.each(['useFirst', 'useEnvironment'] as const)('is no reason to use another key, with %s', async fallbackBehavior => {
    const bench = exchange({ fallbackBehavior }, {}, { BINANCE_API_KEY: 'secret-of-the-environment' });
    await learn(bench);
    bench.use(LIMIT - 1);
    bench.call();
    await bench.clock.advance(1000);
    const { length } = bench.asked;
    expect(await rejection(bench.call({ deadlineMs: 5000 }))).toMatchObject({ code: 'POOL_EXHAUSTED' });
    expect(bench.asked).toHaveLength(length);
  });

  test('is waited for by a call that has been refused by a key, and has no retry left', async () => {
    const bench = exchange({}, { retry: { enabled: false } });
    await learn(bench);
    bench.use(LIMIT - 2);
    let attempts = 0;
    const fate = fateOf(
      bench.guard.execute(() => {
        const headers = { 'x-mbx-used-weight-1m': String(LIMIT) };
        if (++attempts > 1) return new Response(null);
        throw Object.assign(httpError(401, headers), { error: { code: -2015, msg: 'Invalid API-key' } });
      }, { providerName: 'binance', deadlineMs: 2 * MINUTE_MS }),
    );
    await bench.clock.advance(1000);
    expect([attempts, fate.state]).toEqual([1, 'pending']);
    await bench.clock.advance(MINUTE_MS);
    expect([attempts, fate.state]).toEqual([2, 'resolved']);
  });

  test('is that of one provider: others of the pool are not held back', async () => {
    const bench = exchange();
    await learn(bench);
    bench.use(LIMIT - 1);
    bench.call();
    await bench.clock.advance(1000);
    const waiting = bench.call({ deadlineMs: 2 * MINUTE_MS });
    const other = await bench.guard.execute(() => 'another address limit', { providerName: 'binance-futures', deadlineMs: 1000 });
    expect(other).toBe('another address limit');
    expect(waiting.state).toBe('pending');
    await bench.clock.advance(MINUTE_MS);
    expect(waiting.state).toBe('resolved');
  });

  test('sends a call on to the next provider of its chain', async () => {
    const bench = exchange({}, { fallbacks: { binance: ['kraken'] } });
    await learn(bench);
    bench.use(LIMIT - 1);
    bench.call();
    await bench.clock.advance(1000);
    const answer = await bench.guard.execute(({ provider }) => `from ${provider}`, { providerName: 'binance', deadlineMs: 5000 });
    expect(answer).toBe('from kraken');
  });

  test('is forgotten with all records', async () => {
    const bench = exchange();
    await learn(bench);
    bench.use(LIMIT - 1);
    bench.call();
    await bench.clock.advance(1000);
    bench.guard.clearAllRecords();
    const { length } = bench.asked;
    bench.call();
    await settle();
    expect(bench.asked).toHaveLength(length + 1);
  });
});
