import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../../../src/guard/config/parse.ts';
import type { ResolvedKeyProvider } from '../../../src/guard/config/types.ts';
import { ConfigError, type ConfigIssue } from '../../../src/guard/errors.ts';
import { errorOf, secretNames, secrets } from './support.ts';

function issuesOf(input: unknown): readonly ConfigIssue[] {
  return errorOf(() => parseConfig(input)).issues;
}

/** The only issue a configuration has, as one line. */
function issueOf(input: unknown): string {
  const issues = issuesOf(input);
  expect(issues).toHaveLength(1);
  return `${issues[0]!.path}: ${issues[0]!.message}`;
}

const provider = (settings: object): object => ({ keyManagement: { providers: { '*gemini*': settings } } });

const settingsOf = (input: unknown): ResolvedKeyProvider | undefined =>
  parseConfig(input).keyManagement.providers['*gemini*'];

describe('what is not said', () => {
  test('nothing at all gives every default', () => {
    expect(parseConfig(undefined)).toEqual({
      enabled: true,
      deduplication: { enabled: true, ttlSeconds: 30, maxCacheSize: 1000, excludeEndpoints: ['/api/analytics'] },
      rateLimiting: {
        enabled: true,
        onLimit: 'reject',
        maxWaitMs: 30_000,
        maxSessions: 10_000,
        rules: { burst: null, perMinute: null, perHour: null, perDay: null },
      },
      circuitBreaker: { enabled: true, failureThreshold: 20, recoveryTimeMs: 60_000, onOpen: 'reject', maxWaitMs: 30_000 },
      queue: { enabled: true, concurrency: Infinity, minDelayMs: 0, maxQueueSize: 100, stallMs: 600_000 },
      retry: {
        enabled: true,
        maxRetries: 5,
        initialBackoffMs: 1000,
        maxBackoffMs: 30_000,
        jitterMs: 500,
        maxRetryAfterMs: 60_000,
        retryableStatusCodes: [408, 409, 425, 429, 500, 502, 503, 504, 529],
      },
      fallback: { enabled: true, recoveryWindowMs: 60_000 },
      fallbacks: {},
      persistence: { enabled: false, dataFile: '.execution-guard/state.json' },
      keyManagement: { enabled: true, maxWaitMs: 30_000, providers: {} },
    });
  });

  test('a provider needs nothing but keys', () => {
    const { providers } = parseConfig(provider({ keys: ['a', { key: 'b' }] })).keyManagement;
    expect(providers).toEqual({
      '*gemini*': {
        keys: ['a', { key: 'b', weight: 1, priority: 0 }],
        strategy: 'round-robin',
        fallbackBehavior: 'fail',
        groups: {},
        leaseMs: 600_000,
        cooldown: { initialMs: 30_000, maxMs: 3_600_000 },
      },
    });
  });

  test('an empty health check is switched on', () => {
    const { healthCheck } = settingsOf(provider({ keys: [], healthCheck: {} })) ?? {};
    expect(healthCheck).toEqual({ enabled: true, intervalMs: 300_000, timeoutMs: 10_000 });
  });

  test('undefined means the default, in every part', () => {
    const blank = { enabled: undefined, retry: undefined, queue: { minDelayMs: undefined }, maxRetries: undefined };
    expect(parseConfig(blank)).toEqual(parseConfig({}));
  });

  test('a resolved configuration is a configuration, and resolves to itself', () => {
    const resolved = parseConfig({ ...provider({ keys: ['a'] }), rateLimiting: { rules: { burst: 3 } } });
    expect(parseConfig(resolved)).toEqual(resolved);
  });
});

describe('rate limit rules', () => {
  test('a bare number counts over the usual window of the rule', () => {
    const rules = { burst: 1, perMinute: 2, perHour: 3, perDay: 4 };
    expect(parseConfig({ rateLimiting: { rules } }).rateLimiting.rules).toEqual({
      burst: { requests: 1, windowMs: 10_000 },
      perMinute: { requests: 2, windowMs: 60_000 },
      perHour: { requests: 3, windowMs: 3_600_000 },
      perDay: { requests: 4, windowMs: 86_400_000 },
    });
  });

  test('an object may name a window of its own, and need not', () => {
    const rules = { burst: { requests: 5, windowMs: 1000 }, perDay: { requests: 9 }, perHour: null };
    expect(parseConfig({ rateLimiting: { rules } }).rateLimiting.rules).toEqual({
      burst: { requests: 5, windowMs: 1000 },
      perMinute: null,
      perHour: null,
      perDay: { requests: 9, windowMs: 86_400_000 },
    });
  });

  const anyRule = 'a number of requests, an object { requests, windowMs }, or null for no limit';
  test.each([
    ['a string', '60', `${anyRule}, found the string "60"`],
    ['zero', 0, 'a whole number, 1 or more, found the number 0'],
    ['a fraction', 1.5, 'a whole number, 1 or more, found the number 1.5'],
  ])('%s is no limit, and is refused rather than ignored', (_, perMinute, message) => {
    const issue = issueOf({ rateLimiting: { rules: { perMinute } } });
    expect(issue).toBe(`rateLimiting.rules.perMinute: expected ${message}`);
  });
});

