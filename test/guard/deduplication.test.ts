import { describe, expect, test } from 'vitest';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import { benchOf, fateOf, held, httpError, rejectionOf, scripted, settle } from './support.ts';

const request = (body: unknown = { q: 1 }): { url: string; method: string; body: unknown } => ({
  url: '/v1/chat',
  method: 'POST',
  body,
});

describe('an equal request', () => {
  test('in flight is made once', async () => {
    const { guard } = benchOf();
    const { fn, runs } = scripted({ a: 1 });
    const calls = [1, 2, 3].map(() => guard.execute(fn, { req: request() }));
    expect(await Promise.all(calls)).toEqual([{ a: 1 }, { a: 1 }, { a: 1 }]);
    expect(runs()).toBe(1);
    expect(guard.getStats().deduplication.totalDuplicateRequestsBlocked).toBe(2);
  });

  test('is answered from the cache for the whole ttl, not for five seconds', async () => {
    const { guard, clock } = benchOf({ deduplication: { ttlSeconds: 30 } });
    const { fn, runs } = scripted('a');
    await guard.execute(fn, { req: request() });
    await clock.advance(29_999);
    await guard.execute(fn, { req: request() });
    expect(runs()).toBe(1);
    await clock.advance(2);
    await guard.execute(fn, { req: request() });
    expect(runs()).toBe(2);
  });

  test('is known by what it was before the callback changed it', async () => {
    const { guard } = benchOf();
    let runs = 0;
    const ask = (): Promise<string> => {
      const req = request({ list: [1] });
      return guard.execute(() => {
        runs++;
        (req.body as { list: number[] }).list.push(2);
        return 'a';
      }, { req });
    };
    await ask();
    await ask();
    expect(runs).toBe(1);
  });

  test.each([
    ['a Date', new Date(5)],
    ['a Map', new Map([['k', { v: 1 }]])],
    ['a Set', new Set([1])],
    ['a Buffer', Buffer.from('abc')],
    ['a typed array', new Float64Array([1.5])],
    ['a BigInt', 10n],
    ['null', null],
  ])('gets %s as what it is', async (_name, value) => {
    const { guard } = benchOf();
    const answers = [];
    for (let i = 0; i < 2; i++) answers.push(await guard.execute(() => value as unknown, { req: request() }));
    expect(answers[1]).toEqual(value);
    expect(Object.getPrototypeOf(Object(answers[1]))).toBe(Object.getPrototypeOf(Object(value)));
    expect(guard.getStats().deduplication.totalDuplicateRequestsBlocked).toBe(1);
    expect(guard.isProviderHealthy('')).toBe(true);
  });

  test('gets no error from the cache', async () => {
    const { guard } = benchOf();
    const { fn } = scripted(new Error('once'), 'fine');
    await rejectionOf(guard.execute(fn, { req: request() }));
    expect(await guard.execute(fn, { req: request() })).toBe('fine');
  });

  test('in flight shares a failure: an outage is not multiplied', async () => {
    const { guard, clock } = benchOf({ retry: { maxRetries: 1, initialBackoffMs: 10 } });
    const { fn, runs } = scripted(httpError(503));
    const calls = [1, 2, 3].map(() => fateOf(guard.execute(fn, { req: request() })));
    await clock.advance(1000);
    expect(calls.every(({ state }) => state === 'rejected')).toBe(true);
    expect(runs()).toBe(2);
  });

  test('makes a call of its own where the answer was an error Response', async () => {
    const { guard } = benchOf({ retry: { enabled: false } });
    let runs = 0;
    const fn = (): Response => new Response(`no ${++runs}`, { status: 400 });
    const answers = await Promise.all([1, 2].map(() => guard.execute(fn, { req: request() })));
    expect(await Promise.all(answers.map(answer => answer.text()))).toEqual(['no 1', 'no 2']);
  });
});

