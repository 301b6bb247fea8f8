import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  AbortedError,
  CircuitOpenError,
  ClosedError,
  ConfigError,
  DeadlineError,
  FallbackError,
  NoKeyError,
  PoolExhaustedError,
  QueueFullError,
  RateLimitError,
} from '../../src/index.ts';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import type { ExecutionGuardConfig } from '../../src/guard/config/types.ts';
import type { CallContext } from '../../src/guard/options.ts';
import { answerOf, fallbackBench, keyOf, type FallbackBench, type Reply } from './fallbacks-bench.ts';
import {
  benchOf,
  catching,
  fateOf,
  heard,
  held,
  httpError,
  networkError,
  rejectionOf,
  scripted,
  settle,
  type Fate,
} from './support.ts';

const AB = { a: ['a1'], b: ['b1'] };
const TO_B = { fallbacks: { a: ['b'] } };
const RESTING = httpError(429, { 'retry-after': '600' });
const back = (seconds: number): Error => httpError(429, { 'retry-after': String(seconds) });

describe('A call goes on to the next provider', () => {
  test('when every key was refused, at once and without a retry', async () => {
    const { ask, asked, replies, guard } = fallbackBench({ a: ['a1', 'a2'], b: ['b1'] }, TO_B);
    replies['a'] = 429;
    expect(await ask()).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['a/a1', 'a/a2', 'b/b1']);
    expect(guard.getStats().retry).toMatchObject({ totalRetries: 0, finalFailures: 0 });
  });

  test('when its pool rests, without asking it again', async () => {
    const { ask, asked, replies } = fallbackBench(AB, TO_B);
    replies['a'] = 429;
    await ask();
    asked.length = 0;
    expect(await ask()).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['b/b1']);
  });

  test('when its pool rests and its slots are taken, without waiting for one', async () => {
    const { guard, ask, asked } = fallbackBench(AB, { ...TO_B, queue: { concurrency: 1 } });
    const long = held();
    void guard.execute(long.fn, 'a');
    await settle();
    guard.keys.disable('a', 'a1');
    expect(await ask()).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['b/b1']);
    long.finish('done');
  });

  test('when its pool has no key', async () => {
    const { ask } = fallbackBench({ a: [], b: ['b1'] }, TO_B);
    expect(await ask()).toEqual(answerOf('b/b1'));
  });

  test('when no key serves the model', async () => {
    const { ask } = fallbackBench({ a: { keys: [{ ...keyOf('a1'), models: ['small'] }] }, b: ['b1'] }, TO_B);
    expect(await ask({ model: 'large' })).toEqual(answerOf('b/b1:large'));
  });

  test('when others wait for its keys already', async () => {
    const { guard, ask, asked } = fallbackBench(
      { a: { keys: [{ ...keyOf('a1'), limits: { concurrency: 1 } }] }, b: ['b1'] },
      TO_B,
    );
    const long = held();
    void guard.execute(long.fn, 'a');
    const waiting = fateOf(guard.execute(() => 'mine', { providerName: 'a', fallbacks: [] }));
    await settle();
    expect(await ask()).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['b/b1']);
    long.finish('done');
    await settle();
    expect(waiting.value).toBe('mine');
  });

  test('when three groups of its keys are refused alike', async () => {
    const { ask, asked, replies } = fallbackBench({ a: ['a1', 'a2', 'a3', 'a4'], b: ['b1'] }, TO_B);
    replies['a'] = 401;
    expect(await ask()).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['a/a1', 'a/a2', 'a/a3', 'b/b1']);
  });

  test('when its breaker is open', async () => {
    const { ask, asked, replies } = fallbackBench(
      AB,
      { ...TO_B, circuitBreaker: { failureThreshold: 1 }, retry: { enabled: false } },
    );
    replies['a'] = 500;
    await ask();
    asked.length = 0;
    expect(await ask()).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['b/b1']);
  });

  test('when its breaker opens while the call is in back-off', async () => {
    const bench = fallbackBench(AB, { ...TO_B, circuitBreaker: { failureThreshold: 1 } });
    bench.replies['a'] = 500;
    const fate = bench.call();
    await settle();
    await rejectionOf(
      bench.guard.execute(scripted(httpError(500)).fn, { providerName: 'a', fallbacks: [], idempotent: false }),
    );
    await bench.clock.advance(10);
    expect(fate).toEqual(answerOf('b/b1'));
    expect(bench.asked).toEqual(['a/a1', 'b/b1']);
  });

  test('when its breaker opens while the call waits for a slot', async () => {
    const bench = fallbackBench(
      AB,
      { ...TO_B, circuitBreaker: { failureThreshold: 1 }, queue: { concurrency: 1 }, retry: { enabled: false } },
    );
    const failing = held();
    const first = fateOf(bench.guard.execute(failing.fn, { providerName: 'a', fallbacks: [] }));
    await settle();
    const fate = bench.call();
    failing.fail(httpError(500));
    await settle();
    expect(first.state).toBe('rejected');
    expect(fate).toEqual(answerOf('b/b1'));
    expect(bench.asked).toEqual(['b/b1']);
  });

  test('when it bans the address', async () => {
    const { ask, asked, replies } = fallbackBench({ binance: ['a1'], b: ['b1'] }, { fallbacks: { binance: ['b'] } });
    replies['binance'] = httpError(418, { 'retry-after': '60' });
    expect(await ask({ providerName: 'binance' })).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['binance/a1', 'b/b1']);
  });

  test('when its own failures have used up the retries, not before', async () => {
    const { ask, asked, replies, clock } = fallbackBench(AB, TO_B);
    replies['a'] = 503;
    const fate = await ask({}, 9);
    expect(fate.state).toBe('pending');
    await clock.advance(1);
    expect(fate).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['a/a1', 'a/a1', 'b/b1']);
  });

  test('when its connection fails, or an attempt takes too long', async () => {
    for (const failure of [networkError(), undefined]) {
      const { ask, replies } = fallbackBench(AB, { ...TO_B, retry: { enabled: false } });
      replies['a'] = failure ?? (() => new Promise(() => {}));
      expect(await ask({ attemptTimeoutMs: 50 }, 50)).toEqual(answerOf('b/b1'));
    }
  });

  test('when a provider without a pool refuses', async () => {
    const { ask, asked, replies } = fallbackBench({ b: ['b1'] }, { ...TO_B, retry: { enabled: false } });
    replies['a'] = 429;
    expect(await ask()).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['a', 'b/b1']);
  });

  test('and to a provider without a pool', async () => {
    const { ask, asked, replies } = fallbackBench({ a: ['a1'] }, TO_B);
    replies['a'] = 429;
    expect(await ask()).toEqual(answerOf('b'));
    expect(asked).toEqual(['a/a1', 'b']);
  });

  test('with retries, keys and an attempt number of its own account', async () => {
    const { guard } = fallbackBench({ a: ['a1', 'a2'], b: ['b1', 'b2'] }, TO_B);
    const seen: unknown[] = [];
    const statuses = [429, 429, 401, 503, 200];
    const answer = fateOf(
      guard.execute(({ attempt, keyId, model, provider }) => {
        seen.push([attempt, provider, keyId, model]);
        const status = statuses.shift();
        if (status !== 200) throw httpError(status ?? 0);
        return 'answer';
      }, { providerName: 'a', model: 'm' }),
    );
    await settle();
    expect(answer.state).toBe('pending');
    expect(seen).toEqual([
      [1, 'a', 'a1', 'm'],
      [2, 'a', 'a2', 'm'],
      [3, 'b', 'b1', 'm'],
      [4, 'b', 'b2', 'm'],
    ]);
  });
});

