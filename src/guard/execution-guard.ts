import { systemClock, type Clock, type Random } from '../clock.ts';
import { errorName } from '../faults/error-name.ts';
import { profileFor } from '../faults/profiles.ts';
import { Directory } from '../keys/directory.ts';
import { Call } from './call.ts';
import { maskedConfig } from './config/masked.ts';
import { mergeConfig } from './config/merge.ts';
import { parseConfig } from './config/parse.ts';
import type { ExecutionGuardConfig, ResolvedConfig } from './config/types.ts';
import { Deduplicator } from './deduplication/deduplicator.ts';
import { AbortedError, ClosedError, ConfigError, DeadlineError, formatWindow, GuardError } from './errors.ts';
import { Events, type GuardEventName, type Listener } from './events.ts';
import { FallbackChains, stopsOf, type Stop } from './fallback-chains.ts';
import type { FallbackRun } from './fallback-run.ts';
import { explainPool, type ExplainOptions, type Explanation } from './explain.ts';
import { Interruptions } from './interruption.ts';
import { KeyManager } from './key-manager.ts';
import { Persistence } from './persistence/persistence.ts';
import { checkOptions, type ExecuteOptions, type GuardedFunction } from './options.ts';
import { Pipeline, type Ending } from './pipeline.ts';
import { ProviderTable, type ProviderState } from './provider-state.ts';
import { sessionOf } from './request.ts';
import type { Runtime } from './runtime.ts';
import { SessionLimits, type Rules } from './session-limits.ts';
import { sharedGuard } from './shared.ts';
import type { StoreConnection } from '../state/store.ts';
import { admissionStage } from './stages/admission.ts';
import { attemptHandler } from './stages/attempt.ts';
import { circuitBreakerStage } from './stages/circuit-breaker.ts';
import { deduplicationStage } from './stages/deduplication.ts';
import { fallbackStage, type Routes } from './stages/fallback.ts';
import { finalCheckStage } from './stages/final-check.ts';
import { keyLeaseStage } from './stages/key-lease.ts';
import { queueSlotStage } from './stages/queue-slot.ts';
import { rateLimitStage } from './stages/rate-limit.ts';
import { retryStage } from './stages/retry.ts';
import { collectStats, type ExecutionStats } from './stats.ts';

/** What the guard reads of its surroundings; a test or a simulation brings its own. */
export interface GuardEnvironment {
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** Where keys and `fallbackBehavior: 'useEnvironment'` look; default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Hears what is odd but not wrong, such as a blank key; default `process.emitWarning`. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** Whether an inbound call would pass the rate limit now. */
export interface RateLimitCheck {
  readonly limited: boolean;
  /** The rule in words, such as `10 requests per 10s`; undefined where nothing limits. */
  readonly reason: string | undefined;
  /** In ms; 0 where nothing limits. */
  readonly retryAfterMs: number;
}

const NO_OPTIONS: ExecuteOptions = Object.freeze({});

/**
 * A pipeline of deduplication, admission, rate limit, circuit breaker, retry, queue and key lease around
 * any async call. Nothing runs until a call is made, and nothing while none is under way.
 */
export class ExecutionGuard {
  /** Keys at run time: list, add, remove, enable, disable, replace, test, reset. */
  readonly keys: KeyManager;
  readonly #runtime: Runtime;
  readonly #directory: Directory;
  readonly #providers: ProviderTable;
  readonly #persistence: Persistence;
  readonly #store: StoreConnection | undefined;
  #chains: FallbackChains;
  readonly #routes: Routes;
  #pipeline: Pipeline;
  #closed = false;