describe('a call is not joined', () => {
  const twice = async (first: object, second: object, config = {}): Promise<number> => {
    const { guard } = benchOf(config);
    const { fn, runs } = scripted('a');
    await Promise.all([guard.execute(fn, first), guard.execute(fn, second)]);
    await guard.execute(fn, first);
    return runs();
  };

  test('without a request to know it by', async () => {
    expect(await twice({}, {})).toBe(3);
    expect(await twice({ req: null }, { req: null })).toBe(3);
  });

  test('with another provider, model, user, session or credential', async () => {
    const req = request();
    expect(await twice({ req, providerName: 'a' }, { req, providerName: 'b' })).toBe(2);
    expect(await twice({ req, model: 'a' }, { req, model: 'b' })).toBe(2);
    expect(await twice({ req, userId: 'a' }, { req, userId: 'b' })).toBe(2);
    expect(await twice({ req, sessionId: 'a' }, { req, sessionId: 'b' })).toBe(2);
    const withKey = (key: string): object => ({ req: { ...req, headers: { authorization: `Bearer ${key}` } } });
    expect(await twice(withKey('a'), withKey('b'))).toBe(2);
  });

  test('with skipDeduplication, which neither reads nor writes', async () => {
    const { guard } = benchOf();
    const { fn, runs } = scripted('a');
    const options = { req: request(), skipDeduplication: true };
    await guard.execute(fn, options);
    await guard.execute(fn, { req: request() });
    await guard.execute(fn, options);
    expect(runs()).toBe(3);
    expect(guard.getStats().deduplication.totalCachedRequests).toBe(1);
  });

  test('where deduplication is off', async () => {
    expect(await twice({ req: request() }, { req: request() }, { deduplication: { enabled: false } })).toBe(3);
  });

  test.each([
    ['a path', { url: '/api/analytics/7' }],
    ['a path with a query', { url: '/api/analytics?a=1' }],
    ['a whole address', { url: 'https://host/api/analytics/7' }],
    ['a URL', { url: new URL('https://host/api/analytics') }],
    ['a path below a mounted router', { url: '/7', originalUrl: '/api/analytics/7' }],
    ['a Request', new Request('https://host/api/analytics')],
  ])('to an excluded endpoint: %s', async (_name, req) => {
    expect(await twice({ req }, { req })).toBe(3);
  });

  test('and only there', async () => {
    expect(await twice({ req: { url: '/other/api/analytics' } }, { req: { url: '/other/api/analytics' } })).toBe(1);
    expect(await twice({ req: { url: 'no//:address' } }, { req: { url: 'no//:address' } })).toBe(1);
  });
});

describe('a request that is hard to read', () => {
  const circular: Record<string, unknown> = { url: '/a' };
  circular.body = circular;

  test.each([
    ['a circular one', circular],
    ['a URL', { url: new URL('https://host/a') }],
    ['one with a getter that throws', { url: '/a', get body() { throw new Error('no'); } }],
    ['a string', '/a'],
    ['a number', 7],
  ])('%s does not stop the call', async (_name, req) => {
    const { guard } = benchOf();
    expect(await guard.execute(() => 'fine', { req })).toBe('fine');
  });
});

describe('deduplicationKey', () => {
  test('joins calls without a look at the request', async () => {
    const { guard } = benchOf();
    const { fn, runs } = scripted('a');
    await guard.execute(fn, { deduplicationKey: 'k', req: request(1) });
    await guard.execute(fn, { deduplicationKey: 'k', req: request(2) });
    expect(runs()).toBe(1);
    await guard.execute(fn, { deduplicationKey: 'other', req: request(1) });
    expect(runs()).toBe(2);
  });

  test('does not join across providers, models, users or sessions, however they are spelled', async () => {
    const { guard } = benchOf();
    const { fn, runs } = scripted('a');
    const options = [
      { providerName: 'a' },
      { model: 'a' },
      { userId: 'a' },
      { sessionId: 'a' },
      { providerName: 'a', model: 'b' },
      { providerName: 'ab' },
      {},
    ];
    for (const each of options) await guard.execute(fn, { deduplicationKey: 'k', ...each });
    expect(runs()).toBe(options.length);
  });
});

