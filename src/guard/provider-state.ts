import type { Clock } from '../clock.ts';
import type { FaultProfile } from '../faults/fault.ts';
import { profileFor } from '../faults/profiles.ts';
import type { ResolvedConfig } from './config/types.ts';
import { Generations, type Member } from './deduplication/generations.ts';
import type { BreakerStore, StoreConnection } from '../state/store.ts';
import { AddressLimit } from '../keys/address-limit.ts';
import { makeRoom } from '../keys/make-room.ts';
import { AnswerTime } from './answer-time.ts';
import { Lane } from './lane.ts';
import { ProviderBreaker, type BreakerData, type BreakerState } from './provider-breaker.ts';

/** Provider names may come from clients; those not used for long are forgotten, never one of the last five hundred. */
const MAX_PROVIDERS = 1000;

/** Callers name models without end; of the oldest it is forgotten how long its answers take. */
const MAX_TIMED_MODELS = 64;

/** A smaller share of failed calls is none. */
const LEAST_ERROR_RATE = 0.01;

/** How a provider fares, as plain data. */
export interface ProviderData {
  readonly failureCount?: number | undefined;
  /** Epoch ms. */
  readonly lastFailureAt?: number | undefined;
  readonly errorRate?: number | undefined;
  readonly breaker?: BreakerData | undefined;
}

/** What is known of one provider, whoever calls it. */
export class ProviderState implements Member {
  generation = 0;
  /** Calls under way. */
  calls = 0;
  readonly name: string;
  readonly lane: Lane;
  readonly breaker: ProviderBreaker;
  /** How its answers are read where its pool does not say. */
  readonly profile: FaultProfile;
  /** What it takes from this address; undefined while its answers have said nothing of that. */
  address: AddressLimit | undefined = undefined;
  totalRequests = 0;
  failureCount = 0;
  lastFailureAt = 0;
  /** Calls that went from here to another provider or model, and that came. */
  fallbacksFrom = 0;
  fallbacksTo = 0;
  /** Smoothed, in ms. */
  responseTimeMs = 0;
  /** By model, which callers name. */
  private readonly answerTimes = new Map<string | undefined, AnswerTime>();
  private timed: AnswerTime | undefined;
  private timedModel: string | undefined;
  /** Smoothed share of failed calls, 0 to 1. */
  errorRate = 0;

  constructor(name: string, lane: Lane, breaker: ProviderBreaker) {
    this.name = name;
    this.lane = lane;
    this.breaker = breaker;
    this.profile = profileFor(name);
  }

  /** Forgotten now, it would forget whom it leaves alone, and how many calls run at once. */
  get isHeld(): boolean {
    return this.calls > 0 || this.breaker.state === 'OPEN';
  }

  succeeded(durationMs: number): void {
    this.totalRequests++;
    this.failureCount = 0;
    this.lastFailureAt = 0;
    this.responseTimeMs =
      this.responseTimeMs === 0 ? durationMs : this.responseTimeMs + 0.2 * (durationMs - this.responseTimeMs);
    this.errorRate -= 0.1 * this.errorRate;
  }

  tookTime(model: string | undefined, durationMs: number): void {
    // Most calls in a row name one model.
    if (this.timed === undefined || model !== this.timedModel) {
      this.timed = this.timesOf(model);
      this.timedModel = model;
    }
    this.timed.add(durationMs);
  }

  private timesOf(model: string | undefined): AnswerTime {
    const known = this.answerTimes.get(model);
    if (known) return known;
    makeRoom(this.answerTimes, MAX_TIMED_MODELS);
    const times = new AnswerTime();
    this.answerTimes.set(model, times);
    return times;
  }

  forgetTimes(): void {
    this.answerTimes.clear();
    this.timed = undefined;
  }

  /** Few answers of the model take longer, in ms; 0 before the first one. */
  answerTimeMs(model: string | undefined): number {
    return this.answerTimes.get(model)?.usualMs ?? 0;
  }

  failed(now: number): void {
    this.totalRequests++;
    this.failureCount++;
    this.lastFailureAt = now;
    this.errorRate += 0.1 * (1 - this.errorRate);
  }

  /** True where {@link snapshot} has something to tell. */
  get hasFailed(): boolean {
    return this.failureCount > 0 || this.errorRate >= LEAST_ERROR_RATE || this.breaker.snapshot() !== undefined;
  }

  /** Undefined where the provider is well. */
  snapshot(): ProviderData | undefined {
    if (!this.hasFailed) return undefined;
    const { failureCount, lastFailureAt, errorRate } = this;
    const breaker = this.breaker.snapshot();
    return { failureCount, lastFailureAt, errorRate, ...(breaker && { breaker }) };
  }

