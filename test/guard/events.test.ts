import { describe, expect, test } from 'vitest';
import { benchOf, heard, held, httpError, rejectionOf, scripted, settle } from './support.ts';

const POOL = {
  keyManagement: { providers: { p: { keys: [{ id: 'a', key: 'a-key' }, { id: 'b', key: 'b-key' }] } } },
};

describe('call events', () => {
  test('tell how a call ended, and for whom', async () => {
    const { guard, clock } = benchOf(POOL);
    const calls = heard(guard, 'call');
    const slow = held();
    const call = guard.execute(slow.fn, {
      providerName: 'p',
      model: 'flash',
      userId: 'u',
      sessionId: 's',
      tags: ['batch'],
    });
    await clock.advance(70);
    slow.finish('x');
    await call;
    expect(calls).toEqual([
      {
        provider: 'p',
        model: 'flash',
        ok: true,
        keyId: 'a',
        attempts: 1,
        durationMs: 70,
        error: undefined,
        userId: 'u',
        sessionId: 's',
        tags: ['batch'],
      },
    ]);
  });

  test.each([
    ['the name of an error', new TypeError('bug'), 'TypeError'],
    ['the type of what is no error', 'text', 'string'],
  ])('give %s', async (_name, thrown, error) => {
    const { guard } = benchOf();
    const calls = heard(guard, 'call');
    await rejectionOf(guard.execute(() => Promise.reject(thrown as Error)));
    expect(calls).toMatchObject([{ ok: false, error, keyId: undefined, attempts: 1 }]);
  });

  test("give the code of the guard's own errors", async () => {
    const { guard } = benchOf({ rateLimiting: { rules: { burst: 1 } } });
    const calls = heard(guard, 'call');
    await guard.execute(() => 1);
    await rejectionOf(guard.execute(() => 2));
    expect(calls).toMatchObject([{ ok: true }, { ok: false, error: 'RATE_LIMITED', attempts: 0 }]);
  });

  test('do not call an error Response ok, though it is returned', async () => {
    const { guard } = benchOf({ retry: { enabled: false } });
    const calls = heard(guard, 'call');
    await guard.execute(() => new Response('no', { status: 404 }));
    expect(calls).toMatchObject([{ ok: false, error: undefined }]);
  });

  test('come for followers, too: theirs made no attempt', async () => {
    const { guard } = benchOf();
    const calls = heard(guard, 'call');
    const call = (answer: string) => guard.execute(() => Promise.resolve(answer), { req: { url: '/a' } });
    await Promise.all([call('x'), call('y')]);
    expect(calls.map(({ attempts, ok }) => [attempts, ok])).toEqual([
      [1, true],
      [0, true],
    ]);
  });
});

describe('attempt events', () => {
  test('tell each attempt, with its key and its fault', async () => {
    const { guard } = benchOf({ ...POOL, retry: { enabled: false } });
    const attempts = heard(guard, 'attempt');
    await guard.execute(scripted(httpError(429), 'fine').fn, { providerName: 'p', model: 'flash' });
    const common = { provider: 'p', model: 'flash', durationMs: 0 };
    expect(attempts).toEqual([
      { ...common, keyId: 'a', fault: 'rate_limit', status: 429, attempt: 1, ok: false },
      { ...common, keyId: 'b', attempt: 2, ok: true },
    ]);
  });

  test('take the time of the attempt, not of the wait before it', async () => {
    const { guard, clock } = benchOf({ retry: { initialBackoffMs: 1000 } });
    const attempts = heard(guard, 'attempt');
    const slow = held();
    const outcomes = [() => Promise.reject(httpError(503)), slow.fn];
    const call = guard.execute(() => outcomes.shift()!());
    await clock.advance(1000);
    await clock.advance(30);
    slow.finish('x');
    await call;
    expect(attempts.map(({ durationMs }) => durationMs)).toEqual([0, 30]);
  });
});

