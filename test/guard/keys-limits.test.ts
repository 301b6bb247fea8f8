import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import { PoolExhaustedError } from '../../src/guard/errors.ts';
import type { CallContext, KeyLimits, Usage } from '../../src/index.ts';
import { OK, PATTERN, poolBench, PROVIDER } from './keys-bench.ts';
import { benchOf, fateOf, networkError, rejectionOf, scripted, settle } from './support.ts';

const noWait = { maxWaitMs: 0 };

/** One key with limits, and callbacks that end when told. */
function oneKey(limits: KeyLimits, options: Parameters<typeof poolBench>[1] = noWait) {
  const bench = poolBench([{ id: 'a', limits }], options);
  const open: { end: () => void; context: CallContext }[] = [];
  const start = (callOptions = {}) =>
    fateOf(
      bench.guard.execute(context => new Promise<void>(resolve => open.push({ end: resolve, context })), {
        providerName: PROVIDER,
        ...callOptions,
      }),
    );
  return { ...bench, open, start, quota: () => bench.key('a').quota };
}

describe('requests', () => {
  test('per minute are counted in any span of a minute', async () => {
    const { ask, clock, quota } = oneKey({ rpm: 2 });
    expect((await ask()).state).toBe('resolved');
    await clock.advance(20_000);
    expect((await ask()).state).toBe('resolved');
    expect((await ask()).value).toMatchObject({
      retryAfterMs: 40_000 + ON_THE_WAY_MS,
      keys: [{ id: 'a', state: 'exhausted', reason: 'quota used up' }],
    });
    expect(quota()).toEqual({ rpm: { limit: 2, used: 2, left: 0 } });
    await clock.advance(40_000 + ON_THE_WAY_MS);
    expect((await ask()).state).toBe('resolved');
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
  });

  test('per day of a provider without a day of its own are counted over any 24 hours', async () => {
    const { ask, clock } = oneKey({ rpd: 1 });
    await ask();
    await clock.advance(86_400_000 + ON_THE_WAY_MS - 1);
    expect((await ask()).state).toBe('rejected');
    await clock.advance(1);
    expect((await ask()).state).toBe('resolved');
  });

  test('per day of Gemini are whole again at midnight in California', async () => {
    const { guard, clock } = poolBench(['a'], {
      guard: { keyManagement: { providers: { '*gemini*': { keys: [{ key: 'AIzaFake', limits: { rpd: 1 } }], maxWaitMs: 0 } } } },
    });
    const ask = () => fateOf(guard.execute(() => 1, 'google-gemini'));
    ask();
    await settle();
    const refused = ask();
    await settle();
    expect(refused.value).toMatchObject({ retryAtMs: Date.UTC(2026, 10, 21, 8) });
    await clock.advance(20 * 3_600_000);
    const next = ask();
    await settle();
    expect(next.state).toBe('resolved');
  });

  test('count attempts, not calls: the provider bills those that fail too', async () => {
    const { ask, replies, quota } = oneKey({ rpm: 10 });
    replies['a'] = [400, 'ok'];
    await ask();
    await ask();
    expect(quota()).toEqual({ rpm: { limit: 10, used: 2, left: 8 } });
  });
});

