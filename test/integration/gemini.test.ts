import { ApiError } from '@google/genai';
import { describe, expect, test } from 'vitest';
import { AttemptTimeoutError, CircuitOpenError, PoolExhaustedError, type KeyConfig } from '../../src/index.ts';
import {
  fakeGeminiAuthKey,
  fakeGeminiKey,
  nextPacificMidnight,
  startGemini,
  startScripted,
  type GeminiDescription,
  type GeminiServer,
} from '../support/loopback/index.ts';
import { ManualClock } from '../support/manual-clock.ts';
import {
  ask,
  failureOf,
  FLASH,
  gemini,
  inFlight,
  MINUTE_MS,
  opened,
  reportsOf,
  setUp,
  statesOf,
  type Setup,
} from './harness.ts';

const PROVIDER = 'google-gemini';
const POOL = '*gemini*';

interface World extends Setup {
  readonly server: GeminiServer;
}

type Keys = Record<string, { readonly project: string } & Omit<KeyConfig, 'id' | 'key' | 'group'>>;
type Options = Parameters<typeof setUp>[0] & { readonly pool?: object };

/** A server and a guard that know the same keys, by the names given to them, and share one clock. */
async function world(
  keys: Keys,
  description: Pick<GeminiDescription, 'projects'> & Partial<GeminiDescription>,
  { pool, ...config }: Options = {},
): Promise<World> {
  const clock = new ManualClock();
  const server = opened(
    await startGemini({
      clock,
      ...description,
      keys: Object.fromEntries(Object.entries(keys).map(([id, { project }]) => [fakeGeminiKey(id), { id, project }])),
    }),
  );
  const poolKeys = Object.entries(keys).map(([id, { project, ...traits }]) => ({
    id,
    key: fakeGeminiKey(id),
    group: project,
    ...traits,
  }));
  return {
    server,
    ...setUp({ ...config, keyManagement: { providers: { [POOL]: { keys: poolKeys, ...pool } } } }, clock),
  };
}

const THREE: Keys = { a: { project: 'proj-a' }, b: { project: 'proj-b' }, c: { project: 'proj-c' } };
const THREE_PROJECTS = { 'proj-a': {}, 'proj-b': {}, 'proj-c': {} };

/** The requests the server saw with this key. */
function requestsWith({ server }: World, keyId: string): number {
  return server.requests.filter(request => request.keyId === keyId).length;
}

function answered({ server }: World): number {
  return server.requests.filter(({ kind }) => kind === 'ok').length;
}

