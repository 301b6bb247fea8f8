import * as z from 'zod';
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../../faults/durations.ts';
import type { FaultProfile } from '../../faults/fault.ts';
import type { AffinityFunction } from '../../keys/affinity.ts';
import type { StateStore } from '../../state/store.ts';
import type { SelectionStrategy, StrategyFactory } from '../../strategies/strategy.ts';
import type { KeyValidator } from './validator.ts';

declare module 'zod' {
  interface GlobalMeta {
    /** The name of the generated interface, for an object of options. */
    typeName?: string;
    /** The TypeScript type, where a check in code says less than the type. */
    type?: string;
  }
}


export type GuardConfigSchema = ReturnType<typeof buildSchema>;

let built: GuardConfigSchema | undefined;

/** The schema of the whole configuration; built when first asked for, so that importing it costs little. */
export function guardConfigSchema(): GuardConfigSchema {
  return (built ??= buildSchema());
}

// Everywhere below, `error` says what is allowed, with alternatives in backticks: issues.ts makes it a sentence.

/** An option with the text that documents it. Unlike `schema.describe()` this makes no copy. */
function option<Schema extends z.ZodType>(description: string, schema: Schema): Schema {
  z.globalRegistry.add(schema, { description });
  return schema;
}

function ofType<Schema extends z.ZodType>(type: string, schema: Schema): Schema {
  z.globalRegistry.add(schema, { type });
  return schema;
}

const inBackticks = (names: readonly string[]): string => names.map(name => `\`${name}\``).join(', ');

function section<Shape extends z.core.$ZodShape>(typeName: string, shape: Shape) {
  const names = inBackticks(Object.keys(shape));
  return z
    .strictObject(shape, { error: issue => (issue.code === 'unrecognized_keys' ? names : 'an object of options') })
    .register(z.globalRegistry, { typeName });
}

function numberBetween(min: number, max: number, error: string) {
  return z.number({ error }).min(min, { error }).max(max, { error });
}

function whole(min: number) {
  const error = `a whole number, ${min} or more`;
  return z.number({ error }).int({ error }).min(min, { error });
}

/** The plain schemas many options share. */
function sharedSchemas() {
  return {
    flag: z.boolean({ error: '`true` or `false`' }),
    fromZero: whole(0),
    fromOne: whole(1),
    text: nonBlank('a string that is not blank'),
  };
}

type Shared = ReturnType<typeof sharedSchemas>;

function nonBlank(error: string) {
  return z.string({ error }).regex(/\S/, { error });
}

function oneOf<const Names extends readonly string[]>(names: Names) {
  return z.enum(names, { error: `one of ${inBackticks(names)}` });
}

const isFunction = (value: unknown): boolean => typeof value === 'function';

const hasMember = (value: unknown, name: string, holds: (member: unknown) => boolean): boolean =>
  typeof value === 'object' && value !== null && holds(Reflect.get(value, name));

function deduplication({ flag, fromOne, text }: Shared) {
  return section('DeduplicationConfig', {
    enabled: option('Lets equal calls share one answer.', flag.default(true)),
    ttlSeconds: option(
      'Seconds for which an answer is given again. 0 shares only between calls that are in flight together.',
      numberBetween(0, Number.MAX_SAFE_INTEGER, 'a number of seconds, 0 or more').default(30),
    ),
    maxCacheSize: option('Answers kept at once; those not used for longest go first, roughly.', fromOne.default(1000)),
    excludeEndpoints: option(
      'URL paths whose requests are never joined, nor answered from the cache.',
      z.array(text, { error: 'an array of URL paths' }).readonly().prefault(['/api/analytics']),
    ),
  });
}

