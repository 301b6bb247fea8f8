import { describe, expect, test } from 'vitest';
import { benchOf, fateOf, held, httpError, rejectionOf, scripted, settle, tripBreaker } from './support.ts';

const KEYS = [
  { id: 'a', key: 'a-key' },
  { id: 'b', key: 'b-key', models: ['large'] },
  { id: 'c', key: 'c-key', limits: { tpm: 100 } },
];
const POOL = { keyManagement: { maxWaitMs: 0, providers: { '*gemini*': { keys: KEYS } } }, retry: { enabled: false } };

describe('explain()', () => {
  test('names the key a call would take now, and why not the others', () => {
    const { guard } = benchOf(POOL);
    const explanation = guard.explain('google-gemini', { model: 'small', tokens: 500 });
    expect(explanation).toMatchObject({
      provider: 'google-gemini',
      pool: '*gemini*',
      strategy: 'round-robin',
      circuitBreakerState: 'CLOSED',
      waiting: 0,
      keyId: 'a',
    });
    expect(explanation.keys.map(({ id, chosen }) => [id, chosen])).toEqual([
      ['a', true],
      ['b', false],
      ['c', false],
    ]);
    const [a, b, c] = explanation.keys.map(({ why }) => why);
    expect(a).toContain('chosen by round-robin');
    expect(b).toContain('does not serve small');
    expect(c).toContain('500');
  });

  test('agrees with the next call, and takes nothing', async () => {
    const { guard } = benchOf({ keyManagement: { providers: { p: { keys: ['a-key', 'b-key', 'c-key'] } } } });
    for (let i = 0; i < 7; i++) {
      const { keyId } = guard.explain('p');
      guard.explain('p');
      expect(await guard.execute(context => context.keyId, 'p')).toBe(keyId);
    }
    expect(guard.getStats().keys.p?.keys.map(({ requests }) => requests)).toEqual([3, 2, 2]);
  });

  test('says until when a key is away, and that no time is known where there is none', async () => {
    const { guard, clock } = benchOf(POOL);
    const { fn } = scripted(httpError(429, { 'retry-after': '60' }));
    await rejectionOf(guard.execute(fn, { providerName: 'gemini', keyId: 'a', model: 'x' }));
    guard.keys.disable('gemini', 'c', 'too dear');
    const { keyId, keys } = guard.explain('gemini', { model: 'x' });
    expect(keyId).toBeUndefined();
    expect(keys).toMatchObject([
      { id: 'a', chosen: false, until: clock.now() + 60_000 },
      { id: 'b', chosen: false, until: undefined },
      { id: 'c', chosen: false, until: undefined, state: 'disabled' },
    ]);
    expect(keys[2]?.why).toContain('too dear');
  });

  test('tells keys that are ready from the one whose turn it is', () => {
    const { guard } = benchOf({ keyManagement: { providers: { p: { keys: ['a-key', 'b-key'] } } } });
    expect(guard.explain('p').keys[1]).toMatchObject({ state: 'ready', chosen: false, why: 'ready, not its turn' });
  });

  test('of a provider without a pool says so', () => {
    const { guard } = benchOf(POOL);
    expect(guard.explain('deepseek')).toEqual({
      provider: 'deepseek',
      pool: undefined,
      strategy: undefined,
      circuitBreakerState: 'CLOSED',
      waiting: 0,
      keyId: undefined,
      keys: [],
      fallbacks: [],
    });
    expect(guard.getStats().providers).toEqual({});
  });

  test('shows the breaker and who waits', async () => {
    const bench = benchOf({ ...POOL, queue: { concurrency: 1 }, circuitBreaker: { failureThreshold: 1 } });
    await tripBreaker(bench, 'gemini', 1);
    expect(bench.guard.explain('gemini').circuitBreakerState).toBe('OPEN');
    fateOf(bench.guard.execute(held().fn, 'my-gemini'));
    fateOf(bench.guard.execute(held().fn, 'my-gemini'));
    await settle();
    expect(bench.guard.explain('my-gemini').waiting).toBe(1);
  });

  test('shows no secret', () => {
    const { guard } = benchOf(POOL);
    expect(JSON.stringify(guard.explain('gemini'))).not.toMatch(/[abc]-key/);
  });
});
