import { describe, expect, test } from 'vitest';
import { PoolExhaustedError } from '../../src/guard/errors.ts';
import type { KeyConfig } from '../../src/index.ts';
import { OK, PATTERN, poolBench, PROVIDER } from './keys-bench.ts';
import { benchOf, fateOf, heard, httpError, settle } from './support.ts';

const limited = (headers: Record<string, string> = {}): Error => httpError(429, headers);
const noWait = { maxWaitMs: 0 };

/** How long the key rests, in ms. */
const restOf = ({ key, clock }: Pick<ReturnType<typeof poolBench>, 'key' | 'clock'>, id = 'a'): number =>
  (key(id).until ?? clock.now()) - clock.now();

describe('a 429', () => {
  test('rests the key until Retry-After', async () => {
    const bench = poolBench(['a', 'b']);
    bench.replies['a'] = [limited({ 'retry-after': '17' }), 'ok'];
    expect(await bench.ask()).toEqual(OK('b'));
    expect(restOf(bench)).toBe(17_000);
    expect(bench.key('a')).toMatchObject({ state: 'cooling', reason: 'cooling: rate_limit', rateLimitHits: 1 });
    await bench.clock.advance(16_999);
    for (let i = 0; i < 3; i++) expect(await bench.ask()).toEqual(OK('b'));
    await bench.clock.advance(1);
    expect(await bench.ask()).toEqual(OK('a'));
  });

  test('without a word of when rests it for five seconds, then twice as long with each repeat, up to five minutes', async () => {
    const bench = poolBench(['a', 'b']);
    bench.replies['a'] = 429;
    const rests: number[] = [];
    for (let i = 0; i < 8; i++) {
      while (restOf(bench) === 0) await bench.ask();
      rests.push(restOf(bench));
      await bench.clock.advance(restOf(bench));
    }
    expect(rests).toEqual([5, 10, 20, 40, 80, 160, 320, 320].map(s => s * 1000));
  });

  test('is walked back by success', async () => {
    const bench = poolBench(['a', 'b']);
    const refused = async (): Promise<number> => {
      bench.replies['a'] = 429;
      while (restOf(bench) === 0) await bench.ask();
      const rest = restOf(bench);
      await bench.clock.advance(rest);
      return rest;
    };
    expect([await refused(), await refused(), await refused()]).toEqual([5000, 10_000, 20_000]);
    bench.replies['a'] = 'ok';
    for (let i = 0; i < 4; i++) await bench.ask();
    expect(await refused()).toBe(10_000);
    bench.replies['a'] = 'ok';
    for (let i = 0; i < 12; i++) await bench.ask();
    expect(await refused()).toBe(5000);
  });

  test('met by many attempts at once is one strike', async () => {
    const bench = poolBench(['a', 'b'], { strategy: 'priority' });
    bench.replies['a'] = 429;
    const fates = Array.from({ length: 10 }, () => bench.call());
    await settle();
    expect(fates.every(({ state }) => state === 'resolved')).toBe(true);
    expect(bench.asked.filter(id => id === 'a')).toHaveLength(10);
    expect(restOf(bench)).toBe(5000);
    await bench.clock.advance(5000);
    await bench.ask();
    expect(restOf(bench)).toBe(10_000);
  });

  test('that comes late, while the key rests already, extends its rest only if it says so', async () => {
    const bench = poolBench(['a', 'b'], { strategy: 'priority' });
    const late = [limited({ 'retry-after': '3' }), limited({ 'retry-after': '60' }), limited()];
    const fail: ((error: unknown) => void)[] = [];
    bench.replies['a'] = () => new Promise((_, reject) => fail.push(reject));
    for (let i = 0; i < 4; i++) bench.call();
    await settle();
    const [first, second, third, fourth] = fail;
    first!(limited({ 'retry-after': '30' }));
    await bench.clock.advance(1000);
    expect(restOf(bench)).toBe(29_000);
    second!(late[0]);
    await settle();
    expect(restOf(bench)).toBe(29_000);
    third!(late[1]);
    await settle();
    expect(restOf(bench)).toBe(60_000);
    fourth!(late[2]);
    await settle();
    expect(restOf(bench)).toBe(60_000);
  });

  test('is not cleared by the late success of an older call', async () => {
    const bench = poolBench(['a', 'b'], { strategy: 'priority' });
    let answer!: (value: string) => void;
    bench.replies['a'] = [() => new Promise(resolve => (answer = resolve)), limited({ 'retry-after': '30' })];
    const old = bench.call();
    await bench.ask();
    answer('late');
    await settle();
    expect(old).toMatchObject({ state: 'resolved', value: 'late' });
    expect(restOf(bench)).toBe(30_000);
    expect(await bench.ask()).toEqual(OK('b'));
  });

  test('with an absurd Retry-After rests the key for a month and no longer', async () => {
    const bench = poolBench(['a', 'b']);
    bench.replies['a'] = limited({ 'retry-after': '999999999' });
    await bench.ask();
    expect(restOf(bench)).toBe(31 * 86_400_000);
  });

  test('of a returned Response counts as well as a thrown one', async () => {
    const { guard, clock } = poolBench(['a', 'b']);
    const used: (string | undefined)[] = [];
    const response = await guard.execute(({ keyId }) => {
      used.push(keyId);
      return keyId === 'a' ? new Response('{}', { status: 429, headers: { 'retry-after': '40' } }) : new Response('fine');
    }, PROVIDER);
    expect(await response.text()).toBe('fine');
    expect(used).toEqual(['a', 'b']);
    expect(guard.keys.get(PATTERN, 'a').until).toBe(clock.now() + 40_000);
  });

  test('for every key ends with the provider\'s own answer', async () => {
    const { ask, asked, replies } = poolBench(['a', 'b'], { guard: { retry: { enabled: false } } });
    const last = limited({ 'retry-after': '120' });
    Object.assign(replies, { a: limited({ 'retry-after': '120' }), b: last });
    expect((await ask()).value).toBe(last);
    expect(asked).toEqual(['a', 'b']);
  });

  test('for every key is waited out where a retry is left and the key is back in time', async () => {
    const { ask, asked, replies, guard } = poolBench(['a', 'b']);
    Object.assign(replies, { a: [limited({ 'retry-after': '20' }), 'ok'], b: limited({ 'retry-after': '25' }) });
    expect((await ask({}, 19_999)).state).toBe('pending');
    expect(await ask({}, 1)).toEqual(OK('a'));
    expect(asked.slice(0, 3)).toEqual(['a', 'b', 'a']);
    expect(guard.getStats().retry).toMatchObject({ totalRetries: 1, successAfterRetry: 1 });
  });

  test('of the only key costs no retry where none is made', async () => {
    const { ask, replies, guard } = poolBench(['a'], noWait);
    replies['a'] = 429;
    expect((await ask()).value).toMatchObject({ status: 429 });
    expect(guard.getStats().retry).toMatchObject({ totalRetries: 0, finalFailures: 1 });
  });
});

