import { ConfigError, type ConfigIssue } from './errors.ts';
import type { FallbackHop } from './config/types.ts';
import type { Usage } from '../keys/lease.ts';

export type { Usage };

/**
 * What one attempt is given. Printed, it shows a mask in the key's place. Take from it what you need: a copy by
 * spreading holds the plain fields, but not `signal`, `bind` and `reportUsage`, which are made when asked for.
 */
export interface CallContext {
  /** The key for this attempt; absent where no pool matches the provider. */
  readonly apiKey?: string;
  /** The key's id, for logs; never the secret. */
  readonly keyId: string | undefined;
  readonly provider: string;
  readonly model: string | undefined;
  /** 1 for the first attempt of the call. */
  readonly attempt: number;
  /** Aborted when the caller aborts, or the attempt's time is up. Pass it on to the request. */
  readonly signal: AbortSignal;
  /**
   * Says that what goes by this name, such as an uploaded file, belongs to the key of this attempt: calls that name it
   * in `uses` get that key, or one of its group.
   */
  readonly bind: (resource: string) => void;
  /** Replaces the token estimate by the real figures; may be called again, the last call counts. */
  readonly reportUsage: (usage: Usage) => void;
}

/** The call to guard: a function of the context, or of nothing. */
export type GuardedFunction<T> = (context: CallContext) => PromiseLike<T> | T;

/** Options of one call. All are optional. */
export interface ExecuteOptions {
  /** The inbound request, for deduplication and for the session the rate limit counts by. */
  readonly req?: unknown;
  /**
   * The provider's name, or a function that tells it: read before the first attempt; what it says after
   * the last one is the provider that health and stats are booked on.
   */
  readonly providerName?: string | (() => string | undefined) | undefined;
  /**
   * Where the call goes when its provider cannot serve it, in place of the chain of the configuration: names of
   * providers, or `{ provider, model }`. `[]`: nowhere.
   */
  readonly fallbacks?: readonly (string | FallbackHop)[] | undefined;
  /** Preferred key, taken if it is ready. Unknown ids are ignored. */
  readonly keyId?: string | undefined;
  /** Calls of the same text stay with one key while it is ready; goes before the `affinity` of the pool. */
  readonly affinity?: string | undefined;
  /**
   * What the call needs that one key has made, by the names it was given with `bind`: the call waits for that key, or
   * one of its group, and goes to no other. Names that are not known are ignored.
   */
  readonly uses?: string | readonly string[] | undefined;
  readonly skipDeduplication?: boolean | undefined;
  /** Neither waits for a slot nor counts as one that does. */
  readonly skipQueue?: boolean | undefined;
  /** Keys are filtered by it, and cool-downs may be limited to it. */
  readonly model?: string | undefined;
  /** Estimated tokens of the call, reserved from token limits until the real figure is reported. */
  readonly tokens?: number | undefined;
  /** Higher goes first when calls wait; default 0. */
  readonly priority?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * Time for the whole call, in ms from now: waiting, all attempts, back-off. A call that would have to wait for a key, and
   * be begun too late for a usual answer, is refused instead.
   */
  readonly deadlineMs?: number | undefined;
  /** Time for each attempt, in ms. */
  readonly attemptTimeoutMs?: number | undefined;
  /** Whose rate limit counts; default `req.sessionId`, else `req.ip`, else one for all. */
  readonly sessionId?: string | undefined;
  /** Told apart by deduplication, and passed on in events. */
  readonly userId?: string | undefined;
  /** Passed on in events. */
  readonly tags?: readonly string[] | undefined;
  /**
   * Joins calls of the same key without looking at `req`. A callback that makes a call of the same key waits for
   * itself, unless both calls were given the very same `req`.
   */
  readonly deduplicationKey?: string | undefined;
  /**
   * False for calls that must not run twice, such as an order: a failure after which the provider may have
   * acted (a timeout, a reset connection, a 5xx) is then not tried again. Default true.
   */
  readonly idempotent?: boolean | undefined;
}