describe('tokens', () => {
  test('are reserved, and a call that does not fit goes elsewhere', async () => {
    const { ask, asked, key } = poolBench([{ id: 'a', limits: { tpm: 100 } }, { id: 'b', limits: { tpm: 1000 } }], {
      strategy: 'priority',
    });
    await ask({ tokens: 80 });
    await ask({ tokens: 50 });
    await ask({ tokens: 20 });
    expect(asked).toEqual(['a', 'b', 'a']);
    expect(key('a').quota).toEqual({ tpm: { limit: 100, used: 100, left: 0 } });
  });

  test('a call larger than every limit is told so at once', async () => {
    const { ask } = oneKey({ tpm: 100 }, {});
    const error = (await ask({ tokens: 101 })).value;
    expect(error).toMatchObject({
      code: 'POOL_EXHAUSTED',
      keys: [{ id: 'a', state: 'exhausted', reason: 'token limit is below the 101 asked for' }],
    });
    expect(error).not.toHaveProperty('retryAfterMs');
  });

  test('a call too large for what is left waits; a smaller one does not', async () => {
    const { ask, call, clock, guard } = oneKey({ tpm: 100 }, { maxWaitMs: 61_000 });
    await ask({ tokens: 60 });
    const large = call({ tokens: 50 });
    await settle();
    expect(guard.explain(PROVIDER, { tokens: 50 }).keys[0]).toMatchObject({
      state: 'exhausted',
      why: 'token quota has no room for 50',
      until: clock.now() + 60_000 + ON_THE_WAY_MS,
    });
    expect(await ask({ tokens: 40 })).toEqual(OK('a'));
    expect(large.state).toBe('pending');
    await clock.advance(60_000 + ON_THE_WAY_MS);
    expect(large).toEqual(OK('a'));
  });

  test('reportUsage settles the estimate, downwards and upwards, as often as one likes', async () => {
    const { start, open, quota, key } = oneKey({ tpm: 1000, tpd: 5000 });
    start({ tokens: 500 });
    await settle();
    const { reportUsage } = open[0]!.context;
    expect(quota().tpm!.used).toBe(500);
    reportUsage({ inputTokens: 100, outputTokens: 20 });
    expect([quota().tpm!.used, quota().tpd!.used]).toEqual([120, 120]);
    reportUsage({ inputTokens: 100, outputTokens: 700, cost: 0.25 });
    expect([quota().tpm!.used, quota().tpd!.used]).toEqual([800, 800]);
    reportUsage({ inputTokens: 100, outputTokens: 690, cost: 0.5 });
    expect(quota().tpm!.used).toBe(790);
    expect(key('a')).toMatchObject({ inputTokens: 100, outputTokens: 690, cost: 0.5 });
  });

  test('usage may be reported after the attempt has ended, as for a stream', async () => {
    const { start, open, quota, clock } = oneKey({ tpm: 1000 });
    const fate = start({ tokens: 900 });
    await settle();
    open[0]!.end();
    await settle();
    expect(fate.state).toBe('resolved');
    await clock.advance(1000);
    open[0]!.context.reportUsage({ inputTokens: 300 });
    expect(quota().tpm!.used).toBe(300);
    await clock.advance(59_000 + ON_THE_WAY_MS);
    expect(quota().tpm!.used).toBe(0);
    open[0]!.context.reportUsage({ inputTokens: 500 });
    expect(quota().tpm!.used).toBe(0);
  });

  test('that were not used are free for those who wait', async () => {
    const { start, open, call, ask } = oneKey({ tpm: 1000 }, { maxWaitMs: 61_000 });
    start({ tokens: 1000 });
    await settle();
    const waiting = call({ tokens: 400 });
    await settle();
    expect(waiting.state).toBe('pending');
    open[0]!.context.reportUsage({ inputTokens: 100 });
    await settle();
    expect(waiting).toEqual(OK('a'));
    expect(await ask({ tokens: 500 })).toEqual(OK('a'));
  });

  test('an unknown size counts as one token, and as what it was in the end', async () => {
    const { start, open, quota, ask } = oneKey({ tpm: 100 });
    start();
    await settle();
    open[0]!.context.reportUsage({ inputTokens: 150 });
    expect(quota().tpm).toEqual({ limit: 100, used: 150, left: 0 });
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
  });

  test.each([{ inputTokens: -5 }, { outputTokens: NaN }, { inputTokens: Infinity }, {}])('nonsense such as %j changes nothing', async usage => {
    const { start, open, quota, key } = oneKey({ tpm: 100 });
    start({ tokens: 50 });
    await settle();
    open[0]!.context.reportUsage(usage);
    expect(quota().tpm!.used).toBe(50);
    expect(key('a')).toMatchObject({ inputTokens: 0, outputTokens: 0, cost: 0 });
  });

  test('usage without a pool is nobody\'s', async () => {
    const { guard } = poolBench(['a']);
    const used = guard.execute(({ reportUsage }) => {
      reportUsage({ inputTokens: 5 });
      return 'done';
    }, 'elsewhere');
    expect(await used).toBe('done');
  });
});