describe('keys that share a quota', () => {
  const keys: KeyConfig[] = [{ id: 'a', group: 'org' }, { id: 'b', group: 'org' }, { id: 'c', group: 'org' }, { id: 'd' }];

  test('are not tried one after the other', async () => {
    const { ask, asked, replies, states } = poolBench(keys);
    replies['a'] = limited({ 'retry-after': '30' });
    expect(await ask()).toEqual(OK('d'));
    expect(asked).toEqual(['a', 'd']);
    expect(states()).toEqual({ a: 'cooling', b: 'cooling', c: 'cooling', d: 'ready' });
  });

  test('come back together, after one of them has tried', async () => {
    const { ask, asked, replies, clock, guard, call } = poolBench(keys);
    replies['a'] = limited({ 'retry-after': '30' });
    await ask();
    guard.keys.disable(PATTERN, 'd');
    await clock.advance(30_000);
    let answer!: (value: string) => void;
    replies['a'] = replies['*'] = () => new Promise(resolve => (answer = resolve));
    asked.length = 0;
    for (let i = 0; i < 5; i++) call();
    await settle();
    expect(asked).toHaveLength(1);
    replies['a'] = replies['*'] = 'ok';
    answer('fine');
    await settle();
    expect(asked).toHaveLength(5);
    expect(new Set(asked).size).toBeGreaterThan(1);
  });

  test('all back, one of which had its own trouble: it stays away', async () => {
    const { ask, replies, clock, states, guard } = poolBench(keys);
    replies['b'] = 401;
    await ask({ keyId: 'b' });
    replies['a'] = [limited({ 'retry-after': '10' }), 'ok'];
    await ask({ keyId: 'a' });
    await clock.advance(10_000);
    await ask({ keyId: 'a' });
    expect(states()).toEqual({ a: 'ready', b: 'disabled', c: 'ready', d: 'ready' });
    expect(guard.explain(PROVIDER).keys[1]!.why).toContain('unauthorized');
  });
});