function rateLimiting({ flag, fromZero, fromOne }: Shared) {
  const requests = 'Calls allowed per window and session.';
  const rule = z.union(
    [
      fromOne,
      section('RateLimitRule', {
        requests: option(requests, fromOne.clone()),
        windowMs: option(
          "Length of the sliding window, in ms; the rule's usual one where absent.",
          fromOne.optional(),
        ),
      }),
      z.null(),
    ],
    { error: 'a number of requests, an object { requests, windowMs }, or null for no limit' },
  );
  const resolvedRule = z.union([
    section('ResolvedRateLimitRule', {
      requests: option(requests, fromOne.clone()),
      windowMs: option('Length of the sliding window, in ms.', fromOne.clone()),
    }),
    z.null(),
  ]);
  const ruleOver = (usualWindowMs: number, window: string, old: number) =>
    option(
      `Calls per ${window}, or per window of your own. A bare number counts calls; null: no limit. Old guard: ${old}.`,
      rule
        .transform(given => {
          if (given === null) return null;
          if (typeof given === 'number') return { requests: given, windowMs: usualWindowMs };
          return { requests: given.requests, windowMs: given.windowMs ?? usualWindowMs };
        })
        .pipe(resolvedRule)
        .default(null),
    );
  return section('RateLimitingConfig', {
    enabled: option('Applies the rules below. Without a rule nothing is limited.', flag.default(true)),
    onLimit: option(
      'What happens to a call over a limit: `reject` fails it at once, `wait` holds it until the limit allows it.',
      oneOf(['reject', 'wait']).default('reject'),
    ),
    maxWaitMs: option(
      'Longest time a call is held under `wait`, in ms; one that would take longer is rejected at once.',
      fromZero.default(30 * SECOND_MS),
    ),
    maxSessions: option(
      'Sessions tracked at once; the one idle the longest is forgotten first.',
      fromOne.default(10_000),
    ),
    rules: option(
      'Limits on incoming calls, counted per session over a sliding window. None is on by default: ' +
        'a limit nobody asked for would refuse calls while keys are idle.',
      section('RateLimitRules', {
        burst: ruleOver(10 * SECOND_MS, '10 s', 10),
        perMinute: ruleOver(MINUTE_MS, 'minute', 60),
        perHour: ruleOver(HOUR_MS, 'hour', 500),
        perDay: ruleOver(DAY_MS, 'day', 5000),
      }).prefault({}),
    ),
  });
}

function circuitBreaker({ flag, fromZero, fromOne }: Shared) {
  return section('CircuitBreakerConfig', {
    enabled: option(
      'Stops calling a provider that keeps failing. Each provider has its own breaker.',
      flag.default(true),
    ),
    failureThreshold: option(
      'Failed calls that open the breaker. Only failures of the provider count, once per call.',
      fromOne.default(20),
    ),
    recoveryTimeMs: option(
      'Time until an open breaker lets one trial call through, in ms.',
      fromZero.default(MINUTE_MS),
    ),
    onOpen: option(
      'What happens to a call while the breaker is open: `reject` fails it at once, `wait` holds it until the provider ' +
        'has answered a trial call. Under `wait` the breaker opens earlier, and asks again sooner.',
      oneOf(['reject', 'wait']).default('reject'),
    ),
    maxWaitMs: option(
      'Longest time a call without a deadline is held under `wait`, in ms; one that would take longer is rejected at once.',
      fromZero.default(30 * SECOND_MS),
    ),
  });
}

function queue({ flag, fromZero, fromOne }: Shared) {
  const infinity = z.custom<number>(value => value === Infinity);
  const resolved = z.custom<number>();
  return section('QueueConfig', {
    enabled: option('Bounds how many attempts run at once and how many calls wait.', flag.default(true)),
    concurrency: option(
      'Attempts under way at once, per provider. Infinity or null: no limit.',
      z
        // null is what becomes of Infinity in JSON, on the way to a browser and back.
        .union([fromOne, ofType('number', infinity), z.null()], { error: 'a whole number, 1 or more, or Infinity' })
        .transform(limit => limit ?? Infinity)
        .pipe(ofType('number', resolved))
        .default(Infinity),
    ),
    minDelayMs: option(
      'Least time between the starts of two attempts at the same provider, in ms. Old guard: 5000.',
      fromZero.default(0),
    ),
    maxQueueSize: option('Calls that may wait; one more is rejected at once.', fromZero.default(100)),
    stallMs: option(
      'An attempt older than this gives its slot away when others wait, in ms. It goes on without one.',
      fromOne.default(10 * MINUTE_MS),
    ),
  });
}