describe('keys that Google refuses', () => {
  test.each([fakeGeminiKey, fakeGeminiAuthKey])('a revoked key of either shape costs one call, once', async fake => {
    const server = opened(
      await startGemini({
        projects: THREE_PROJECTS,
        keys: {
          [fake('a')]: { id: 'a', project: 'proj-a', state: 'revoked' },
          [fakeGeminiKey('b')]: { id: 'b', project: 'proj-b' },
          [fakeGeminiKey('c')]: { id: 'c', project: 'proj-c' },
        },
      }),
    );
    const keys = [fake('a'), fakeGeminiKey('b'), fakeGeminiKey('c')].map((key, at) => ({ id: 'abc'[at]!, key }));
    const { guard } = setUp({ keyManagement: { providers: { [POOL]: { keys } } } });

    for (let call = 0; call < 9; call++) {
      expect((await guard.execute(ask(server.url), PROVIDER)).text).toBe('You said: hello');
    }
    expect(server.requests.filter(({ keyId }) => keyId === 'a')).toHaveLength(1);
    expect(statesOf(guard, POOL)).toEqual({ a: 'disabled', b: 'ready', c: 'ready' });
  });

  test('a disabled key is probed after a while, one call at a time, and its callers do not notice', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS });
    it.server.setKeyState(fakeGeminiKey('a'), 'revoked');
    for (let call = 0; call < 3; call++) await it.guard.execute(ask(it.server.url), PROVIDER);
    expect(requestsWith(it, 'a')).toBe(1);

    await it.clock.advance(11 * MINUTE_MS);
    for (let call = 0; call < 9; call++) await it.guard.execute(ask(it.server.url), PROVIDER);
    expect(requestsWith(it, 'a')).toBe(2);

    it.server.setKeyState(fakeGeminiKey('a'), 'ok');
    await it.clock.advance(30 * MINUTE_MS);
    for (let call = 0; call < 9; call++) await it.guard.execute(ask(it.server.url), PROVIDER);
    expect(statesOf(it.guard, POOL).a).toBe('ready');
    expect(requestsWith(it, 'a')).toBeGreaterThan(3);
  });

  test('a leaked key is out at once, even alone, and its caller gets the provider\'s own error', async () => {
    const it = await world({ a: { project: 'proj-a' } }, { projects: { 'proj-a': {} } });
    it.server.setKeyState(fakeGeminiKey('a'), 'leaked');
    const error = await failureOf(it.guard.execute(ask(it.server.url), PROVIDER));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 403 });
    expect(statesOf(it.guard, POOL)).toEqual({ a: 'disabled' });

    const next = await failureOf(it.answer(it.guard.execute(ask(it.server.url), PROVIDER)));
    expect(next).toBeInstanceOf(PoolExhaustedError);
    expect(next).toMatchObject({ keys: [{ id: 'a', state: 'disabled', reason: 'disabled: leaked_key' }] });
    expect(it.server.requests).toHaveLength(1);
  });

  test('a suspended project takes its other keys out with it', async () => {
    const it = await world(
      { a1: { project: 'proj-a' }, a2: { project: 'proj-a' }, b: { project: 'proj-b' } },
      { projects: THREE_PROJECTS },
    );
    it.server.setKeyState(fakeGeminiKey('a1'), 'suspended');
    it.server.setKeyState(fakeGeminiKey('a2'), 'suspended');
    for (let call = 0; call < 6; call++) await it.guard.execute(ask(it.server.url), PROVIDER);
    expect(it.server.requests.map(({ keyId }) => keyId)).toEqual(['a1', 'b', 'b', 'b', 'b', 'b', 'b']);
    expect(statesOf(it.guard, POOL)).toEqual({ a1: 'disabled', a2: 'disabled', b: 'ready' });
  });

  test('a location that is not served is nobody\'s fault', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS, outage: 'location' });
    expect(await failureOf(it.guard.execute(ask(it.server.url), PROVIDER))).toMatchObject({ status: 400 });
    expect(it.server.requests).toHaveLength(1);
    expect(statesOf(it.guard, POOL)).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
  });
});