  /** @throws ConfigError, naming every option that is wrong */
  constructor(config: ExecutionGuardConfig = {}, environment: GuardEnvironment = {}) {
    const resolved = parseConfig(config);
    assertProfiles(resolved);
    const clock = environment.clock ?? systemClock;
    const random = environment.random ?? Math.random;
    const env = environment.env ?? process.env;
    const warn = environment.warn ?? emitWarning;
    const events = new Events(error => {
      warn(`An event listener threw: ${errorName(error)}`);
    });
    this.#runtime = {
      config: resolved,
      clock,
      random,
      env,
      events,
      interruptions: new Interruptions(clock),
      deduplicator: new Deduplicator({ clock, ...resolved.deduplication }),
      limits: new SessionLimits(rulesOf(resolved), resolved.rateLimiting.maxSessions, clock),
      counters: { totalRetries: 0, successAfterRetry: 0, finalFailures: 0 },
    };
    this.#store = resolved.store?.open({ clock, warn });
    this.#providers = new ProviderTable(
      resolved,
      clock,
      (provider, state) => {
        this.#persistence.touched();
        if (events.heard('breaker')) events.emit('breaker', { provider, state });
      },
      this.#store,
    );
    this.#directory = new Directory({
      clock,
      random,
      env,
      warn,
      store: this.#store,
      onKeyChange: (pool, change) => {
        if (events.heard('key')) events.emit('key', { pool: pool.pattern, ...change });
      },
    });
    this.#persistence = new Persistence({ clock, warn, directory: this.#directory, providers: this.#providers });
    this.#persistence.configure(resolved.persistence);
    this.#directory.configure(resolved.keyManagement, true);
    this.#chains = new FallbackChains(resolved.fallbacks);
    this.keys = new KeyManager(this.#directory, { clock, events, warn });
    this.#routes = {
      stopsOf: call => this.#stopsOf(call),
      legAt: (run, stop) => this.#legAt(run, stop),
    };
    this.#pipeline = this.#link();
  }

  static {
    // Bundlers rename a class that speaks of itself, and the new name would show where it is printed.
    Object.defineProperty(this, 'name', { value: 'ExecutionGuard' });
  }

  /** The guard that {@link guardedExecute} uses; made on first use, one for the whole process. */
  static getInstance(): ExecutionGuard {
    return sharedGuard(() => new ExecutionGuard());
  }

  /** See {@link clearAllRecords}, for the shared guard. */
  static clearAllData(): void {
    ExecutionGuard.getInstance().clearAllData();
  }

  /**
   * Runs `fn` through the pipeline. Resolves to what it resolves to, as it is; rejects with what it throws,
   * the same object, once no attempt is left. `context` is a provider's name, or options.
   *
   * @throws RateLimitError, QueueFullError, CircuitOpenError, PoolExhaustedError, NoKeyError, StoreError,
   * DeadlineError, AttemptTimeoutError, AbortedError, ClosedError; FallbackError where a chain is used up; ConfigError where an
   * option is not what it should be
   */
  execute<T>(fn: GuardedFunction<T>, context?: string | ExecuteOptions): Promise<T> {
    const options = typeof context === 'string' ? { providerName: context } : (context ?? NO_OPTIONS);
    let call: Call;
    try {
      // Of a name alone there is nothing to check.
      if (typeof context !== 'string' || typeof fn !== 'function') checkOptions(fn, options);
      if (this.#closed) throw new ClosedError();
      const { providerName, deadlineMs, signal } = options;
      const name = (typeof providerName === 'function' ? named(providerName) : providerName) ?? '';
      if (signal?.aborted) throw new AbortedError({ provider: name, cause: signal.reason });
      const pool = name === '' ? undefined : this.#directory.resolve(name);
      if (deadlineMs !== undefined && deadlineMs <= 0) throw new DeadlineError({ provider: name, deadlineMs });
      call = new Call(fn, options, this.#providers.of(name), pool, this.#pipeline, this.#runtime.clock.now());
    } catch (error) {
      return Promise.reject(error);
    }
    // The pipeline hands the callback's own result through, and knows nothing of its type.
    return this.#run(call) as Promise<T>;
  }

  /**
   * Resolves when a shared store can be asked, or is known to be away; at once where there is none. Calls need not wait
   * for it, but those made before count by themselves once `storeTimeoutMs` is over.
   */
  async ready(): Promise<void> {
    await this.#store?.ready();
  }

  getStats(): ExecutionStats {
    return collectStats(this.#runtime, this.#providers, this.#directory);
  }

  /** A deep copy with every default filled in, and every secret masked. */
  getConfig(): ResolvedConfig {
    return maskedConfig(this.#runtime.config);
  }

  /**
   * Changes what is named and keeps the rest; `keyManagement.providers` and `fallbacks` replace the whole map. Takes
   * effect at once: calls under way finish, waiting calls keep their place, keys keep what was learned of them.
   *
   * @throws ConfigError, ClosedError; nothing has changed then
   */
  updateConfig(update: ExecutionGuardConfig | undefined): void {
    if (this.#closed) throw new ClosedError();
    const config = mergeConfig(this.#runtime.config, update);
    assertProfiles(config);
    if (config.store !== this.#runtime.config.store) {
      throw new ConfigError([{ path: 'store', message: 'cannot be changed while the guard lives; make a new guard' }]);
    }
    this.#runtime.config = config;
    this.#runtime.deduplicator.configure(config.deduplication);
    this.#runtime.limits.configure(rulesOf(config), config.rateLimiting.maxSessions);
    this.#providers.configure(config);
    this.#persistence.configure(config.persistence);
    this.#chains = new FallbackChains(config.fallbacks);
    this.#directory.configure(config.keyManagement, update?.keyManagement?.providers !== undefined);
    this.#pipeline = this.#link();
  }

  /** Forgets cached answers. */
  clearCache(): void {
    this.#runtime.deduplicator.clear();
  }

  /** Forgets cached answers, counted requests and providers' failures. Calls under way are not touched. */
  clearAllRecords(): void {
    this.clearCache();
    this.#runtime.limits.clear();
    this.#providers.clear();
    this.#persistence.touched();
  }

  /** See {@link clearAllRecords}. */
  clearAllData(): void {
    this.clearAllRecords();
  }

  /** Closes one provider's breaker, or all. */
  resetCircuitBreaker(provider?: string): void {
    if (provider !== undefined) this.#providers.find(provider)?.breaker.reset();
    else for (const { breaker } of this.#providers.all()) breaker.reset();
  }

  /** True while the provider has failed lately and not answered since, or its breaker is open. */
  isProviderInRecovery(provider: string): boolean {
    const { clock, config } = this.#runtime;
    if (!config.fallback.enabled) return false;
    return this.#providers.find(provider)?.isInRecovery(clock.now(), config.fallback.recoveryWindowMs) ?? false;
  }

  isProviderHealthy(provider: string): boolean {
    return !this.isProviderInRecovery(provider);
  }

  /** True where the request's session has room under every inbound rule. Asking consumes nothing. */
  canMakeRequest(req?: unknown): boolean {
    return !this.checkRateLimit(req).limited;
  }

  /** As {@link canMakeRequest}, with the rule that refuses and when to come back. */
  checkRateLimit(req?: unknown): RateLimitCheck {
    const { clock, limits } = this.#runtime;
    const now = clock.now();
    const exceeded = limits.exceeded(sessionOf({ req }), now);
    if (!exceeded) return { limited: false, reason: undefined, retryAfterMs: 0 };
    const { requests, windowMs } = exceeded.rule;
    const reason = `${requests} requests per ${formatWindow(windowMs)}`;
    return { limited: true, reason, retryAfterMs: exceeded.retryAt - now };
  }

  /** Which key a call would take now, and why each other one would not. Takes nothing. */
  explain(provider: string, options: ExplainOptions = {}): Explanation {
    if (typeof provider !== 'string') {
      throw new ConfigError([{ path: 'provider', message: `expected the name of a provider, found ${typeof provider}` }]);
    }
    const pool = this.#directory.resolve(provider);
    const hops = this.#runtime.config.enabled ? this.#chains.of(provider) : undefined;
    const stops = hops ? stopsOf(hops, provider, options.model) : [];
    return explainPool(provider, this.#providers.find(provider), pool, options, stops, this.#runtime.clock.now());
  }

  /** Hears of calls, attempts, keys, fail-overs, fallbacks, breakers, queues and rotations. Returns the way to stop. */
  on<Name extends GuardEventName>(name: Name, listener: Listener<Name>): () => void {
    return this.#runtime.events.on(name, listener);
  }

  /**
   * Ends every timer and every wait the guard has started. Waiting and later calls are rejected, and so are those
   * under way that have a signal or a time limit; the signal of every callback is aborted. A callback that
   * neither asks for its signal nor is bounded finishes, without another attempt.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#runtime.interruptions.close();
    this.keys.close();
    this.#persistence.close();
    this.#directory.close();
    this.#store?.close();
  }

  async #run(call: Call): Promise<unknown> {
    let value: unknown;
    call.provider.calls++;
    try {
      value = await call.pipeline.handle(call);
    } catch (error) {
      this.#settle(call, { rejected: true, outcome: error });
      throw error;
    }
    this.#settle(call, { rejected: false, outcome: value });
    return value;
  }

  /** Books the call on its provider, the one its name function speaks of now, and tells who listens. */
  #settle(call: Call, ending: Ending): void {
    call.provider.calls--;
    if (call.deadlineAt !== Infinity) this.#runtime.interruptions.callEnded(call);
    call.pipeline.callEnded(call, ending);
    if (call.run) this.#bookLegs(call.run);
    else this.#book(call);
    if (this.#runtime.events.heard('call')) this.#announce(call, ending);
  }

  #book(call: Call): void {
    if (call.attempts === 0) return;
    const provider = this.#bookedOn(call);
    const fault = call.failure?.fault;
    if (this.#persistence.isOn && (fault !== undefined || provider.hasFailed)) this.#persistence.touched();
    if (call.end === 'answered') {
      const durationMs = Math.max(0, call.endedAt - call.now);
      provider.succeeded(durationMs);
      provider.tookTime(call.model, durationMs);
    } else if (call.end !== 'interrupted' && fault && fault.scope !== 'request') provider.failed(call.endedAt);
    else provider.totalRequests++;
  }

  /** Each provider once: of several models that it was asked for, the last one's outcome counts. */
  #bookLegs({ last, legs, origin }: FallbackRun): void {
    const asked = new Map<ProviderState, Call>();
    for (const leg of [...legs, last]) if (leg.attempts > 0) asked.set(leg.provider, leg);
    for (const leg of asked.values()) this.#book(leg);
    for (const { provider } of legs) if (provider !== origin.provider) provider.calls--;
  }

  #announce(call: Call, { rejected, outcome }: Ending): void {
    const { last, options } = call;
    this.#runtime.events.emit('call', {
      provider: last.provider.name,
      model: last.model,
      ...(last !== call && { fellBackFrom: { provider: call.provider.name, model: call.model } }),
      ok: !rejected && last.failure === undefined,
      keyId: last.end === 'answered' ? last.lease?.key.id : undefined,
      attempts: call.attemptsInAll,
      durationMs: Math.max(0, this.#runtime.clock.now() - call.startedAt),
      error: rejected ? nameOf(outcome) : undefined,
      userId: options.userId,
      sessionId: options.sessionId,
      tags: options.tags ?? [],
    });
  }

  #stopsOf({ model, options, provider }: Call): Stop[] | undefined {
    const hops = options.fallbacks ?? this.#chains.of(provider.name);
    if (!hops || hops.length === 0) return undefined;
    const stops = stopsOf(hops, provider.name, model);
    return stops.length > 0 ? stops : undefined;
  }

  #legAt(run: FallbackRun, { provider, model }: Stop): Call {
    const { fn, options, pipeline } = run.origin;
    const state = this.#providers.of(provider);
    const pool = this.#directory.resolve(provider);
    if (state !== run.origin.provider) state.calls++;
    const leg = new Call(fn, options, state, pool, pipeline, this.#runtime.clock.now(), { run, model });
    run.legs.push(leg);
    return leg;
  }

  #bookedOn(call: Call): ProviderState {
    const { providerName } = call.options;
    if (typeof providerName !== 'function' || call !== call.origin) return call.provider;
    try {
      const name = named(providerName);
      return name === undefined ? call.provider : this.#providers.of(name);
    } catch {
      return call.provider;
    }
  }

  #link(): Pipeline {
    const runtime = this.#runtime;
    const { enabled, deduplication, circuitBreaker, queue } = runtime.config;
    // It hands back how the only attempt ended.
    if (!enabled) return new Pipeline([retryStage(runtime)], attemptHandler(runtime));
    const hasRules = rulesOf(runtime.config).length > 0;
    return new Pipeline(
      [
        deduplication.enabled ? deduplicationStage(runtime) : undefined,
        queue.enabled ? admissionStage(runtime) : undefined,
        hasRules ? rateLimitStage(runtime) : undefined,
        fallbackStage(runtime, this.#routes),
        circuitBreaker.enabled ? circuitBreakerStage(runtime) : undefined,
        retryStage(runtime),
        queue.enabled ? queueSlotStage(runtime) : undefined,
        finalCheckStage(runtime, circuitBreaker.enabled),
        keyLeaseStage(runtime),
      ],
      attemptHandler(runtime),
    );
  }
}

const RULE_NAMES = ['burst', 'perMinute', 'perHour', 'perDay'] as const;

function rulesOf({ enabled, rateLimiting }: ResolvedConfig): Rules {
  if (!enabled || !rateLimiting.enabled) return [];
  return RULE_NAMES.flatMap(name => {
    const rule = rateLimiting.rules[name];
    return rule ? [{ name, ...rule }] : [];
  });
}

/** A router may not know yet, and say so by anything. */
function named(providerName: () => unknown): string | undefined {
  const name = providerName();
  return typeof name === 'string' ? name : undefined;
}

/** @throws ConfigError */
function assertProfiles({ keyManagement }: ResolvedConfig): void {
  const issues = Object.entries(keyManagement.providers).flatMap(([pattern, { profile }]) => {
    try {
      profileFor(pattern, profile);
      return [];
    } catch (error) {
      const path = `keyManagement.providers[${JSON.stringify(pattern)}].profile`;
      return [{ path, message: error instanceof Error ? error.message : String(error) }];
    }
  });
  if (issues.length > 0) throw new ConfigError(issues);
}

function nameOf(error: unknown): string {
  return error instanceof GuardError ? error.code : errorName(error);
}

function emitWarning(message: string): void {
  process.emitWarning(message, 'ExecutionGuardWarning');
}