function retry({ flag, fromZero }: Shared) {
  const statusError = 'an HTTP status, 100 to 599';
  const status = numberBetween(100, 599, statusError).int({ error: statusError });
  return section('RetryConfig', {
    enabled: option('Repeats attempts that failed by no fault of the request.', flag.default(true)),
    maxRetries: option(
      'Further attempts after the first, with back-off. Moving on to another key does not count.',
      fromZero.default(5),
    ),
    initialBackoffMs: option(
      'Wait before the first retry, in ms; doubles with each further one.',
      fromZero.default(SECOND_MS),
    ),
    maxBackoffMs: option('Longest wait before a retry, in ms.', fromZero.default(30 * SECOND_MS)),
    jitterMs: option('Up to this much random time is added to each wait, in ms.', fromZero.default(500)),
    maxRetryAfterMs: option(
      'Longest Retry-After of a provider that is waited for, in ms; where more is asked for, the call ends instead.',
      fromZero.default(MINUTE_MS),
    ),
    retryableStatusCodes: option(
      'HTTP statuses worth another attempt. Old guard: 429, 500, 502, 503, 504.',
      z.array(status, { error: 'an array of HTTP statuses' }).readonly().prefault([408, 409, 425, 429, 500, 502, 503, 504, 529]),
    ),
  });
}

function keyLimits({ fromOne }: Shared) {
  const windows = () => ({
    rpm: option('Requests per minute.', fromOne.optional()),
    tpm: option('Tokens per minute.', fromOne.optional()),
    rpd: option('Requests per day.', fromOne.optional()),
    tpd: option('Tokens per day.', fromOne.optional()),
    concurrency: option('Attempts under way at once.', fromOne.optional()),
  });
  return section('KeyLimits', {
    ...windows(),
    models: option(
      'Limits of single models beside those, by name or with `*`. A call that names a model counts under the most ' +
        'specific entry that fits it, and all models of an entry count together.',
      z.record(z.string(), section('ModelLimits', windows()), { error: 'an object of limits by model' }).optional(),
    ),
  });
}

function keyList({ fromZero, text }: Shared, limits: ReturnType<typeof keyLimits>) {
  const secret = z
    .string({ error: 'a key' })
    .regex(/^[^…]*$/, { error: 'a whole key: this one is masked, and which key it stands for is not clear' });
  const patterns = z.array(text, { error: 'an array of model patterns' }).readonly();
  const key = section('KeyConfig', {
    id: option('Name of the key in stats, logs and errors; derived from a digest where absent.', text.optional()),
    key: option(
      'The secret. An entry whose secret is missing or blank is left out, with a warning.',
      secret.nullish(),
    ),
    weight: option(
      'Share of the calls under the `weighted` strategy, relative to the other keys.',
      numberBetween(0, Number.MAX_VALUE, 'a number, 0 or more').default(1),
    ),
    priority: option(
      'Keys with the lowest number are used first; the next ones only while none of those is ready.',
      fromZero.default(0),
    ),
    models: option(
      'Models the key is used for, `*` standing for any text; all where absent.',
      patterns.optional(),
    ),
    excludeModels: option('Models the key is not used for, `*` standing for any text.', patterns.optional()),
    group: option(
      'Keys of one group share one quota at the provider: a project, an organisation. On its own where absent.',
      text.optional(),
    ),
    limits: option('Quota of this key alone; none is assumed where none is named.', limits.optional()),
    tier: option('A label for the plan the key is on, such as `free` or `paid`.', text.optional()),
    region: option('A label for where the key is valid, such as `eu`.', text.optional()),
    tags: option('Labels of your own.', z.array(text, { error: 'an array of strings' }).readonly().optional()),
  });
  const variable = 'the name of an environment variable';
  const environment = section('KeyEnvironment', {
    env: option(
      'Name of the environment variable, such as `GEMINI_API_KEY` or `MY_TOKEN`; its numbered and listed siblings are found too.',
      z.string({ error: variable }).regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: variable }),
    ),
  });
  const entry = z.union([secret, z.null(), z.undefined(), key], {
    error: 'a key, or an object such as { id, key, weight }',
  });
  const error = 'an array of keys, or an object { env }';
  return z.union([z.array(entry, { error }).readonly(), environment], { error });
}

