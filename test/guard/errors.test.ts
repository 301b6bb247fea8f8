import { inspect } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  AbortedError,
  AttemptTimeoutError,
  CircuitOpenError,
  ClosedError,
  ConfigError,
  DeadlineError,
  FallbackError,
  formatWindow,
  GuardError,
  NoKeyError,
  PoolExhaustedError,
  QueueFullError,
  RateLimitError,
} from '../../src/guard/errors.ts';

const burst = { name: 'burst', requests: 10, windowMs: 10_000 };
const attempts = [{ keyId: 'a', provider: 'gemini', fault: 'rate_limit', status: 429, durationMs: 12 }];

const ALL: readonly [GuardError, name: string, code: string][] = [
  [new RateLimitError(burst), 'RateLimitError', 'RATE_LIMITED'],
  [new QueueFullError(100), 'QueueFullError', 'QUEUE_FULL'],
  [new CircuitOpenError(), 'CircuitOpenError', 'CIRCUIT_OPEN'],
  [new PoolExhaustedError({ provider: 'p', keys: [] }), 'PoolExhaustedError', 'POOL_EXHAUSTED'],
  [new NoKeyError({ provider: 'p' }), 'NoKeyError', 'NO_KEY'],
  [new FallbackError({ provider: 'p', left: [] }), 'FallbackError', 'FALLBACKS_EXHAUSTED'],
  [new DeadlineError(), 'DeadlineError', 'DEADLINE_EXCEEDED'],
  [new AttemptTimeoutError(5000), 'AttemptTimeoutError', 'ATTEMPT_TIMEOUT'],
  [new AbortedError(), 'AbortError', 'ABORTED'],
  [new ClosedError(), 'ClosedError', 'CLOSED'],
  [new ConfigError([]), 'ConfigError', 'CONFIG_INVALID'],
];

describe.each(ALL)('%s', (error, name, code) => {
  test('has a stable name and code', () => {
    expect(error).toBeInstanceOf(GuardError);
    expect(error).toBeInstanceOf(Error);
    expect([error.name, error.code]).toEqual([name, code]);
    expect(error.stack).toContain(`${name}: ${error.message}`);
    expect(String(error)).toBe(`${name}: ${error.message}`);
  });

  test('has no attempts until some are given, and says so in JSON without its stack', () => {
    const json: unknown = JSON.parse(JSON.stringify(error));
    expect(json).toMatchObject({ name, code, message: error.message, attempts: [] });
    expect(json).not.toHaveProperty('stack');
    expect(Object.isFrozen(error.attempts)).toBe(true);
  });
});

describe('messages callers match by their beginning', () => {
  test.each([
    [500, '500ms'],
    [1500, '1500ms'],
    [10_000, '10s'],
    [60_000, '1m'],
    [90_000, '90s'],
    [3_600_000, '1h'],
    [86_400_000, '1d'],
    [0, '0ms'],
  ])('a window of %i ms is printed as %s', (windowMs, text) => {
    expect(formatWindow(windowMs)).toBe(text);
    const { message } = new RateLimitError({ ...burst, windowMs });
    expect(message.startsWith(`Rate limit exceeded: 10 requests per ${text}. `)).toBe(true);
  });

  test('queue and breaker', () => {
    expect(new QueueFullError(100).message).toMatch(/^Queue full \(100 items\)\. Request rejected\. /);
    expect(new CircuitOpenError({ provider: 'gemini', retryAfterMs: 30_000 }).message).toBe(
      'Circuit breaker is OPEN - service temporarily unavailable (provider "gemini"). Try again in 30s.',
    );
    expect(new CircuitOpenError().message).toBe(
      'Circuit breaker is OPEN - service temporarily unavailable. Try again later.',
    );
  });
});

describe('when to come back', () => {
  test.each([
    [undefined, 'later'],
    [Infinity, 'later'],
    [NaN, 'later'],
    [-5, 'now'],
    [0, 'now'],
    [0.4, 'in 1ms'],
    [999, 'in 999ms'],
    [1000, 'in 1s'],
    [1001, 'in 2s'],
    [119_500, 'in 120s'],
    [150_000, 'in 3m'],
    [7_300_000, 'in 3h'],
    [200_000_000, 'in 3d'],
  ])('%s ms reads: try again %s', (retryAfterMs, text) => {
    expect(new RateLimitError(burst, { retryAfterMs }).message).toBe(
      `Rate limit exceeded: 10 requests per 10s. Try again ${text}.`,
    );
  });

  test('is a finite number of ms, or absent', () => {
    expect(new RateLimitError(burst, { retryAfterMs: 1500 }).retryAfterMs).toBe(1500);
    expect(new RateLimitError(burst, { retryAfterMs: -1 }).retryAfterMs).toBe(0);
    expect(new RateLimitError(burst, { retryAfterMs: Infinity })).not.toHaveProperty('retryAfterMs');
  });
});

test('a refused session is known to code, but not to logs', () => {
  const error = new RateLimitError(burst, { session: 'session-token-1' });
  expect(error.session).toBe('session-token-1');
  expect(error.rule).toEqual(burst);
  expect(error.toJSON()['rule']).toEqual(burst);
  for (const text of [inspect(error, { depth: null }), JSON.stringify(error), String(error.stack)]) {
    expect(text).not.toContain('session-token-1');
  }
});