test('a follower that makes its own call after all waits in the queue like any other', async () => {
  const { guard, clock } = benchOf({ queue: { minDelayMs: 1000 } });
  const startedAt = clock.now();
  const starts: number[] = [];
  const leader = held();
  const fn = async (): Promise<void> => {
    starts.push(clock.now() - startedAt);
    if (starts.length === 1) await leader.fn();
  };
  const calls = [1, 2, 3].map(() => guard.execute(fn, { req: request() }));
  await clock.advance(300);
  leader.finish('x');
  await clock.advance(5000);
  await Promise.all(calls);
  expect(starts).toEqual([0, 1000, 2000]);
});

test('the time of a follower that makes its own call begins with that call', async () => {
  const { guard, clock } = benchOf({ keyManagement: { providers: { p: { keys: [{ id: 'a', key: 'a-key' }] } } } });
  const leader = held<undefined>();
  const call = guard.execute(leader.fn, { req: request(), providerName: 'p' });
  const follower = guard.execute(() => undefined, { req: request(), providerName: 'p' });
  await clock.advance(5000);
  leader.finish(undefined);
  await Promise.all([call, follower]);
  await settle();
  expect(guard.keys.get('p', 'a').lastUsed).toBe(clock.now());
});

describe('a call made for the request whose call it is part of', () => {
  test.each([
    ['known by the request', {}],
    ['known by a key', { deduplicationKey: 'k' }],
  ])('does not wait for itself: %s', async (_name, options) => {
    const { guard } = benchOf();
    const asking = { req: request(), providerName: 'p', ...options };
    let depth = 0;
    const fn = (): Promise<string> | string => (++depth < 3 ? guard.execute(fn, asking) : 'inner');
    expect(await guard.execute(fn, asking)).toBe('inner');
    expect(depth).toBe(3);
  });

  test('does not wait for itself where its call has taken over the lead', async () => {
    const { guard } = benchOf();
    const controller = new AbortController();
    const leading = rejectionOf(guard.execute(held().fn, { req: request(), signal: controller.signal }));
    const req = request();
    const heir = guard.execute(() => guard.execute(() => 'inner', { req }), { req });
    controller.abort();
    expect(await leading).toMatchObject({ code: 'ABORTED' });
    expect(await heir).toBe('inner');
  });
});

describe('what only the leader ran into is not shared', () => {
  test('the time its attempt may take', async () => {
    const { guard, clock } = benchOf({ retry: { enabled: false } });
    const leading = rejectionOf(guard.execute(held().fn, { req: request(), attemptTimeoutMs: 10 }));
    const patient = guard.execute(() => 'mine', { req: request() });
    await clock.advance(10);
    expect(await leading).toMatchObject({ code: 'ATTEMPT_TIMEOUT' });
    expect(await patient).toBe('mine');
  });

  test('but who waits no longer than the leader did shares its timeout: an outage is not multiplied', async () => {
    const { guard, clock } = benchOf({ retry: { enabled: false } });
    const hanging = held();
    const calls = [10, 10, 10].map(attemptTimeoutMs =>
      rejectionOf(guard.execute(hanging.fn, { req: request(), attemptTimeoutMs })),
    );
    await clock.advance(10);
    for (const call of calls) expect(await call).toMatchObject({ code: 'ATTEMPT_TIMEOUT' });
    expect(hanging.runs()).toBe(1);
  });

  test('the wait for a key that its deadline does not allow', async () => {
    const keys = [{ id: 'a', key: 'a-key', limits: { rpm: 1 } }];
    const { guard, clock } = benchOf({ keyManagement: { maxWaitMs: 120_000, providers: { p: { keys } } } });
    await guard.execute(() => 1, 'p');
    const asking = { providerName: 'p', deduplicationKey: 'k' };
    const leading = rejectionOf(guard.execute(() => 'hasty', { ...asking, deadlineMs: 1000 }));
    const patient = guard.execute(() => 'mine', asking);
    expect(await leading).toMatchObject({ code: 'POOL_EXHAUSTED' });
    await clock.advance(60_000 + ON_THE_WAY_MS);
    expect(await patient).toBe('mine');
  });
});
