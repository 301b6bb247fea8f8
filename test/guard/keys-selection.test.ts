import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import { PoolExhaustedError } from '../../src/guard/errors.ts';
import type { KeyConfig, KeyView, SelectionStrategy } from '../../src/index.ts';
import { OK, PATTERN, poolBench, PROVIDER, type PoolBenchOptions } from './keys-bench.ts';
import { fateOf, httpError, settle } from './support.ts';

const noWait = { maxWaitMs: 0 };

describe('models', () => {
  const keys: KeyConfig[] = [
    { id: 'a', models: ['gpt-4*', 'o1'] },
    { id: 'b', excludeModels: ['*-preview'] },
    { id: 'c', models: ['gpt-*'], excludeModels: ['gpt-4*'] },
  ];

  test.each([
    ['gpt-4o', ['a', 'b']],
    ['gpt-4o-preview', ['a']],
    ['gpt-3.5', ['b', 'c']],
    ['o1', ['a', 'b']],
    ['o1-preview', []],
    [undefined, ['a', 'b', 'c']],
  ])('%s is served by %j', async (model, ids) => {
    const { ask, asked } = poolBench(keys, noWait);
    for (let i = 0; i < 6; i++) await ask({ model });
    expect([...new Set(asked)].sort()).toEqual(ids);
  });

  test('no key serves the model: said in words, per key', async () => {
    const { ask, guard } = poolBench(keys);
    const error = (await ask({ model: 'o1-preview' })).value;
    expect(error).toBeInstanceOf(PoolExhaustedError);
    expect(error).toMatchObject({ keys: [{ reason: 'does not serve o1-preview' }, {}, {}] });
    expect(error).not.toHaveProperty('retryAfterMs');
    expect(guard.explain(PROVIDER, { model: 'o1-preview' }).keys.map(({ why }) => why)).toEqual(Array(3).fill('does not serve o1-preview'));
  });

  test('of ten thousand names cost no more than those in use', async () => {
    const { ask, asked, replies } = poolBench([...keys, 'd']);
    replies['d'] = [httpError(429, { 'retry-after': '1' }), 'ok'];
    for (let i = 0; i < 10_000; i++) await ask({ model: `model-${i}` });
    expect(asked.filter(id => id === 'a')).toHaveLength(0);
    expect(asked.filter(id => id === 'b').length).toBeGreaterThan(4000);
  });
});

describe('priority', () => {
  test('keys of a higher number serve only while none of a lower one is ready', async () => {
    const { ask, asked, replies, clock } = poolBench(['a', 'b', { id: 'backup', priority: 1 }, { id: 'last', priority: 9 }]);
    for (let i = 0; i < 4; i++) await ask();
    expect(asked).toEqual(['a', 'b', 'a', 'b']);
    asked.length = 0;
    Object.assign(replies, { a: [httpError(429, { 'retry-after': '30' }), 'ok'], b: [httpError(429, { 'retry-after': '60' }), 'ok'] });
    await ask();
    await ask();
    expect(asked).toEqual(['a', 'b', 'backup', 'backup']);
    await clock.advance(30_000);
    asked.length = 0;
    await ask();
    await ask();
    expect(asked).toEqual(['a', 'a']);
  });

  test('a backup is not woken for a key at its limit for a moment longer than needed', async () => {
    const { ask, asked, clock } = poolBench([{ id: 'a', limits: { rpm: 1 } }, { id: 'backup', priority: 1 }]);
    await ask();
    await ask();
    await clock.advance(60_000 + ON_THE_WAY_MS);
    await ask();
    expect(asked).toEqual(['a', 'backup', 'a']);
  });

  test('changed by an update holds at once', async () => {
    const { ask, asked, guard } = poolBench([{ id: 'a' }, { id: 'b', priority: 1 }]);
    await ask();
    const keys = [{ id: 'a', key: 'secret-of-a-0123456789', priority: 2 }, { id: 'b', key: 'secret-of-b-0123456789', priority: 1 }];
    guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys } } } });
    await ask();
    expect(asked).toEqual(['a', 'b']);
  });
});

