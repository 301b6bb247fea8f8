import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mergeConfig } from '../../../src/guard/config/merge.ts';
import { parseConfig } from '../../../src/guard/config/parse.ts';
import type { ExecutionGuardConfig } from '../../../src/guard/config/types.ts';
import { ConfigError } from '../../../src/guard/errors.ts';
import { errorOf } from './support.ts';

const none = parseConfig({});

describe('what an update does not name', () => {
  test('stays, section by section and option by option', () => {
    const current = parseConfig({ retry: { maxRetries: 9, jitterMs: 1 }, queue: { minDelayMs: 7 }, enabled: false });
    const merged = mergeConfig(current, { retry: { maxRetries: 2 } });
    expect(merged).toEqual({ ...current, retry: { ...current.retry, maxRetries: 2 } });
  });

  test('undefined is not named', () => {
    const current = parseConfig({ retry: { maxRetries: 9 } });
    const silent = { retry: undefined, queue: { minDelayMs: undefined }, maxRetries: undefined };
    expect(mergeConfig(current, silent)).toEqual(current);
    expect(mergeConfig(current, undefined)).toEqual(current);
    expect(mergeConfig(current, {})).toEqual(current);
  });

  test('naming one rate rule keeps the others, and naming its requests keeps its window', () => {
    const current = { rateLimiting: { rules: { burst: { requests: 1, windowMs: 50 }, perDay: 7 } } };
    const update = { rateLimiting: { rules: { perDay: null, burst: { requests: 2 } } } };
    expect(mergeConfig(current, update).rateLimiting.rules).toEqual({
      burst: { requests: 2, windowMs: 50 },
      perMinute: null,
      perHour: null,
      perDay: null,
    });
    expect(mergeConfig(current, { rateLimiting: { rules: { perHour: 5 } } }).rateLimiting.rules).toMatchObject({
      burst: { requests: 1, windowMs: 50 },
      perHour: { requests: 5, windowMs: 3_600_000 },
      perDay: { requests: 7, windowMs: 86_400_000 },
    });
  });

  test('pools stay switched off, and are switched on by being named', () => {
    const pools = { keyManagement: { providers: { a: { keys: ['k'] } } } };
    expect(mergeConfig(none, pools).keyManagement.enabled).toBe(true);
    expect(mergeConfig({ keyManagement: { enabled: false } }, pools).keyManagement.enabled).toBe(false);
  });
});

describe('what an update replaces', () => {
  test('arrays', () => {
    const update = { retry: { retryableStatusCodes: [503] }, deduplication: { excludeEndpoints: [] } };
    const merged = mergeConfig(none, update);
    expect(merged.retry.retryableStatusCodes).toEqual([503]);
    expect(merged.deduplication.excludeEndpoints).toEqual([]);
  });

  test('the map of providers, so that a deleted key is gone', () => {
    const before = { a: { keys: ['1', '2'], strategy: 'random', leaseMs: 9 }, b: { keys: ['3'] } };
    const after = { a: { keys: ['2'] } };
    const current = parseConfig({ keyManagement: { maxWaitMs: 5, providers: before } });
    const merged = mergeConfig(current, { keyManagement: { providers: after } });
    expect(merged).toEqual(parseConfig({ keyManagement: { maxWaitMs: 5, providers: after } }));
  });
});

describe('flat knobs', () => {
  test('fold into their sections and keep the rest of them', () => {
    const economy = { minDelayMs: 1500, maxQueueSize: 100, initialBackoffMs: 3000, maxRetries: 3 };
    const merged = mergeConfig({ queue: { concurrency: 3 } }, economy);
    expect(merged.queue).toMatchObject({ concurrency: 3, minDelayMs: 1500, maxQueueSize: 100 });
    expect(merged.retry).toMatchObject({ initialBackoffMs: 3000, maxRetries: 3 });
  });

  test('win over the nested ones of the same update, but not over later ones', () => {
    expect(mergeConfig(none, { maxRetries: 1, retry: { maxRetries: 2 } }).retry.maxRetries).toBe(1);
    expect(mergeConfig({ maxRetries: 1 }, { retry: { maxRetries: 2 } }).retry.maxRetries).toBe(2);
  });
});