type Check = (holds: boolean, path: string, allowed: string, found: unknown) => void;

/**
 * Refuses options that would be misread later. Only what is given is looked at, so that a call without
 * options pays nothing.
 *
 * @throws ConfigError
 */
export function checkOptions(fn: unknown, options: ExecuteOptions | null): void {
  let issues: ConfigIssue[] | undefined;
  const check: Check = (holds, path, allowed, found) => {
    if (!holds) (issues ??= []).push({ path, message: `expected ${allowed}, found ${shown(found)}` });
  };
  check(typeof fn === 'function', 'fn', 'a function', fn);
  if (typeof options !== 'object' || options === null) {
    check(false, 'options', 'a provider name or an object', options);
  } else {
    const { providerName, fallbacks, signal, tokens, priority, deadlineMs, attemptTimeoutMs, affinity, uses, model } = options;
    if (providerName !== undefined) {
      const isName = typeof providerName === 'string' || typeof providerName === 'function';
      check(isName, 'options.providerName', 'a string or a function', providerName);
    }
    if (fallbacks !== undefined) {
      const isChain = Array.isArray(fallbacks);
      check(isChain, 'options.fallbacks', 'an array of providers, or of { provider, model }', fallbacks);
      for (const [position, hop] of isChain ? fallbacks.entries() : []) {
        checkHop(check, hop, `options.fallbacks[${position}]`);
      }
    }
    if (signal !== undefined) check(isSignal(signal), 'options.signal', 'an AbortSignal', signal);
    if (affinity !== undefined) check(typeof affinity === 'string', 'options.affinity', 'a string', affinity);
    if (uses !== undefined) check(isText(uses), 'options.uses', 'a string or an array of strings', uses);
    // Callers pass on what their own clients have sent them.
    if (model !== undefined) check(typeof model === 'string', 'options.model', 'a string', model);
    if (tokens !== undefined) check(isFrom(0, tokens), 'options.tokens', 'a finite number of at least 0', tokens);
    if (priority !== undefined) check(Number.isFinite(priority), 'options.priority', 'a finite number', priority);
    // What is left of a budget may be less than nothing: such a call has run into its deadline.
    if (deadlineMs !== undefined) check(Number.isFinite(deadlineMs), 'options.deadlineMs', 'a finite number', deadlineMs);
    if (attemptTimeoutMs !== undefined) {
      check(isFrom(1, attemptTimeoutMs), 'options.attemptTimeoutMs', 'a finite number of at least 1', attemptTimeoutMs);
    }
  }
  if (issues) throw new ConfigError(issues);
}

function checkHop(check: Check, hop: unknown, path: string): void {
  if (typeof hop === 'string') {
    check(isName(hop), path, 'a provider name that is not blank', hop);
  } else if (typeof hop !== 'object' || hop === null) {
    check(false, path, 'a provider name or an object { provider, model }', hop);
  } else {
    const given = ['provider', 'model'].filter(name => Reflect.get(hop, name) !== undefined);
    check(given.length > 0, path, 'a provider, a model, or both', hop);
    for (const name of given) {
      const value: unknown = Reflect.get(hop, name);
      check(isName(value), `${path}.${name}`, 'a name that is not blank', value);
    }
  }
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value.trim() !== '';
}

/** By what it can do: polyfills and other realms have an AbortSignal of their own. */
function isSignal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const listen: unknown = Reflect.get(value, 'addEventListener');
  return typeof listen === 'function' && typeof Reflect.get(value, 'aborted') === 'boolean';
}

function isText(value: unknown): boolean {
  return typeof value === 'string' || (Array.isArray(value) && value.every(each => typeof each === 'string'));
}

function isFrom(least: number, value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= least;
}

function shown(found: unknown): string {
  if (typeof found === 'number') return String(found);
  return found === null ? 'null' : typeof found;
}