describe('quotas that Google enforces', () => {
  const SHARED: Keys = { s1: { project: 'shared' }, s2: { project: 'shared' }, o: { project: 'other' } };

  test.each([undefined, FLASH])('a minute used up rests the project, not the key (model %s)', async model => {
    const it = await world(SHARED, { projects: { shared: { rpm: 2 }, other: {} } });
    const options = { providerName: PROVIDER, model };
    for (let call = 0; call < 9; call++) await it.guard.execute(ask(it.server.url), options);
    // Two calls fit; the third finds out for both keys.
    expect(it.server.requests.filter(({ status }) => status === 429)).toHaveLength(1);
    expect(answered(it)).toBe(9);

    await it.clock.advance(MINUTE_MS);
    await it.guard.execute(ask(it.server.url), options);
    await it.guard.execute(ask(it.server.url), options);
    expect(it.server.requests.slice(-2).map(({ keyId }) => keyId)).toContainEqual(expect.stringMatching(/^s/));
  });

  test('a limit that was declared is kept, so that no call is wasted on it', async () => {
    const it = await world(SHARED, { projects: { shared: { rpm: 4 }, other: {} } }, {
      pool: { groups: { shared: { limits: { rpm: 4 } } } },
    });
    for (let call = 0; call < 20; call++) await it.guard.execute(ask(it.server.url), PROVIDER);
    expect(it.server.requests.filter(({ status }) => status !== 200)).toHaveLength(0);
    expect(requestsWith(it, 's1') + requestsWith(it, 's2')).toBe(4);
  });

  test('without another key the call waits for as long as Google says', async () => {
    const it = await world({ a: { project: 'proj-a' } }, { projects: { 'proj-a': { rpm: 1 } } }, {
      keyManagement: {},
      pool: { maxWaitMs: 2 * MINUTE_MS },
    });
    await it.guard.execute(ask(it.server.url), PROVIDER);
    const startedAt = it.clock.now();
    expect((await it.answer(it.guard.execute(ask(it.server.url), PROVIDER))).text).toBe('You said: hello');
    expect(it.clock.now() - startedAt).toBeGreaterThanOrEqual(MINUTE_MS);
    expect(it.clock.now() - startedAt).toBeLessThan(1.1 * MINUTE_MS);
    expect(it.server.requests.map(({ status }) => status)).toEqual([200, 429, 200]);
  });

  test('a day used up rests the project until midnight in California, and no longer', async () => {
    const it = await world(SHARED, { projects: { shared: { rpd: 50 }, other: {} } });
    const midnight = nextPacificMidnight(it.clock.now());
    it.server.exhaustDay('shared', FLASH);
    const rest = async (calls: number): Promise<number> => {
      const before = it.server.requests.length;
      for (let call = 0; call < calls; call++) {
        await it.guard.execute(ask(it.server.url), { providerName: PROVIDER, model: FLASH });
      }
      return it.server.requests.slice(before).filter(({ group }) => group === 'shared').length;
    };
    expect(await rest(6)).toBe(1);
    // Google asks to come back within the minute; that is not so.
    await it.clock.advance(MINUTE_MS);
    expect(await rest(6)).toBe(0);
    await it.clock.advance(midnight - it.clock.now() - 1);
    expect(await rest(6)).toBe(0);
    await it.clock.advance(1);
    expect(await rest(6)).toBeGreaterThan(1);
    expect(it.server.requests.filter(({ status }) => status === 429)).toHaveLength(1);
  });

  test('a pool whose day is used up says when it is back', async () => {
    const it = await world({ a: { project: 'proj-a' } }, { projects: { 'proj-a': { rpd: 1 } } });
    await it.guard.execute(ask(it.server.url), PROVIDER);
    expect(await failureOf(it.answer(it.guard.execute(ask(it.server.url), PROVIDER)))).toBeInstanceOf(ApiError);
    const error = await failureOf(it.answer(it.guard.execute(ask(it.server.url), PROVIDER)));
    expect(error).toBeInstanceOf(PoolExhaustedError);
    expect(error).toMatchObject({ retryAtMs: nextPacificMidnight(it.clock.now()) });
    expect(it.server.requests).toHaveLength(2);
  });

  test('one model\'s quota leaves the other models alone', async () => {
    const it = await world({ a: { project: 'proj-a' } }, {
      projects: { 'proj-a': { models: { [FLASH]: { rpd: 1 }, 'gemini-2.5-pro': {} } } },
    });
    const call = (model: string) =>
      it.answer(it.guard.execute(ask(it.server.url, 'hello', model), { providerName: PROVIDER, model }));
    await call(FLASH);
    await failureOf(call(FLASH));
    expect((await call('gemini-2.5-pro')).text).toBe('You said: hello');
    expect(await failureOf(call(FLASH))).toBeInstanceOf(PoolExhaustedError);
  });

  test('reported usage takes the place of the estimate', async () => {
    const it = await world({ a: { project: 'proj-a', limits: { tpm: 100 } } }, { projects: { 'proj-a': {} } });
    await it.guard.execute(
      async context => {
        const answer = await ask(it.server.url, 'good morning')(context);
        const usage = answer.usageMetadata;
        context.reportUsage({ inputTokens: usage?.promptTokenCount, outputTokens: usage?.candidatesTokenCount });
      },
      { providerName: PROVIDER, tokens: 90 },
    );
    expect(reportsOf(it.guard, POOL)).toMatchObject([
      { inputTokens: 3, outputTokens: 6, quota: { tpm: { used: 9, limit: 100 } } },
    ]);
  });
});

