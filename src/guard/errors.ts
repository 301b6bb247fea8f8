/** What one attempt came to, in the order of the attempts. */
export interface AttemptRecord {
  readonly keyId?: string;
  readonly provider: string;
  readonly model?: string;
  /** The `kind` of the fault; absent where the attempt succeeded or nobody was to blame. */
  readonly fault?: string;
  readonly status?: number;
  readonly durationMs: number;
}

/** Why one key of a pool cannot be used now. */
export interface KeyObstacle {
  readonly id: string;
  readonly state: string;
  readonly reason: string;
  /** Epoch ms; absent where no time will bring the key back. */
  readonly untilMs?: number;
}

/** One thing wrong with a configuration. Holds no value that could be a secret. */
export interface ConfigIssue {
  /** The option, such as `retry.maxRetries`; empty for the configuration as a whole. */
  readonly path: string;
  readonly message: string;
}

export type GuardErrorCode =
  | 'RATE_LIMITED'
  | 'QUEUE_FULL'
  | 'CIRCUIT_OPEN'
  | 'POOL_EXHAUSTED'
  | 'NO_KEY'
  | 'FALLBACKS_EXHAUSTED'
  | 'DEADLINE_EXCEEDED'
  | 'ATTEMPT_TIMEOUT'
  | 'ABORTED'
  | 'CLOSED'
  | 'STORE_UNAVAILABLE'
  | 'CONFIG_INVALID';

export interface GuardErrorDetails {
  readonly provider?: string | undefined;
  /** When the call may be made again, ms from now. */
  readonly retryAfterMs?: number | undefined;
  readonly attempts?: readonly AttemptRecord[] | undefined;
  readonly cause?: unknown;
}

const KINDS = Symbol.for('execution-guard.error');

const NO_ATTEMPTS: readonly AttemptRecord[] = Object.freeze([]);

/** The base of every error the guard itself raises; what a callback throws is passed on as it is. */
export class GuardError extends Error {
  readonly code: GuardErrorCode;
  // Declared only: a field would be there, undefined, where nothing is known.
  declare readonly provider?: string;
  /** When the call may be made again, ms from now. */
  declare readonly retryAfterMs?: number;
  /** What was tried before the guard gave up. */
  readonly attempts: readonly AttemptRecord[];

  /**
   * True for an error of any copy of this package: a program may load the ES module and the CommonJS build side by
   * side, and errors cross from one to the other.
   */
  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== 'object' || value === null) return false;
    // A subclass of a user's own is known by its prototype alone.
    if (Function.prototype[Symbol.hasInstance].call(this, value)) return true;
    const kind: unknown = Object.hasOwn(this.prototype, 'name') ? this.prototype.name : undefined;
    const kinds: unknown = Reflect.get(value, KINDS);
    return kind !== undefined && Array.isArray(kinds) && kinds.includes(kind);
  }

  /** The names of its classes, from the most general one. */
  get [KINDS](): readonly string[] {
    return ['GuardError', this.name];
  }

  // On the prototypes, so that the first line of `stack` says it too, and minifiers cannot change it.
  static {
    this.prototype.name = 'GuardError';
  }

  constructor(code: GuardErrorCode, message: string, details: GuardErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.attempts = details.attempts ?? NO_ATTEMPTS;
    if (details.provider !== undefined) this.provider = details.provider;
    const { retryAfterMs } = details;
    if (retryAfterMs !== undefined && Number.isFinite(retryAfterMs)) this.retryAfterMs = Math.max(0, retryAfterMs);
  }

  /** The error's data, without its stack and cause: a cause is foreign and may hold anything. */
  toJSON(): Record<string, unknown> {
    return {
      name: this.name,
      code: this.code,
      message: this.message,
      provider: this.provider,
      retryAfterMs: this.retryAfterMs,
      attempts: this.attempts,
    };
  }
}

/**
 * Errors of a guard that turns calls away, thousands a second at worst. Capturing a stack is most of
 * an error's cost and would show the guard's own frames: these have none. The limit is put back
 * before anything else can run, and is left alone where it is frozen.
 */
class RefusalError extends GuardError {
  constructor(code: GuardErrorCode, message: string, details: GuardErrorDetails) {
    const limit = Error.stackTraceLimit;
    const lowered = Reflect.set(Error, 'stackTraceLimit', 0);
    try {
      super(code, message, details);
    } finally {
      if (lowered) Error.stackTraceLimit = limit;
    }
  }
}

/** The inbound rule that refused a call. */
export interface ExceededRule {
  /** The rule's name in the configuration, such as `perMinute`. */
  readonly name: string;
  readonly requests: number;
  readonly windowMs: number;
}

/** An inbound rule of `rateLimiting` is used up for the call's session. */
export class RateLimitError extends RefusalError {
  declare readonly code: 'RATE_LIMITED';
  readonly rule: ExceededRule;
  readonly #session: string | undefined;