function healthCheck({ flag, fromOne }: Shared) {
  return section('HealthCheckConfig', {
    enabled: option('Runs the checks.', flag.default(true)),
    intervalMs: option('Time between two checks of a key, in ms.', fromOne.default(5 * MINUTE_MS)),
    timeoutMs: option('Longest time a check may take, in ms.', fromOne.default(10 * SECOND_MS)),
  });
}

function cooldown({ fromOne }: Shared) {
  return section('CooldownConfig', {
    initialMs: option(
      'First cool-down of a failing key where the provider names no time, in ms; doubles with each repeat.',
      fromOne.default(30 * SECOND_MS),
    ),
    maxMs: option('Longest cool-down by doubling, in ms.', fromOne.default(HOUR_MS)),
  });
}

function keyProvider(shared: Shared) {
  const { fromZero, fromOne } = shared;
  const limits = keyLimits(shared);
  const strategies = ['round-robin', 'random', 'weighted', 'least-used', 'health-based', 'priority'] as const;
  const affinities = ['session', 'prompt'] as const;
  const ownStrategy = z.custom<SelectionStrategy | StrategyFactory>(
    value => isFunction(value) || hasMember(value, 'select', isFunction),
  );
  const ownProfile = z.custom<FaultProfile>(value => hasMember(value, 'rules', Array.isArray));
  const profileError = 'the name of a fault profile, or a profile object';
  const list = keyList(shared, limits);
  const provider = section('KeyProviderConfig', {
    keys: option(
      'The API keys, as plain strings or as objects with more to say, or the environment variable to read them from. ' +
        'Blank, missing and repeated entries are left out, with a warning. May be absent where `models` is given.',
      list.optional(),
    ),
    models: option(
      'Keys by model, `*` standing for any text. A call that names a model gets the keys of the most specific entry ' +
        'that fits it, and no others; `keys` are for the models that none fits.',
      z
        .record(nonBlank('a model or pattern that is not blank'), list, { error: 'an object of lists of keys by model' })
        .optional(),
    ),
    strategy: option(
      'Picks one of the keys that are ready: a name, a function that makes a strategy, ' +
        'or an object with a select() method, which all the pools that name it share.',
      z
        .union([oneOf(strategies), ofType('SelectionStrategy | StrategyFactory', ownStrategy)], {
          error: `one of ${inBackticks(strategies)}, an object with a select() method, or a function that makes one`,
        })
        .default('round-robin'),
    ),
    fallbackBehavior: option(
      'What happens when no key is ready: `fail` waits for one and then rejects the call, `useFirst` waits and then ' +
        "uses the first key anyway, `useEnvironment` uses the key in the provider's own environment variable at once.",
      oneOf(['fail', 'useFirst', 'useEnvironment']).default('fail'),
    ),
    healthCheck: option(
      'Checks the keys from time to time, with a call that spends no quota. No checks where absent.',
      healthCheck(shared).optional(),
    ),
    validate: option(
      'Says whether a key is good, by a call that spends no quota. Suspects are then never risked on a real call.',
      ofType('KeyValidator', z.custom<KeyValidator>(isFunction, { error: 'a function' })).optional(),
    ),
    profile: option(
      "How the provider's failures are read: the name of a profile, or one of your own. Found by the provider's name " +
        'where absent.',
      z.union([nonBlank(profileError), ofType('FaultProfile', ownProfile)], { error: profileError }).optional(),
    ),
    groups: option(
      'Shared quotas, by the `group` of the keys.',
      z
        .record(
          z.string(),
          section('KeyGroupConfig', {
            limits: option('Quota that all keys of the group share.', limits.optional()),
          }),
          { error: 'an object of groups by name' },
        )
        .prefault({}),
    ),
    affinity: option(
      'Keeps calls that belong together on one key while it is ready: those of a `session`, those whose `prompt` ' +
        'begins alike, or those for which a function of the request (`req`) gives the same text. No affinity where absent.',
      z
        .union([oneOf(affinities), ofType('AffinityFunction', z.custom<AffinityFunction>(isFunction))], {
          error: `one of ${inBackticks(affinities)}, or a function of the request`,
        })
        .optional(),
    ),
    leaseMs: option(
      'A key held by one attempt for longer than this counts as free again, in ms. The attempt is not cancelled.',
      fromOne.default(10 * MINUTE_MS),
    ),
    cooldown: option('How long a key rests after a fault.', cooldown(shared).prefault({})),
    maxWaitMs: option(
      'Longest time a call waits for a key of this pool, in ms; `keyManagement.maxWaitMs` where absent.',
      fromZero.optional(),
    ),
  });
  return provider
    .superRefine(({ keys, models }, context) => {
      if (keys !== undefined || (models !== undefined && Object.keys(models).length > 0)) return;
      context.addIssue({ code: 'custom', path: ['keys'], message: 'an array of keys, or an object { env }' });
    })
    .register(z.globalRegistry, { typeName: 'KeyProviderConfig' });
}

