import { describe, expect, test } from 'vitest';
import { ConfigError, PoolExhaustedError } from '../../src/guard/errors.ts';
import type { CallContext, KeyConfig } from '../../src/index.ts';
import { OK, PATTERN, poolBench, PROVIDER, secretOf } from './keys-bench.ts';
import { fateOf, heard, httpError, rejectionOf, settle } from './support.ts';

const entry = (id: string, rest: Partial<KeyConfig> = {}): KeyConfig => ({ id, key: secretOf(id), ...rest });
const noRetry = { guard: { retry: { enabled: false } }, maxWaitMs: 0 };

/** A callback that holds its key until told. */
function hold({ guard }: ReturnType<typeof poolBench>, keyId: string) {
  let end!: (value: string) => void;
  const fate = fateOf(
    guard.execute(({ keyId: taken }: CallContext) => new Promise<string>(resolve => (end = () => resolve(taken ?? ''))), {
      providerName: PROVIDER,
      keyId,
    }),
  );
  return { fate, end: () => end('') };
}

describe('list and get', () => {
  test('show every pool with its keys: masks, traits, figures', async () => {
    const { guard, ask, clock } = poolBench([entry('a', { key: 'sk-proj-abcdefgh', weight: 2, priority: 0, group: 'org', tier: 'paid', region: 'eu', tags: ['t'] })]);
    await ask();
    expect(guard.keys.list()).toEqual([
      {
        pattern: PATTERN,
        strategy: 'round-robin',
        ready: 1,
        waiting: 0,
        keys: [
          {
            id: 'a',
            mask: 'sk-proj-…',
            state: 'ready',
            reason: undefined,
            until: undefined,
            group: 'org',
            weight: 2,
            priority: 0,
            tier: 'paid',
            region: 'eu',
            tags: ['t'],
            requests: 1,
            successes: 1,
            failures: {},
            rateLimitHits: 0,
            inFlight: 0,
            lastUsed: clock.now(),
            latency: { p50: 1, p95: 1, p99: 1 },
            healthScore: 1,
            quota: {},
            modelsAway: [],
            learned: [],
            inputTokens: 0,
            outputTokens: 0,
            cost: 0,
          },
        ],
      },
    ]);
    expect(guard.keys.get(PATTERN, 'a')).toEqual(guard.keys.list()[0]!.keys[0]);
    expect(guard.getStats().keys[PATTERN]).toEqual(guard.keys.list()[0]);
  });

  test('hand out copies', () => {
    const { guard } = poolBench([entry('a', { tags: ['t'] })]);
    (guard.keys.get(PATTERN, 'a').tags as string[]).push('forged');
    expect(guard.keys.get(PATTERN, 'a').tags).toEqual(['t']);
  });

  test('measure latency and failures', async () => {
    const bench = poolBench(['a'], noRetry);
    for (const ms of [100, 100, 100, 1000]) {
      bench.replies['a'] = () => new Promise(resolve => bench.clock.setTimeout(() => resolve('ok'), ms));
      await bench.ask({}, ms);
    }
    bench.replies['a'] = [400, 500, 500];
    for (let i = 0; i < 3; i++) await bench.ask();
    const { latency, failures, healthScore, successes } = bench.key('a');
    expect(latency.p50).toBeGreaterThanOrEqual(99);
    expect(latency.p50).toBeLessThanOrEqual(101);
    expect(latency.p99).toBeGreaterThanOrEqual(990);
    expect(latency.p99).toBeLessThanOrEqual(1010);
    expect(failures).toEqual({ rejected: 1, server_error: 2 });
    expect(healthScore).toBeCloseTo(0.81);
    expect(successes).toBe(4);
  });

  test('find a pool by its pattern, or by any provider that leads to it', () => {
    const { guard } = poolBench(['a']);
    expect(guard.keys.get(PROVIDER, 'a').id).toBe('a');
    expect(guard.keys.get(PATTERN, 'a').id).toBe('a');
  });
});