  static {
    this.prototype.name = 'RateLimitError';
  }

  constructor(rule: ExceededRule, details: GuardErrorDetails & { readonly session?: string | undefined } = {}) {
    const when = comeBack(details.retryAfterMs);
    const limit = `${rule.requests} requests per ${formatWindow(rule.windowMs)}`;
    super('RATE_LIMITED', `Rate limit exceeded: ${limit}. ${when}`, details);
    this.rule = rule;
    this.#session = details.session;
  }

  /** Whose limit it was. Neither printed nor serialized: a session id can be a credential. */
  get session(): string | undefined {
    return this.#session;
  }

  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), rule: this.rule };
  }
}

/** Too many calls are waiting already. */
export class QueueFullError extends RefusalError {
  declare readonly code: 'QUEUE_FULL';

  static {
    this.prototype.name = 'QueueFullError';
  }

  /** @param size calls waiting when this one came */
  constructor(size: number, details: GuardErrorDetails = {}) {
    super(
      'QUEUE_FULL',
      `Queue full (${size} items). Request rejected. Call again when fewer calls wait, or raise queue.maxQueueSize.`,
      details,
    );
  }
}

/** The provider has failed too often of late and is left alone for a while. */
export class CircuitOpenError extends RefusalError {
  declare readonly code: 'CIRCUIT_OPEN';

  static {
    this.prototype.name = 'CircuitOpenError';
  }

  constructor(details: GuardErrorDetails = {}) {
    const whose = details.provider === undefined ? '' : ` (provider ${quote(details.provider)})`;
    super(
      'CIRCUIT_OPEN',
      `Circuit breaker is OPEN - service temporarily unavailable${whose}. ${comeBack(details.retryAfterMs)}`,
      details,
    );
  }
}

/** The pool has keys, but none that may be used before the call must end. */
export class PoolExhaustedError extends GuardError {
  declare readonly code: 'POOL_EXHAUSTED';
  /** When the first key is back, epoch ms; undefined where waiting will not help. */
  readonly retryAtMs: number | undefined;
  readonly keys: readonly KeyObstacle[];

  static {
    this.prototype.name = 'PoolExhaustedError';
  }

  constructor(
    details: GuardErrorDetails & {
      readonly provider: string;
      readonly retryAtMs?: number | undefined;
      readonly keys: readonly KeyObstacle[];
      readonly model?: string | undefined;
    },
  ) {
    const { keys, model, provider } = details;
    const retryAtMs = isDate(details.retryAtMs) ? details.retryAtMs : undefined;
    const isBusy = keys.some(({ state }) => state === 'busy');
    const when =
      retryAtMs === undefined
        ? isBusy
          ? 'Call again when one of the calls under way has ended.'
          : 'None comes back by waiting: `keys` says why of each.'
        : `The first is back at ${new Date(retryAtMs).toISOString()}: call again then, or add a key.`;
    const what = `No key of provider ${quote(provider)} is ready${model === undefined ? '' : ` for model ${quote(model)}`}`;
    super('POOL_EXHAUSTED', `${what}${countStates(keys)}. ${when}`, details);
    this.retryAtMs = retryAtMs;
    this.keys = keys;
  }

  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), retryAtMs: this.retryAtMs, keys: this.keys };
  }
}

/** The pool has no usable key at all: its entries are missing, blank, or all taken out of use. */
export class NoKeyError extends GuardError {
  declare readonly code: 'NO_KEY';

  static {
    this.prototype.name = 'NoKeyError';
  }

  constructor(details: GuardErrorDetails & { readonly provider: string }) {
    super(
      'NO_KEY',
      `No API key for provider ${quote(details.provider)}: its pool has no usable entry. ` +
        'Name at least one key under keyManagement.providers, or set the environment variable it is read from.',
      details,
    );
  }
}

/** A provider of a fallback chain that has not answered. */
export interface LeftProvider {
  readonly provider: string;
  readonly model?: string;
  /** The kind of its fault, such as `rate_limit`, or the `code` of the guard's refusal, such as `CIRCUIT_OPEN`. */
  readonly reason: string;
  /** When it may be asked again, epoch ms; absent where that is not known. */
  readonly retryAtMs?: number;
}

/** No provider of the call's fallback chain has answered. `cause` is the last one's error, or the guard's refusal. */
export class FallbackError extends GuardError {
  declare readonly code: 'FALLBACKS_EXHAUSTED';
  /** The providers in the order of the chain, and why each was left. */
  readonly left: readonly LeftProvider[];

  static {
    this.prototype.name = 'FallbackError';
  }

  constructor(details: GuardErrorDetails & { readonly left: readonly LeftProvider[] }) {
    const lines = details.left.map(({ provider, model, reason }) => {
      const asked = model === undefined ? quote(provider) : `${quote(provider)}, model ${quote(model)}`;
      return `\n  ${asked}: ${reason}`;
    });
    const when = comeBack(details.retryAfterMs);
    super('FALLBACKS_EXHAUSTED', `No provider of the fallback chain has answered. ${when}${lines.join('')}`, details);
    this.left = details.left;
  }

  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), left: this.left };
  }
}

