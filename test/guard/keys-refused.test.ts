import { describe, expect, test } from 'vitest';
import { PoolExhaustedError } from '../../src/guard/errors.ts';
import type { FaultProfile } from '../../src/index.ts';
import { OK, PATTERN, poolBench, PROVIDER, type PoolBenchOptions } from './keys-bench.ts';
import { benchOf, heard, httpError, rejectionOf } from './support.ts';

/** A provider that names the culprit: what is certain, what is the group's, what is the model's. */
const profile: FaultProfile = {
  name: 'telling',
  providers: [],
  rules: [
    { name: 'leaked', source: '', match: { status: 403, message: /leaked/ }, scope: 'key', action: 'disable', certainty: 'certain' },
    { name: 'closed', source: '', match: { status: 403, message: /account/ }, scope: 'group', action: 'disable', certainty: 'certain' },
    { name: 'permission', source: '', match: { status: 403, message: /model/ }, scope: 'key+model', action: 'cool', coolMs: 60_000 },
  ],
};
const telling = (message: string): Error => Object.assign(new Error(message), { status: 403 });
const few: PoolBenchOptions = { maxWaitMs: 0 };

describe('a refused key', () => {
  test.each([401, 403])('with %i is out at once, the next one answers, and the caller never sees it', async status => {
    const { ask, asked, replies, states, guard } = poolBench(['a', 'b', 'c']);
    replies['a'] = status;
    expect(await ask()).toEqual(OK('b'));
    await ask();
    await ask();
    expect(asked).toEqual(['a', 'b', 'c', 'b']);
    expect(states()).toMatchObject({ b: 'ready', c: 'ready' });
    expect(states()['a']).not.toBe('ready');
    expect(guard.getStats().retry.finalFailures).toBe(0);
  });

  test('is convicted by the answer of another, and says so', async () => {
    const bench = poolBench(['a', 'b']);
    const changes = heard(bench.guard, 'key');
    bench.replies['a'] = 401;
    await bench.ask();
    expect(changes).toMatchObject([
      { pool: PATTERN, keyId: 'a', from: 'ready', to: 'suspect', reason: 'unauthorized' },
      { pool: PATTERN, keyId: 'a', from: 'suspect', to: 'disabled', until: bench.clock.now() + 600_000 },
    ]);
    expect(bench.key('a')).toMatchObject({ state: 'disabled', reason: 'disabled: unauthorized', healthScore: 0 });
  });

  test('is not convicted by an answer to another call', async () => {
    const { ask, replies, states } = poolBench(['a', 'b'], { guard: { retry: { enabled: false } } });
    replies['a'] = 401;
    replies['b'] = [400, 'ok'];
    await ask();
    expect(states()).toEqual({ a: 'suspect', b: 'ready' });
    expect(await ask()).toEqual(OK('b'));
    expect(states()).toEqual({ a: 'suspect', b: 'ready' });
  });

  test('convicted, is asked once when its time is up; it comes back with an answer', async () => {
    const { ask, asked, replies, states, clock } = poolBench(['a', 'b']);
    replies['a'] = [401, 'ok'];
    await ask();
    await clock.advance(599_999);
    await ask();
    await ask();
    expect(asked).toEqual(['a', 'b', 'b', 'b']);
    await clock.advance(1);
    expect(states()['a']).toBe('disabled');
    expect(await ask()).toEqual(OK('a'));
    expect(states()['a']).toBe('ready');
  });

  test('disabled for twenty times the first cool-down, then twice as long each time, up to cooldown.maxMs', async () => {
    const { ask, replies, key, clock } = poolBench(['a', 'b'], { cooldown: { initialMs: 1000, maxMs: 50_000 } });
    replies['a'] = 401;
    const spans: number[] = [];
    for (let i = 0; i < 5; i++) {
      while (key('a').until === undefined) await ask();
      const span = key('a').until! - clock.now();
      spans.push(span);
      await clock.advance(span);
    }
    expect(spans).toEqual([20_000, 40_000, 50_000, 50_000, 50_000]);
  });

  test('is never disabled for longer than cooldown.maxMs', async () => {
    const { ask, replies, key, clock } = poolBench(['a', 'b'], { cooldown: { initialMs: 30_000, maxMs: 60_000 } });
    replies['a'] = 401;
    await ask();
    expect(key('a').until).toBe(clock.now() + 60_000);
  });

  test('with a good one for another model stays of use for that one', async () => {
    const { ask, replies, asked, states } = poolBench(['a', 'b'], { profile });
    replies['a'] = [telling('not for this model'), 'ok'];
    expect(await ask({ model: 'large' })).toEqual(OK('b'));
    expect(await ask({ model: 'large' })).toEqual(OK('b'));
    await ask({ model: 'small' });
    expect(await ask({ model: 'small' })).toEqual(OK('a'));
    expect(asked).toEqual(['a', 'b', 'b', 'b', 'a']);
    expect(states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test('for one model is asked again when its time is up', async () => {
    const { ask, replies, clock, guard } = poolBench(['a', 'b'], { profile });
    replies['a'] = [telling('not for this model'), 'ok'];
    await ask({ model: 'large' });
    expect(guard.explain(PROVIDER, { model: 'large' }).keys[0]).toMatchObject({
      why: 'cooling: permission (model large)',
      until: clock.now() + 60_000,
    });
    await clock.advance(60_000);
    expect(await ask({ model: 'large' })).toEqual(OK('a'));
  });
});

describe('a fault beyond doubt', () => {
  test('disables without any contrast', async () => {
    const { ask, replies, states } = poolBench(['a'], { profile, ...few });
    const error = telling('this key was leaked');
    replies['a'] = error;
    expect((await ask()).value).toBe(error);
    expect(states()).toEqual({ a: 'disabled' });
    expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
  });

  test('of an account takes all its keys out, and no other', async () => {
    const group = 'org-1';
    const { ask, asked, replies, states } = poolBench([{ id: 'a', group }, { id: 'b', group }, 'c'], { profile });
    replies['a'] = telling('account closed');
    expect(await ask()).toEqual(OK('c'));
    expect(asked).toEqual(['a', 'c']);
    expect(states()).toEqual({ a: 'disabled', b: 'disabled', c: 'ready' });
  });

  test('repeated by attempts that were under way is one strike', async () => {
    const { call, replies, clock, key } = poolBench(['a', 'b'], { profile, strategy: 'priority' });
    replies['a'] = telling('leaked');
    for (let i = 0; i < 10; i++) call();
    await clock.advance(0);
    expect(key('a')).toMatchObject({ state: 'disabled', until: clock.now() + 600_000 });
  });
});

describe('when all are refused', () => {
  test('three groups alike end the call: the provider\'s own error, nobody convicted, all as before', async () => {
    const bench = poolBench(['a', 'b', 'c', 'd', 'e']);
    const changes = heard(bench.guard, 'key');
    const error = httpError(401);
    bench.replies['*'] = [httpError(401), httpError(401), error];
    expect((await bench.ask()).value).toBe(error);
    expect(bench.asked).toHaveLength(3);
    expect(bench.states()).toEqual({ a: 'ready', b: 'ready', c: 'ready', d: 'ready', e: 'ready' });
    expect(changes.map(({ keyId, to, reason }) => `${keyId} ${to} ${reason}`)).toEqual([
      'a suspect unauthorized',
      'b suspect unauthorized',
      'c suspect unauthorized',
      'a ready acquitted',
      'b ready acquitted',
      'c ready acquitted',
    ]);
    expect(bench.key('a').until).toBeUndefined();
  });

  test('keys of one group are one voice', async () => {
    const group = 'org';
    const keys = ['a', 'b', 'c', 'd'].map(id => ({ id, group }));
    const { ask, asked, replies } = poolBench([...keys, 'e']);
    for (const { id } of keys) replies[id] = 401;
    expect(await ask()).toEqual(OK('e'));
    expect(asked).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('a call gives up after ten keys, whatever their groups', async () => {
    const keys = Array.from({ length: 50 }, (_, i) => ({ id: `k${i}`, group: 'org' }));
    const { ask, asked, replies, states } = poolBench(keys);
    replies['*'] = 401;
    expect((await ask()).value).toMatchObject({ status: 401 });
    expect(asked).toHaveLength(10);
    expect(new Set(Object.values(states()))).toEqual(new Set(['ready']));
  });

  test('different refusals are not alike', async () => {
    const { ask, asked, replies } = poolBench(['a', 'b', 'c', 'd'], { profile });
    Object.assign(replies, { a: 401, b: telling('not for this model'), c: 401 });
    expect(await ask()).toEqual(OK('d'));
    expect(asked).toEqual(['a', 'b', 'c', 'd']);
  });

  test('two keys refused: the caller gets the provider\'s error, the same object, and no retry is spent', async () => {
    const { ask, asked, replies, states, guard } = poolBench(['a', 'b']);
    const error = httpError(401);
    Object.assign(replies, { a: 401, b: error });
    const fate = await ask();
    expect(fate.value).toBe(error);
    expect(asked).toEqual(['a', 'b']);
    expect(states()).toEqual({ a: 'suspect', b: 'suspect' });
    expect(guard.getStats().retry).toMatchObject({ totalRetries: 0, finalFailures: 1 });
  });

  test('a returned Response is given back as it is', async () => {
    const { guard } = poolBench(['a', 'b', 'c']);
    const last = new Response('who are you?', { status: 401 });
    const responses = [new Response('', { status: 401 }), new Response('', { status: 401 }), last];
    const response = await guard.execute(() => responses.shift()!, PROVIDER);
    expect(response).toBe(last);
    expect(await response.text()).toBe('who are you?');
  });

  test('a wrong address never disables a pool, however often it is called', async () => {
    const { clock, replies, ask, states } = poolBench(['a', 'b', 'c', 'd']);
    replies['*'] = 401;
    for (let i = 0; i < 20; i++) {
      expect((await ask()).value).toMatchObject({ status: 401 });
      await clock.advance(1000);
    }
    expect(new Set(Object.values(states()))).toEqual(new Set(['ready']));
    replies['*'] = 'ok';
    for (let i = 0; i < 4; i++) expect((await ask()).state).toBe('resolved');
  });

  test('many calls at once convict nobody either, and leave nobody behind as a suspect', async () => {
    const { call, clock, replies, states } = poolBench(['a', 'b', 'c', 'd', 'e', 'f']);
    replies['*'] = 401;
    const fates = Array.from({ length: 40 }, () => call());
    await clock.advance(0);
    expect(fates.every(({ state }) => state === 'rejected')).toBe(true);
    expect(new Set(Object.values(states()))).toEqual(new Set(['ready']));
  });

  test('a 404 of a wrong path blames nobody and asks nobody else', async () => {
    const { ask, asked, replies, states } = poolBench(['a', 'b', 'c']);
    replies['*'] = 404;
    expect((await ask()).value).toMatchObject({ status: 404 });
    expect(asked).toEqual(['a']);
    expect(states()).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
  });

  test('three dead keys in a row fail one call, not one in every round', async () => {
    const { ask, replies } = poolBench(['a', 'b', 'c', 'd', 'e', 'f']);
    Object.assign(replies, { a: 401, b: 401, c: 401 });
    expect((await ask()).state).toBe('rejected');
    for (let i = 0; i < 20; i++) expect((await ask()).state).toBe('resolved');
  });
});

test('of hundreds of keys refused together the latest are remembered', async () => {
  const keys = Array.from({ length: 400 }, (_, i) => `k${i}`);
  const { ask, replies, states } = poolBench(keys);
  replies['*'] = 401;
  for (let i = 0; i < 150; i++) expect((await ask()).value).toMatchObject({ status: 401 });
  expect(new Set(Object.values(states()))).toEqual(new Set(['ready']));
  replies['*'] = 'ok';
  expect((await ask()).state).toBe('resolved');
});

describe('suspects', () => {
  const suspended = async (): Promise<ReturnType<typeof poolBench>> => {
    const bench = poolBench(['a', 'b', 'c'], { guard: { retry: { enabled: false } } });
    bench.replies['a'] = [401, 'ok'];
    bench.replies['b'] = [400, 'ok'];
    await bench.ask();
    bench.asked.length = 0;
    return bench;
  };

  test('stand last in line while nobody has answered', async () => {
    const { call, asked, states, replies, clock } = await suspended();
    let release!: (value: string) => void;
    const answer = new Promise<string>(resolve => (release = resolve));
    replies['*'] = () => answer;
    replies['b'] = () => answer;
    replies['a'] = () => answer;
    for (let i = 0; i < 6; i++) call();
    await clock.advance(0);
    expect(states()['a']).toBe('suspect');
    expect(asked).not.toContain('a');
    release('');
  });

  test('serve where nobody else is ready', async () => {
    const { ask, guard } = await suspended();
    guard.keys.disable(PATTERN, 'b');
    guard.keys.disable(PATTERN, 'c');
    expect(await ask()).toEqual(OK('a'));
  });

  test('get one attempt at a time once the provider has answered anybody', async () => {
    const { ask, asked, replies, clock, call, states } = await suspended();
    await ask();
    let release!: () => void;
    const gate = new Promise<void>(resolve => (release = resolve));
    replies['a'] = () => gate.then(() => 'ok from a');
    for (let i = 0; i < 9; i++) call();
    await clock.advance(0);
    expect(asked.filter(id => id === 'a')).toHaveLength(1);
    release();
    await clock.advance(0);
    expect(states()['a']).toBe('ready');
    asked.length = 0;
    for (let i = 0; i < 9; i++) call();
    expect(asked.filter(id => id === 'a').length).toBeGreaterThan(1);
  });

  test('that fail their probe are covered by the others', async () => {
    const { ask, replies, asked, states } = await suspended();
    await ask();
    replies['a'] = 401;
    asked.length = 0;
    for (let i = 0; i < 6; i++) expect((await ask()).state).toBe('resolved');
    expect(asked.filter(id => id === 'a')).toHaveLength(1);
    expect(states()['a']).toBe('disabled');
  });

  test('that are rate-limited were known to the provider: no suspects any more', async () => {
    const { ask, replies, states, clock, asked } = await suspended();
    await ask();
    replies['a'] = [429, 'ok'];
    for (let i = 0; i < 3; i++) await ask();
    expect(states()['a']).toBe('cooling');
    await clock.advance(5000);
    asked.length = 0;
    for (let i = 0; i < 3; i++) await ask();
    expect(asked).toContain('a');
    expect(states()['a']).toBe('ready');
  });
});

describe('a lone dead key', () => {
  test('is not hammered: after the second refusal it rests, twice as long each time', async () => {
    const { ask, asked, replies, clock, states, key } = poolBench(['a'], few);
    replies['a'] = 401;
    expect((await ask()).value).toMatchObject({ status: 401 });
    expect(states()).toEqual({ a: 'suspect' });
    const rests: number[] = [];
    for (let i = 0; i < 9; i++) {
      expect((await ask()).value).toMatchObject({ status: 401 });
      rests.push(key('a').until! - clock.now());
      expect((await ask()).value).toBeInstanceOf(PoolExhaustedError);
      await clock.advance(key('a').until! - clock.now());
    }
    expect(asked).toHaveLength(10);
    expect(rests).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600].map(s => s * 1000));
  });

  test('refused in twenty calls at once rests no longer than one refused in one', async () => {
    const { ask, call, replies, clock, key } = poolBench(['a'], few);
    replies['a'] = 401;
    for (let i = 0; i < 20; i++) call();
    await clock.advance(0);
    expect(key('a')).toMatchObject({ state: 'suspect', until: undefined });
    await ask();
    expect(key('a').until).toBe(clock.now() + 30_000);
  });

  test('works again as soon as it is good again and its time is up', async () => {
    const { ask, replies, clock, states } = poolBench(['a'], few);
    replies['a'] = 401;
    await ask();
    await ask();
    replies['a'] = 'ok';
    await clock.advance(30_000);
    expect(await ask()).toEqual(OK('a'));
    expect(states()).toEqual({ a: 'ready' });
  });

  test('says when to come back', async () => {
    const { ask, replies, clock } = poolBench(['a'], few);
    replies['a'] = 401;
    await ask();
    await ask();
    const error = (await ask()).value;
    expect(error).toMatchObject({
      retryAtMs: clock.now() + 30_000,
      retryAfterMs: 30_000,
      keys: [{ id: 'a', state: 'suspect', reason: 'suspect: unauthorized', untilMs: clock.now() + 30_000 }],
    });
  });
});

test('the failover is told: from, to and why', async () => {
  const { ask, guard, replies } = poolBench(['a', 'b']);
  const failovers = heard(guard, 'failover');
  replies['a'] = 401;
  await ask({ model: 'm' });
  expect(failovers).toEqual([{ provider: PROVIDER, model: 'm', from: 'a', to: 'b', fault: 'unauthorized' }]);
});

test('a bad Gemini key is a 400 that names it, and is treated as refused', async () => {
  const keys = ['AIzaFakeBad', 'AIzaFakeGood'];
  const { guard } = benchOf({ keyManagement: { providers: { '*gemini*': { keys } } } });
  const body = { error: { code: 400, message: 'API key not valid.', status: 'INVALID_ARGUMENT', details: [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }] } };
  const answer = await guard.execute(({ apiKey }) => {
    if (apiKey === keys[0]) throw Object.assign(new Error('400'), { status: 400, error: body.error });
    return 'fine';
  }, 'google-gemini');
  expect(answer).toBe('fine');
  expect(guard.keys.list()[0]!.keys.map(({ state }) => state)).toEqual(['disabled', 'ready']);
});

test('what a late refusal says about a key that has answered since is a suspicion, no more', async () => {
  const { guard, replies, states, ask, clock, call } = poolBench(['a']);
  let refuse!: (error: unknown) => void;
  replies['a'] = () => new Promise((_, reject) => (refuse = reject));
  const late = call();
  await clock.advance(0);
  replies['a'] = 'ok';
  await ask();
  refuse(httpError(401));
  await clock.advance(0);
  expect(late.state).toBe('rejected');
  expect(states()).toEqual({ a: 'suspect' });
  expect(await ask()).toEqual(OK('a'));
  expect(await rejectionOf(guard.execute(() => Promise.reject(httpError(400)), PROVIDER))).toMatchObject({ status: 400 });
});