describe('flat knobs', () => {
  test('fold into their sections, and win over them', () => {
    const config = parseConfig({
      minDelayMs: 1,
      maxQueueSize: 2,
      initialBackoffMs: 3,
      maxRetries: 0,
      queue: { minDelayMs: 100, concurrency: 4 },
      retry: { maxRetries: 100 },
    });
    expect(config.queue).toMatchObject({ minDelayMs: 1, maxQueueSize: 2, concurrency: 4 });
    expect(config.retry).toMatchObject({ initialBackoffMs: 3, maxRetries: 0 });
    expect(config).not.toHaveProperty('minDelayMs');
  });

  test('are reported by the name they were given', () => {
    expect(issueOf({ maxRetries: -1 })).toBe('maxRetries: expected a whole number, 0 or more, found the number -1');
  });
});

describe('what is refused', () => {
  test.each([
    [null, 'null'],
    [[], 'an array'],
    ['yes', 'the string "yes"'],
    [5, 'the number 5'],
    [true, '`true`'],
    [() => ({}), 'a function'],
  ])('%j as the configuration, or as a section of it', (input, found) => {
    expect(issueOf(input)).toBe(`: expected an object of options, found ${found}`);
    expect(issueOf({ queue: input })).toBe(`queue: expected an object of options, found ${found}`);
  });

  test('a Map or a Date in the place of a section', () => {
    const queue = new Map([['minDelayMs', 5]]);
    expect(issueOf({ queue })).toBe('queue: expected a plain object, found a Map');
    expect(issueOf(provider({ keys: [{ key: 'a', limits: new Date(0) }] }))).toBe(
      'keyManagement.providers["*gemini*"].keys[0].limits: expected a plain object, found a Date',
    );
  });

  test('a tag of the object itself is not repeated', () => {
    const queue = { [Symbol.toStringTag]: 'sk-proj-abcdef' };
    expect(issueOf({ queue })).toBe('queue: expected a plain object, found an object of another kind');
  });

  test.each([
    [NaN, 'NaN'],
    [-1, 'the number -1'],
    [1.5, 'the number 1.5'],
    [Infinity, 'the number Infinity'],
    ['5000', 'the string "5000"'],
    ['5s', 'the string "5s"'],
    ['  ', 'a blank string'],
    ['a password', 'a string'],
    [null, 'null'],
    [5n, 'a bigint'],
    [{}, 'an object'],
    [new Set(), 'a Set'],
  ])('%s where a whole number is meant', (value, found) => {
    expect(issueOf({ queue: { minDelayMs: value } })).toBe(
      `queue.minDelayMs: expected a whole number, 0 or more, found ${found}`,
    );
  });

  test('a concurrency of nothing, while Infinity is fine', () => {
    expect(parseConfig({ queue: { concurrency: Infinity } }).queue.concurrency).toBe(Infinity);
    expect(issueOf({ queue: { concurrency: 0 } })).toBe(
      'queue.concurrency: expected a whole number, 1 or more, found the number 0',
    );
    expect(issueOf({ queue: { concurrency: 'all' } })).toBe(
      'queue.concurrency: expected a whole number, 1 or more, or Infinity, found a string',
    );
  });

  test.each([-1, NaN, Infinity, '1'])('a weight of %s', weight => {
    expect(issuesOf(provider({ keys: [{ key: 'a', weight }] }))).toHaveLength(1);
  });

  test.each([99, 600, 429.5, '429'])('the HTTP status %s', status => {
    expect(issueOf({ retry: { retryableStatusCodes: [500, status] } })).toContain(
      'retry.retryableStatusCodes[1]: expected an HTTP status, 100 to 599, found ',
    );
  });

  test('a provider without keys, or without a name', () => {
    expect(issueOf(provider({}))).toBe(
      'keyManagement.providers["*gemini*"].keys: expected an array of keys, or an object { env }, found nothing',
    );
    expect(issueOf({ keyManagement: { providers: { ' ': { keys: [] } } } })).toBe(
      'keyManagement.providers[" "]: the name must be a provider name or pattern that is not blank',
    );
  });

  test('an environment variable that is none', () => {
    expect(issueOf(provider({ keys: { env: 'AIzaSy-not-a-name' } }))).toBe(
      'keyManagement.providers["*gemini*"].keys.env: expected the name of an environment variable, found a string',
    );
  });

  test('a masked key', () => {
    expect(issueOf(provider({ keys: ['sk-…'] }))).toBe(
      'keyManagement.providers["*gemini*"].keys[0]: ' +
        'expected a whole key: this one is masked, and which key it stands for is not clear, found a string',
    );
  });

  test('everything that is wrong, at once', () => {
    const paths = issuesOf({
      enabled: 'yes',
      retry: { maxRetries: -1, jitterMs: null },
      keyManagement: { maxWaitMs: 1.5, providers: { a: { keys: 'k', groups: [] }, b: 5 } },
      queu: {},
    }).map(({ path }) => path);
    expect(new Set(paths)).toEqual(
      new Set([
        'enabled',
        'retry.maxRetries',
        'retry.jitterMs',
        'keyManagement.maxWaitMs',
        'keyManagement.providers.a.keys',
        'keyManagement.providers.a.groups',
        'keyManagement.providers.b',
        'queu',
      ]),
    );
  });
});

