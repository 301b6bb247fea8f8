import * as z from 'zod';
import { property } from '../faults/safe-read.ts';
import { describeIssues, kindOf } from '../guard/config/issues.ts';
import { ConfigError, type ConfigIssue } from '../guard/errors.ts';
import type { FetchCallOptions } from './guarded-fetch.ts';

/**
 * What `createGuardedFetch` is called with, types aside.
 *
 * @throws ConfigError
 */
export function checkGuardedFetch(guard: unknown, options: unknown): void {
  const input = { options };
  const result = z.strictObject({ options: schema() }).safeParse(input, { jitless: true });
  const issues = [...issuesOf(guard), ...(result.success ? [] : describeIssues(result.error.issues, input))];
  if (issues.length > 0) throw new ConfigError(issues);
}

/** By what it can do: the package may be loaded twice, as ESM and as CommonJS. */
function issuesOf(guard: unknown): ConfigIssue[] {
  const isGuard = typeof property(guard, 'execute') === 'function' && property(guard, 'keys') !== undefined;
  if (isGuard) return [];
  const isObject = typeof guard === 'object' && guard !== null;
  const found = guard == null ? 'nothing' : isObject ? kindOf(guard) : `a ${typeof guard}`;
  const hint = isObject ? '; a configuration goes into `new ExecutionGuard(...)` first' : '';
  return [{ path: 'guard', message: `expected an ExecutionGuard, found ${found}${hint}` }];
}

// As in the guard's own schema, `error` says what is allowed, with alternatives in backticks.
function schema() {
  const name = 'the name of a provider';
  const bytes = 'a whole number of bytes, 0 or more';
  const method = z.custom<unknown>(value => typeof value === 'function', { error: 'a function' });
  return strict({
    provider: z.string({ error: name }).regex(/\S/, { error: name }).optional(),
    route: method.optional(),
    fetch: method.optional(),
    maxReplayBytes: z.number({ error: bytes }).int({ error: bytes }).min(0, { error: bytes }).optional(),
    estimateTokens: z.boolean({ error: '`true` or `false`' }).optional(),
    call: strict(callOptions()).optional(),
  });
}

/** Their values are checked with each call, as ever. */
function callOptions() {
  const unchecked = z.unknown().optional();
  return {
    req: unchecked,
    keyId: unchecked,
    affinity: unchecked,
    uses: unchecked,
    skipDeduplication: unchecked,
    skipQueue: unchecked,
    priority: unchecked,
    deadlineMs: unchecked,
    attemptTimeoutMs: unchecked,
    sessionId: unchecked,
    userId: unchecked,
    tags: unchecked,
    deduplicationKey: unchecked,
    idempotent: unchecked,
  } satisfies Record<keyof FetchCallOptions, z.ZodType>;
}

function strict<Shape extends z.core.$ZodShape>(shape: Shape) {
  const names = Object.keys(shape).map(each => `\`${each}\``).join(', ');
  return z.strictObject(shape, {
    error: issue => (issue.code === 'unrecognized_keys' ? names : 'an object of options'),
  });
}