describe('an update that is wrong', () => {
  test.each([
    [null],
    [[]],
    ['retry'],
    [5],
    [{ retry: null }],
    [{ retry: new Map() }],
    [{ rety: {} }],
    [{ retry: { maxRetries: -1 }, enabled: false }],
  ])('%j is refused', update => {
    expect(() => mergeConfig(none, update)).toThrow(ConfigError);
  });

  test('names the option, not the merged whole', () => {
    expect(errorOf(() => mergeConfig(none, { maxRetries: 'many' })).issues).toEqual([
      { path: 'maxRetries', message: 'expected a whole number, 0 or more, found a string' },
    ]);
  });

  test('__proto__ in a JSON file pollutes nothing', () => {
    const update: unknown = JSON.parse('{"__proto__": {"polluted": true}, "queue": {"__proto__": {"minDelayMs": 5}}}');
    const { issues } = errorOf(() => mergeConfig(none, update));
    expect(issues.map(({ path }) => path)).toEqual(['queue.__proto__', '__proto__']);
    expect({}).not.toHaveProperty('polluted');
  });
});

test('neither argument is changed, and later changes of the update do not reach the result', () => {
  const current = { retry: { retryableStatusCodes: [500] } };
  const update = { keyManagement: { providers: { a: { keys: ['k'] } } } };
  const before = structuredClone({ current, update });
  const merged = mergeConfig(current, update);
  expect({ current, update }).toEqual(before);
  update.keyManagement.providers.a.keys.push('l');
  current.retry.retryableStatusCodes.push(501);
  expect(merged.keyManagement.providers['a']?.keys).toEqual(['k']);
  expect(merged.retry.retryableStatusCodes).toEqual([500]);
});

describe('any update', () => {
  const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined });
  const size = fc.integer({ min: 1, max: 1000 });
  const rule = fc.oneof(size, fc.constant(null), fc.record({ requests: size, windowMs: size }));
  const partly = { requiredKeys: [] };
  const queue = { concurrency: fc.oneof(size, fc.constant(Infinity)), minDelayMs: maybe(size), maxQueueSize: size };
  const statuses = fc.array(fc.constantFrom(429, 503));
  const retry = { enabled: fc.boolean(), maxRetries: size, retryableStatusCodes: statuses };
  const rules = { burst: rule, perMinute: maybe(rule), perDay: rule };
  const providers = fc.dictionary(fc.constantFrom('a', '*b*', 'constructor'), fc.record({ keys: fc.array(fc.uuid()) }));
  const persistence = { enabled: fc.boolean(), dataFile: fc.constantFrom('a.json', 'b.json') };
  const configs: fc.Arbitrary<ExecutionGuardConfig> = fc.record(
    {
      enabled: fc.boolean(),
      queue: maybe(fc.record(queue, partly)),
      retry: maybe(fc.record(retry, partly)),
      rateLimiting: fc.record({ rules: maybe(fc.record(rules, partly)) }, partly),
      persistence: fc.record(persistence, partly),
      keyManagement: fc.record({ maxWaitMs: size, providers: maybe(providers) }, partly),
    },
    partly,
  );

  test('keeps what it does not name and takes what it does', () => {
    fc.assert(
      fc.property(configs, configs, (current, update) => {
        const old = leaves(parseConfig(current));
        const wanted = leaves(parseConfig(update));
        for (const [path, value] of leaves(mergeConfig(current, update))) {
          const source = isNamed(update, path.split('/')) ? wanted : old;
          expect([path, value]).toEqual([path, source.get(path)]);
        }
      }),
    );
  });

  test('applied twice is applied once', () => {
    fc.assert(
      fc.property(configs, configs, (current, update) => {
        const once = mergeConfig(current, update);
        expect(mergeConfig(once, update)).toEqual(once);
      }),
    );
  });
});

/** Every option by its path; a rule, an array and the map of providers are one value each. */
function leaves(value: unknown, path: readonly string[] = []): Map<string, unknown> {
  const isWhole = path.at(-1) === 'providers' || path.at(-2) === 'rules';
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isWhole) {
    return new Map([[path.join('/'), value]]);
  }
  return new Map(Object.entries(value).flatMap(([name, member]) => [...leaves(member, [...path, name])]));
}

function isNamed(update: unknown, path: readonly string[]): boolean {
  const value = path.reduce<unknown>(
    (inner, name) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, name) : undefined),
    update,
  );
  return value !== undefined;
}