describe('an exhausted pool', () => {
  const keys = [
    { id: 'a', state: 'cooling', reason: 'rate_limit', untilMs: Date.UTC(2030, 0, 1) },
    { id: 'b', state: 'disabled', reason: 'invalid_key' },
    { id: 'c', state: 'cooling', reason: 'rate_limit' },
  ];

  test('says per key why, and when the first is back', () => {
    const details = { retryAtMs: Date.UTC(2030, 0, 1), retryAfterMs: 5, attempts };
    const error = new PoolExhaustedError({ provider: 'gemini', keys, ...details });
    expect(error.message).toBe(
      'No key of provider "gemini" is ready (2 cooling, 1 disabled). ' +
        'The first is back at 2030-01-01T00:00:00.000Z: call again then, or add a key.',
    );
    expect(error.toJSON()).toMatchObject({ provider: 'gemini', keys, ...details });
  });

  test.each([undefined, Infinity, NaN])('that comes back at %s does not by waiting', retryAtMs => {
    const error = new PoolExhaustedError({ provider: 'p', keys: [], retryAtMs });
    expect(error.retryAtMs).toBeUndefined();
    expect(error.message).toBe(
      'No key of provider "p" is ready. None comes back by waiting: `keys` says why of each.',
    );
  });
});

test('a provider name that a client chose stays on one short line', () => {
  const { message } = new NoKeyError({ provider: `a\nb${'c'.repeat(1000)}` });
  expect(message).not.toContain('\n');
  expect(message.length).toBeLessThan(400);
});

test('timeouts and deadlines say how long they were', () => {
  expect(new AttemptTimeoutError(5000).message).toContain('within 5s');
  expect(new DeadlineError({ deadlineMs: 60_000 }).message).toContain('deadline of 1m.');
});

test('the reason of an abort is its cause, and stays out of JSON', () => {
  const reason = new Error('secret');
  const error = new AbortedError({ cause: reason });
  expect(error.cause).toBe(reason);
  expect(JSON.stringify(error)).not.toContain('secret');
  expect('cause' in new AbortedError()).toBe(false);
});

test('a wrong configuration lists its issues one a line', () => {
  const issues = [
    { path: 'retry.maxRetries', message: 'expected a whole number' },
    { path: '', message: 'expected an object' },
  ];
  const error = new ConfigError(issues);
  expect(error.message.split('\n').slice(1)).toEqual([
    '  retry.maxRetries: expected a whole number',
    '  config: expected an object',
  ]);
  expect(error.toJSON()['issues']).toEqual(issues);
});

describe('refusals capture no stack', () => {
  const limit = Error.stackTraceLimit;
  afterEach(() => {
    Error.stackTraceLimit = limit;
  });

  const refusals = [() => new RateLimitError(burst), () => new QueueFullError(1), () => new CircuitOpenError()];

  test.each(refusals.map(create => [create().name, create] as const))('%s', (_, create) => {
    const error = create();
    expect(error.stack).toBe(`${error.name}: ${error.message}`);
  });

  test('and leave the stacks of all other errors alone', () => {
    Error.stackTraceLimit = 7;
    for (const create of refusals) create();
    expect(Error.stackTraceLimit).toBe(7);
    expect(new ClosedError().stack).toContain('\n    at ');
  });

  test('and work where the limit is frozen', () => {
    Object.defineProperty(Error, 'stackTraceLimit', { writable: false });
    try {
      for (const create of refusals) expect(create().code).toMatch(/^[A-Z_]+$/);
      expect(Error.stackTraceLimit).toBe(limit);
    } finally {
      Object.defineProperty(Error, 'stackTraceLimit', { writable: true });
    }
  });
});

describe('an error of another copy of the package', () => {
  // As in a program that imports the ES module and requires the CommonJS build.
  const load = async () => {
    vi.resetModules();
    return import('../../src/guard/errors.ts');
  };

  test('is an instance of the same class and of GuardError, and of no other', async () => {
    const other = await load();
    expect(other.ClosedError).not.toBe(ClosedError);
    const error: unknown = new other.ClosedError();
    expect(error instanceof ClosedError).toBe(true);
    expect(error instanceof GuardError).toBe(true);
    expect(error instanceof AbortedError).toBe(false);
    expect(new other.AbortedError() instanceof AbortedError).toBe(true);
  });

  test('is no instance of a subclass of one\'s own', async () => {
    class OwnError extends ClosedError {}
    const { ClosedError: OtherClosedError } = await load();
    expect(new OtherClosedError() instanceof OwnError).toBe(false);
    expect(new OwnError() instanceof OwnError).toBe(true);
    expect(new OwnError() instanceof GuardError).toBe(true);
  });

  test('leaves other values what they are', () => {
    for (const value of [null, undefined, 'text', {}, new Error('plain'), { name: 'ClosedError' }]) {
      expect(value instanceof GuardError).toBe(false);
    }
  });
});