describe('key and fail-over events', () => {
  test('tell which key was put aside, why, and who took over', async () => {
    const { guard } = benchOf(POOL);
    const keys = heard(guard, 'key');
    const failovers = heard(guard, 'failover');
    await guard.execute(scripted(httpError(429, { 'retry-after': '60' }), 'fine').fn, 'p');
    expect(keys).toMatchObject([{ pool: 'p', keyId: 'a', from: 'ready', to: 'cooling', reason: 'rate_limit' }]);
    expect(failovers).toEqual([{ provider: 'p', model: undefined, from: 'a', to: 'b', fault: 'rate_limit' }]);
  });
});

describe('listeners', () => {
  test('that throw, or reject, are reported and change nothing', async () => {
    const { guard, warnings } = benchOf({ queue: { concurrency: 1 } });
    const seen: string[] = [];
    for (const name of ['call', 'attempt', 'queue'] as const) {
      guard.on(name, () => {
        throw new TypeError('in a listener');
      });
      guard.on(name, () => Promise.reject(new RangeError('in an async listener')));
      guard.on(name, () => {
        throw 'not even an error';
      });
      guard.on(name, () => seen.push(name));
    }
    const first = held();
    const calls = [guard.execute(first.fn, 'p'), guard.execute(() => 'second', 'p')];
    await settle();
    first.finish('first');
    expect(await Promise.all(calls)).toEqual(['first', 'second']);
    await settle();
    expect(seen.sort()).toEqual(['attempt', 'attempt', 'call', 'call', 'queue', 'queue']);
    for (const kind of ['TypeError', 'RangeError', 'string']) {
      expect(warnings.filter(warning => warning.includes(kind))).toHaveLength(6);
    }
  });

  test('can stop listening, also while they are told', async () => {
    const { guard } = benchOf();
    const seen: string[] = [];
    const stop = guard.on('call', ({ provider }) => {
      seen.push(provider);
      stop();
    });
    await guard.execute(() => 1, 'first');
    await guard.execute(() => 1, 'second');
    expect(seen).toEqual(['first']);
    stop();
  });

  test('go on for the others, however often one has come and gone', async () => {
    const { guard } = benchOf();
    const seen: string[] = [];
    const listener = ({ provider }: { provider: string }): void => void seen.push(`one of ${provider}`);
    const stops = [guard.on('call', listener), guard.on('call', listener)];
    guard.on('call', ({ provider }) => seen.push(`another of ${provider}`));
    await guard.execute(() => 1, 'first');
    for (const stop of [...stops, ...stops]) stop();
    await guard.execute(() => 1, 'second');
    expect(seen).toEqual(['one of first', 'another of first', 'another of second']);
  });

  test('hear nothing of a secret', async () => {
    const { guard } = benchOf(POOL);
    const events: unknown[] = [];
    for (const name of ['call', 'attempt', 'key', 'failover', 'breaker', 'queue', 'rotation'] as const) {
      guard.on(name, event => events.push(event));
    }
    const calls = [httpError(401), httpError(429), httpError(500)].map(error =>
      Promise.allSettled([guard.execute(scripted(error, 'fine').fn, { providerName: 'p', deadlineMs: 10 })]),
    );
    await Promise.all(calls);
    guard.keys.replace('p', 'b', 'c-key');
    expect(events.length).toBeGreaterThan(5);
    expect(JSON.stringify(events)).not.toMatch(/[abc]-key/);
  });
});

test('an event that does not exist, or a listener that cannot be called, is refused', () => {
  const { guard } = benchOf();
  const on = (...args: unknown[]): unknown => Reflect.apply(guard.on.bind(guard), undefined, args);
  expect(() => on('keys', () => undefined)).toThrow('no event "keys"; there are call, attempt, choice, key');
  expect(() => on('constructor', () => undefined)).toThrow('no event "constructor"');
  expect(() => on('call', undefined)).toThrow('expected a function to call, found undefined');
});
