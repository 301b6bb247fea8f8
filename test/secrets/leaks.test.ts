import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  AbortedError,
  AttemptTimeoutError,
  CircuitOpenError,
  ClosedError,
  ConfigError,
  DeadlineError,
  executionGuard,
  ExecutionGuard,
  GuardError,
  NoKeyError,
  PoolExhaustedError,
  QueueFullError,
  RateLimitError,
  type CallContext,
  type ExecutionGuardConfig,
  type GuardEventName,
} from '../../src/index.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { expectNoTrace, plant } from './canary.ts';

const MARKERS = {
  plain: 'plainkey0qx7zw',
  object: 'objectkey1jf8vk',
  named: 'namedkey2mt5rb',
  environment: 'environkey3hd6yc',
  added: 'addedkey4ws9np',
  replacement: 'replacekey5gl2tx',
  spare: 'sparekey6bz4qmho',
  authorization: 'authheader7kr3vj',
  cookie: 'cookieheader8xn6dw',
  header: 'apikeyheader9fp2hs',
  body: 'requestbody0ct7lg',
  session: 'sessiontoken1vy5km',
};
const ALL = Object.values(MARKERS);
const SECRETS = Object.fromEntries(Object.entries(MARKERS).map(([name, marker]) => [name, plant(marker)])) as {
  [Name in keyof typeof MARKERS]: string;
};

const EVENTS: readonly GuardEventName[] = ['call', 'attempt', 'key', 'failover', 'breaker', 'queue', 'rotation'];

/** What a provider answers that has a habit of repeating the key. */
function echo(status: number, secret: string, fields: object = {}): Error {
  const error = { code: status, message: `Consumer 'api_key:${secret}' is not welcome`, status: 'NO', ...fields };
  return Object.assign(new Error(JSON.stringify({ error })), {
    status,
    headers: { 'x-echo': secret },
    error,
    request: { headers: { authorization: `Bearer ${secret}` }, url: `/v1?key=${encodeURIComponent(secret)}` },
  });
}

const REQUEST = {
  method: 'POST',
  url: `/v1/chat?key=${encodeURIComponent(SECRETS.header)}`,
  ip: '10.0.0.1',
  sessionId: SECRETS.session,
  headers: {
    authorization: `Bearer ${SECRETS.authorization}`,
    cookie: `session=${SECRETS.cookie}`,
    'x-api-key': SECRETS.header,
  },
  body: { prompt: SECRETS.body },
};

interface World {
  readonly guard: ExecutionGuard;
  readonly clock: ManualClock;
  /** Every event and every warning. */
  readonly heard: unknown[];
}

function world(config: ExecutionGuardConfig = {}): World {
  const clock = new ManualClock();
  const heard: unknown[] = [];
  const guard = new ExecutionGuard(
    {
      retry: { maxRetries: 1 },
      ...config,
      keyManagement: {
        maxWaitMs: 0,
        providers: {
          'google-gemini': {
            keys: [
              SECRETS.plain,
              { id: 'object', key: SECRETS.object, group: 'shared', tags: ['blue'] },
              { id: `my ${SECRETS.named} key`, key: SECRETS.named },
              `  ${SECRETS.plain} `,
              '',
            ],
            groups: { shared: { limits: { rpm: 100 } } },
            validate: ({ apiKey }) => {
              throw echo(401, apiKey);
            },
          },
          openai: { keys: { env: 'OPENAI' } },
          lonely: { keys: [undefined], fallbackBehavior: 'useEnvironment' },
        },
        ...config.keyManagement,
      },
    },
    {
      clock,
      random: () => 0.5,
      env: { OPENAI_API_KEY: SECRETS.environment, LONELY_API_KEY: SECRETS.spare },
      warn: message => heard.push(message),
    },
  );
  for (const name of EVENTS) guard.on(name, event => heard.push({ name, event }));
  return { guard, clock, heard };
}

/** All that the guard shows of itself. */
function everythingOf({ guard, heard }: World): unknown[] {
  const stats = guard.getStats();
  return [
    guard,
    guard.keys,
    stats,
    guard.getConfig(),
    guard.keys.list(),
    ...Object.values(stats.keys).flatMap(pool => pool.keys.map(key => guard.keys.get(pool.pattern, key.id))),
    ...['google-gemini', 'openai', 'lonely', 'nobody'].map(name => guard.explain(name)),
    guard.checkRateLimit(REQUEST),
    heard,
  ];
}