describe('unknown options', () => {
  test.each([
    [{ rety: {} }, 'rety', 'retry'],
    [{ circuitbreaker: {} }, 'circuitbreaker', 'circuitBreaker'],
    [{ retry: { max_retries: 1 } }, 'max_retries', 'maxRetries'],
    [{ queue: { minDealyMs: 1 } }, 'minDealyMs', 'minDelayMs'],
    [provider({ keys: [], stratgey: 'random' }), 'stratgey', 'strategy'],
    [provider({ keys: [{ key: 'a', limit: {} }] }), 'limit', 'limits'],
  ])('%j names the one that was meant', (input, name, meant) => {
    expect(issueOf(input)).toMatch(new RegExp(`${name}: unknown option \`${name}\`, did you mean \`${meant}\`\\?$`));
  });

  test('without a near one, the known ones are listed', () => {
    expect(issueOf({ fallback: { providers: [] } })).toBe(
      'fallback.providers: unknown option `providers`; known here: `enabled`, `recoveryWindowMs`',
    );
  });

  test('a misspelt value names the one that was meant', () => {
    expect(issueOf({ rateLimiting: { onLimit: 'rejct' } })).toBe(
      'rateLimiting.onLimit: expected one of `reject`, `wait`, found a string; did you mean `reject`?',
    );
    expect(issueOf(provider({ keys: [], strategy: 'RoundRobin' }))).toContain('did you mean `round-robin`?');
  });

  test('__proto__ and constructor in a JSON file are names like any other', () => {
    const input: unknown = JSON.parse('{"__proto__": {"enabled": false}, "constructor": {"prototype": 1}}');
    expect(issuesOf(input).map(({ path }) => path)).toEqual(['__proto__', 'constructor']);
    const pools: unknown = JSON.parse(
      '{"keyManagement": {"providers": {"__proto__": {"keys": ["a"]}, "constructor": {"keys": ["b"]}}}}',
    );
    expect(Object.keys(parseConfig(pools).keyManagement.providers)).toEqual(['constructor']);
    expect({}).not.toHaveProperty('keys');
  });
});

describe('keys', () => {
  test('missing, blank and repeated entries are legal: the pool leaves them out', () => {
    const keys = [undefined, null, '', '  ', 'a', 'a', { key: undefined }, { key: null, id: 'x' }, { key: 'a' }];
    expect(settingsOf(provider({ keys }))?.keys).toHaveLength(keys.length);
  });

  test('strategies, profiles and functions are taken as they are', () => {
    class OwnStrategy {
      readonly name = 'own';
      select(): undefined {
        return undefined;
      }
    }
    const strategy = new OwnStrategy();
    const profile = { name: 'own', providers: [], rules: [], cache: new Map() };
    const validate = (): boolean => true;
    const settings = settingsOf(provider({ keys: [], strategy, profile, validate }));
    expect(settings?.strategy).toBe(strategy);
    expect(settings?.profile).toBe(profile);
    expect(settings?.validate).toBe(validate);
    const factory = (): OwnStrategy => strategy;
    expect(settingsOf(provider({ keys: [], strategy: factory }))?.strategy).toBe(factory);
  });

  test.each([
    ['strategy', { name: 'own' }],
    ['strategy', 5],
    ['strategy', null],
    ['profile', {}],
    ['profile', ''],
    ['validate', 'yes'],
    ['fallbackBehavior', 'useSecond'],
  ])('%s: %j is none', (name, value) => {
    expect(issuesOf(provider({ keys: [], [name]: value })).map(({ path }) => path)).toEqual([
      `keyManagement.providers["*gemini*"].${name}`,
    ]);
  });
});

