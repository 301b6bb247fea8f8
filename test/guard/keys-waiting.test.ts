import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PoolExhaustedError } from '../../src/guard/errors.ts';
import type { CallContext, KeyConfig } from '../../src/index.ts';
import { OK, PATTERN, poolBench, PROVIDER } from './keys-bench.ts';
import { fateOf, httpError, settle, type Fate } from './support.ts';

const limited = (seconds: number): Error => httpError(429, { 'retry-after': String(seconds) });

/** A pool all of whose keys rest for so many seconds. */
async function resting(rests: Record<string, number>, options: Parameters<typeof poolBench>[1] = {}) {
  const ids = Object.keys(rests);
  const bench = poolBench(ids, { ...options, guard: { retry: { enabled: false }, ...options.guard } });
  for (const id of ids) bench.replies[id] = limited(rests[id]!);
  await bench.ask();
  for (const id of ids) bench.replies[id] = 'ok';
  bench.asked.length = 0;
  return bench;
}

/** Callbacks that hold their key until told. */
function holding(guard: ReturnType<typeof poolBench>['guard']) {
  const held: { keyId: string; name: string; release: () => void }[] = [];
  const take = (name: string, options = {}): Fate =>
    fateOf(
      guard.execute(
        ({ keyId = '' }: CallContext) => new Promise<string>(resolve => held.push({ keyId, name, release: () => resolve(name) })),
        { providerName: PROVIDER, ...options },
      ),
    );
  return { held, take };
}