describe('a 429 for one model', () => {
  test('leaves the key to the others', async () => {
    const { ask, asked, replies, states } = poolBench(['a', 'b']);
    replies['a'] = [limited({ 'retry-after': '60' }), 'ok'];
    expect(await ask({ model: 'large' })).toEqual(OK('b'));
    asked.length = 0;
    for (let i = 0; i < 4; i++) await ask({ model: 'large' });
    expect(asked).toEqual(['b', 'b', 'b', 'b']);
    asked.length = 0;
    for (let i = 0; i < 4; i++) await ask({ model: 'small' });
    expect(asked.filter(id => id === 'a')).toHaveLength(2);
    expect(states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test('is said with the model, and lifted by one probe of it', async () => {
    const { ask, replies, guard, clock } = poolBench([{ id: 'a', group: 'org' }], noWait);
    const changes = heard(guard, 'key');
    replies['a'] = [limited({ 'retry-after': '60' }), 'ok'];
    await ask({ model: 'large' });
    const { keys, keyId } = guard.explain(PROVIDER, { model: 'large' });
    expect(keyId).toBeUndefined();
    expect(keys[0]).toMatchObject({ state: 'cooling', why: 'cooling: rate_limit (group org, model large)' });
    await clock.advance(60_000);
    expect(await ask({ model: 'large' })).toEqual(OK('a'));
    expect(changes).toMatchObject([
      { to: 'cooling', model: 'large', group: 'org', until: clock.now() },
      { from: 'cooling', to: 'ready', reason: 'answered', model: 'large', group: 'org' },
    ]);
  });

  test('does not hold up the other models when it comes back', async () => {
    const { ask, replies, clock, call, asked } = poolBench(['a']);
    replies['a'] = [limited({ 'retry-after': '1' }), 'ok'];
    const first = await ask({ model: 'large' });
    await clock.advance(1000);
    expect(first).toEqual(OK('a'));
    asked.length = 0;
    for (let i = 0; i < 10; i++) call({ model: 'small' });
    await settle();
    expect(asked).toHaveLength(10);
  });

  test('is kept for as many models as callers may name', async () => {
    const { ask, replies, clock, guard } = poolBench(['a', 'b'], noWait);
    replies['*'] = limited({ 'retry-after': '3600' });
    for (let i = 0; i < 600; i++) await ask({ model: `model-${i}` });
    replies['*'] = 'ok';
    // The first are forgotten, the last are not.
    expect((await ask({ model: 'model-0' })).state).toBe('resolved');
    expect((await ask({ model: 'model-599' })).value).toBeInstanceOf(PoolExhaustedError);
    expect((await ask({ model: 'never-refused' })).state).toBe('resolved');
    expect(guard.keys.list()[0]!.ready).toBe(2);
    await clock.advance(3_600_000);
    expect((await ask({ model: 'model-599' })).state).toBe('resolved');
  });
});

test('a used-up day of Gemini\'s lasts until midnight in California, whatever the delay it names', async () => {
  const keys = ['AIzaFakeOne', 'AIzaFakeTwo'];
  const { guard, clock } = benchOf({ keyManagement: { providers: { '*gemini*': { keys } } } });
  const body = {
    error: {
      code: 429,
      status: 'RESOURCE_EXHAUSTED',
      message: 'You exceeded your current quota',
      details: [
        { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations: [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }] },
        { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '38s' },
      ],
    },
  };
  const ask = (): Promise<Response> =>
    guard.execute(({ apiKey }) => (apiKey === keys[0] ? Response.json(body, { status: 429 }) : Response.json({})), {
      providerName: 'google-gemini',
      model: 'gemini-pro',
    });
  expect((await ask()).status).toBe(200);
  const [first] = guard.explain('google-gemini', { model: 'gemini-pro' }).keys;
  // 20 November 2026, 12:00 UTC is 4 in the morning there.
  expect(first).toMatchObject({ state: 'cooling', until: Date.UTC(2026, 10, 21, 8) });
  expect(first!.until).toBe(clock.now() + 20 * 3_600_000);
});

describe('half-open', () => {
  test('twenty waiting calls, one probe; then one, two, four at a time, and few more while calls wait', async () => {
    const { call, asked, replies, clock } = poolBench(['a']);
    replies['a'] = limited({ 'retry-after': '10' });
    const first = call();
    await settle();
    const answers: ((value: string) => void)[] = [];
    replies['a'] = () => new Promise(resolve => answers.push(resolve));
    for (let i = 0; i < 60; i++) call();
    asked.length = 0;
    await clock.advance(10_000);
    const rounds: number[] = [];
    while (asked.length > 0) {
      rounds.push(asked.length);
      asked.length = 0;
      for (const answer of answers.splice(0)) answer('fine');
      await settle();
    }
    expect(rounds).toEqual([1, 2, 4, 8, 16, 17, 13]);
    expect(first.state).toBe('resolved');
  });

  test('others go elsewhere meanwhile', async () => {
    const { ask, call, asked, replies, clock } = poolBench(['a', 'b'], { strategy: 'priority' });
    replies['a'] = limited({ 'retry-after': '10' });
    await ask();
    await clock.advance(10_000);
    replies['a'] = () => new Promise(() => undefined);
    asked.length = 0;
    for (let i = 0; i < 5; i++) call();
    await settle();
    expect(asked).toEqual(['a', 'b', 'b', 'b', 'b']);
  });

  test('a probe that fails closes it for longer', async () => {
    const bench = poolBench(['a', 'b'], { strategy: 'priority' });
    bench.replies['a'] = 429;
    await bench.ask();
    await bench.clock.advance(5000);
    expect(await bench.ask()).toEqual(OK('b'));
    expect(restOf(bench)).toBe(10_000);
  });

  test('a probe that says nothing about the key leaves it to the next one', async () => {
    const { ask, asked, replies, clock, states } = poolBench(['a', 'b'], { strategy: 'priority' });
    replies['a'] = [429, 400, 'ok'];
    await ask();
    await clock.advance(5000);
    expect((await ask()).value).toMatchObject({ status: 400 });
    expect(await ask()).toEqual(OK('a'));
    expect(asked).toEqual(['a', 'b', 'a', 'a']);
    expect(states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test('a probe whose caller gives up is given to the next', async () => {
    const { call, ask, replies, clock } = poolBench(['a']);
    replies['a'] = [429, () => new Promise(() => undefined), 'ok'];
    await ask({}, 0);
    await clock.advance(4999);
    const abort = new AbortController();
    const gone = call({ signal: abort.signal, priority: 1 });
    await clock.advance(1);
    abort.abort();
    await settle();
    expect(gone.state).toBe('rejected');
    expect(await ask()).toEqual(OK('a'));
  });

  test('a probe that never comes back blocks nobody for ever', async () => {
    const { call, replies, clock, guard } = poolBench(['a'], { leaseMs: 20_000, maxWaitMs: 60_000 });
    replies['a'] = [429, () => new Promise(() => undefined), 'ok'];
    call();
    await clock.advance(5000);
    const next = call();
    await settle();
    expect(guard.explain(PROVIDER).keys[0]).toMatchObject({ why: 'a probe is under way' });
    await clock.advance(20_000);
    expect(next).toEqual(OK('a'));
  });
});

describe('the ramp', () => {
  test('starts over when the key is refused again', async () => {
    const { call, asked, replies, clock } = poolBench(['a']);
    const answers: ((value: string) => void)[] = [];
    replies['a'] = [limited({ 'retry-after': '10' }), 'ok', limited({ 'retry-after': '10' }), () => new Promise(resolve => answers.push(resolve))];
    const fates = [call()];
    await clock.advance(10_000);
    expect(fates[0]).toEqual(OK('a'));
    fates.push(call());
    await settle();
    asked.length = 0;
    for (let i = 0; i < 10; i++) call();
    await clock.advance(10_000);
    expect(asked).toHaveLength(1);
  });

  test('shows as a key that is busy', async () => {
    const { call, replies, clock, guard } = poolBench(['a'], noWait);
    replies['a'] = [limited({ 'retry-after': '1' }), 'ok', () => new Promise(() => undefined)];
    call();
    await clock.advance(1000);
    call();
    await settle();
    for (let i = 0; i < 3; i++) call();
    await settle();
    expect(guard.explain(PROVIDER).keys[0]).toMatchObject({ state: 'busy', why: 'recovering: few attempts at a time' });
  });
});

describe('a key that fails alone', () => {
  test('is cooled although its failures look like the provider\'s', async () => {
    const { ask, replies, states, key, clock, guard } = poolBench(['a', 'b', 'c'], { guard: { retry: { initialBackoffMs: 1, maxBackoffMs: 1 } } });
    const changes = heard(guard, 'key');
    replies['a'] = 500;
    for (let i = 0; i < 15; i++) expect((await ask({}, 1)).state).toBe('resolved');
    expect(states()).toEqual({ a: 'cooling', b: 'ready', c: 'ready' });
    expect(key('a')).toMatchObject({ reason: 'cooling: failing alone', until: changes[0]!.until });
    expect(changes[0]!.until).toBeLessThanOrEqual(clock.now() + 30_000);
  });

  test('is found out too where it answers now and then', async () => {
    const { ask, replies, states } = poolBench(['a', 'b'], { guard: { retry: { initialBackoffMs: 1, maxBackoffMs: 1 } } });
    replies['a'] = [500, 500, 'ok', 500, 500, 500, 500];
    for (let i = 0; i < 14; i++) await ask({}, 1);
    expect(states()).toEqual({ a: 'cooling', b: 'ready' });
  });

  test('but mostly answers is left alone', async () => {
    const { ask, replies, states } = poolBench(['a', 'b'], { guard: { retry: { initialBackoffMs: 1, maxBackoffMs: 1 } } });
    replies['a'] = Array.from({ length: 60 }, (_, i) => (i % 3 === 0 ? 500 : 'ok'));
    for (let i = 0; i < 60; i++) await ask({}, 1);
    expect(states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test.each([1, 2, 5])('is not every key of a pool of %i in an outage: nobody is cooled', async size => {
    const ids = 'abcde'.slice(0, size).split('');
    const { ask, replies, states, clock } = poolBench(ids, { guard: { retry: { maxRetries: 2 }, circuitBreaker: { enabled: false } } });
    for (let i = 0; i < 30; i++) await ask();
    replies['*'] = 503;
    for (let i = 0; i < 30; i++) {
      await ask({}, 3000);
      await clock.advance(3000);
    }
    expect(new Set(Object.values(states()))).toEqual(new Set(['ready']));
    replies['*'] = 'ok';
    expect((await ask()).state).toBe('resolved');
  });

  test('is nobody where the provider fails every second time', async () => {
    const { ask, replies, states } = poolBench(['a', 'b', 'c'], {
      guard: { retry: { initialBackoffMs: 1, maxBackoffMs: 1 }, circuitBreaker: { enabled: false } },
      strategy: 'random',
    });
    let count = 0;
    for (const id of ['a', 'b', 'c']) {
      replies[id] = () => {
        if (count++ % 2 === 0) throw httpError(500);
        return 'ok';
      };
    }
    for (let i = 0; i < 100; i++) await ask({}, 1);
    expect(new Set(Object.values(states()))).toEqual(new Set(['ready']));
  });

  test('is not one that was merely rate-limited often', async () => {
    const { ask, replies, key } = poolBench(['a', 'b', 'c']);
    replies['a'] = 429;
    for (let i = 0; i < 40; i++) await ask({}, 60_000);
    expect(key('a').failures['rate_limit']).toBeGreaterThan(10);
    replies['a'] = 500;
    for (let i = 0; i < 5; i++) await ask({}, 320_000);
    expect(key('a').reason ?? '').not.toContain('failing alone');
  });
});

test('an error of the network tries the next key after a back-off and blames none', async () => {
  const { replies, states, ask } = poolBench(['a', 'b']);
  replies['a'] = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
  expect(await ask({}, 1000)).toEqual(OK('b'));
  expect(states()).toEqual({ a: 'ready', b: 'ready' });
});

test('another guard\'s refusal inside the callback blames no key', async () => {
  const inner = poolBench(['x'], noWait);
  inner.guard.keys.disable(PATTERN, 'x');
  const outer = poolBench(['a', 'b']);
  const fate = fateOf(outer.guard.execute(() => inner.guard.execute(() => 1, PROVIDER), PROVIDER));
  await settle();
  expect(fate.value).toBeInstanceOf(PoolExhaustedError);
  expect(outer.states()).toEqual({ a: 'ready', b: 'ready' });
});