test('what the owner changes later does not reach the configuration', () => {
  const input = {
    retry: { retryableStatusCodes: [500] },
    keyManagement: {
      providers: { a: { keys: ['k', { key: 'l', tags: ['x'] }], groups: { g: { limits: { rpm: 1 } } } } },
    },
  };
  const config = parseConfig(input);
  const before = structuredClone(config);
  input.retry.retryableStatusCodes.push(501);
  input.keyManagement.providers.a.keys.length = 0;
  input.keyManagement.providers.a.groups.g.limits.rpm = 2;
  expect(config).toEqual(before);
});

test('one configuration does not share its defaults with the next', () => {
  expect(parseConfig({}).retry.retryableStatusCodes).not.toBe(parseConfig({}).retry.retryableStatusCodes);
  expect(parseConfig({}).queue).not.toBe(parseConfig({}).queue);
});

describe('no error shows a secret', () => {
  const leaf = fc.oneof(secrets, fc.constantFrom<unknown>(1, true, null, undefined, NaN, -5));
  const name = fc.oneof(secretNames, fc.constantFrom('keys', 'key', 'id', 'limits', 'env', 'strategy'));
  const tree = fc.letrec<{ tree: unknown }>(tie => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(name, tie('tree'), { maxKeys: 3 }),
    ),
  })).tree;
  const sections = ['queue', 'minDelayMs', 'rateLimiting', 'rules', 'keyManagement', 'providers'];
  const names = [...sections, 'p', 'keys', '0', 'limits', 'rpm'];
  const path = fc.oneof(
    fc.constant([]),
    fc.constant(['keyManagement']),
    fc.constant(['keyManagement', 'providers']),
    fc.constant(['keyManagement', 'providers', 'p']),
    fc.constant(['keyManagement', 'providers', 'p', 'keys']),
    fc.constant(['keyManagement', 'providers', 'p', 'strategy']),
    fc.array(fc.constantFrom(...names), { maxLength: 5 }),
  );

  test('whatever the shape it was put in', () => {
    fc.assert(
      fc.property(path, tree, (place, planted) => {
        const input = place.reduceRight<unknown>((inner, name) => ({ [name]: inner }), planted);
        let error: unknown;
        try {
          parseConfig(input);
        } catch (thrown) {
          error = thrown;
        }
        if (error === undefined) return;
        expect(error).toBeInstanceOf(ConfigError);
        const shown = error instanceof ConfigError ? JSON.stringify(error) + String(error.stack) + error.message : '';
        for (const secret of secretsWithin(input)) expect(shown).not.toContain(secret);
      }),
      { numRuns: 500 },
    );
  });

  test('nor what the keys are called, where they were given as an object', () => {
    expect(issuesOf(provider({ keys: { hunter: 'a' } })).map(({ path, message }) => `${path}: ${message}`)).toEqual([
      'keyManagement.providers["*gemini*"].keys.env: expected the name of an environment variable, found nothing',
      'keyManagement.providers["*gemini*"].keys: ' +
        'unknown option (its name is not shown: it may be a secret); known here: `env`',
    ]);
  });

  test('nor a number in the place of a key', () => {
    expect(issueOf(provider({ keys: [{ key: 4711 }] }))).not.toContain('4711');
    expect(issueOf(provider({ keys: 4711 }))).not.toContain('4711');
    expect(issueOf({ keyManagement: { providers: { p: 4711 } } })).not.toContain('4711');
    expect(issueOf(provider({ keys: [{ key: 'a', priority: true }] }))).not.toContain('true');
  });
});

function secretsWithin(value: unknown): string[] {
  if (typeof value === 'string') return value.length > 12 ? [value] : [];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => [
    ...(name.length > 14 ? [name] : []),
    ...secretsWithin(member),
  ]);
}