describe('when every key is away', () => {
  test('a call waits for the one that is back first', async () => {
    const { ask, asked, clock } = await resting({ a: 20, b: 10, c: 15 });
    const fate = await ask({}, 9999);
    expect([fate.state, asked]).toEqual(['pending', []]);
    await clock.advance(1);
    expect(fate).toEqual(OK('b'));
  });

  test('it waits no longer than maxWaitMs: where the first is back later, it is told so at once', async () => {
    const { ask, clock, asked } = await resting({ a: 40, b: 31 });
    const error = (await ask()).value;
    expect(error).toBeInstanceOf(PoolExhaustedError);
    expect(error).toMatchObject({
      code: 'POOL_EXHAUSTED',
      provider: PROVIDER,
      retryAtMs: clock.now() + 31_000,
      retryAfterMs: 31_000,
      attempts: [],
      keys: [
        { id: 'a', state: 'cooling', reason: 'cooling: rate_limit', untilMs: clock.now() + 40_000 },
        { id: 'b', state: 'cooling', reason: 'cooling: rate_limit', untilMs: clock.now() + 31_000 },
      ],
    });
    expect(asked).toEqual([]);
  });

  test('the pool\'s own maxWaitMs wins over the general one', async () => {
    const guard = { keyManagement: { maxWaitMs: 100_000 } };
    expect((await (await resting({ a: 40 }, { guard })).ask()).state).toBe('pending');
    expect((await (await resting({ a: 40 }, { guard, maxWaitMs: 1000 })).ask()).value).toBeInstanceOf(PoolExhaustedError);
  });

  test('a deadline says how long a call waits', async () => {
    const long = await resting({ a: 60 });
    const fate = await long.ask({ deadlineMs: 70_000 }, 60_000);
    expect(fate).toEqual(OK('a'));
    const short = await resting({ a: 20 });
    expect((await short.ask({ deadlineMs: 10_000 })).value).toBeInstanceOf(PoolExhaustedError);
  });

  test('maxWaitMs 0 never waits, deadline or not', async () => {
    const { ask } = await resting({ a: 1 }, { maxWaitMs: 0 });
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
    expect((await ask({ deadlineMs: 60_000 })).value).toBeInstanceOf(PoolExhaustedError);
  });

  test('a call that meets its deadline while it waits for another to finish is told that', async () => {
    const { guard, clock } = poolBench([{ id: 'a', limits: { concurrency: 1 } }]);
    const { take } = holding(guard);
    take('first');
    const second = take('second', { deadlineMs: 5000 });
    await clock.advance(5000);
    expect(second.value).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  test('an abort ends the wait at once, and the place goes to the next', async () => {
    const { call, clock, asked, guard } = await resting({ a: 10 });
    const abort = new AbortController();
    const first = call({ signal: abort.signal });
    const second = call();
    await settle();
    expect(guard.keys.list()[0]!.waiting).toBe(2);
    abort.abort(new Error('never mind'));
    await settle();
    expect(first.value).toMatchObject({ code: 'ABORTED' });
    expect(guard.keys.list()[0]!.waiting).toBe(1);
    await clock.advance(10_000);
    expect(second).toEqual(OK('a'));
    expect(asked).toEqual(['a']);
    expect(clock.pending.foreground).toBe(0);
  });

  test('closing the guard ends every wait', async () => {
    const { call, guard, clock } = await resting({ a: 10 });
    const fates = [call(), call()];
    await settle();
    guard.close();
    await settle();
    expect(fates.map(({ value }) => value)).toMatchObject([{ code: 'CLOSED' }, { code: 'CLOSED' }]);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('where no time will bring one back, nobody waits', async () => {
    const { ask, guard } = poolBench(['a']);
    guard.keys.disable(PATTERN, 'a', 'leaked on the forum');
    const error = (await ask()).value;
    expect(error).toMatchObject({ keys: [{ id: 'a', state: 'disabled', reason: 'disabled by hand: leaked on the forum' }] });
    expect(error).not.toHaveProperty('retryAfterMs');
  });

  test('a key that a person brings back ends the wait', async () => {
    const bench = await resting({ a: 20 });
    const fate = bench.call();
    await settle();
    bench.guard.keys.resetCooldown(PATTERN, 'a');
    await settle();
    expect(fate).toEqual(OK('a'));
  });

  test('a key that is added ends it', async () => {
    const bench = await resting({ a: 20 });
    const fate = bench.call();
    await settle();
    bench.guard.keys.add(PATTERN, { id: 'new', key: 'a-new-secret' });
    await settle();
    expect(fate).toEqual(OK('new'));
  });

  test('one enabled again ends it', async () => {
    const bench = await resting({ a: 20, b: 20 });
    const fate = bench.call();
    bench.guard.keys.disable(PATTERN, 'b');
    bench.guard.keys.resetCooldown(PATTERN, 'b');
    await settle();
    expect(fate.state).toBe('pending');
    bench.guard.keys.enable(PATTERN, 'b');
    await settle();
    expect(fate).toEqual(OK('b'));
  });

  test('the last one that is removed ends it, with nothing left to hope for', async () => {
    const bench = await resting({ a: 20 });
    const fate = bench.call();
    await settle();
    bench.guard.keys.remove(PATTERN, 'a');
    await settle();
    expect(fate.value).toMatchObject({ code: 'NO_KEY' });
  });

  test('a pool that an update removes ends it too', async () => {
    const bench = await resting({ a: 20 });
    const fate = bench.call();
    await settle();
    bench.guard.updateConfig({ keyManagement: { providers: {} } });
    await settle();
    expect(fate.value).toMatchObject({ code: 'NO_KEY' });
  });

  test('an update that adds a key ends it', async () => {
    const bench = await resting({ a: 20 });
    const fate = bench.call();
    await settle();
    const keys = [{ id: 'a', key: 'secret-of-a-0123456789' }, { id: 'b', key: 'secret-of-b-0123456789' }];
    bench.guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys } } } });
    await settle();
    expect(fate).toEqual(OK('b'));
  });

  test('a limit that an update lifts ends it', async () => {
    const bench = poolBench([{ id: 'a', limits: { rpm: 1 } }], { maxWaitMs: 100_000 });
    await bench.ask();
    const fate = bench.call();
    await settle();
    expect(fate.state).toBe('pending');
    const keys = [{ id: 'a', key: 'secret-of-a-0123456789', limits: { rpm: 2 } }];
    bench.guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys } } } });
    await settle();
    expect(fate).toEqual(OK('a'));
  });
});