describe('A call stays where it is', () => {
  test.each([400, 404, 409])('with a request that is refused as such: %i', async status => {
    const error = httpError(status);
    const { ask, asked, replies } = fallbackBench(AB, { ...TO_B, retry: { enabled: false } });
    replies['a'] = error;
    const fate = await ask();
    expect(fate.value).toBe(error);
    expect(asked).toEqual(['a/a1']);
  });

  test('with a bad request at a later provider, which is thrown as it is', async () => {
    const error = httpError(400);
    const { ask, asked, replies } = fallbackBench({ ...AB, c: ['c1'] }, { fallbacks: { a: ['b', 'c'] } });
    Object.assign(replies, { a: 429, b: error });
    expect((await ask()).value).toBe(error);
    expect(asked).toEqual(['a/a1', 'b/b1']);
  });

  test('with a bad request at a later provider, which is returned as it is', async () => {
    const response = new Response('bad', { status: 400 });
    const { ask, replies, guard } = fallbackBench(AB, TO_B);
    const refused = new Response('busy', { status: 429 });
    Object.assign(replies, { a: () => refused, b: () => response });
    expect((await ask()).value).toBe(response);
    expect(refused.bodyUsed).toBe(true);
    expect(await response.text()).toBe('bad');
    expect(guard.getStats().retry.finalFailures).toBe(1);
  });

  test('while its request is to be tried again, even where that takes waiting for the key', async () => {
    const { call, clock, asked, replies } = fallbackBench({ a: { keys: [{ ...keyOf('a1'), limits: { rpm: 1 } }] }, b: ['b1'] }, {
      ...TO_B,
      keyManagement: { maxWaitMs: 61_000 },
    });
    replies['a'] = [409, 'in the end'];
    const fate = call();
    await clock.advance(60_000 + ON_THE_WAY_MS);
    expect(fate).toEqual({ state: 'resolved', value: 'in the end' });
    expect(asked).toEqual(['a/a1', 'a/a1']);
  });

  test('with an error of its own code', async () => {
    const bug = new TypeError('bug');
    const { ask, asked, replies } = fallbackBench(AB, TO_B);
    replies['a'] = bug;
    expect((await ask()).value).toBe(bug);
    expect(asked).toEqual(['a/a1']);
  });

  test('with the refusal of a guarded call inside it', async () => {
    const refusal = new NoKeyError({ provider: 'inner' });
    const { ask, replies } = fallbackBench(AB, TO_B);
    replies['a'] = refusal;
    expect((await ask()).value).toBe(refusal);
  });

  test('when it is aborted', async () => {
    const { call, asked, replies, clock } = fallbackBench(AB, TO_B);
    const controller = new AbortController();
    replies['a'] = () => new Promise(() => {});
    const fate = call({ signal: controller.signal });
    await settle();
    controller.abort();
    await clock.advance(5000);
    expect(fate.value).toBeInstanceOf(AbortedError);
    expect(asked).toEqual(['a/a1']);
  });

  test('when the guard is closed', async () => {
    const { call, guard, replies, asked } = fallbackBench(AB, TO_B);
    replies['a'] = 503;
    const fate = call();
    await settle();
    guard.close();
    await settle();
    expect(fate.value).toBeInstanceOf(ClosedError);
    expect(asked).toEqual(['a/a1']);
  });

  test('when its inbound limit is used up', async () => {
    const { ask, asked } = fallbackBench(AB, { ...TO_B, rateLimiting: { rules: { burst: 1 } } });
    await ask();
    expect((await ask()).value).toBeInstanceOf(RateLimitError);
    expect(asked).toEqual(['a/a1']);
  });

  test('when the queue of its first provider is full', async () => {
    const { guard, ask, asked } = fallbackBench(AB, { ...TO_B, queue: { concurrency: 1, maxQueueSize: 0 } });
    void guard.execute(held().fn, 'a');
    await settle();
    expect((await ask()).value).toBeInstanceOf(QueueFullError);
    expect(asked).toEqual([]);
  });

  test('when the provider may have acted and it must not run twice', async () => {
    const { ask, asked, replies } = fallbackBench(AB, TO_B);
    const error = (replies['a'] = networkError('ECONNRESET'));
    expect((await ask({ idempotent: false }, 5000)).value).toBe(error);
    expect(asked).toEqual(['a/a1']);
  });

  test('unless nothing can have reached the provider, or the provider has said that it did not act', async () => {
    for (const reply of [networkError('ECONNREFUSED'), httpError(429)]) {
      const { ask, replies } = fallbackBench(AB, { ...TO_B, retry: { enabled: false } });
      replies['a'] = reply;
      expect(await ask({ idempotent: false })).toEqual(answerOf('b/b1'));
    }
  });

  test('with the guard switched off', async () => {
    const { ask, replies } = fallbackBench(AB, { ...TO_B, enabled: false });
    const error = (replies['a'] = httpError(503));
    expect((await ask()).value).toBe(error);
  });
});