describe('attempts at once', () => {
  test('are bounded per key', async () => {
    const { start, open, guard } = oneKey({ concurrency: 2 });
    start();
    start();
    const third = start();
    await settle();
    expect(open).toHaveLength(2);
    expect(third.value).toMatchObject({ keys: [{ state: 'busy', reason: 'concurrency limit reached' }] });
    expect(guard.keys.get(PATTERN, 'a').inFlight).toBe(2);
    open[0]!.end();
    await settle();
    start();
    await settle();
    expect(open).toHaveLength(3);
  });

  test('are bounded per group, and a free place serves any of its keys', async () => {
    const keys = [{ id: 'a', group: 'org', models: ['x'] }, { id: 'b', group: 'org', models: ['y'] }];
    const { guard, call } = poolBench(keys, { groups: { org: { limits: { concurrency: 1 } } } });
    let end!: () => void;
    const first = fateOf(guard.execute(() => new Promise<void>(resolve => (end = resolve)), { providerName: PROVIDER, model: 'x' }));
    await settle();
    const second = call({ model: 'y' });
    await settle();
    expect(second.state).toBe('pending');
    expect(guard.explain(PROVIDER, { model: 'y' }).keys[1]).toMatchObject({ state: 'busy', why: 'concurrency limit of its group reached' });
    end();
    await settle();
    expect(first.state).toBe('resolved');
    expect(second).toEqual(OK('b'));
  });

  test('a lease that is never given back frees its place after leaseMs', async () => {
    const { start, open, call, clock } = oneKey({ concurrency: 1 }, { leaseMs: 10_000, maxWaitMs: 60_000 });
    const lost = start();
    await settle();
    const waiting = call();
    await clock.advance(9999);
    expect(waiting.state).toBe('pending');
    await clock.advance(1);
    expect(waiting).toEqual(OK('a'));
    open[0]!.end();
    await settle();
    expect(lost.state).toBe('resolved');
  });

  test('one given back late is not given back twice, and still counts as answered', async () => {
    const { start, open, call, clock, key } = oneKey({ concurrency: 1 }, { leaseMs: 10_000, maxWaitMs: 60_000 });
    start();
    await settle();
    call();
    await clock.advance(10_000);
    start();
    await settle();
    open[0]!.end();
    await settle();
    expect(key('a')).toMatchObject({ inFlight: 1, successes: 2, requests: 3 });
    const third = call();
    await settle();
    expect(third.state).toBe('pending');
  });

  test('a place of the group that is never given back is free after leaseMs too', async () => {
    const keys = [{ id: 'a', group: 'org' }, { id: 'b', group: 'org' }];
    const { guard, call, clock } = poolBench(keys, { groups: { org: { limits: { concurrency: 1 } } }, leaseMs: 10_000 });
    fateOf(guard.execute(() => new Promise(() => undefined), { providerName: PROVIDER, keyId: 'a' }));
    await settle();
    const waiting = call({ keyId: 'b' });
    await clock.advance(10_000);
    expect(waiting).toEqual(OK('b'));
  });

  test('a key stays taken while its answer is streamed', async () => {
    const { guard, call } = poolBench([{ id: 'a', limits: { concurrency: 1 } }]);
    async function* stream() {
      yield await Promise.resolve(1);
      yield 2;
    }
    const chunks = await guard.execute(() => stream(), PROVIDER);
    const waiting = call();
    await settle();
    expect(waiting.state).toBe('pending');
    for await (const chunk of chunks) expect([chunk, waiting.state]).toEqual([chunk, 'pending']);
    await settle();
    expect(waiting).toEqual(OK('a'));
  });

  test('a stream that begins brings its key back at once, for those who wait too', async () => {
    const { guard, replies, ask, call, clock } = poolBench(['a'], { guard: { retry: { enabled: false } } });
    replies['a'] = [429, 'ok'];
    await ask();
    await clock.advance(5000);
    let begin!: (response: Response) => void;
    const probe = guard.execute(() => new Promise<Response>(resolve => (begin = resolve)), PROVIDER);
    const waiting = call();
    await settle();
    expect(waiting.state).toBe('pending');
    begin(new Response(new ReadableStream()));
    expect((await probe).status).toBe(200);
    await settle();
    expect(waiting).toEqual(OK('a'));
  });
});