describe('trouble at Google', () => {
  const retry = { maxRetries: 2, initialBackoffMs: 1000, jitterMs: 0 };

  test('an outage is retried with growing pauses and blames no key', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS, outage: 'overloaded' }, { retry });
    expect(await failureOf(it.answer(it.guard.execute(ask(it.server.url), PROVIDER)))).toMatchObject({ status: 503 });
    const [first, second, third] = it.server.requests.map(({ at }) => at);
    expect(it.server.requests).toHaveLength(3);
    expect(second! - first!).toBe(1000);
    expect(third! - second!).toBe(2000);
    expect(statesOf(it.guard, POOL)).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
  });

  test('the breaker opens after so many failed calls, and one good trial closes it', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS, outage: 'overloaded' }, {
      retry: { maxRetries: 0 },
      circuitBreaker: { failureThreshold: 3, recoveryTimeMs: 30_000 },
    });
    const call = () => it.answer(it.guard.execute(ask(it.server.url), PROVIDER));
    for (let failed = 0; failed < 3; failed++) expect(await failureOf(call())).toMatchObject({ status: 503 });
    expect(await failureOf(call())).toBeInstanceOf(CircuitOpenError);
    expect(await failureOf(call())).toMatchObject({ code: 'CIRCUIT_OPEN', retryAfterMs: 30_000 });
    expect(it.server.requests).toHaveLength(3);
    expect(it.guard.isProviderHealthy(PROVIDER)).toBe(false);

    // Still down: the trial fails, and it is open again.
    await it.clock.advance(30_000);
    expect(await failureOf(call())).toMatchObject({ status: 503 });
    expect(await failureOf(call())).toBeInstanceOf(CircuitOpenError);

    it.server.setOutage(undefined);
    await it.clock.advance(30_000);
    const [trial, turnedAway] = await it.finish(
      it.guard.execute(ask(it.server.url), PROVIDER),
      it.guard.execute(ask(it.server.url), PROVIDER),
    );
    expect(trial?.status).toBe('fulfilled');
    expect(turnedAway).toMatchObject({ status: 'rejected', reason: { code: 'CIRCUIT_OPEN' } });
    expect(it.guard.getStats().rateLimiting.circuitBreakerState).toBe('CLOSED');
    expect(it.guard.isProviderHealthy(PROVIDER)).toBe(true);
    expect((await call()).text).toBe('You said: hello');
  });

  test('a connection that breaks is made anew', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS }, { retry });
    it.server.failNext(1, 'reset');
    expect((await it.answer(it.guard.execute(ask(it.server.url), PROVIDER))).text).toBe('You said: hello');
    expect(it.server.requests.map(({ kind }) => kind)).toEqual(['reset', 'ok']);
    expect(it.guard.getStats().retry).toMatchObject({ totalRetries: 1, successAfterRetry: 1 });
  });

  test('an attempt that hangs is ended after its time, upstream too, and another one is made', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS }, { retry });
    it.server.failNext(1, 'hang');
    const call = it.guard.execute(ask(it.server.url), { providerName: PROVIDER, attemptTimeoutMs: 5000 });
    await it.server.arrived(1);
    await it.clock.advance(5000);
    expect((await it.answer(call)).text).toBe('You said: hello');
    await it.server.idle();
    expect(it.server.requests).toMatchObject([{ kind: 'hang', aborted: true }, { kind: 'ok', aborted: false }]);
    expect(inFlight(it.guard, POOL)).toBe(0);
    expect(it.clock.pending.foreground).toBe(0);
  });

  test('a provider that only hangs ends in a timeout of the guard\'s own', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS, outage: 'hang' }, { retry: { maxRetries: 0 } });
    const call = failureOf(it.guard.execute(ask(it.server.url), { providerName: PROVIDER, attemptTimeoutMs: 5000 }));
    await it.server.arrived(1);
    await it.clock.advance(5000);
    expect(await call).toBeInstanceOf(AttemptTimeoutError);
    expect(statesOf(it.guard, POOL)).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
  });

  test('a call that must not run twice is not repeated once it may have been heard', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS }, { retry });
    it.server.failNext(1, 'reset');
    await failureOf(it.answer(it.guard.execute(ask(it.server.url), { providerName: PROVIDER, idempotent: false })));
    expect(it.server.requests).toHaveLength(1);
  });

  test('a caller who goes away ends the request upstream and leaves nothing behind', async () => {
    const it = await world(THREE, { projects: THREE_PROJECTS, outage: 'hang' });
    const caller = new AbortController();
    const call = failureOf(it.guard.execute(ask(it.server.url), { providerName: PROVIDER, signal: caller.signal }));
    await it.server.arrived(1);
    caller.abort(new Error('closed the tab'));
    expect(await call).toMatchObject({ code: 'ABORTED', cause: { message: 'closed the tab' } });
    await it.server.idle();
    expect(it.server.requests).toMatchObject([{ aborted: true }]);
    expect(inFlight(it.guard, POOL)).toBe(0);
    expect(it.clock.pending).toEqual({ foreground: 0, background: 0 });
    expect(reportsOf(it.guard, POOL).map(({ failures }) => failures)).toEqual([{}, {}, {}]);
  });
});