describe('add', () => {
  test('a key serves at once', async () => {
    const { guard, ask } = poolBench([]);
    expect(guard.keys.add(PATTERN, entry('new'))).toBe('new');
    expect(await ask()).toEqual(OK('new'));
  });

  test('a plain string gets an id that tells nothing of it', () => {
    const { guard } = poolBench(['a']);
    const id = guard.keys.add(PATTERN, '  a-plain-secret ');
    expect(id).toMatch(/^key-[0-9a-f]{12}$/);
    expect(guard.keys.get(PATTERN, id)).toMatchObject({ state: 'ready', mask: '…' });
  });

  test('with limits, models and priority holds them', async () => {
    const { guard, ask } = poolBench(['a'], noRetry);
    guard.keys.add(PATTERN, entry('new', { priority: 0, models: ['x'], limits: { rpm: 1 } }));
    guard.keys.disable(PATTERN, 'a');
    expect(await ask({ model: 'x' })).toEqual(OK('new'));
    expect((await ask({ model: 'x' })).value).toBeInstanceOf(PoolExhaustedError);
    expect((await ask({ model: 'y' })).value).toBeInstanceOf(PoolExhaustedError);
  });

  test.each([
    ['a blank one', '   '],
    ['nothing', undefined],
    ['one without a secret', { id: 'x' }],
    ['a weight that is none', { id: 'x', key: 'the-planted-secret', weight: -1 }],
    ['an option nobody knows', { id: 'x', key: 'the-planted-secret', wieght: 1 }],
    ['limits that are none', { id: 'x', key: 'the-planted-secret', limits: { rpm: 0 } }],
    ['a secret that is there already', secretOf('a')],
    ['an id that is there already', { id: 'a', key: 'the-planted-secret' }],
  ])('refuses %s: the error names the path and shows no secret', (_, key) => {
    const { guard } = poolBench(['a']);
    let error: unknown;
    try {
      guard.keys.add(PATTERN, key);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(ConfigError);
    const text = `${String(error)} ${JSON.stringify(error)}`;
    expect(text).toContain('keyManagement.providers["*vendor*"].keys');
    expect(text).not.toContain('planted');
    expect(text).not.toContain('secret-of');
    expect(guard.keys.list()[0]!.keys).toHaveLength(1);
  });

  test('to a pool that is not there names those that are', () => {
    const { guard } = poolBench(['a']);
    expect(() => guard.keys.add('nowhere', 'some-secret')).toThrow(ConfigError);
    expect(() => guard.keys.add('nowhere', 'some-secret')).toThrow('"*vendor*"');
  });

  test('takes the place of one that has gone, however often', async () => {
    const bench = poolBench(['a', 'b'], { strategy: 'least-used' });
    for (let i = 0; i < 200; i++) {
      bench.guard.keys.add(PATTERN, entry(`k${i}`));
      await bench.ask({ keyId: `k${i}` });
      bench.guard.keys.remove(PATTERN, `k${i}`);
    }
    bench.asked.length = 0;
    for (let i = 0; i < 4; i++) await bench.ask();
    expect([...bench.asked].sort()).toEqual(['a', 'a', 'b', 'b']);
    expect(bench.guard.keys.list()[0]!.keys).toHaveLength(2);
  });
});

describe('remove', () => {
  test('takes a key out: nothing new goes to it, what is under way finishes', async () => {
    const bench = poolBench(['a', 'b']);
    const changes = heard(bench.guard, 'key');
    const { fate, end } = hold(bench, 'a');
    await settle();
    bench.guard.keys.remove(PATTERN, 'a');
    expect(bench.guard.keys.list()[0]!.keys).toMatchObject([{ id: 'a', state: 'draining', inFlight: 1 }, { id: 'b' }]);
    for (let i = 0; i < 3; i++) expect(await bench.ask()).toEqual(OK('b'));
    expect(await bench.ask({ keyId: 'a' })).toEqual(OK('b'));
    expect(changes).toEqual([]);
    end();
    await settle();
    expect(fate).toEqual({ state: 'resolved', value: 'a' });
    expect(bench.guard.keys.list()[0]!.keys.map(({ id }) => id)).toEqual(['b']);
    expect(changes).toMatchObject([{ keyId: 'a', to: 'removed' }]);
  });

  test('an attempt that fails on a key that is leaving moves on', async () => {
    const bench = poolBench(['a', 'b']);
    let fail!: (error: unknown) => void;
    bench.replies['a'] = () => new Promise((_, reject) => (fail = reject));
    const fate = bench.call();
    await settle();
    bench.guard.keys.remove(PATTERN, 'a');
    fail(httpError(401));
    await settle();
    expect(fate).toEqual(OK('b'));
    expect(bench.states()).toEqual({ b: 'ready' });
  });

  test('frees the id at once: another secret may take it', async () => {
    const bench = poolBench(['a']);
    const { fate, end } = hold(bench, 'a');
    await settle();
    bench.guard.keys.remove(PATTERN, 'a');
    bench.guard.keys.add(PATTERN, { id: 'a', key: 'another-secret' });
    expect(bench.guard.keys.get(PATTERN, 'a').state).toBe('ready');
    expect(await bench.guard.execute(({ apiKey }) => apiKey, PROVIDER)).toBe('another-secret');
    end();
    await settle();
    expect(fate.state).toBe('resolved');
    expect(bench.states()).toEqual({ a: 'ready' });
  });

  test('added again while it drains, it is what it was', async () => {
    const bench = poolBench([entry('a', { limits: { rpm: 2 } }), 'b'], noRetry);
    const { end } = hold(bench, 'a');
    await settle();
    bench.guard.keys.remove(PATTERN, 'a');
    expect(bench.guard.keys.add(PATTERN, entry('a', { limits: { rpm: 2 } }))).toBe('a');
    expect(bench.key('a')).toMatchObject({ state: 'ready', inFlight: 1, quota: { rpm: { used: 1 } } });
    end();
    await settle();
    expect(bench.key('a')).toMatchObject({ inFlight: 0, successes: 1 });
    expect(await bench.ask({ keyId: 'a' })).toEqual(OK('a'));
    expect(await bench.ask({ keyId: 'a' })).toEqual(OK('b'));
  });

  test('of a key whose attempt never came back ends with the lease', async () => {
    const bench = poolBench([entry('a', { group: 'org' }), entry('b', { group: 'org' })], {
      leaseMs: 5000,
      groups: { org: { limits: { concurrency: 1 } } },
    });
    hold(bench, 'a');
    await settle();
    bench.guard.keys.remove(PATTERN, 'a');
    const waiting = bench.call();
    await bench.clock.advance(5000);
    expect(waiting).toEqual(OK('b'));
    expect(bench.states()).toEqual({ b: 'ready' });
  });

  test('what a lost attempt on a key long gone says at last touches nobody else', async () => {
    const bench = poolBench([entry('a', { limits: { concurrency: 1 } }), 'b'], { leaseMs: 5000, strategy: 'weighted' });
    bench.replies['a'] = [429, 'ok'];
    await bench.ask();
    await bench.clock.advance(5000);
    const lost = hold(bench, 'a');
    await settle();
    bench.guard.keys.remove(PATTERN, 'a');
    bench.guard.keys.add(PATTERN, entry('c', { group: 'key:a' }));
    await bench.clock.advance(5000);
    bench.guard.keys.add(PATTERN, entry('d'));
    lost.end();
    await settle();
    bench.asked.length = 0;
    for (let i = 0; i < 6; i++) await bench.ask();
    expect([...new Set(bench.asked)].sort()).toEqual(['b', 'c', 'd']);
  });

  test('of a key that is not there is an error', () => {
    const { guard } = poolBench(['a']);
    expect(() => guard.keys.remove(PATTERN, 'x')).toThrow(ConfigError);
    guard.keys.remove(PATTERN, 'a');
    expect(() => guard.keys.remove(PATTERN, 'a')).toThrow('keyManagement.providers["*vendor*"].keys');
  });

  test('of the last key leaves a pool without a key', async () => {
    const { guard, ask } = poolBench(['a']);
    guard.keys.remove(PATTERN, 'a');
    expect((await ask()).value).toMatchObject({ code: 'NO_KEY' });
  });
});

describe('disable and enable', () => {
  test('take a key out and in by hand; no success brings it back', async () => {
    const bench = poolBench(['a', 'b']);
    const changes = heard(bench.guard, 'key');
    const { end } = hold(bench, 'a');
    await settle();
    bench.guard.keys.disable(PATTERN, 'a', 'on loan');
    end();
    await settle();
    expect(bench.key('a')).toMatchObject({ state: 'disabled', reason: 'disabled by hand: on loan', until: undefined, healthScore: 0 });
    for (let i = 0; i < 3; i++) expect(await bench.ask()).toEqual(OK('b'));
    bench.guard.keys.enable(PATTERN, 'a');
    bench.guard.keys.enable(PATTERN, 'a');
    expect(await bench.ask()).toEqual(OK('a'));
    expect(changes).toMatchObject([
      { keyId: 'a', from: 'ready', to: 'disabled', reason: 'on loan' },
      { keyId: 'a', from: 'disabled', to: 'ready', reason: 'enabled by hand' },
    ]);
  });

  test('a key that a refusal had disabled is enabled too', async () => {
    const { ask, replies, guard, states } = poolBench(['a', 'b']);
    replies['a'] = [401, 'ok'];
    await ask();
    expect(states()['a']).toBe('disabled');
    guard.keys.enable(PATTERN, 'a');
    expect(await ask()).toEqual(OK('a'));
  });

  test('a key disabled by hand stays so through an update that names it', () => {
    const { guard, states } = poolBench(['a', 'b']);
    guard.keys.disable(PATTERN, 'a');
    guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys: [entry('b'), entry('a', { weight: 5 })] } } } });
    expect(states()).toEqual({ a: 'disabled', b: 'ready' });
  });
});