function keyManagement(shared: Shared) {
  const pattern = nonBlank('a provider name or pattern that is not blank');
  return section('KeyManagementConfig', {
    enabled: option(
      'Hands out keys to the providers named below; all others are left alone. Old guard: false.',
      shared.flag.default(true),
    ),
    maxWaitMs: option(
      'Longest time a call waits for a key to become ready, in ms. A call with a deadline waits as long as that allows. ' +
        '0: no call waits.',
      shared.fromZero.default(30 * SECOND_MS),
    ),
    providers: option(
      'Pools of keys by provider name or pattern, `*` standing for any text. The most specific pattern wins.',
      z.record(pattern, keyProvider(shared), { error: 'an object of providers by name or pattern' }).prefault({}),
    ),
  });
}

function fallback({ flag, fromZero }: Shared) {
  return section('FallbackConfig', {
    enabled: option(
      'Remembers for a while that a provider has failed; `isProviderHealthy` and the stats tell.',
      flag.default(true),
    ),
    recoveryWindowMs: option(
      'Time for which a provider counts as recovering after a failure, in ms.',
      fromZero.default(MINUTE_MS),
    ),
  });
}


function fallbacks({ text }: Shared) {
  const pattern = nonBlank('a provider name or pattern that is not blank');
  const hop = z.union(
    [
      text,
      section('FallbackHop', {
        provider: option('The provider to go to; the one before where absent.', text.optional()),
        model: option("The model to ask it for; the call's own where absent.", text.optional()),
      }),
    ],
    { error: 'a provider name, or an object { provider, model }' },
  );
  const chain = z.array(hop, { error: 'an array of providers, or of { provider, model }' }).readonly();
  return z
    .record(pattern, chain, { error: 'an object of chains by provider name or pattern' })
    .superRefine((chains, context) => {
      for (const [start, hops] of Object.entries(chains)) {
        const been = new Set([placeName(start, undefined)]);
        let before = start;
        for (const [position, given] of hops.entries()) {
          const { provider = before, model } = typeof given === 'string' ? { provider: given } : given;
          before = provider;
          const place = placeName(provider, model);
          const isEmpty = typeof given !== 'string' && given.provider === undefined && model === undefined;
          const path = [start, position];
          if (isEmpty) context.addIssue({ code: 'custom', path, message: 'a provider, a model, or both' });
          else if (place === placeName(start, undefined)) {
            context.addIssue({ code: 'custom', path, message: 'another provider or model than the chain begins with' });
          } else if (been.has(place)) {
            context.addIssue({ code: 'custom', path, message: 'a provider and model that the chain does not name before' });
          }
          been.add(place);
        }
      }
    });
}