describe('a group\'s limits', () => {
  test('hold for all its keys together', async () => {
    const keys = [{ id: 'a', group: 'org' }, { id: 'b', group: 'org' }, { id: 'c' }];
    const { ask, asked } = poolBench(keys, { groups: { org: { limits: { rpm: 3 } } }, strategy: 'priority' });
    for (let i = 0; i < 5; i++) await ask();
    expect(asked).toEqual(['a', 'a', 'a', 'c', 'c']);
  });

  test('and a key\'s own hold together with them', async () => {
    const keys = [{ id: 'a', group: 'org', limits: { rpm: 1 } }, { id: 'b', group: 'org' }];
    const { ask, asked } = poolBench(keys, { groups: { org: { limits: { rpm: 3 } } }, ...noWait });
    for (let i = 0; i < 5; i++) await ask();
    expect(asked).toEqual(['a', 'b', 'b']);
  });

  test('of tokens hold for all its keys together, and are settled for all of them', async () => {
    const keys = [{ id: 'a', group: 'org' }, { id: 'b', group: 'org' }];
    const { guard, ask, call } = poolBench(keys, { groups: { org: { limits: { tpm: 100, rpm: 50 } } }, maxWaitMs: 61_000 });
    let report!: (usage: Usage) => void;
    await guard.execute(({ reportUsage }) => (report = reportUsage), { providerName: PROVIDER, tokens: 90 });
    const waiting = call({ tokens: 50 });
    await settle();
    expect(guard.explain(PROVIDER, { tokens: 50 }).keys.map(({ why }) => why)).toEqual([
      'token quota of its group has no room for 50',
      'token quota of its group has no room for 50',
    ]);
    report({ inputTokens: 10 });
    await settle();
    expect(waiting.state).toBe('resolved');
    expect((await ask({ tokens: 41 })).state).toBe('pending');
  });

  test('survive a key\'s replacement: what the group has used stays used', async () => {
    const { ask, guard } = poolBench([{ id: 'a', group: 'org' }], { groups: { org: { limits: { rpm: 1 } } }, ...noWait });
    await ask();
    guard.keys.replace(PATTERN, 'a', 'a-new-secret');
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
  });

  test('survive a new secret under the same id', async () => {
    const groups = { org: { limits: { rpm: 1 } } };
    const { ask, guard } = poolBench([{ id: 'a', group: 'org' }], { groups, ...noWait });
    await ask();
    const keys = [{ id: 'a', key: 'a-new-secret', group: 'org' }];
    guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys, groups, ...noWait } } } });
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
  });
});

test('changed limits hold at once, and what was used stays used', async () => {
  const { ask, guard } = poolBench([{ id: 'a', limits: { rpm: 3, rpd: 100 } }], noWait);
  await ask();
  await ask();
  const update = (limits: KeyLimits | undefined) =>
    guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys: [{ id: 'a', key: 'secret-of-a-0123456789', limits }], ...noWait } } } });
  update({ rpm: 2 });
  expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
  update({ rpm: 3 });
  expect((await ask()).state).toBe('resolved');
  expect((await ask()).state).toBe('rejected');
  update(undefined);
  expect((await ask()).state).toBe('resolved');
});