  restore({ failureCount = 0, lastFailureAt = 0, errorRate = 0, breaker }: ProviderData): void {
    this.failureCount = failureCount;
    this.lastFailureAt = lastFailureAt;
    this.errorRate = errorRate;
    if (breaker) this.breaker.restore(breaker);
    else this.breaker.reset();
  }

  /**
   * Failed a short while ago and not answered since, or cut off by its breaker. A half-open breaker waits for a
   * call: whoever asks before he calls must not be told to stay away then.
   */
  isInRecovery(now: number, recoveryWindowMs: number): boolean {
    // A failure in the future happened before the clock was set back.
    const isRecent = this.lastFailureAt > 0 && now >= this.lastFailureAt && now < this.lastFailureAt + recoveryWindowMs;
    return isRecent || this.breaker.state === 'OPEN';
  }
}

/** The providers that were called, by name. */
export class ProviderTable {
  private readonly clock: Clock;
  private readonly onBreakerChange: (provider: string, state: BreakerState) => void;
  private readonly table = new Generations<ProviderState>(MAX_PROVIDERS);
  private config: ResolvedConfig;
  private last: ProviderState | undefined;
  /** Where several processes share what they know. */
  private readonly shared: BreakerStore | undefined;
  private isAdopting = false;

  constructor(
    config: ResolvedConfig,
    clock: Clock,
    onBreakerChange: (provider: string, state: BreakerState) => void,
    store?: StoreConnection,
  ) {
    this.config = config;
    this.clock = clock;
    this.onBreakerChange = onBreakerChange;
    this.shared = store?.breakers({ breakerChanged: (provider, openUntil) => this.adopt(provider, openUntil) });
  }

  configure(config: ResolvedConfig): void {
    this.config = config;
    for (const [, state] of this.table) {
      state.lane.configure(laneSettings(config));
      state.breaker.configure(config.circuitBreaker);
      if (!config.enabled || !config.circuitBreaker.enabled) state.breaker.reset();
    }
  }

  of(name: string): ProviderState {
    // Most calls in a row go to one provider; the table is asked when it changes.
    if (this.last?.name === name) return this.last;
    let state = this.table.get(name);
    if (!state) {
      state = new ProviderState(
        name,
        new Lane(laneSettings(this.config), this.clock),
        new ProviderBreaker(this.config.circuitBreaker, this.clock, breakerState => {
          this.onBreakerChange(name, breakerState);
          this.tell(name, breakerState);
        }),
      );
      this.table.put(name, state);
      const openUntil = this.shared?.openUntil(name) ?? 0;
      if (openUntil > 0) this.adopt(name, openUntil);
    }
    this.table.put(name, state);
    this.last = state;
    return state;
  }

  /** What is known of the provider from elsewhere takes the place of what is. */
  restore(name: string, { breaker, ...data }: ProviderData): void {
    const { enabled, circuitBreaker } = this.config;
    const state = this.of(name);
    // What dates from before the last start is no news to the others.
    this.isAdopting = true;
    state.restore(enabled && circuitBreaker.enabled && breaker ? { ...data, breaker } : data);
    this.isAdopting = false;
  }

  /** Another process has opened the provider's breaker, or closed it. */
  private adopt(name: string, openUntil: number): void {
    const { enabled, circuitBreaker } = this.config;
    const breaker = this.table.get(name)?.breaker;
    if (!breaker || !enabled || !circuitBreaker.enabled) return;
    this.isAdopting = true;
    if (openUntil > 0) breaker.openUntilAtLeast(openUntil);
    else if (!breaker.isClosed) breaker.reset();
    this.isAdopting = false;
  }

  private tell(name: string, state: BreakerState): void {
    if (!this.shared || this.isAdopting || state === 'HALF_OPEN') return;
    const leftMs = this.table.get(name)?.breaker.retryAfterMs ?? 0;
    this.shared.tell(name, state === 'OPEN' ? this.clock.now() + leftMs : 0);
  }

  find(name: string): ProviderState | undefined {
    return this.table.get(name);
  }

  *all(): Generator<ProviderState> {
    for (const [, state] of this.table) yield state;
  }

  /** Forgets what was learned; calls under way keep the state they began with. */
  clear(): void {
    this.last = undefined;
    for (const [, state] of this.table) {
      state.failureCount = 0;
      state.lastFailureAt = 0;
      state.totalRequests = 0;
      state.errorRate = 0;
      state.responseTimeMs = 0;
      state.forgetTimes();
      state.address = undefined;
      state.fallbacksFrom = 0;
      state.fallbacksTo = 0;
    }
  }
}

function laneSettings({ enabled, queue }: ResolvedConfig): Lane['settings'] {
  return enabled && queue.enabled ? queue : { concurrency: Infinity, minDelayMs: 0, stallMs: Infinity };
}