function expectSafe(it: World): void {
  for (const value of everythingOf(it)) expectNoTrace(value, ALL);
}

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('the call succeeded');
}

describe('what a guard shows of itself holds no secret', () => {
  test('before any call', () => {
    const it = world();
    expect(it.heard).toHaveLength(4);
    expectSafe(it);
  });

  test('after calls that were answered with the secret itself, and cached', async () => {
    const it = world();
    for (const providerName of ['google-gemini', 'openai', 'lonely', 'nobody']) {
      const options = { req: REQUEST, providerName, userId: 'u1', tokens: 10 };
      const answer = await it.guard.execute(context => ({ key: context.apiKey, at: context.attempt }), options);
      // It did go into the callback.
      if (providerName !== 'nobody') expect(ALL.some(marker => answer.key?.includes(marker))).toBe(true);
    }
    expect(it.guard.getStats().deduplication.totalCachedRequests).toBe(4);
    expectSafe(it);
  });

  test('while calls are under way', async () => {
    const it = world();
    const answers: (() => void)[] = [];
    const calls = ['google-gemini', 'openai', 'lonely'].map(providerName =>
      it.guard.execute(
        () =>
          new Promise<void>(resolve => {
            answers.push(resolve);
          }),
        { providerName, req: REQUEST, attemptTimeoutMs: 1000, signal: new AbortController().signal },
      ),
    );
    expectSafe(it);
    for (const answer of answers) answer();
    await Promise.all(calls);
    expectSafe(it);
  });

  test.each([400, 401, 402, 403, 408, 429, 500, 503])('after a provider repeated the key in a %i', async status => {
    const it = world();
    for (let call = 0; call < 3; call++) {
      const pending = failureOf(
        it.guard.execute(
          ({ apiKey }) => {
            throw echo(status, apiKey!, { details: [{ reason: 'CONSUMER_SUSPENDED', metadata: { key: apiKey } }] });
          },
          { providerName: 'google-gemini', req: REQUEST, skipDeduplication: true },
        ),
      );
      await it.clock.advance(60_000);
      await pending;
    }
    expectSafe(it);
  });

  test('after a provider repeated the key in a Response', async () => {
    const it = world();
    for (const status of [401, 429, 503]) {
      const pending = it.guard.execute(
        ({ apiKey }) => {
          const error = { message: apiKey, code: apiKey };
          return Response.json({ error }, { status, headers: { 'x-echo': apiKey! } });
        },
        'openai',
      );
      await it.clock.advance(60_000);
      expect((await pending).status).toBe(status);
    }
    expectSafe(it);
  });

  test('after keys were added, replaced, disabled and validated by hand', async () => {
    const it = world();
    const { keys } = it.guard;
    const added = keys.add('openai', { id: SECRETS.added, key: SECRETS.added });
    expect(added).not.toContain(MARKERS.added);
    const replaced = keys.replace('openai', added, SECRETS.replacement, { overlapMs: 1000 });
    for (const { id } of keys.list().flatMap(pool => (pool.pattern === 'google-gemini' ? pool.keys : []))) {
      await keys.test('google-gemini', id);
    }
    const forms = [
      SECRETS.replacement,
      `?key=${encodeURIComponent(SECRETS.replacement)}`,
      Buffer.from(SECRETS.replacement).toString('base64'),
    ];
    keys.disable('openai', replaced, `provider said: bad key ${forms.join(', ')}`);
    expect(keys.get('openai', replaced).reason).toBe(
      'disabled by hand: provider said: bad key AIza…, ?key=AIza…, AIza…',
    );
    expectSafe(it);
    keys.enable('openai', replaced);
    keys.remove('openai', replaced);
    await it.clock.advance(1000);
    expectSafe(it);
  });

  test('after the masked configuration was sent back', async () => {
    const it = world();
    const shown = it.guard.getConfig();
    it.guard.updateConfig(shown);
    expectSafe(it);
    // The keys behind the masks are what they were.
    const used = new Set<string | undefined>();
    for (let call = 0; call < 3; call++) await it.guard.execute(({ apiKey }) => void used.add(apiKey), 'google-gemini');
    expect(used).toEqual(new Set([SECRETS.plain, SECRETS.object, SECRETS.named]));
  });

  test('as the shared guard', () => {
    executionGuard.updateConfig({
      keyManagement: { providers: { leaky: { keys: [{ id: 'a', key: SECRETS.plain }], validate: () => true } } },
    });
    expect(executionGuard.keys.list()).toHaveLength(1);
    expectNoTrace(executionGuard, ALL);
    expectNoTrace(inspect(executionGuard, { showProxy: true, showHidden: true, depth: Infinity }), ALL);
    expectNoTrace(ExecutionGuard.getInstance(), ALL);
    executionGuard.updateConfig({ keyManagement: { providers: {} } });
  });

  test('after it was closed', async () => {
    const it = world();
    await it.guard.execute(() => 1, 'openai');
    it.guard.close();
    expectSafe(it);
  });
});