test('whatever is reported, when and how often: the windows hold exactly what was said last', async () => {
  const report = fc.record({ at: fc.nat(50_000), inputTokens: fc.nat(40), outputTokens: fc.nat(40) });
  const caller = fc.record({ tokens: fc.nat(50), lasts: fc.nat(20_000), reports: fc.array(report, { maxLength: 4 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(caller, { maxLength: 10 }), async callers => {
      const { guard, clock, key } = poolBench([{ id: 'a', group: 'g', limits: { tpm: 1e6, rpm: 1000 } }], {
        groups: { g: { limits: { tpd: 1e6 } } },
      });
      const held = callers.map(({ tokens }) => tokens);
      callers.forEach(({ tokens, lasts, reports }, index) => {
        void guard.execute(
          ({ reportUsage }) => {
            for (const { at, ...usage } of reports) {
              clock.setTimeout(() => {
                reportUsage(usage);
                if (usage.inputTokens + usage.outputTokens > 0) held[index] = usage.inputTokens + usage.outputTokens;
              }, at);
            }
            return new Promise(resolve => clock.setTimeout(() => resolve(1), lasts));
          },
          { providerName: PROVIDER, tokens },
        );
      });
      for (let step = 0; step < 59; step++) {
        await clock.advance(1000);
        expect(key('a').quota.tpm!.used).toBe(held.reduce((sum, each) => sum + each, 0));
      }
      expect(key('a')).toMatchObject({ inFlight: 0, requests: callers.length, successes: callers.length });
      await clock.advance(1000 + ON_THE_WAY_MS);
      expect(key('a').quota).toMatchObject({ tpm: { used: 0 }, rpm: { used: 0 } });
    }),
    { numRuns: 60 },
  );
});

describe('what a limit counts', () => {
  const limited = { id: 'a', key: 'a-key', limits: { rpm: 10, tpm: 1000 } };
  const poolOf = (retry: object) => ({ retry, keyManagement: { providers: { p: { keys: [limited] } } } });

  test('is no attempt that found no connection: its requests and tokens are given back', async () => {
    const { guard } = benchOf(poolOf({ maxRetries: 0 }));
    await rejectionOf(guard.execute(scripted(networkError('ECONNREFUSED')).fn, { providerName: 'p', tokens: 900 }));
    expect(guard.keys.get('p', 'a')).toMatchObject({
      requests: 1,
      quota: { rpm: { used: 0 }, tpm: { used: 0 } },
      inFlight: 0,
    });
    await rejectionOf(guard.execute(scripted(networkError('ECONNRESET')).fn, { providerName: 'p', tokens: 900 }));
    expect(guard.keys.get('p', 'a').quota).toMatchObject({ rpm: { used: 1 }, tpm: { used: 900 } });
  });

  test('is not thrown by usage that is missing', async () => {
    const { guard } = benchOf(poolOf({}));
    const answer = await guard.execute(ctx => {
      ctx.reportUsage(undefined as never);
      ctx.reportUsage(null as never);
      return 'fine';
    }, { providerName: 'p', tokens: 100 });
    expect(answer).toBe('fine');
    expect(guard.keys.get('p', 'a').quota).toMatchObject({ tpm: { used: 100 } });
  });

  test.each([2 ** 60, Number.MAX_VALUE, NaN, Infinity, -5])(
    'is the tokens of others still, when %d tokens are corrected',
    async absurd => {
      const { guard } = benchOf(poolOf({}));
      const other = guard.execute(() => 'x', { providerName: 'p', tokens: 300 });
      await guard.execute(ctx => {
        ctx.reportUsage({ inputTokens: absurd });
        ctx.reportUsage({ inputTokens: 100 });
      }, { providerName: 'p', tokens: 50 });
      await other;
      expect(guard.keys.get('p', 'a').quota).toMatchObject({ tpm: { used: 400 } });
    },
  );
});