describe('a strategy of one\'s own', () => {
  const custom = (select: SelectionStrategy['select'], rest: Partial<SelectionStrategy> = {}): SelectionStrategy => ({
    name: 'custom-one',
    select,
    ...rest,
  });

  test('sees the keys as configured, and never their secrets', async () => {
    const seen: KeyView[] = [];
    const traits = { weight: 3, priority: 0, group: 'org', tier: 'paid', region: 'eu', tags: ['x', 'y'] };
    const { ask } = poolBench([{ id: 'a', ...traits }], {
      strategy: custom(ready => {
        seen.push(...ready);
        return ready.next(0);
      }),
    });
    await ask();
    expect(seen[0]).toMatchObject({ id: 'a', position: 0, ...traits, inFlight: 0, latencyMs: 0, errorRate: 0 });
    const shown = [JSON.stringify(seen[0]), inspect(seen[0], { depth: 9, showHidden: true }), JSON.stringify({ ...seen[0]! })];
    for (const each of shown) expect(each).not.toContain('secret-of');
  });

  test('is asked for what the call wants', async () => {
    const requests: unknown[] = [];
    const { ask, clock } = poolBench(['a'], {
      strategy: custom((ready, request) => {
        requests.push({ model: request.model, tokens: request.tokens, now: request.now });
        return ready.next(0);
      }),
    });
    await ask({ model: 'm', tokens: 12 });
    expect(requests).toEqual([{ model: 'm', tokens: 12, now: clock.now() }]);
  });

  test('decides; a factory makes one for each tier', async () => {
    const last = custom(ready => [...ready].at(-1));
    const object = poolBench(['a', 'b', { id: 'backup', priority: 1 }], { strategy: last });
    await object.ask();
    expect(object.asked).toEqual(['b']);
    let made = 0;
    const factory = poolBench(['a', 'b', { id: 'backup', priority: 1 }], {
      strategy: () => {
        made++;
        return last;
      },
    });
    await factory.ask();
    expect(factory.asked).toEqual(['b']);
    expect(made).toBeGreaterThanOrEqual(2);
    expect(factory.guard.keys.list()[0]!.strategy).toBe('custom-one');
  });

  test('shared by the tiers proposes a key of another tier in vain', async () => {
    const favourite: (KeyView | undefined)[] = [];
    const { ask, asked } = poolBench(['a', { id: 'backup', priority: 1 }], {
      strategy: custom(() => favourite[0], { onReady: key => favourite.push(...(key.id === 'backup' ? [key] : [])) }),
    });
    await ask();
    expect(favourite).toHaveLength(1);
    expect(asked).toEqual(['a']);
  });

  test('that throws costs no call: keys are taken in pool order, and it is said once', async () => {
    const boom = (): never => {
      throw new TypeError('boom');
    };
    const { ask, asked, warnings, replies } = poolBench(['a', 'b'], {
      strategy: custom(boom, { onReady: boom, onAway: boom, onLease: boom, onSettle: boom }),
    });
    replies['a'] = [429, 'ok'];
    for (let i = 0; i < 3; i++) expect(await ask()).toEqual(OK('b'));
    expect(asked).toEqual(['a', 'b', 'b', 'b']);
    expect(warnings).toEqual([
      'keyManagement.providers["*vendor*"].strategy threw TypeError; where it does not choose, keys are taken in pool order',
    ]);
  });

  test('that throws now and then loses no key', async () => {
    let count = 0;
    const { ask, asked, guard } = poolBench([{ id: 'a', limits: { tpm: 10 } }, 'b'], {
      strategy: custom(ready => {
        if (count++ % 2 === 1) throw new Error('every second time');
        return ready.next(0);
      }),
    });
    for (let i = 0; i < 6; i++) expect(await ask({ tokens: 20 })).toEqual(OK('b'));
    expect(await ask({ tokens: 5 })).toEqual(OK('a'));
    expect(guard.keys.list()[0]!.ready).toBe(2);
    expect(asked).toHaveLength(7);
  });

  test.each([null, 42, 'a', {}, { position: 0 }, { position: NaN }, Promise.resolve(undefined), undefined])(
    'that returns %j is no reason to fail',
    async nonsense => {
      const strategy = { name: 'nonsense', select: () => nonsense } as unknown as SelectionStrategy;
      const { ask } = poolBench(['a', 'b'], { strategy });
      expect(await ask()).toEqual(OK('a'));
    },
  );

  test('that is no strategy after all leaves pool order', async () => {
    const broken = poolBench(['a'], {
      strategy: () => {
        throw new Error('no strategy today');
      },
    });
    expect(await broken.ask()).toEqual(OK('a'));
    expect(broken.warnings).toHaveLength(1);
    const nameless = poolBench(['a', 'b'], { strategy: { select: (ready: Iterable<KeyView>) => [...ready][1] } as unknown as SelectionStrategy });
    expect(await nameless.ask()).toEqual(OK('b'));
    expect(nameless.guard.keys.list()[0]!.strategy).toBe('custom');
  });

  test('keeps what it knows through an update', async () => {
    let leases = 0;
    const strategy = (): SelectionStrategy => custom(ready => ready.next(leases), {
      onLease: () => {
        leases++;
      },
    });
    const { ask, asked, guard } = poolBench(['a', 'b', 'c'], { strategy });
    await ask();
    guard.updateConfig({ retry: { maxRetries: 1 } });
    await ask();
    await ask();
    expect(asked).toEqual(['a', 'b', 'c']);
  });

  test('is told of every lease and settlement', async () => {
    const told: string[] = [];
    const { ask, replies } = poolBench(['a', 'b'], {
      strategy: custom(ready => ready.next(0), {
        onLease: key => told.push(`lease ${key.id} ${key.inFlight}`),
        onSettle: key => told.push(`settle ${key.id} ${key.inFlight}`),
        onAway: key => told.push(`away ${key.id}`),
        onReady: key => told.push(`ready ${key.id}`),
      }),
    });
    replies['a'] = httpError(429, { 'retry-after': '60' });
    await ask();
    expect(told).toEqual(['ready a', 'ready b', 'lease a 1', 'settle a 0', 'away a', 'ready a', 'lease b 1', 'settle b 0']);
  });
});