describe('A queue that is full at a later provider', () => {
  test('is no reason to give up: the one after it is asked', async () => {
    const { guard, ask, asked } = fallbackBench(
      { ...AB, c: ['c1'] },
      { fallbacks: { a: ['b', 'c'] }, queue: { concurrency: 1, maxQueueSize: 0 } },
    );
    guard.keys.disable('a', 'a1');
    void guard.execute(held().fn, 'b');
    await settle();
    expect(await ask()).toEqual(answerOf('c/c1'));
    expect(asked).toEqual(['c/c1']);
  });

  test('a call that was refused elsewhere may wait there all the same', async () => {
    const { guard, call, asked, replies } = fallbackBench(AB, { ...TO_B, queue: { concurrency: 1, maxQueueSize: 0 } });
    const long = held();
    void guard.execute(long.fn, 'b');
    replies['a'] = 429;
    const fate = call();
    await settle();
    long.finish('done');
    await settle();
    expect(fate).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['a/a1', 'b/b1']);
  });
});

describe('The chain', () => {
  test('of the call comes before that of the configuration, and an empty one switches it off', async () => {
    const { ask, replies } = fallbackBench({ ...AB, c: ['c1'] }, TO_B);
    const error = (replies['a'] = httpError(503));
    expect(await ask({ fallbacks: ['c'] }, 10)).toEqual(answerOf('c/c1'));
    expect((await ask({ fallbacks: [] }, 10)).value).toBe(error);
  });

  test('is found like a pool: the same name, then a wildcard, then a part of the name', () => {
    const { guard } = benchOf({ fallbacks: { gemini: ['part'], '*gemini*': ['wildcard'], 'google-gemini': ['name'] } });
    const first = (provider: string): unknown => guard.explain(provider).fallbacks[0]?.provider;
    const names = ['google-gemini', 'GEMINI', 'my-gemini-2', 'openai'];
    expect(names.map(first)).toEqual(['name', 'part', 'wildcard', undefined]);
  });

  test('may be empty for one provider that a wider pattern fits', () => {
    const { guard } = benchOf({ fallbacks: { '*': ['b'], local: [] } });
    expect(guard.explain('local').fallbacks).toEqual([]);
    expect(guard.explain('other').fallbacks).toEqual([{ provider: 'b', model: undefined }]);
  });

  test('keeps the model of the call, unless a hop names one', async () => {
    const { ask, asked, replies } = fallbackBench(
      { ...AB, c: ['c1'] },
      { fallbacks: { a: [{ provider: 'b', model: 'n' }, 'c'] } },
    );
    Object.assign(replies, { a: 429, b: 429 });
    expect(await ask({ model: 'm' })).toEqual(answerOf('c/c1:m'));
    expect(asked).toEqual(['a/a1:m', 'b/b1:n', 'c/c1:m']);
  });

  test('may change only the model of the provider before', async () => {
    const { ask, asked, replies } = fallbackBench(AB, { fallbacks: { a: [{ model: 'n' }, 'b', { model: 'o' }] } });
    Object.assign(replies, { 'a/a1:m': 429, 'a/a1:n': 429, 'b/b1:m': 429 });
    expect(await ask({ model: 'm' })).toEqual(answerOf('b/b1:o'));
    expect(asked).toEqual(['a/a1:m', 'a/a1:n', 'b/b1:m', 'b/b1:o']);
  });

  test('passes over where the call has been, whatever the letters', async () => {
    const { ask, asked, replies } = fallbackBench(AB);
    const error = (replies['a'] = httpError(503));
    expect((await ask({ fallbacks: ['A', { model: 'm' }], model: 'm' }, 10)).value).toBe(error);
    asked.length = 0;
    await ask({ fallbacks: ['a', 'b'] }, 10);
    expect(asked).toEqual(['a/a1', 'a/a1', 'b/b1']);
  });

  test('of the first provider counts, not that of the next', async () => {
    const { ask, replies } = fallbackBench({ ...AB, c: ['c1'] }, { fallbacks: { a: ['b'], b: ['c'] } });
    Object.assign(replies, { a: 429, b: RESTING });
    expect((await ask()).value).toBeInstanceOf(FallbackError);
  });

  test('prefers a key at its first provider only', async () => {
    const { ask, asked, replies } = fallbackBench(
      { a: ['x', 'y'], b: ['x', 'y'] },
      { fallbacks: { a: [{ model: 'n' }, 'b'] } },
    );
    replies['a'] = 429;
    await ask({ keyId: 'y', model: 'm' });
    expect(asked).toEqual(['a/y:m', 'a/x:m', 'a/y:n', 'a/x:n', 'b/x:m']);
  });

  test('is named by explain, with the models', () => {
    const { guard } = benchOf({ fallbacks: { a: [{ model: 'n' }, 'b'] } });
    expect(guard.explain('a', { model: 'm' }).fallbacks).toEqual([
      { provider: 'a', model: 'n' },
      { provider: 'b', model: 'm' },
    ]);
  });

  test('is replaced as a whole by an update, and kept by one that does not name it', async () => {
    const { guard, ask, replies } = fallbackBench({ ...AB, c: ['c1'] }, { fallbacks: { a: ['b'], x: ['y'] } });
    replies['a'] = RESTING;
    guard.updateConfig({ fallbacks: { a: [{ provider: 'c', model: 'n' }] } });
    guard.updateConfig({ queue: { maxQueueSize: 50 } });
    expect(guard.getConfig().fallbacks).toEqual({ a: [{ provider: 'c', model: 'n' }] });
    expect(await ask()).toEqual(answerOf('c/c1:n'));
    guard.updateConfig({ fallbacks: {} });
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
  });

  test.each([
    [{ a: ['b', ' '] }, 'fallbacks.a[1]: expected a string that is not blank, found a blank string'],
    [{ a: 'b' }, 'fallbacks.a: expected an array of providers, or of { provider, model }, found a string'],
    [{ a: [{}] }, 'fallbacks.a[0]: expected a provider, a model, or both, found an object'],
    [{ a: [{ provider: 'b', modell: 'x' }] }, 'fallbacks.a[0].modell: unknown option `modell`, did you mean `model`?'],
    [{ a: [7] }, 'fallbacks.a[0]: expected a provider name, or an object { provider, model }, found the number 7'],
    [{ a: ['b', 'A'] }, 'fallbacks.a[1]: expected another provider or model than the chain begins with, found a string'],
    [{ a: ['b', 'b'] }, 'fallbacks.a[1]: expected a provider and model that the chain does not name before, found a string'],
    [{ ' ': ['b'] }, 'fallbacks[" "]: the name must be a provider name or pattern that is not blank'],
  ])('that is wrong is refused by its place: %j', (fallbacks, line) => {
    const error = catching(() => benchOf({ fallbacks: fallbacks as Record<string, string[]> }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain(line);
  });

  test.each([
    ['b', 'options.fallbacks: expected an array'],
    [['b', ''], 'options.fallbacks[1]: expected a provider name that is not blank'],
    [[{}], 'options.fallbacks[0]: expected a provider, a model, or both'],
    [[null], 'options.fallbacks[0]: expected a provider name or an object { provider, model }, found null'],
    [[{ model: 7 }], 'options.fallbacks[0].model: expected a name that is not blank, found 7'],
  ])('of a call that is wrong rejects it: %j', async (fallbacks, line) => {
    const { ask } = fallbackBench(AB);
    const { value } = await ask({ fallbacks: fallbacks as string[] });
    expect(value).toBeInstanceOf(ConfigError);
    expect(String(value)).toContain(line);
  });
});

describe('When no provider has a key at once', () => {
  test('the call goes back to the one whose key returns first', async () => {
    const { ask, asked, replies, guard } = fallbackBench(AB, { ...TO_B, keyManagement: { maxWaitMs: 5000 } });
    Object.assign(replies, { a: [back(1), 'late a'], b: [back(4), 'late b'] });
    const moves = heard(guard, 'fallback');
    const first = await ask({}, 1000);
    expect(first).toEqual({ state: 'resolved', value: 'late a' });
    expect(asked).toEqual(['a/a1', 'b/b1', 'a/a1']);
    expect(moves.map(({ provider, toProvider }) => [provider, toProvider])).toEqual([['a', 'b'], ['b', 'a']]);
  });

  test('it waits at the last one where that returns first', async () => {
    const { guard, call, asked, clock } = fallbackBench(AB, { ...TO_B, keyManagement: { maxWaitMs: 5000 } });
    await rejectionOf(guard.execute(scripted(back(4)).fn, { providerName: 'a', fallbacks: [], deadlineMs: 1 }));
    await rejectionOf(guard.execute(scripted(back(2)).fn, { providerName: 'b', fallbacks: [], deadlineMs: 1 }));
    const fate = call();
    await clock.advance(1999);
    expect(fate.state).toBe('pending');
    await clock.advance(1);
    expect(fate).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['b/b1']);
  });

  test('it is rejected at once where none returns in time', async () => {
    const { ask, replies, asked, clock } = fallbackBench(AB, TO_B);
    Object.assign(replies, { a: back(60), b: back(40) });
    await ask();
    asked.length = 0;
    const { value } = await ask();
    expect(value).toMatchObject({
      code: 'FALLBACKS_EXHAUSTED',
      provider: 'a',
      retryAfterMs: 40_000,
      attempts: [],
      left: [
        { provider: 'a', reason: 'POOL_EXHAUSTED', retryAtMs: clock.now() + 60_000 },
        { provider: 'b', reason: 'POOL_EXHAUSTED', retryAtMs: clock.now() + 40_000 },
      ],
    });
    expect((value as Error).cause).toBeInstanceOf(PoolExhaustedError);
    expect(asked).toEqual([]);
  });

  test('its deadline stands in the place of the pools\' waits', async () => {
    const { ask, replies, asked } = fallbackBench(AB, TO_B);
    Object.assign(replies, { a: [back(60), 'a at last'], b: back(40) });
    expect(await ask({ deadlineMs: 90_000 }, 90_000)).toEqual({ state: 'resolved', value: 'a at last' });
    expect(asked).toEqual(['a/a1', 'b/b1', 'b/b1', 'a/a1']);
  });

  test('a pool that never waits is not waited for', async () => {
    const { guard, ask } = fallbackBench({ a: { keys: [keyOf('a1')], maxWaitMs: 0 }, b: ['b1'] }, TO_B);
    guard.keys.disable('b', 'b1');
    await rejectionOf(guard.execute(scripted(back(1)).fn, { providerName: 'a', fallbacks: [] }));
    expect((await ask()).value).toBeInstanceOf(FallbackError);
  });

  test('what waiting at one has not helped, another one may', async () => {
    const { guard, ask, asked, replies } = fallbackBench(
      { ...AB, c: [] },
      { fallbacks: { a: ['b', 'c'] }, keyManagement: { maxWaitMs: 5000 } },
    );
    await rejectionOf(guard.execute(scripted(back(3)).fn, { providerName: 'a', fallbacks: [], deadlineMs: 1 }));
    await rejectionOf(guard.execute(scripted(back(1)).fn, { providerName: 'b', fallbacks: [], deadlineMs: 1 }));
    replies['b'] = 401;
    expect(await ask({}, 3000)).toEqual(answerOf('a/a1'));
    expect(asked).toEqual(['b/b1', 'a/a1']);
  });

  test('it waits no longer in all than the longest of them allows', async () => {
    const { guard, ask, asked } = fallbackBench(
      {
        a: { keys: [keyOf('a1')], maxWaitMs: 1500 },
        b: { keys: [{ ...keyOf('b1'), limits: { concurrency: 1 } }], maxWaitMs: 1000 },
      },
      TO_B,
    );
    void guard.execute(held().fn, 'b');
    await rejectionOf(guard.execute(scripted(back(2)).fn, { providerName: 'a', fallbacks: [], deadlineMs: 1 }));
    const fate = await ask({}, 999);
    expect(fate.state).toBe('pending');
    await ask({}, 1);
    expect(fate.value).toBeInstanceOf(FallbackError);
    expect(asked).toEqual([]);
  });

  test('a pool with useFirst uses its first key in the end, and not before', async () => {
    const pools = { a: { keys: [keyOf('a1')], fallbackBehavior: 'useFirst' as const }, b: ['b1'] };
    const { ask, asked, replies, guard } = fallbackBench(pools, TO_B);
    await rejectionOf(guard.execute(scripted(RESTING).fn, { providerName: 'a', fallbacks: [] }));
    expect(await ask()).toEqual(answerOf('b/b1'));
    replies['b'] = RESTING;
    expect(await ask()).toEqual(answerOf('a/a1'));
    expect(asked).toEqual(['b/b1', 'b/b1', 'a/a1']);
  });

  test('a pool with useEnvironment uses its variable before another provider is asked', async () => {
    const { guard } = benchOf(
      {
        ...TO_B,
        keyManagement: { providers: { a: { keys: [], fallbackBehavior: 'useEnvironment' }, b: { keys: ['b-key'] } } },
      },
      { A_API_KEY: 'from-env' },
    );
    expect(await guard.execute(({ apiKey }) => apiKey, 'a')).toBe('from-env');
  });

  test('the caller can end the wait, and the guard too', async () => {
    for (const how of ['abort', 'close'] as const) {
      const { guard, call, clock, replies } = fallbackBench(AB, TO_B);
      Object.assign(replies, { a: back(1), b: back(1) });
      const controller = new AbortController();
      const fate = call({ signal: controller.signal });
      await settle();
      expect(fate.state).toBe('pending');
      if (how === 'abort') controller.abort();
      else guard.close();
      await settle();
      expect(fate.value).toBeInstanceOf(how === 'abort' ? AbortedError : ClosedError);
      expect(clock.pending).toEqual({ foreground: 0, background: 0 });
    }
  });
});

describe('While a call waits for several providers', () => {
  /** Both rest: `a` for two seconds, `b` for four. */
  const resting = async (config: ExecutionGuardConfig = {}): Promise<FallbackBench> => {
    const bench = fallbackBench(AB, { ...TO_B, ...config, keyManagement: { maxWaitMs: 30_000 } });
    const refuse = (providerName: string, seconds: number): Promise<unknown> =>
      rejectionOf(bench.guard.execute(scripted(back(seconds)).fn, { providerName, fallbacks: [], deadlineMs: 1 }));
    await refuse('a', 2);
    await refuse('b', 4);
    return bench;
  };

  test('another one takes the key it waits for: it goes to the next that is back, without delay', async () => {
    const { guard, call, asked, clock } = await resting();
    const fate = call({ deadlineMs: 10_000 });
    await settle();
    void guard.execute(held().fn, { providerName: 'a', priority: 5, fallbacks: [] });
    await clock.advance(3999);
    expect(fate.state).toBe('pending');
    await clock.advance(1);
    expect(fate).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['b/b1']);
  });

  test('a key that is ready before its time is taken, wherever it is', async () => {
    const { guard, call, asked, clock } = await resting();
    const fate = call();
    await clock.advance(1000);
    guard.keys.resetCooldown('b', 'b1');
    await settle();
    expect(fate).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['b/b1']);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('it stands in the line of each, in its order', async () => {
    const { guard, call, asked, clock, replies } = await resting();
    Object.assign(replies, { a: () => held().fn(), b: () => held().fn() });
    call();
    call();
    await settle();
    const last = fateOf(guard.execute(() => 'last', { providerName: 'b', fallbacks: [] }));
    await settle();
    expect([guard.explain('a').waiting, guard.explain('b').waiting]).toEqual([2, 3]);
    // Of no use to anybody: nobody loses a place by it.
    guard.keys.disable('a', 'a1');
    guard.keys.enable('a', 'a1');
    await clock.advance(2000);
    expect([guard.explain('a').waiting, guard.explain('b').waiting]).toEqual([1, 2]);
    await clock.advance(2000);
    expect(asked).toEqual(['a/a1', 'b/b1']);
    expect(last.state).toBe('pending');
    expect([guard.explain('a').waiting, guard.explain('b').waiting]).toEqual([0, 1]);
  });

  test('what it waits for may leave: it waits on for the others', async () => {
    const { guard, call, clock } = await resting();
    const fate = call();
    await settle();
    guard.keys.remove('a', 'a1');
    await clock.advance(4000);
    expect(fate).toEqual(answerOf('b/b1'));
  });

  test('its deadline ends all of the waiting', async () => {
    const { guard, call, clock } = await resting();
    const fate = call({ deadlineMs: 3000 });
    void guard.execute(held().fn, { providerName: 'a', priority: 5, fallbacks: [] });
    await clock.advance(3000);
    expect(fate.value).toBeInstanceOf(DeadlineError);
    expect([guard.explain('a').waiting, guard.explain('b').waiting]).toEqual([0, 0]);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('it waits only where the queue has room', async () => {
    const { guard, call, clock } = await resting({ queue: { maxQueueSize: 1 } });
    const first = fateOf(guard.execute(() => 'first', { providerName: 'a', fallbacks: [] }));
    await settle();
    const second = call();
    const third = call();
    await settle();
    expect([guard.explain('a').waiting, guard.explain('b').waiting]).toEqual([1, 1]);
    expect(third.value).toBeInstanceOf(QueueFullError);
    await clock.advance(4000);
    expect(first.value).toBe('first');
    expect(second).toEqual(answerOf('b/b1'));
  });

  test('no key of any of them idles', async () => {
    const names = ['a', 'b', 'c'];
    const key = fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 3 });
    const caller = fc.record({
      at: fc.nat(15_000),
      lasts: fc.integer({ min: 1, max: 8000 }),
      priority: fc.nat(1),
      chain: fc.shuffledSubarray(names, { minLength: 1 }),
    });
    const pools = fc.array(fc.array(key, { minLength: 1, maxLength: 2 }), { minLength: 3, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(pools, fc.array(caller, { maxLength: 12 }), async (keys, callers) => {
        const refusals = new Map<string, number[]>();
        const providers = Object.fromEntries(
          keys.map((rests, i) => {
            rests.forEach((each, k) => refusals.set(`${names[i]!}/k${k}`, [...each]));
            return [names[i]!, { keys: rests.map((_, k) => ({ ...keyOf(`k${k}`), limits: { concurrency: 1 } })) }];
          }),
        );
        const { guard, clock } = benchOf({
          retry: { maxRetries: 100, jitterMs: 0 },
          keyManagement: { maxWaitMs: 600_000, providers },
        });
        const waiting = new Set<readonly string[]>();
        const fates: Fate[] = [];
        for (const { at, lasts, priority, chain } of callers) {
          const fn = ({ provider, keyId }: CallContext): Promise<string> => {
            const rest = refusals.get(`${provider}/${keyId}`)?.shift();
            if (rest !== undefined) throw back(rest);
            waiting.delete(chain);
            return new Promise(resolve => clock.setTimeout(() => resolve('done'), lasts));
          };
          clock.setTimeout(() => {
            waiting.add(chain);
            fates.push(fateOf(guard.execute(fn, { providerName: chain[0]!, fallbacks: chain.slice(1), priority })));
          }, at);
        }
        for (let step = 0; step < 150; step++) {
          await clock.advance(997);
          for (const chain of waiting) {
            expect(chain.filter(name => guard.explain(name).keyId !== undefined)).toEqual([]);
          }
        }
        expect(fates).toEqual(callers.map(() => ({ state: 'resolved', value: 'done' })));
        expect(clock.pending).toEqual({ foreground: 0, background: 0 });
      }),
      { numRuns: 60 },
    );
  });
});

describe('One deadline holds for the whole call', () => {
  test('it ends an attempt at a later provider', async () => {
    const { call, clock, replies, asked } = fallbackBench(
      AB,
      { ...TO_B, retry: { maxRetries: 1, initialBackoffMs: 40 } },
    );
    Object.assign(replies, { a: 503, b: () => new Promise(() => {}) });
    const fate = call({ deadlineMs: 100 });
    await clock.advance(99);
    expect(fate.state).toBe('pending');
    await clock.advance(1);
    expect(fate.value).toBeInstanceOf(DeadlineError);
    expect(fate.value).toMatchObject({ provider: 'b', attempts: [{ provider: 'a' }, { provider: 'a' }] });
    expect(asked).toEqual(['a/a1', 'a/a1', 'b/b1']);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });
});

describe('When all of the chain is used up', () => {
  test('the error tells the whole trail, why each was left, and the last one\'s error', async () => {
    const { ask, replies } = fallbackBench(
      { ...AB, c: ['c1'] },
      { fallbacks: { a: ['b', { provider: 'c', model: 'n' }] } },
    );
    const last = httpError(503);
    Object.assign(replies, { a: RESTING, b: RESTING, c: last });
    const { value } = await ask({ model: 'm' }, 10);
    expect(value).toBeInstanceOf(FallbackError);
    expect((value as FallbackError).cause).toBe(last);
    expect((value as FallbackError).left.map(({ provider, model, reason }) => [provider, model, reason])).toEqual([
      ['a', 'm', 'rate_limit'],
      ['b', 'm', 'rate_limit'],
      ['c', 'n', 'overloaded'],
    ]);
    expect((value as FallbackError).attempts.map(({ provider, model, keyId }) => [provider, model, keyId])).toEqual([
      ['a', 'm', 'a1'],
      ['b', 'm', 'b1'],
      ['c', 'n', 'c1'],
      ['c', 'n', 'c1'],
    ]);
    expect((value as FallbackError).retryAfterMs).toBe(600_000 - 10);
    const lines = (value as FallbackError).message.split('\n');
    expect(lines.slice(1)).toEqual([
      '  "a", model "m": rate_limit',
      '  "b", model "m": rate_limit',
      '  "c", model "n": overloaded',
    ]);
    const json: unknown = JSON.parse(JSON.stringify(value));
    expect(json).toMatchObject({ code: 'FALLBACKS_EXHAUSTED', left: [{ provider: 'a' }, {}, {}] });
  });

  test('the cause may be a refusal of the guard', async () => {
    const { ask, replies, guard } = fallbackBench(
      { a: ['a1'], b: ['b1'] },
      { ...TO_B, circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 7000 }, retry: { enabled: false } },
    );
    await rejectionOf(guard.execute(scripted(httpError(500)).fn, { providerName: 'b', fallbacks: [] }));
    replies['a'] = RESTING;
    const { value } = await ask();
    expect((value as FallbackError).cause).toBeInstanceOf(CircuitOpenError);
    expect(value).toMatchObject({ retryAfterMs: 7000, left: [{ reason: 'rate_limit' }, { reason: 'CIRCUIT_OPEN' }] });
  });

  test('the cause is NoKeyError where the last pool is empty', async () => {
    const { ask, replies } = fallbackBench({ a: ['a1'], b: [] }, TO_B);
    replies['a'] = RESTING;
    expect(((await ask()).value as FallbackError).cause).toBeInstanceOf(NoKeyError);
  });

  test('the last Response is returned where the last attempt had one', async () => {
    const { ask, replies, guard } = fallbackBench({ ...AB, c: [] }, { fallbacks: { a: ['b', 'c'] } });
    const [first, last] = [new Response('a', { status: 429 }), new Response('b', { status: 429 })];
    Object.assign(replies, { a: () => first, b: () => last });
    const calls = heard(guard, 'call');
    expect((await ask({ deadlineMs: 100 })).value).toBe(last);
    expect(calls).toMatchObject([{ provider: 'b', ok: false, fellBackFrom: { provider: 'a' } }]);
    expect(first.bodyUsed).toBe(true);
    expect(await last.text()).toBe('b');
    expect(guard.getStats().retry.finalFailures).toBe(1);
  });

  test('a Response that a thrown error came after is let go', async () => {
    const { ask, replies } = fallbackBench(AB, TO_B);
    const response = new Response('a', { status: 429, headers: { 'retry-after': '600' } });
    Object.assign(replies, { a: () => response, b: RESTING });
    expect((await ask()).value).toBeInstanceOf(FallbackError);
    expect(response.bodyUsed).toBe(true);
  });

  test('it counts as one failure', async () => {
    const { ask, replies, guard } = fallbackBench(AB, TO_B);
    Object.assign(replies, { a: RESTING, b: RESTING });
    await ask();
    expect(guard.getStats().retry.finalFailures).toBe(1);
  });

  test('equal calls that follow share an outage, and make their own where it was a matter of time', async () => {
    const { ask, call, replies, asked, clock } = fallbackBench(AB, { ...TO_B, retry: { enabled: false } });
    Object.assign(replies, { a: () => Promise.reject(httpError(503)), b: () => Promise.reject(httpError(503)) });
    const pair = [call({ deduplicationKey: 'k' }), call({ deduplicationKey: 'k' })];
    await clock.advance(0);
    expect(pair.map(({ value }) => value instanceof FallbackError)).toEqual([true, true]);
    expect(asked).toEqual(['a/a1', 'b/b1']);
    Object.assign(replies, { a: back(5), b: back(5) });
    await ask();
    asked.length = 0;
    const patient = [10, 60_000].map(deadlineMs => call({ deduplicationKey: 'l', deadlineMs }));
    Object.assign(replies, { a: 'fine', b: 'fine' });
    await clock.advance(5000);
    expect(patient).toMatchObject([{ state: 'rejected' }, { state: 'resolved', value: 'fine' }]);
  });
});

describe('What is booked', () => {
  test('each provider that was asked gets its own outcome, once', async () => {
    const { ask, guard, replies } = fallbackBench(
      { ...AB, c: ['c1'], d: ['d1'] },
      { fallbacks: { a: [{ model: 'n' }, 'b', 'c', 'd'] } },
    );
    guard.keys.disable('b', 'b1');
    Object.assign(replies, { a: 429, c: 503 });
    await ask({ model: 'm' }, 10);
    const { providers } = guard.getStats();
    expect(providers['a']).toMatchObject({ totalRequests: 1, failureCount: 1, fallbacksFrom: 2, fallbacksTo: 1 });
    expect(providers['b']).toMatchObject({ totalRequests: 0, failureCount: 0, fallbacksFrom: 1, fallbacksTo: 1 });
    expect(providers['c']).toMatchObject({ totalRequests: 1, failureCount: 1 });
    expect(providers['d']).toMatchObject({ totalRequests: 1, failureCount: 0, fallbacksTo: 1 });
    expect(guard.isProviderHealthy('a')).toBe(false);
    expect(guard.isProviderHealthy('d')).toBe(true);
    guard.clearAllRecords();
    expect(guard.getStats().providers['a']).not.toHaveProperty('fallbacksFrom');
  });

  test('an answer by another model of the same provider is the provider\'s outcome', async () => {
    const { ask, guard, replies } = fallbackBench({ a: ['a1'] }, { fallbacks: { a: [{ model: 'n' }] } });
    replies['a/a1:m'] = 429;
    expect(await ask({ model: 'm' })).toEqual(answerOf('a/a1:n'));
    expect(guard.getStats().providers['a']).toMatchObject({ totalRequests: 1, failureCount: 0 });
  });

  test('a breaker gets its own provider\'s vote', async () => {
    const { ask, guard, replies } = fallbackBench(
      AB,
      { ...TO_B, circuitBreaker: { failureThreshold: 1 }, retry: { enabled: false } },
    );
    replies['a'] = 503;
    await ask();
    expect(guard.explain('a').circuitBreakerState).toBe('OPEN');
    expect(guard.explain('b').circuitBreakerState).toBe('CLOSED');
  });

  test('a breaker\'s probe that fails sends its call on', async () => {
    const { ask, guard, replies, clock } = fallbackBench(
      AB,
      { ...TO_B, circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 100 }, retry: { enabled: false } },
    );
    replies['a'] = 503;
    await ask();
    await clock.advance(100);
    expect(await ask()).toEqual(answerOf('b/b1'));
    expect(guard.explain('a').circuitBreakerState).toBe('OPEN');
  });

  test('a function that names the provider books the first one, and no other', async () => {
    const { guard, replies } = fallbackBench(AB, TO_B);
    replies['a'] = 429;
    let name = 'a';
    const call = guard.execute(({ provider }) => {
      name = 'real-a';
      if (provider === 'a') throw RESTING;
      return provider;
    }, { providerName: () => name });
    expect(await call).toBe('b');
    expect(guard.getStats().providers['real-a']).toMatchObject({ failureCount: 1 });
    expect(guard.getStats().providers['b']).toMatchObject({ totalRequests: 1, failureCount: 0 });
  });

  test('the events tell where it went, who answered and how often it was tried', async () => {
    const { ask, guard, replies } = fallbackBench(AB, { fallbacks: { a: [{ provider: 'b', model: 'n' }] } });
    const [moves, calls, attempts] = [heard(guard, 'fallback'), heard(guard, 'call'), heard(guard, 'attempt')];
    replies['a'] = 429;
    await ask({ model: 'm' });
    expect(moves).toEqual([{ provider: 'a', model: 'm', toProvider: 'b', toModel: 'n', reason: 'rate_limit' }]);
    expect(calls).toMatchObject([
      { provider: 'b', model: 'n', fellBackFrom: { provider: 'a', model: 'm' }, keyId: 'b1', ok: true, attempts: 2 },
    ]);
    expect(attempts.map(({ attempt, provider }) => [attempt, provider])).toEqual([[1, 'a'], [2, 'b']]);
    await ask({ providerName: 'b' });
    expect(calls[1]).not.toHaveProperty('fellBackFrom');
  });

  test('a call that reached no provider gets its inbound place back, one that did does not', async () => {
    const { ask, guard, replies } = fallbackBench(AB, { ...TO_B, rateLimiting: { rules: { burst: 10 } } });
    Object.assign(replies, { a: RESTING, b: RESTING });
    await ask();
    await ask();
    expect(guard.getStats().rateLimiting.rulesUsage.burstUsage.current).toBe(1);
  });

  test('an answer is shared and cached under the call that was made', async () => {
    const { ask, replies, asked } = fallbackBench(AB, TO_B);
    replies['a'] = 429;
    expect(await ask({ deduplicationKey: 'k' })).toEqual(answerOf('b/b1'));
    expect(await ask({ deduplicationKey: 'k' })).toEqual(answerOf('b/b1'));
    expect(asked).toEqual(['a/a1', 'b/b1']);
    const { value } = await ask({ deduplicationKey: 'k', fallbacks: [] });
    expect(value).toBeInstanceOf(PoolExhaustedError);
  });

  test('retries at one provider make good by an answer of the next', async () => {
    const { ask, guard, replies } = fallbackBench(AB, TO_B);
    replies['a'] = 503;
    await ask({}, 10);
    expect(guard.getStats().retry).toEqual({ totalRetries: 1, successAfterRetry: 1, finalFailures: 0 });
  });

  test('a stream keeps the key that answers until its end', async () => {
    const { call, guard, replies } = fallbackBench(AB, TO_B);
    Object.assign(replies, { a: 429, b: () => new Response('stream') });
    const fate = call();
    await settle();
    expect(guard.keys.get('b', 'b1').inFlight).toBe(1);
    await (fate.value as Response).text();
    expect(guard.keys.get('b', 'b1').inFlight).toBe(0);
    expect(guard.keys.get('a', 'a1').inFlight).toBe(0);
  });
});