test('resetCooldown ends a cool-down, a suspicion, a disablement, and that of its group and models', async () => {
  const bench = poolBench([entry('a', { group: 'org' }), entry('b', { group: 'org' }), 'c']);
  const { guard, ask, replies, states } = bench;
  replies['a'] = [httpError(429, { 'retry-after': '600' }), httpError(429, { 'retry-after': '600' }), 401, 'ok'];
  await ask({ keyId: 'a' });
  expect(states()).toEqual({ a: 'cooling', b: 'cooling', c: 'ready' });
  guard.keys.resetCooldown(PATTERN, 'a');
  expect(states()).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
  await ask({ keyId: 'a', model: 'x' });
  expect(guard.explain(PROVIDER, { model: 'x' }).keys.map(({ state }) => state)).toEqual(['cooling', 'cooling', 'ready']);
  guard.keys.resetCooldown(PATTERN, 'b');
  expect(guard.explain(PROVIDER, { model: 'x' }).keys.map(({ state }) => state)).toEqual(['ready', 'ready', 'ready']);
  await ask({ keyId: 'a' });
  expect(states()['a']).toBe('disabled');
  const changes = heard(guard, 'key');
  guard.keys.resetCooldown(PATTERN, 'a');
  expect(await ask({ keyId: 'a' })).toEqual(OK('a'));
  expect(changes).toMatchObject([{ keyId: 'a', from: 'disabled', to: 'ready', reason: 'reset' }]);
  expect(() => guard.keys.resetCooldown(PATTERN, 'x')).toThrow(ConfigError);
});