describe('a base URL that is wrong', () => {
  const FIVE: Keys = Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map(id => [id, { project: `proj-${id}` }]));
  const FIVE_PROJECTS = Object.fromEntries(Object.values(FIVE).map(({ project }) => [project, {}]));
  const READY = { a: 'ready', b: 'ready', c: 'ready', d: 'ready', e: 'ready' };

  test('a path nobody serves is the request\'s fault', async () => {
    const it = await world(FIVE, { projects: FIVE_PROJECTS });
    const error = await failureOf(it.guard.execute(ask(`${it.server.url}/proxy`), PROVIDER));
    expect(error).toMatchObject({ status: 404 });
    expect(it.server.requests).toHaveLength(1);
    expect(statesOf(it.guard, POOL)).toEqual(READY);
  });

  test('a port nobody listens on is the provider\'s', async () => {
    const it = await world(FIVE, { projects: FIVE_PROJECTS }, { retry: { maxRetries: 2 } });
    const gone = await startScripted([]);
    await gone.close();
    const error = await failureOf(it.answer(it.guard.execute(ask(gone.url), PROVIDER)));
    expect(error).toMatchObject({ cause: { code: 'ECONNREFUSED' } });
    expect(it.guard.getStats().retry).toMatchObject({ totalRetries: 2, finalFailures: 1 });
    expect(statesOf(it.guard, POOL)).toEqual(READY);
  });

  test('a server that refuses every key convicts none, however often it is asked', async () => {
    const it = await world(FIVE, { projects: FIVE_PROJECTS });
    const body = { error: { code: 401, message: 'who are you?', status: 'UNAUTHENTICATED' } };
    const stranger = opened(await startScripted([{ status: 401, body }], { repeatLast: true }));
    for (let call = 0; call < 10; call++) {
      const error = await failureOf(it.answer(it.guard.execute(ask(stranger.url), PROVIDER)));
      expect(error).toMatchObject({ status: 401 });
    }
    expect(stranger.requests).toHaveLength(30);
    expect(statesOf(it.guard, POOL)).toEqual(READY);
    // Put right, it works at once.
    for (let call = 0; call < 5; call++) await it.guard.execute(ask(it.server.url), PROVIDER);
    expect(new Set(it.server.requests.map(({ keyId }) => keyId)).size).toBe(5);
  });

  test.each([1, 2])('a pool of %i keys is back as soon as the address is right', async size => {
    const few = Object.fromEntries(Object.entries(FIVE).slice(0, size));
    const it = await world(few, { projects: FIVE_PROJECTS });
    const stranger = opened(await startScripted([{ status: 401, body: 'no' }], { repeatLast: true }));
    for (let call = 0; call < 3; call++) {
      await failureOf(it.answer(it.guard.execute(ask(stranger.url), { providerName: PROVIDER, deadlineMs: 1000 })));
    }
    expect(Object.values(statesOf(it.guard, POOL))).not.toContain('disabled');
    const right = it.guard.execute(ask(it.server.url), { providerName: PROVIDER, deadlineMs: 300_000 });
    expect((await it.answer(right)).text).toBe('You said: hello');
  });
});