function placeName(provider: string, model: string | undefined): string {
  return JSON.stringify([provider.trim().toLowerCase(), model]);
}

function persistence({ flag }: Shared) {
  return section('PersistenceConfig', {
    enabled: option('Writes what is learned to a file, and goes on from there after a restart. Old guard: true.', flag.default(false)),
    dataFile: option(
      'Path of that file; processes may share one. Folders are made where they are missing.',
      nonBlank('the path of a file').default('.execution-guard/state.json'),
    ),
  });
}

function buildSchema() {
  const shared = sharedSchemas();
  const { flag, fromZero } = shared;
  return section('ExecutionGuardConfig', {
    enabled: option('False passes every call straight through: no stage, no key.', flag.default(true)),
    deduplication: option('Equal calls share one answer.', deduplication(shared).prefault({})),
    rateLimiting: option('Limits on incoming calls, per session.', rateLimiting(shared).prefault({})),
    circuitBreaker: option('Leaves a failing provider alone for a while.', circuitBreaker(shared).prefault({})),
    queue: option('How many attempts run at once, and how many calls wait.', queue(shared).prefault({})),
    retry: option('Repeats failed attempts with exponential back-off.', retry(shared).prefault({})),
    fallback: option('How long a failed provider counts as recovering.', fallback(shared).prefault({})),
    fallbacks: option(
      'Where calls go when their provider cannot serve them, by its name or pattern: providers and models in turn. The ' +
        'most specific pattern wins.',
      fallbacks(shared).prefault({}),
    ),
    persistence: option('State that survives a restart.', persistence(shared).prefault({})),
    keyManagement: option('Pools of API keys.', keyManagement(shared).prefault({})),
    store: option(
      'Where several processes share their quotas and the states of their keys, such as `redisStore()` of ' +
        '`execution-guard/redis`. Each process for itself where absent. It stays what it is while the guard lives.',
      ofType(
        'StateStore',
        z.custom<StateStore>(value => hasMember(value, 'open', isFunction), { error: 'a store, such as redisStore() makes' }),
      ).optional(),
    ),
    minDelayMs: option('Short for `queue.minDelayMs`, and wins over it.', fromZero.optional()),
    maxQueueSize: option('Short for `queue.maxQueueSize`, and wins over it.', fromZero.optional()),
    initialBackoffMs: option('Short for `retry.initialBackoffMs`, and wins over it.', fromZero.optional()),
    maxRetries: option('Short for `retry.maxRetries`, and wins over it.', fromZero.optional()),
  }).transform(({ minDelayMs, maxQueueSize, initialBackoffMs, maxRetries, ...config }) => ({
    ...config,
    queue: {
      ...config.queue,
      minDelayMs: minDelayMs ?? config.queue.minDelayMs,
      maxQueueSize: maxQueueSize ?? config.queue.maxQueueSize,
    },
    retry: {
      ...config.retry,
      initialBackoffMs: initialBackoffMs ?? config.retry.initialBackoffMs,
      maxRetries: maxRetries ?? config.retry.maxRetries,
    },
  }));
}