test('without a chain the provider\'s error is the caller\'s, as the same object', async () => {
  const { ask, replies, guard } = fallbackBench(AB, { fallbacks: { other: ['b'] } });
  const error = (replies['a'] = httpError(503));
  expect((await ask({}, 10)).value).toBe(error);
  expect(heard(guard, 'fallback')).toEqual([]);
});

describe('Whatever the providers do', () => {
  const replies = { good: 'fine', busy: 429, refused: 401, down: 503, reset: networkError() };
  const replyOf: Readonly<Record<keyof typeof replies, Reply>> = replies;
  const pool = fc.array(fc.constantFrom(...(Object.keys(replyOf) as (keyof typeof replyOf)[])), { maxLength: 2 });

  test('a call is answered where a key on its chain is good, and asks none twice without waiting', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(pool, { minLength: 2, maxLength: 5 }), fc.boolean(), async (keys, isRetrying) => {
        const names = keys.map((_, i) => `p${i}`);
        const pools = Object.fromEntries(keys.map((each, i) => [names[i]!, each.map((_, k) => `k${k}`)]));
        const bench = fallbackBench(
          pools,
          { fallbacks: { p0: names.slice(1) }, retry: { enabled: isRetrying, maxRetries: 1, initialBackoffMs: 1 } },
        );
        keys.forEach((each, i) => each.forEach((reply, k) => (bench.replies[`p${i}/k${k}`] = replyOf[reply])));
        const visits: [string, number][] = [];
        bench.guard.on('attempt', ({ provider }) => {
          if (visits.at(-1)?.[0] !== provider) visits.push([provider, bench.clock.now()]);
        });
        const fate = await bench.ask({ providerName: 'p0' }, 60_000);
        expect(fate.state).not.toBe('pending');
        // Without retries an outage ends what its provider can do for the call.
        const isUp = (each: readonly string[]): boolean => !each.includes('down') && !each.includes('reset');
        const isGood = keys.some(each => each.includes('good') && (isRetrying || isUp(each)));
        if (isGood) expect(fate).toEqual({ state: 'resolved', value: 'fine' });
        const last = new Map<string, number>();
        for (const [provider, at] of visits) {
          expect(last.get(provider)).not.toBe(at);
          last.set(provider, at);
        }
      }),
      { numRuns: 300 },
    );
  });
});