test('another strategy takes over at once', async () => {
  const { ask, asked, guard } = poolBench(['a', 'b', 'c']);
  await ask();
  const keys = ['a', 'b', 'c'].map(id => ({ id, key: `secret-of-${id}-0123456789` }));
  guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys, strategy: 'priority' } } } });
  await ask();
  await ask();
  expect(asked).toEqual(['a', 'a', 'a']);
  expect(guard.keys.list()[0]).toMatchObject({ strategy: 'priority' });
});

describe('explain', () => {
  test('says which key is next, why, and why the others are not', async () => {
    const { ask, guard, replies, clock } = poolBench(
      ['a', 'b', { id: 'c', limits: { rpm: 1 } }, { id: 'd', priority: 1 }, { id: 'e', models: ['x'] }, 'f', 'g'],
      { guard: { retry: { enabled: false } } },
    );
    guard.keys.disable(PATTERN, 'b', 'on loan');
    replies['a'] = [httpError(429, { 'retry-after': '60' }), 'ok'];
    await ask({ keyId: 'c' });
    await ask({ keyId: 'a' });
    replies['g'] = 401;
    replies['f'] = [400, 'ok'];
    await ask({ keyId: 'g', model: 'y' });
    const explanation = guard.explain(PROVIDER, { model: 'y' });
    expect(explanation).toMatchObject({
      provider: PROVIDER,
      pool: PATTERN,
      strategy: 'round-robin',
      circuitBreakerState: 'CLOSED',
      waiting: 0,
      keyId: 'f',
    });
    expect(explanation.keys.map(({ id, state, chosen, why }) => `${id} ${state} ${String(chosen)}: ${why}`)).toEqual([
      'a cooling false: cooling: rate_limit',
      'b disabled false: disabled by hand: on loan',
      'c exhausted false: quota used up',
      'd ready false: ready, a backup',
      'e unsuitable false: does not serve y',
      'f ready true: chosen by round-robin',
      'g suspect false: suspect: unauthorized; last in line',
    ]);
    expect(explanation.keys.map(({ until }) => until)).toEqual([
      clock.now() + 60_000, undefined, clock.now() + 60_000 + ON_THE_WAY_MS, undefined, undefined, undefined, undefined,
    ]);
    expect(explanation.keys[0]!.mask).toBe('…');
  });

  test('names the breaker\'s state', async () => {
    const { ask, replies, guard } = poolBench(['a'], { guard: { retry: { enabled: false }, circuitBreaker: { failureThreshold: 1 } } });
    replies['a'] = 500;
    await ask();
    expect(guard.explain(PROVIDER).circuitBreakerState).toBe('OPEN');
  });

  const keySet = fc.uniqueArray(
    fc.record({
      id: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      weight: fc.nat(3),
      priority: fc.nat(1),
      models: fc.constantFrom(undefined, ['x'], ['y']),
      group: fc.constantFrom(undefined, 'g'),
      limits: fc.record({ concurrency: fc.integer({ min: 1, max: 3 }), tpm: fc.integer({ min: 30, max: 90 }) }),
    }),
    { selector: ({ id }) => id, minLength: 1 },
  );
  const step = fc.record({
    reply: fc.constantFrom('ok', 'ok', 429, 401, 500, 400),
    lasts: fc.integer({ min: 1, max: 4000 }),
    pause: fc.integer({ min: 0, max: 4000 }),
    model: fc.constantFrom(undefined, 'x', 'y'),
    tokens: fc.nat(40),
  });

  test.each(['round-robin', 'weighted', 'least-used', 'priority', 'random', 'health-based'] as const)(
    'agrees with what the next call takes, and changes nothing: %s',
    async strategy => {
      await fc.assert(
        fc.asyncProperty(keySet, fc.array(step, { maxLength: 25 }), async (keys, steps) => {
          // With chance always the same, a look draws what the call will draw.
          const options: PoolBenchOptions = { strategy, guard: { retry: { enabled: false } }, ...noWait };
          const bench = poolBench(keys, options);
          const twin = poolBench(keys, options);
          for (const { reply, lasts, pause, ...call } of steps) {
            const first = bench.guard.explain(PROVIDER, call);
            expect(bench.guard.explain(PROVIDER, call)).toEqual(first);
            expect(first.keys.filter(({ chosen }) => chosen).map(({ id }) => id)).toEqual(first.keyId === undefined ? [] : [first.keyId]);
            for (const each of [bench, twin]) {
              const started = each.asked.length;
              for (const { id } of keys) {
                each.replies[id] = () =>
                  new Promise((resolve, reject) =>
                    each.clock.setTimeout(() => (typeof reply === 'number' ? reject(httpError(reply)) : resolve(reply)), lasts),
                  );
              }
              each.call(call);
              await settle();
              expect(each.asked[started]).toBe(first.keyId);
              await each.clock.advance(pause);
            }
          }
          // The one that was looked at has done exactly what the other one did.
          expect(bench.asked).toEqual(twin.asked);
        }),
        { numRuns: 25 },
      );
    },
  );
});

test('what is taken is never asked for twice in one call, however many keys fail', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 8 }),
      fc.array(fc.constantFrom(429, 401, 403, 402), { minLength: 8, maxLength: 8 }),
      fc.constantFrom('round-robin', 'random', 'weighted', 'least-used', 'health-based', 'priority'),
      async (size, statuses, strategy) => {
        const ids = Array.from({ length: size }, (_, i) => `k${i}`);
        const bench = poolBench(ids, { strategy, ...noWait });
        ids.forEach((id, index) => (bench.replies[id] = statuses[index]!));
        const fate = fateOf(bench.guard.execute(({ keyId = '' }) => {
          bench.asked.push(keyId);
          throw httpError(statuses[ids.indexOf(keyId)]!);
        }, PROVIDER));
        await settle();
        expect(fate.value).toMatchObject({ status: statuses[ids.indexOf(bench.asked.at(-1)!)] });
        expect(new Set(bench.asked).size).toBe(bench.asked.length);
      },
    ),
  );
});