describe('what a guard leaves for the next process holds no secret', () => {
  test('whatever providers and persons have said', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'guard-leaks-'));
    const dataFile = path.join(directory, 'state.json');
    try {
      const it = world({ persistence: { enabled: true, dataFile }, retry: { maxRetries: 0 } });
      const { guard } = it;
      const call = async (providerName: string, fn: (context: CallContext) => unknown): Promise<void> => {
        const identity = { req: REQUEST, userId: SECRETS.session, affinity: SECRETS.body, tags: [SECRETS.header] };
        const options = { providerName, model: 'some-model', tokens: 10, skipDeduplication: true, ...identity };
        await Promise.allSettled([guard.execute(fn, options)]);
      };
      for (const provider of ['google-gemini', 'openai', 'lonely']) {
        for (const status of [401, 403, 429, 503]) {
          await call(provider, ({ apiKey = '' }) => {
            throw echo(status, apiKey, { message: `API key not valid: ${apiKey}` });
          });
          guard.getStats();
          await it.clock.advance(60_000);
        }
        await call(provider, ({ apiKey = '', bind }) => {
          bind(SECRETS.body);
          return new Response(apiKey, {
            headers: {
              'anthropic-organization-id': apiKey,
              'ratelimit-policy': `"${apiKey}";q=5;w=60`,
              ratelimit: `"${apiKey}";r=0;t=30`,
              'x-ratelimit-limit-requests': '5',
              'x-ratelimit-remaining-requests': '0',
            },
          });
        });
      }
      const { keys } = guard;
      keys.disable('google-gemini', 'object', `it said ${SECRETS.plain} and ${SECRETS.object}`);
      keys.disable('google-gemini', keys.add('google-gemini', SECRETS.added), SECRETS.added);
      keys.replace('openai', keys.list().find(({ pattern }) => pattern === 'openai')!.keys[0]!.id, SECRETS.replacement);
      guard.close();
      const text = readFileSync(dataFile, 'utf8');
      expect(text).toContain('"id":"object"');
      expect(text).toContain('"provider":"openai"');
      expectNoTrace(text, ALL);
      const next = world({ persistence: { enabled: true, dataFile } });
      expectSafe(next);
      next.guard.close();
      expect(readdirSync(directory).filter(name => name.includes('damaged'))).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

describe('errors of the guard hold no secret', () => {
  const inGemini = { providerName: 'google-gemini', req: REQUEST, skipDeduplication: true };

  /** Every kind of error the guard has, each after the provider has repeated the key. */
  const errors: readonly (readonly [
    string,
    abstract new (...args: never) => GuardError,
    (it: World) => Promise<unknown>,
    ExecutionGuardConfig,
  ])[] = [
    [
      'a pool that is exhausted',
      PoolExhaustedError,
      async it => {
        const refused = ({ apiKey }: CallContext): never => {
          throw echo(403, apiKey!, { message: `Your API key was reported as leaked: ${apiKey ?? ''}` });
        };
        await failureOf(it.guard.execute(refused, inGemini));
        await failureOf(it.guard.execute(refused, inGemini));
        return failureOf(it.guard.execute(refused, inGemini));
      },
      {},
    ],
    [
      'a pool without a key',
      NoKeyError,
      it => failureOf(it.guard.execute(() => 1, { ...inGemini, providerName: 'empty' })),
      { keyManagement: { providers: { empty: { keys: [' '] } } } },
    ],
    [
      'a breaker that is open',
      CircuitOpenError,
      async it => {
        await failureOf(
          it.guard.execute(({ apiKey }) => {
            throw echo(503, apiKey!);
          }, inGemini),
        );
        return failureOf(it.guard.execute(() => 1, inGemini));
      },
      { retry: { maxRetries: 0 }, circuitBreaker: { failureThreshold: 1 } },
    ],
    [
      'a limit that is reached',
      RateLimitError,
      async it => {
        await it.guard.execute(() => 1, inGemini);
        return failureOf(it.guard.execute(() => 1, inGemini));
      },
      { rateLimiting: { rules: { perMinute: 1 } } },
    ],
    [
      'a queue that is full',
      QueueFullError,
      async it => {
        const stuck = () => new Promise(() => undefined);
        const first = failureOf(it.guard.execute(stuck, { ...inGemini, deadlineMs: 1000 }));
        const error = await failureOf(it.guard.execute(() => 1, inGemini));
        await it.clock.advance(1000);
        await first;
        return error;
      },
      { queue: { concurrency: 1, maxQueueSize: 0 } },
    ],
    [
      'a deadline that has passed',
      DeadlineError,
      async it => {
        const call = failureOf(
          it.guard.execute(
            ({ apiKey, attempt }) => {
              if (attempt === 1) throw echo(401, apiKey!);
              return new Promise(() => undefined);
            },
            { ...inGemini, deadlineMs: 1000 },
          ),
        );
        await it.clock.advance(1000);
        return call;
      },
      {},
    ],
    [
      'an attempt that has timed out',
      AttemptTimeoutError,
      async it => {
        const stuck = () => new Promise(() => undefined);
        const call = failureOf(it.guard.execute(stuck, { ...inGemini, attemptTimeoutMs: 10 }));
        await it.clock.advance(60_000);
        return call;
      },
      {},
    ],
    [
      'an abort',
      AbortedError,
      async it => {
        const caller = new AbortController();
        const call = failureOf(
          it.guard.execute(
            ({ apiKey }) => {
              throw echo(503, apiKey!);
            },
            { ...inGemini, signal: caller.signal },
          ),
        );
        await it.clock.advance(10);
        caller.abort(new Error('gone'));
        return call;
      },
      {},
    ],
    [
      'a guard that is closed',
      ClosedError,
      it => {
        const call = failureOf(it.guard.execute(() => new Promise(() => undefined), { ...inGemini, deadlineMs: 1000 }));
        it.guard.close();
        return call;
      },
      {},
    ],
  ];
  test.each(errors)('%s', async (_what, type, provoke, config) => {
    const it = world(config);
    const error = await provoke(it);
    expect(error).toBeInstanceOf(type);
    expectNoTrace(error, ALL);
    expectNoTrace(JSON.stringify(error instanceof GuardError ? error.toJSON() : error), ALL);
    expectSafe(it);
  });

  test('a configuration that is wrong, with a key in every wrong place', () => {
    const secret = SECRETS.plain;
    const wrong: unknown[] = [
      { keyManagement: { providers: { gemini: { keys: { [secret]: { weight: 2 } } } } } },
      { keyManagement: { providers: { gemini: { keys: secret } } } },
      { keyManagement: { providers: { gemini: { keys: [[secret]] } } } },
      { keyManagement: { providers: { gemini: { keys: [{ apiKey: secret }] } } } },
      { keyManagement: { providers: { gemini: { keys: [{ key: secret, [secret]: true }] } } } },
      { keyManagement: { providers: { gemini: { keys: [{ key: secret, weight: secret, limits: secret }] } } } },
      { keyManagement: { providers: { gemini: { keys: [], strategy: secret, profile: secret, groups: secret } } } },
      { keyManagement: { providers: { gemini: { keys: [], fallbackBehavior: secret, [secret]: secret } } } },
      { keyManagement: { providers: { [secret]: {} } } },
      { keyManagement: { providers: [secret] } },
      { keyManagement: { providers: secret } },
      { keyManagement: secret },
      { [secret]: 1 },
      secret,
    ];
    for (const config of wrong) {
      expect(() => new ExecutionGuard(config as ExecutionGuardConfig)).toThrow(ConfigError);
      try {
        new ExecutionGuard(config as ExecutionGuardConfig);
      } catch (error) {
        expectNoTrace(error, [MARKERS.plain]);
      }
    }
  });

  test('keys.* called with a key in the wrong place', () => {
    const { keys } = world().guard;
    const secret = SECRETS.added;
    const calls: (() => unknown)[] = [
      () => keys.add(secret, 'openai'),
      () => keys.get('openai', secret),
      () => keys.get(secret, 'openai'),
      () => keys.remove('openai', secret),
      () => keys.replace('openai', secret, secret),
      () => keys.add('openai', { key: secret, weight: -1 }),
      () => keys.add('openai', { id: secret, key: ' ' }),
      () => keys.add('openai', SECRETS.environment),
    ];
    for (const call of calls) {
      expect(call).toThrow(ConfigError);
      try {
        call();
      } catch (error) {
        expectNoTrace(error, ALL);
      }
    }
  });

  test('options that are wrong', async () => {
    const { guard } = world();
    for (const options of [{ providerName: 1 }, { signal: SECRETS.plain }, { tokens: SECRETS.plain }, 5]) {
      const error = await failureOf(guard.execute(() => 1, options as object));
      expect(error).toBeInstanceOf(ConfigError);
      expectNoTrace(error, ALL);
    }
  });
});

describe('what belongs to the caller', () => {
  test('the provider\'s own error is rethrown, the same object, with masks where it repeats the key', async () => {
    const it = world();
    let thrown: unknown;
    const error = await failureOf(
      it.guard.execute(({ apiKey }) => {
        thrown = echo(400, apiKey!, { details: [{ metadata: { key: Buffer.from(apiKey!).toString('base64') } }] });
        throw thrown;
      }, 'google-gemini'),
    );
    // The contract: callers look at their SDK's errors.
    expect(error).toBe(thrown);
    expect(error).toMatchObject({ status: 400, error: { code: 400 } });
    expectNoTrace(error, ALL);
    expectSafe(it);
  });

  test('what the error only points to is not touched: a client may go on using it', async () => {
    const it = world();
    let options: { headers: { authorization: string } } | undefined;
    const error = await failureOf(
      it.guard.execute(({ apiKey }) => {
        options = { headers: { authorization: `Bearer ${apiKey!}` } };
        throw Object.assign(new Error('refused'), { status: 400, options });
      }, 'google-gemini'),
    );
    expectNoTrace(error, ALL);
    expect(options?.headers.authorization).toContain(MARKERS.plain);
  });

  test('the reason of an abort is the caller\'s own', async () => {
    const { guard } = world();
    const reason = new Error(`gave up on ${SECRETS.plain}`);
    const error = await failureOf(guard.execute(() => 1, { signal: AbortSignal.abort(reason) }));
    expect(error).toMatchObject({ cause: reason });
    expectNoTrace(error instanceof GuardError ? [error.message, error.toJSON()] : error, ALL);
  });
});

describe('the context of a callback', () => {
  async function contextOf(providerName: string): Promise<CallContext> {
    return world().guard.execute(context => context, { providerName, skipDeduplication: true });
  }

  test('gives the key to whoever asks for it by name, or copies it', async () => {
    const context = await contextOf('openai');
    const { apiKey } = context;
    expect(apiKey).toBe(SECRETS.environment);
    expect({ ...context }).toMatchObject({ apiKey, keyId: context.keyId, provider: 'openai', attempt: 1 });
    expect(Object.assign({}, context).apiKey).toBe(apiKey);
    expect(Object.keys(context)).toContain('apiKey');
  });

  test.each(['openai', 'lonely'])('is printed with the key masked (%s)', async provider => {
    const context = await contextOf(provider);
    expectNoTrace(context, ALL);
    expectNoTrace({ deep: { in: [context] } }, ALL);
    expectNoTrace(inspect(new Map([['context', context]]), { depth: Infinity }), ALL);
    expect(JSON.parse(JSON.stringify(context))).toMatchObject({ apiKey: 'AIza…', provider, attempt: 1 });
    expect(inspect(context)).toContain("apiKey: 'AIza…'");
  });

  test('is printed as it is where there is no key', async () => {
    const context = await contextOf('nobody');
    expect(JSON.parse(JSON.stringify(context))).toEqual({ provider: 'nobody', attempt: 1 });
    expect(inspect(context)).not.toContain('…');
  });

  test('of a validation is printed with the key masked too', async () => {
    const seen: unknown[] = [];
    const guard = new ExecutionGuard({
      keyManagement: {
        providers: { openai: { keys: [{ id: 'a', key: SECRETS.plain }], validate: context => seen.push(context) > 0 } },
      },
    });
    await guard.keys.test('openai', 'a');
    expect(seen).toMatchObject([{ apiKey: SECRETS.plain, keyId: 'a' }]);
    expectNoTrace(seen, ALL);
  });
});
