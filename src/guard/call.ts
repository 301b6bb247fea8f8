import type { Fault } from '../faults/fault.ts';
import type { Accusation } from '../keys/accusation.ts';
import type { AddressLimit } from '../keys/address-limit.ts';
import type { PoolKey } from '../keys/key.ts';
import type { Lease } from '../keys/lease.ts';
import type { Blocked } from '../keys/lineup.ts';
import type { Pool } from '../keys/pool.ts';
import type { Place } from '../keys/wait-line.ts';
import type { Flight } from './deduplication/deduplicator.ts';
import type { AttemptRecord, GuardError } from './errors.ts';
import type { FallbackRun } from './fallback-run.ts';
import type { SlotHolder } from './lane.ts';
import type { ExecuteOptions, GuardedFunction } from './options.ts';
import type { Pipeline } from './pipeline.ts';
import type { ProviderState } from './provider-state.ts';

/** What a failed attempt left behind: the value or the error, as the callback gave it. */
export interface Failure {
  readonly fault: Fault;
  readonly thrown: boolean;
  /** The error thrown, or the error Response returned. */
  readonly outcome: unknown;
}

/**
 * How the last attempt ended; `interrupted` until it has ended by itself, and where something else ended it.
 * `elsewhere`: with the answer or the error of a host that is not the provider's. `no-key`: it never began.
 * `cut-off`: nor did it, the breaker has opened.
 */
export type AttemptEnd = 'answered' | 'failed' | 'elsewhere' | 'no-key' | 'cut-off' | 'interrupted';

/** What a call has spent of its retries. */
export interface RetryBudget {
  spent: number;
  /** A second try of a key was granted; it counts once it has begun. */
  isGranted: boolean;
}

/** Where a call goes that falls back: to another provider or model, for the same caller. */
export interface LegTarget {
  readonly run: FallbackRun;
  readonly model: string | undefined;
}

/**
 * One call on its way through the pipeline, with what its attempts have found out. One that falls back has a leg per
 * provider and model, each a call of its own from the circuit breaker on; the call itself is the first.
 */
export class Call implements SlotHolder {
  readonly fn: GuardedFunction<unknown>;
  readonly options: ExecuteOptions;
  readonly provider: ProviderState;
  readonly pool: Pool | undefined;
  readonly startedAt: number;
  /** Epoch ms; `Infinity` where the caller set none. */
  readonly deadlineAt: number;
  readonly model: string | undefined;
  readonly tokens: number;
  readonly priority: number;
  readonly pipeline: Pipeline;
  /** When the call last began or went on after a wait; with `model` and `tokens`, what it asks of a key. */
  now: number;
  /** When the last attempt ended. */
  endedAt: number;

  /** At this provider. */
  attempts = 0;
  end: AttemptEnd = 'interrupted';
  /** What the last attempt was answered with. */
  value: unknown = undefined;
  /** The call leads the equal ones that came after it. */
  flight: Flight | undefined = undefined;
  deduplicationKey: string | undefined = undefined;
  /** When the inbound rules counted the call; undefined where they did not. */
  countedAt: number | undefined = undefined;
  session: string | undefined = undefined;
  /** The breaker's epoch the call votes in; undefined where it has no vote. */
  breakerEpoch: number | undefined = undefined;
  /** The provider's silence that the call was counted in; see ProviderBreaker. */
  silence = 0;
  /** The one call a half-open breaker has let through. */
  isProbe = false;
  holdsSlot = false;
  slotTakenAt = 0;
  olderHolder: SlotHolder | undefined = undefined;
  newerHolder: SlotHolder | undefined = undefined;
  /** What ended the call from outside: its caller's abort, its deadline, the guard's end. */
  interruption: GuardError | undefined = undefined;
  failure: Failure | undefined = undefined;
  /** Why the last attempt found no key; undefined where none that comes back could help. */
  blocked: Blocked | undefined = undefined;
  lease: Lease | undefined = undefined;
  /** A key that belongs to no pool: the provider's own environment variable. */
  environmentKey: string | undefined = undefined;
  /** Keys to avoid while others are ready. */
  tried: Set<PoolKey> | undefined = undefined;
  /** A retry was spent: keys to avoid may serve again where no other is ready. */
  mayRepeat = false;
  /** The present attempt's key was tried before. */
  isRepeat = false;
  /** No key will be ready in time and the pool says to use the first one all the same. */
  takeFirst = false;
  /** Attempts before the one for which no key was found last. */
  foundNone = -1;
  preferredKeyId: string | undefined;
  /** What the call is to stay with one key for. */
  affinity: string | undefined = undefined;
  /** The keys that have what the call uses; undefined where any will do. */
  only: readonly PoolKey[] | undefined = undefined;
  /** Nothing reached the provider in the last attempt. */
  unsent = false;
  accusations: Accusation[] | undefined = undefined;
  hasWaited = false;
  /** Until when the call may wait for a key, in the pool's steady time; set when it first has to. */
  waitLimitAt: number | undefined = undefined;
  /** The place in the pool's line, while the call waits for a key. */
  place: Place | undefined = undefined;
  /** Undefined until an attempt was not answered: most calls need no retry. */
  budget: RetryBudget | undefined = undefined;
  /** Set where there are other providers to go to. */
  run: FallbackRun | undefined;
  private records: AttemptRecord[] | undefined = undefined;

  constructor(
    fn: GuardedFunction<unknown>,
    options: ExecuteOptions,
    provider: ProviderState,
    pool: Pool | undefined,
    pipeline: Pipeline,
    now: number,
    target?: LegTarget,
  ) {
    this.fn = fn;
    this.options = options;
    this.provider = provider;
    this.pool = pool;
    this.startedAt = now;
    this.now = now;
    this.endedAt = now;
    this.pipeline = pipeline;
    this.run = target?.run;
    if (target) this.deadlineAt = target.run.origin.deadlineAt;
    else this.deadlineAt = options.deadlineMs === undefined ? Infinity : now + options.deadlineMs;
    this.model = target ? target.model : options.model;
    // A key's id means something at the provider the caller spoke of, and nowhere else.
    const isElsewhere = target !== undefined && target.run.origin.provider !== provider;
    this.preferredKeyId = isElsewhere ? undefined : options.keyId;
    this.tokens = options.tokens ?? 0;
    this.priority = options.priority ?? 0;
  }

  /** With `model`, `tokens` and `now`, what it asks of a key. */
  get address(): AddressLimit | undefined {
    return this.provider.address;
  }

  /** The trail: failed attempts in order, and the last one if it was answered after failures. */
  get trail(): readonly AttemptRecord[] {
    // The same array throughout: an error made before the last attempt is recorded shows that one too.
    return (this.origin.records ??= []);
  }

  record(record: AttemptRecord): void {
    (this.origin.records ??= []).push(record);
  }

  /** The last attempt has brought what goes to the caller, whoever it came from. */
  get hasAnswer(): boolean {
    return this.end === 'answered' || (this.end === 'elsewhere' && this.failure === undefined);
  }

  /** The call its caller made. */
  get origin(): Call {
    return this.run ? this.run.origin : this;
  }

  /** The leg that has the last word. */
  get last(): Call {
    return this.run ? this.run.last : this;
  }

  /** At all providers. */
  get attemptsInAll(): number {
    return this.run ? this.run.attempts : this.attempts;
  }

  /** It has waited or asked a provider, and may finish what it began. */
  get hasBegun(): boolean {
    return this.run ? this.run.hasBegun : this.hasWaited || this.attempts > 0;
  }
}