describe('those who wait', () => {
  test('are served first come, first served', async () => {
    const { guard, clock } = poolBench([{ id: 'a', limits: { concurrency: 1 } }]);
    const { held, take } = holding(guard);
    for (const name of ['first', 'second', 'third']) take(name);
    await settle();
    for (const name of ['first', 'second', 'third']) {
      expect(held.map(each => each.name)).toEqual([name]);
      held.pop()!.release();
      await clock.advance(1);
    }
  });

  test('are served by priority', async () => {
    const { guard } = poolBench([{ id: 'a', limits: { concurrency: 1 } }]);
    const { held, take } = holding(guard);
    take('running');
    for (const [name, priority] of [['low', -1], ['normal', 0], ['high', 5], ['normal too', 0]] as const) take(name, { priority });
    const served: string[] = [];
    await settle();
    while (held.length > 0) {
      const { name, release } = held.pop()!;
      served.push(name);
      release();
      await settle();
    }
    expect(served).toEqual(['running', 'high', 'normal', 'normal too', 'low']);
  });

  test('are not overtaken by newcomers, even where a key has just come back', async () => {
    const { call, clock, asked, guard, replies } = await resting({ a: 10 });
    const waiting = Array.from({ length: 3 }, () => call());
    await settle();
    const order: string[] = [];
    replies['a'] = () => {
      order.push('waiting');
      return 'ok';
    };
    // The key is back, but the timer of those that wait has not run yet.
    clock.set(clock.now() + 10_000);
    const late = fateOf(guard.execute(() => order.push('late'), PROVIDER));
    await clock.advance(0);
    expect(order).toEqual(['waiting', 'waiting', 'waiting', 'late']);
    expect(waiting.every(({ state }) => state === 'resolved')).toBe(true);
    expect(late.state).toBe('resolved');
    expect(asked).toHaveLength(3);
  });

  test('do not hold up calls that want something else', async () => {
    const { call, guard, clock } = poolBench([{ id: 'a', models: ['large'] }, { id: 'b', models: ['small'] }]);
    guard.keys.disable(PATTERN, 'a');
    const { held, take } = holding(guard);
    guard.keys.enable(PATTERN, 'a');
    take('large', { model: 'large' });
    await settle();
    guard.updateConfig({
      keyManagement: {
        providers: {
          [PATTERN]: {
            keys: [
              { id: 'a', key: 'secret-of-a-0123456789', models: ['large'], limits: { concurrency: 1 } },
              { id: 'b', key: 'secret-of-b-0123456789', models: ['small'] },
            ],
          },
        },
      },
    });
    const waiting = call({ model: 'large' });
    await settle();
    expect(waiting.state).toBe('pending');
    const other = call({ model: 'small' });
    await settle();
    expect(other).toEqual(OK('b'));
    held[0]!.release();
    await clock.advance(0);
    expect(waiting).toEqual(OK('a'));
  });

  test('hold no slot of the queue', async () => {
    const { call, guard, clock, replies } = await resting({ a: 10 }, { guard: { queue: { concurrency: 1 } } });
    const waiting = call();
    await settle();
    const elsewhere = fateOf(guard.execute(() => 'done', { providerName: 'other' }));
    const same = fateOf(guard.execute(() => 'done', { providerName: PROVIDER, signal: new AbortController().signal }));
    await settle();
    expect(elsewhere.state).toBe('resolved');
    expect(guard.getStats().queue).toMatchObject({ processing: false, currentSize: 2 });
    replies['a'] = 'ok';
    await clock.advance(10_000);
    expect([waiting.state, same.state]).toEqual(['resolved', 'resolved']);
  });

  test('are told when their own time is up, each for itself', async () => {
    const { guard, clock } = poolBench([{ id: 'a', limits: { concurrency: 1 } }], { maxWaitMs: 1000 });
    const { take, held } = holding(guard);
    take('running');
    const first = take('first');
    await clock.advance(500);
    const second = take('second');
    await clock.advance(500);
    expect(first.value).toBeInstanceOf(PoolExhaustedError);
    expect(second.state).toBe('pending');
    held.shift()!.release();
    await settle();
    expect(held.map(({ name }) => name)).toEqual(['second']);
  });

  test('are told what holds up the keys, and no time where only an attempt under way can free one', async () => {
    const { guard, clock } = poolBench([{ id: 'a', limits: { concurrency: 1 } }], { maxWaitMs: 1000 });
    const { take } = holding(guard);
    take('running');
    const fate = take('waiting');
    await clock.advance(1000);
    expect(fate.value).toMatchObject({
      retryAtMs: undefined,
      message: expect.stringContaining('when one of the calls under way has ended') as string,
      keys: [{ id: 'a', state: 'busy', reason: 'concurrency limit reached' }],
    });
    expect(fate.value).not.toHaveProperty('retryAfterMs');
  });

  test('each get a key where several come back at once', async () => {
    const { call, clock, asked } = await resting({ a: 10, b: 10, c: 10 });
    const fates = Array.from({ length: 3 }, () => call());
    await clock.advance(10_000);
    expect(fates.every(({ state }) => state === 'resolved')).toBe(true);
    expect([...asked].sort()).toEqual(['a', 'b', 'c']);
  });

  test('take the keys as they come back one after the other', async () => {
    const { call, clock, replies } = await resting({ a: 5, b: 10 });
    replies['a'] = () => new Promise(() => undefined);
    const fates = [call(), call()];
    await clock.advance(5000);
    expect(fates.map(({ state }) => state)).toEqual(['pending', 'pending']);
    await clock.advance(5000);
    expect(fates[1]).toEqual(OK('b'));
  });

  test('are in the stats of the pool and of the queue', async () => {
    const { call, guard } = await resting({ a: 10 });
    call();
    call();
    await settle();
    expect(guard.getStats().keys[PATTERN]!.waiting).toBe(2);
    expect(guard.explain(PROVIDER).waiting).toBe(2);
  });

  test('set one timer for all of them, and leave none behind', async () => {
    const { call, clock } = await resting({ a: 10 });
    for (let i = 0; i < 50; i++) call();
    await settle();
    expect(clock.pending).toEqual({ foreground: 1, background: 0 });
    await clock.advance(10_000);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });
});