describe('streams', () => {
  const ONE: Keys = { a: { project: 'proj-a', limits: { concurrency: 1 } } };
  const stream = (it: World, options: object = {}) =>
    it.guard.execute(
      context =>
        gemini(it.server.url, context).models.generateContentStream({
          model: FLASH,
          contents: 'good morning',
          config: { abortSignal: context.signal },
        }),
      { providerName: PROVIDER, ...options },
    );

  test('a stream keeps its key until it ends', async () => {
    const it = await world(ONE, { projects: { 'proj-a': {} } });
    const chunks = await stream(it);
    expect(inFlight(it.guard, POOL)).toBe(1);
    let text = '';
    for await (const chunk of chunks) {
      text += chunk.text ?? '';
      expect(inFlight(it.guard, POOL)).toBe(1);
    }
    expect(text).toBe('You said: good morning');
    expect(inFlight(it.guard, POOL)).toBe(0);
  });

  test('a call that needs the key waits for the stream', async () => {
    const it = await world(ONE, { projects: { 'proj-a': {} } });
    const chunks = await stream(it);
    const next = it.guard.execute(ask(it.server.url), PROVIDER);
    expect(it.server.requests).toHaveLength(1);
    for await (const chunk of chunks) expect(chunk.candidates).toHaveLength(1);
    expect((await next).text).toBe('You said: hello');
  });

  test('a reader who breaks off gives the key back', async () => {
    const it = await world(ONE, { projects: { 'proj-a': {} }, chunkDelayMs: 1000 });
    for await (const chunk of await stream(it)) {
      expect(chunk.candidates).toHaveLength(1);
      break;
    }
    expect(inFlight(it.guard, POOL)).toBe(0);
  });

  test('a caller who aborts in the middle ends the stream upstream and gives the key back', async () => {
    const it = await world(ONE, { projects: { 'proj-a': {} }, chunkDelayMs: 1000 });
    const caller = new AbortController();
    const chunks = await stream(it, { signal: caller.signal });
    const error = await failureOf(
      (async () => {
        for await (const chunk of chunks) {
          expect(chunk.candidates).toHaveLength(1);
          caller.abort();
        }
      })(),
    );
    expect(error).toMatchObject({ name: 'AbortError' });
    await it.server.idle();
    expect(it.server.requests).toMatchObject([{ aborted: true }]);
    expect(inFlight(it.guard, POOL)).toBe(0);
  });

  test('a caller who aborts and reads no further gives the key back too', async () => {
    const it = await world(ONE, { projects: { 'proj-a': {} }, chunkDelayMs: 1000 });
    const caller = new AbortController();
    const chunks = await stream(it, { signal: caller.signal });
    await chunks.next();
    caller.abort();
    await it.server.idle();
    expect(it.server.requests).toMatchObject([{ aborted: true }]);
    expect(inFlight(it.guard, POOL)).toBe(0);
  });

  test('a stream that breaks gives the key back and its reader the error', async () => {
    const it = await world(ONE, { projects: { 'proj-a': {} } });
    it.server.failNext(1, 'stream_error_late');
    const chunks = await stream(it);
    const error = await failureOf(
      (async () => {
        for await (const chunk of chunks) expect(chunk).toBeDefined();
      })(),
    );
    expect(error).toMatchObject({ status: 503 });
    expect(inFlight(it.guard, POOL)).toBe(0);
  });
});