/** The call's deadline has passed, or would pass before the next step could help. */
export class DeadlineError extends GuardError {
  declare readonly code: 'DEADLINE_EXCEEDED';

  static {
    this.prototype.name = 'DeadlineError';
  }

  constructor(details: GuardErrorDetails & { readonly deadlineMs?: number | undefined } = {}) {
    const limit = details.deadlineMs === undefined ? '' : ` of ${formatWindow(details.deadlineMs)}`;
    const message = `The call ran into its deadline${limit}. Give it more time, or call again later.`;
    super('DEADLINE_EXCEEDED', message, details);
  }
}

/** One attempt took longer than it may. */
export class AttemptTimeoutError extends GuardError {
  declare readonly code: 'ATTEMPT_TIMEOUT';

  static {
    this.prototype.name = 'AttemptTimeoutError';
  }

  constructor(timeoutMs: number, details: GuardErrorDetails = {}) {
    super(
      'ATTEMPT_TIMEOUT',
      `The attempt gave no answer within ${formatWindow(timeoutMs)}. Raise its timeout if the provider needs longer.`,
      details,
    );
  }
}

/** The caller gave the call up. `cause` is the reason of its signal. */
export class AbortedError extends GuardError {
  declare readonly code: 'ABORTED';

  // The platform's own name, which callers already look for.
  static {
    this.prototype.name = 'AbortError';
  }

  constructor(details: GuardErrorDetails = {}) {
    super('ABORTED', 'The call was aborted by its caller.', details);
  }
}

/** The guard has been closed. */
export class ClosedError extends GuardError {
  declare readonly code: 'CLOSED';

  static {
    this.prototype.name = 'ClosedError';
  }

  constructor(details: GuardErrorDetails = {}) {
    super('CLOSED', 'The guard is closed. Create a new one for further calls.', details);
  }
}

/** The processes share their state in a store that cannot be reached, and the store says to wait for it. */
export class StoreError extends GuardError {
  declare readonly code: 'STORE_UNAVAILABLE';

  static {
    this.prototype.name = 'StoreError';
  }

  constructor(details: GuardErrorDetails = {}) {
    super(
      'STORE_UNAVAILABLE',
      'The store that the processes share cannot be reached. Call again when it is back, or let each process go on ' +
        "with its share: onStoreFailure: 'local'.",
      details,
    );
  }
}

/** The configuration cannot be used; nothing of it has taken effect. */
export class ConfigError extends GuardError {
  declare readonly code: 'CONFIG_INVALID';
  readonly issues: readonly ConfigIssue[];

  static {
    this.prototype.name = 'ConfigError';
  }

  constructor(issues: readonly ConfigIssue[]) {
    const lines = issues.map(issue => `\n  ${issue.path === '' ? 'config' : issue.path}: ${issue.message}`);
    super('CONFIG_INVALID', `Invalid configuration; please correct:${lines.join('')}`);
    this.issues = issues;
  }

  override toJSON(): Record<string, unknown> {
    return { ...super.toJSON(), issues: this.issues };
  }
}

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1000, 's'],
] as const;

/** A span in its largest whole unit: `500ms`, `10s`, `1m`, `1h`, `1d`. */
export function formatWindow(ms: number): string {
  for (const [unitMs, unit] of UNITS) if (ms >= unitMs && ms % unitMs === 0) return `${ms / unitMs}${unit}`;
  return `${ms}ms`;
}

/** Rounded up, so that coming back then is never too early. */
function comeBack(retryAfterMs: number | undefined): string {
  if (retryAfterMs === undefined || !Number.isFinite(retryAfterMs)) return 'Try again later.';
  if (retryAfterMs <= 0) return 'Try again now.';
  for (const [unitMs, unit] of UNITS) {
    // Two units at least: an hour and a second is 61 minutes, not two hours.
    if (retryAfterMs > 2 * unitMs || (unit === 's' && retryAfterMs >= unitMs)) {
      return `Try again in ${Math.ceil(retryAfterMs / unitMs)}${unit}.`;
    }
  }
  return `Try again in ${Math.ceil(retryAfterMs)}ms.`;
}

/** Provider names may come from clients: one line, and not a long one. */
function quote(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}

function countStates(keys: readonly KeyObstacle[]): string {
  if (keys.length === 0) return '';
  const counts = new Map<string, number>();
  for (const { state } of keys) counts.set(state, (counts.get(state) ?? 0) + 1);
  return ` (${[...counts].map(([state, count]) => `${count} ${state}`).join(', ')})`;
}

function isDate(ms: number | undefined): ms is number {
  return ms !== undefined && Math.abs(ms) <= 8_640_000_000_000_000;
}