describe('replace', () => {
  test('puts a new secret in a key\'s place, with its traits', async () => {
    const { guard } = poolBench([entry('a', { weight: 7, priority: 3, group: 'org', tier: 'paid', tags: ['t'], models: ['x'], limits: { rpm: 9 } })]);
    const rotations = heard(guard, 'rotation');
    const id = guard.keys.replace(PATTERN, 'a', 'the-new-secret', { id: 'a2' });
    expect(id).toBe('a2');
    expect(guard.keys.list()[0]!.keys).toMatchObject([{ id: 'a2', weight: 7, priority: 3, group: 'org', tier: 'paid', tags: ['t'], quota: { rpm: { limit: 9 } } }]);
    expect(await guard.execute(({ apiKey }) => apiKey, { providerName: PROVIDER, model: 'x' })).toBe('the-new-secret');
    expect(rotations).toMatchObject([{ pool: PATTERN, oldKeyId: 'a', newKeyId: 'a2' }]);
  });

  test('with an overlap both serve, then the old one leaves', async () => {
    const { guard, ask, asked, clock, states } = poolBench(['a']);
    guard.keys.replace(PATTERN, 'a', 'the-new-secret', { id: 'n', overlapMs: 10_000 });
    await ask();
    await ask();
    expect([...asked].sort()).toEqual(['a', 'n']);
    expect(clock.pending).toEqual({ foreground: 0, background: 1 });
    await clock.advance(10_000);
    expect(states()).toEqual({ n: 'ready' });
  });

  test('the old one stays where the new one is refused by then', async () => {
    const { guard, ask, replies, clock, states, warnings } = poolBench(['a']);
    guard.keys.replace(PATTERN, 'a', 'the-new-secret', { id: 'n', overlapMs: 10_000 });
    replies['n'] = 401;
    await ask();
    await ask();
    await clock.advance(10_000);
    expect(states()).toEqual({ a: 'ready', n: 'disabled' });
    expect(warnings).toEqual(['keyManagement.providers["*vendor*"].keys: the key that was to replace a is refused; a stays']);
  });

  test('the old one stays where the new one is gone or out of use by then', async () => {
    const { guard, clock, states, warnings } = poolBench(['a', 'b']);
    guard.keys.replace(PATTERN, 'a', 'the-new-secret', { id: 'n', overlapMs: 10_000 });
    guard.keys.replace(PATTERN, 'b', 'the-newer-secret', { id: 'm', overlapMs: 10_000 });
    guard.keys.remove(PATTERN, 'n');
    guard.keys.disable(PATTERN, 'm');
    await clock.advance(10_000);
    expect(states()).toEqual({ a: 'ready', b: 'ready', m: 'disabled' });
    expect(warnings).toHaveLength(2);
  });

  test('an old one that has left before its time is not missed', async () => {
    const { guard, clock, states, warnings } = poolBench(['a', 'b']);
    guard.keys.replace(PATTERN, 'a', 'the-new-secret', { id: 'n', overlapMs: 10_000 });
    guard.keys.remove(PATTERN, 'a');
    await clock.advance(10_000);
    expect(states()).toEqual({ b: 'ready', n: 'ready' });
    expect(warnings).toEqual([]);
  });

  test('closing the guard leaves no timer', () => {
    const { guard, clock } = poolBench(['a']);
    guard.keys.replace(PATTERN, 'a', 'the-new-secret', { overlapMs: 10_000 });
    guard.close();
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test.each([
    ['a blank secret', ' '],
    ['the same secret', secretOf('a')],
  ])('by %s is refused, and the old key serves on', async (_, secret) => {
    const { guard, ask } = poolBench(['a']);
    expect(() => guard.keys.replace(PATTERN, 'a', secret)).toThrow(ConfigError);
    expect(await ask()).toEqual(OK('a'));
  });
});

describe('an update of the configuration', () => {
  const update = ({ guard }: ReturnType<typeof poolBench>, keys: (KeyConfig | string)[], rest = {}): void =>
    guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys, ...rest } } } });

  test('leaves a key what was learned of it, by its id: reordered, with other settings, in another group', async () => {
    const bench = poolBench(['a', 'b', 'c'], noRetry);
    bench.replies['a'] = 401;
    await bench.ask();
    await bench.ask({ keyId: 'b' });
    const before = bench.key('a');
    update(bench, [entry('c'), entry('b', { weight: 9 }), entry('a', { group: 'org', tags: ['moved'], limits: { rpm: 5 } })]);
    expect(bench.key('a')).toEqual({ ...before, group: 'org', tags: ['moved'], quota: { rpm: { limit: 5, used: 0, left: 5 } } });
    expect(bench.key('b')).toMatchObject({ weight: 9, successes: 2 });
  });

  test('a key under way when it changes its group is given back to the one it was taken from', async () => {
    const bench = poolBench([entry('a', { group: 'old' })], { groups: { old: { limits: { concurrency: 1 } } } });
    const { fate, end } = hold(bench, 'a');
    await settle();
    update(bench, [entry('a', { group: 'new' }), entry('b', { group: 'old' })], {
      groups: { old: { limits: { concurrency: 1 } }, new: { limits: { concurrency: 1 } } },
    });
    expect(await bench.ask({ keyId: 'a' })).toEqual(OK('a'));
    expect(await bench.ask({ keyId: 'b' })).toEqual(OK('b'));
    end();
    await settle();
    expect(fate.state).toBe('resolved');
    expect(bench.key('a')).toMatchObject({ inFlight: 0, successes: 2 });
  });

  test('a key that had changed its group was not seen to be free, and a call went round for ever between two opinions of it', async () => {
    const limits = { concurrency: 1 };
    const bench = poolBench([entry('a', { limits })]);
    const headers = { 'x-ratelimit-limit-requests': '9', 'x-ratelimit-remaining-requests': '8', 'x-ratelimit-reset-requests': '60s' };
    await bench.guard.execute(() => new Response(null, { headers }), PROVIDER);
    const { end } = hold(bench, 'a');
    await settle();
    update(bench, [entry('a', { limits, group: 'new' })]);
    const waiting = fateOf(bench.guard.execute(() => 'served', PROVIDER));
    await settle();
    expect(waiting.state).toBe('pending');
    end();
    await settle();
    expect(waiting).toEqual({ state: 'resolved', value: 'served' });
  });

  test('a new secret under the same id starts afresh', async () => {
    const bench = poolBench(['a', 'b']);
    bench.replies['a'] = [401, 'ok'];
    await bench.ask();
    update(bench, [{ id: 'a', key: 'a-new-secret' }, entry('b')]);
    expect(bench.key('a')).toMatchObject({ state: 'ready', requests: 0 });
    expect(await bench.guard.execute(({ apiKey }) => apiKey, { providerName: PROVIDER, keyId: 'a' })).toBe('a-new-secret');
  });

  test('a key that is not named any more is gone, once it has finished', async () => {
    const bench = poolBench(['a', 'b']);
    const { fate, end } = hold(bench, 'a');
    await settle();
    update(bench, [entry('b')]);
    expect(await bench.ask()).toEqual(OK('b'));
    end();
    await settle();
    expect(fate.state).toBe('resolved');
    expect(bench.states()).toEqual({ b: 'ready' });
  });

  test('one that names no providers keeps the keys added and removed at run time', async () => {
    const bench = poolBench(['a', 'b']);
    bench.guard.keys.add(PATTERN, entry('new'));
    bench.guard.keys.remove(PATTERN, 'a');
    bench.guard.updateConfig({ retry: { maxRetries: 1 }, keyManagement: { maxWaitMs: 5 } });
    expect(bench.states()).toEqual({ b: 'ready', new: 'ready' });
    expect((await bench.ask({ keyId: 'new' })).state).toBe('resolved');
  });

  test('one that names them brings the configured keys back, and takes the others away', () => {
    const bench = poolBench(['a', 'b']);
    bench.guard.keys.add(PATTERN, entry('new'));
    bench.guard.keys.remove(PATTERN, 'a');
    update(bench, [entry('a'), entry('b')]);
    expect(bench.states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test('one that is refused changes nothing', async () => {
    const bench = poolBench(['a']);
    expect(() => update(bench, [entry('b')], { strategy: 'sideways' })).toThrow(ConfigError);
    expect(() => update(bench, [entry('b')], { profile: 'nobody' })).toThrow(ConfigError);
    expect(await bench.ask()).toEqual(OK('a'));
  });

  test('pools come and go with it', async () => {
    const bench = poolBench(['a']);
    bench.guard.updateConfig({ keyManagement: { providers: { other: { keys: [entry('o')] } } } });
    expect(await bench.guard.execute(({ keyId }) => keyId, 'other')).toBe('o');
    expect(await bench.guard.execute(({ keyId }) => keyId, PROVIDER)).toBeUndefined();
    expect(() => bench.guard.keys.get(PATTERN, 'a')).toThrow(ConfigError);
    expect(bench.guard.keys.list().map(({ pattern }) => pattern)).toEqual(['other']);
  });

  test('a call under way in a pool that is gone ends as it would have', async () => {
    const bench = poolBench(['a', 'b']);
    const { fate, end } = hold(bench, 'a');
    await settle();
    bench.guard.updateConfig({ keyManagement: { providers: {} } });
    end();
    await settle();
    expect(fate).toEqual({ state: 'resolved', value: 'a' });
  });

  test('and one that fails there ends with what the provider said', async () => {
    const bench = poolBench(['a']);
    let fail!: (error: unknown) => void;
    bench.replies['a'] = () => new Promise((_, reject) => (fail = reject));
    const fate = bench.call();
    await settle();
    bench.guard.updateConfig({ keyManagement: { providers: {} } });
    fail(httpError(429));
    await settle();
    expect(fate.value).toMatchObject({ status: 429 });
  });

  test('limits, cool-downs and waiting times hold at once', async () => {
    const bench = poolBench(['a'], noRetry);
    update(bench, [entry('a')], { cooldown: { initialMs: 1000, maxMs: 2000 }, maxWaitMs: 0 });
    bench.replies['a'] = 401;
    await bench.ask();
    await bench.ask();
    expect(bench.key('a').until).toBe(bench.clock.now() + 1000);
  });
});

test('errors of the key manager name what is wrong and where', async () => {
  const { guard } = poolBench(['a']);
  const attempts: (() => unknown)[] = [
    () => guard.keys.get('nowhere', 'a'),
    () => guard.keys.enable(PATTERN, 'x'),
    () => guard.keys.disable(PATTERN, 'x'),
    () => guard.keys.replace(PATTERN, 'x', 'secret-enough'),
  ];
  for (const attempt of attempts) expect(attempt).toThrow(ConfigError);
  expect(await rejectionOf(guard.keys.test(PATTERN, 'x'))).toBeInstanceOf(ConfigError);
});