test('a settlement in the moment between the vain look and the wait is not missed', async () => {
  for (let before = 0; before < 8; before++) {
    for (let after = 0; after < 8; after++) {
      const { guard, clock } = poolBench([{ id: 'a', limits: { concurrency: 1 } }], { maxWaitMs: 60_000 });
      let release!: () => void;
      const holder = guard.execute(() => new Promise<void>(resolve => (release = resolve)), PROVIDER);
      await settle();
      if (after === 0) release();
      for (let i = 0; i < before; i++) await Promise.resolve();
      const waiting = fateOf(guard.execute(() => 'served', PROVIDER));
      for (let i = 0; i < after; i++) await Promise.resolve();
      release();
      await holder;
      await settle();
      expect(waiting).toEqual({ state: 'resolved', value: 'served' });
      expect(clock.pending.foreground).toBe(0);
    }
  }
});

test('whatever comes: no more attempts than limits, and every call is served or told why not', async () => {
  const key = fc.record({
    concurrency: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    rpm: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    group: fc.option(fc.constantFrom('g', 'h'), { nil: undefined }),
    priority: fc.nat(1),
  });
  const caller = fc.record({
    at: fc.nat(4000),
    lasts: fc.integer({ min: 0, max: 3000 }),
    priority: fc.nat(2),
    reply: fc.constantFrom('ok', 'ok', 'ok', 'ok', 429, 401, 500, 400),
    retryAfter: fc.integer({ min: 1, max: 5 }),
    model: fc.constantFrom(undefined, 'x', 'y'),
    deadlineMs: fc.option(fc.integer({ min: 1, max: 20_000 }), { nil: undefined }),
    abortAfter: fc.option(fc.integer({ min: 0, max: 5000 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(key, { minLength: 1, maxLength: 4 }),
      fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
      fc.array(caller, { maxLength: 30 }),
      async (keys, groupConcurrency, callers) => {
        const entries: KeyConfig[] = keys.map(({ concurrency, rpm, ...rest }, index) => ({ ...rest, id: `k${index}`, limits: { concurrency, rpm } }));
        const groups = { g: { limits: { concurrency: groupConcurrency } } };
        const { guard, clock } = poolBench(entries, { groups, cooldown: { initialMs: 500, maxMs: 4000 }, guard: { retry: { maxRetries: 2 } } });
        const running = new Map<string, number>();
        const starts = new Map<string, number[]>();
        const fates: Fate[] = [];
        const check = (keyId: string): void => {
          const index = Number(keyId.slice(1));
          const { concurrency = Infinity, rpm = Infinity } = keys[index]!;
          expect(running.get(keyId)).toBeLessThanOrEqual(concurrency);
          expect(starts.get(keyId)!.filter(at => at > clock.now() - 60_000).length).toBeLessThanOrEqual(rpm);
          const inGroup = keys.flatMap(({ group }, at) => (group === 'g' ? [running.get(`k${at}`) ?? 0] : []));
          expect(inGroup.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(groupConcurrency ?? Infinity);
        };
        for (const { at, lasts, reply, retryAfter, abortAfter, ...options } of callers) {
          clock.setTimeout(() => {
            const abort = new AbortController();
            if (abortAfter !== undefined) clock.setTimeout(() => abort.abort(), abortAfter);
            const fn = ({ keyId = '', signal }: CallContext): Promise<string> => {
              running.set(keyId, (running.get(keyId) ?? 0) + 1);
              starts.set(keyId, [...(starts.get(keyId) ?? []), clock.now()]);
              check(keyId);
              return new Promise((resolve, reject) => {
                const end = (): void => {
                  running.set(keyId, running.get(keyId)! - 1);
                  if (typeof reply === 'string') resolve(reply);
                  else reject(httpError(reply, { 'retry-after': String(retryAfter) }));
                };
                const timer = clock.setTimeout(end, lasts);
                const stop = (): void => {
                  clock.clearTimeout(timer);
                  running.set(keyId, running.get(keyId)! - 1);
                  reject(new DOMException('aborted', 'AbortError'));
                };
                signal.addEventListener('abort', stop, { once: true });
              });
            };
            fates.push(fateOf(guard.execute(fn, { providerName: PROVIDER, signal: abort.signal, ...options })));
          }, at);
        }
        await clock.advance(600_000);
        expect(fates).toHaveLength(callers.length);
        for (const { state, value } of fates) {
          expect(state).not.toBe('pending');
          if (state !== 'rejected') continue;
          const { status, code } = value as { status?: number; code?: string };
          expect(status ?? code).toSatisfy((it: unknown) =>
            [400, 401, 429, 500, 'POOL_EXHAUSTED', 'DEADLINE_EXCEEDED', 'ABORTED', 'CIRCUIT_OPEN'].includes(it as string),
          );
        }
        const { keys: reports, waiting } = guard.keys.list()[0]!;
        expect(waiting).toBe(0);
        expect(reports.map(({ inFlight }) => inFlight)).toEqual(reports.map(() => 0));
        expect(clock.pending.foreground).toBe(0);
      },
    ),
    { numRuns: 120 },
  );
});

test('no key idles while a call waits that could have it', async () => {
  const key = fc.record({
    concurrency: fc.integer({ min: 1, max: 2 }),
    tpm: fc.option(fc.integer({ min: 50, max: 300 }), { nil: undefined }),
    models: fc.constantFrom(undefined, ['x'], ['y']),
    group: fc.constantFrom('g', 'g', 'g', undefined),
  });
  const caller = fc.record({
    at: fc.nat(20_000),
    lasts: fc.integer({ min: 1, max: 8000 }),
    tokens: fc.integer({ min: 1, max: 120 }),
    used: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
    model: fc.constantFrom('x', 'y'),
    priority: fc.nat(1),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(key, { minLength: 1, maxLength: 4 }), fc.array(caller, { maxLength: 25 }), async (keys, callers) => {
      const entries = keys.map(({ concurrency, tpm, ...rest }, index) => ({ ...rest, id: `k${index}`, limits: { concurrency, tpm } }));
      const groups = { g: { limits: { concurrency: 2, tpm: 400 } } };
      const { guard, clock } = poolBench(entries, { groups, maxWaitMs: 300_000 });
      const waiting = new Set<{ model: string; tokens: number }>();
      for (const { at, lasts, used, ...options } of callers) {
        clock.setTimeout(() => {
          waiting.add(options);
          const fn = ({ reportUsage }: CallContext): Promise<void> => {
            waiting.delete(options);
            if (used !== undefined) clock.setTimeout(() => reportUsage({ inputTokens: used }), lasts / 2);
            return new Promise(resolve => clock.setTimeout(resolve, lasts));
          };
          fateOf(guard.execute(fn, { providerName: PROVIDER, ...options }).finally(() => waiting.delete(options)));
        }, at);
      }
      for (let step = 0; step < 300; step++) {
        await clock.advance(997);
        for (const { model, tokens } of waiting) expect(guard.explain(PROVIDER, { model, tokens }).keyId).toBeUndefined();
      }
    }),
    { numRuns: 60 },
  );
});
