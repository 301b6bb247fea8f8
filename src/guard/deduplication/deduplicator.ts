import type { Clock } from '../../clock.ts';
import { onAbort } from '../abort.ts';
import {
  AbortedError,
  AttemptTimeoutError,
  DeadlineError,
  FallbackError,
  PoolExhaustedError,
  QueueFullError,
  RateLimitError,
} from '../errors.ts';
import type { ExecuteOptions } from '../options.ts';
import { footprint } from './footprint.ts';
import { Generations, type Member } from './generations.ts';
import { NOT_SHAREABLE, shareable } from './shareable.ts';

export interface DeduplicatorOptions {
  /** How long an answer serves equal calls after it came; 0 shares calls in flight only. Default 30. */
  readonly ttlSeconds?: number | undefined;
  /** Answers kept at most; 0 shares calls in flight only. Default 1000. */
  readonly maxCacheSize?: number | undefined;
}

export interface DeduplicationStats {
  /** Answers in the cache that are still good. */
  readonly totalCachedRequests: number;
  /** Calls served by another call's outcome. */
  readonly totalDuplicateRequestsBlocked: number;
  /** Share of all calls that were, 0 to 1. */
  readonly cacheHitRate: number;
  /** Bytes behind the cached answers, estimated from a sample. */
  readonly memoryUsage: number;
}

/** What is asked of a call that leads or follows. */
export type Caller = Pick<ExecuteOptions, 'signal' | 'req' | 'attemptTimeoutMs'>;

/** Waits until `follow` is told a verdict; what `follow` returns is called where something else ends the wait. */
export type Wait = (follow: (tell: (verdict: Verdict) => void) => () => void) => Promise<Verdict>;

/** How a wait for another call ends. */
export type Verdict =
  | { readonly kind: 'answer'; readonly value: unknown }
  | { readonly kind: 'failure'; readonly error: unknown }
  | { readonly kind: 'run' }
  | { readonly kind: 'lead' };

const RUN: Verdict = { kind: 'run' };
const LEAD: Verdict = { kind: 'lead' };

/** A call under way, with those that follow it; and then its answer. */
export class Flight implements Member {
  generation = 0;
  /** When the answer came, epoch ms; undefined while there is none. */
  landedAt: number | undefined = undefined;
  /** Nobody's but the table's: whoever is served gets a copy of his own. */
  answer: unknown = undefined;
  /** What the leader was asked with; a call its callback makes for the same request must not wait for it. */
  req: unknown = undefined;
  /** Made for the first follower: most calls have none. */
  followers: Set<Follower> | undefined = undefined;
  /** Cleared away while it was under way: its outcome is not kept. */
  isForgotten = false;

  /** Equal calls are to find it, however many others are under way. */
  get isHeld(): boolean {
    return this.landedAt === undefined;
  }
}

/** A call that waits for an equal one. */
interface Follower {
  readonly caller: Caller;
  readonly tell: (verdict: Verdict) => void;
}

const SAMPLED_ANSWERS = 64;
const SAMPLED_VALUES = 1000;
/** An entry of the table without its answer: the key, its place and what is known of the call. */
const ENTRY_BYTES = 200;

/**
 * Runs equal calls once. The first call of a key leads; those that come while it is under way follow.
 *
 * - An answer is given to everybody, each a copy of his own, and kept for `ttlSeconds`.
 * - An answer that cannot be shared (a stream, a Response, undefined) is the leader's; all followers
 *   then make their own calls, at once and side by side.
 * - A failure is shared by the followers, so that an outage is not multiplied, and never kept.
 * - A failure that is the leader's own affair, its caller's abort or one of its limits, is nobody else's: one
 *   follower takes the lead, the others follow it.
 * - A follower that is interrupted leaves at once, and runs nothing; nobody else notices.
 * - A call for the very request object the leader is under way with comes from within the leader's callback, as far
 *   as anybody can tell: the leader waits for it, so it is made by itself.
 */
export class Deduplicator {
  readonly #clock: Clock;
  /** Calls under way and answers. */
  readonly #flights = new Generations<Flight>(Infinity);
  #ttlSeconds = 30;
  #maxCacheSize = 1000;
  #ttlMs = 0;
  #keepsAnswers = false;
  #calls = 0;
  #served = 0;

  constructor({ clock, ...options }: DeduplicatorOptions & { readonly clock: Clock }) {
    this.#clock = clock;
    this.configure(options);
  }

  /** Changes what is named, at once. Answers that still fit are kept. */
  configure({ ttlSeconds = this.#ttlSeconds, maxCacheSize = this.#maxCacheSize }: DeduplicatorOptions): void {
    this.#ttlSeconds = ttlSeconds;
    this.#maxCacheSize = maxCacheSize;
    this.#ttlMs = ttlSeconds * 1000;
    const max = Math.floor(maxCacheSize);
    this.#keepsAnswers = ttlSeconds > 0 && max > 0;
    this.#dropStale(this.#clock.now());
    // Calls under way leave by themselves: without answers there is nothing to bound.
    this.#flights.resize(this.#keepsAnswers ? max : Infinity);
  }

  /** The outcome of `execute`, or of an equal call: `key` stands for one request, and so for one type of answer. */
  run<T>(key: string, signal: AbortSignal | undefined, execute: () => Promise<T>): Promise<T> {
    const flight = this.find(key, this.#clock.now());
    if (signal?.aborted) return Promise.reject(new AbortedError({ cause: signal.reason }));
    const caller = { signal };
    if (flight === undefined) return this.#lead(key, this.takeOff(key, undefined), caller, execute);
    return this.share(key, flight, caller, execute, follow => waitFor(signal, follow));
  }

  /** Counts a call, and finds the equal one that is under way or has been answered. */
  find(key: string, now: number): Flight | undefined {
    this.#calls += 1;
    const flight = this.#flights.get(key);
    if (flight?.landedAt === undefined) return flight;
    if (this.#isStale(flight.landedAt, now)) {
      this.#flights.delete(key);
      return undefined;
    }
    this.#flights.put(key, flight);
    return flight;
  }

  /** The outcome of the call that was found; `execute` serves if it cannot be shared. */
  share<T>(key: string, flight: Flight, caller: Caller, execute: () => Promise<T>, wait: Wait): Promise<T> {
    if (flight.landedAt !== undefined) return this.#serve(flight.answer, caller.signal, execute);
    const { req } = caller;
    if (typeof req === 'object' && req !== null && req === flight.req) return start(caller.signal, execute);
    return this.#follow(key, flight, caller, execute, wait);
  }

  /** Makes the call the one that others follow, until it has {@link land}ed. */
  takeOff(key: string, req: unknown): Flight {
    const flight = new Flight();
    flight.req = req;
    this.#flights.put(key, flight);
    return flight;
  }

  /** Gives the leader's outcome, which came at `now`, to those that followed. */
  land(
    key: string,
    flight: Flight,
    leader: Caller,
    now: number,
    rejected: boolean,
    outcome: unknown,
  ): void {
    if (rejected) this.#fail(key, flight, leader, outcome);
    else this.#succeed(key, flight, now, outcome);
  }

  /** Forgets every answer, those of the calls under way included. */
  clear(): void {
    // Later calls start afresh; followers of a call under way still get what they wait for.
    for (const [, flight] of this.#flights) flight.isForgotten = true;
    this.#flights.clear();
  }

  stats(): DeduplicationStats {
    const answers = this.#dropStale(this.#clock.now());
    return {
      totalCachedRequests: answers,
      totalDuplicateRequestsBlocked: this.#served,
      cacheHitRate: this.#calls === 0 ? 0 : this.#served / this.#calls,
      memoryUsage: this.#estimateMemory(answers),
    };
  }

  #isStale(landedAt: number, now: number): boolean {
    const ageMs = now - landedAt;
    // A clock that was set back would keep the answer alive for as long again.
    return ageMs > this.#ttlMs || ageMs < 0;
  }

  /** Returns how many answers are left. */
  #dropStale(now: number): number {
    let answers = 0;
    for (const [key, { landedAt }] of this.#flights) {
      if (landedAt === undefined) continue;
      if (this.#keepsAnswers && !this.#isStale(landedAt, now)) answers += 1;
      else this.#flights.delete(key);
    }
    return answers;
  }

  #lead<T>(key: string, flight: Flight, caller: Caller, execute: () => Promise<T>): Promise<T> {
    return start(caller.signal, execute).then(
      (value) => {
        this.#succeed(key, flight, this.#clock.now(), value);
        return value;
      },
      (error: unknown) => {
        this.#fail(key, flight, caller, error);
        throw error;
      },
    );
  }

  #follow<T>(key: string, flight: Flight, caller: Caller, execute: () => Promise<T>, wait: Wait): Promise<T> {
    const verdict = wait((tell) => {
      const follower: Follower = { caller, tell };
      const followers = (flight.followers ??= new Set());
      followers.add(follower);
      return () => followers.delete(follower);
    });
    // In a continuation, so that what runs here runs in the follower's async context, not the leader's.
    return verdict.then((verdict) => {
      switch (verdict.kind) {
        case 'answer':
          return this.#serve(verdict.value, caller.signal, execute);
        case 'failure':
          this.#served += 1;
          throw verdict.error;
        case 'run':
          return start(caller.signal, execute);
        case 'lead':
          return this.#lead(key, flight, caller, execute);
      }
    });
  }

  #succeed(key: string, flight: Flight, now: number, value: unknown): void {
    // An answer is kept for longer than a request should be.
    flight.req = undefined;
    const isKept = this.#keepsAnswers && !flight.isForgotten;
    // Before the leader's caller can touch it.
    const pristine = isKept || flight.followers ? shareable(value) : NOT_SHAREABLE;
    if (isKept && pristine !== NOT_SHAREABLE) {
      flight.answer = pristine;
      flight.landedAt = now;
      this.#flights.put(key, flight);
    } else {
      this.#remove(key, flight);
    }
    if (flight.followers) dismissAll(flight, pristine === NOT_SHAREABLE ? RUN : { kind: 'answer', value: pristine });
  }

  #fail(key: string, flight: Flight, leader: Caller, error: unknown): void {
    const heir = heirOf(flight, leader, error);
    if (heir === undefined) {
      this.#remove(key, flight);
      if (flight.followers) dismissAll(flight, { kind: 'failure', error });
      return;
    }
    flight.followers?.delete(heir);
    // From now on, and not from its turn: it may be called for by whoever waits for it.
    flight.req = heir.caller.req;
    heir.tell(LEAD);
  }

  #serve<T>(pristine: unknown, signal: AbortSignal | undefined, execute: () => Promise<T>): Promise<T> {
    const copy = shareable(pristine);
    // Possible where the stack has less room than it had when the answer came.
    if (copy === NOT_SHAREABLE) return start(signal, execute);
    this.#served += 1;
    return Promise.resolve(copy as T);
  }

  #remove(key: string, flight: Flight): void {
    // The key may be another call's by now.
    if (!flight.isForgotten) this.#flights.delete(key);
  }

  #estimateMemory(answers: number): number {
    let bytes = 0;
    let sampled = 0;
    for (const [, { landedAt, answer }] of this.#flights) {
      if (sampled === SAMPLED_ANSWERS) break;
      if (landedAt === undefined) continue;
      bytes += ENTRY_BYTES + footprint(answer, SAMPLED_VALUES);
      sampled += 1;
    }
    return sampled === 0 ? 0 : Math.round((bytes / sampled) * answers);
  }
}

function start<T>(signal: AbortSignal | undefined, execute: () => Promise<T>): Promise<T> {
  // A follower may have been aborted between its verdict and its turn.
  if (signal?.aborted) return Promise.reject(new AbortedError({ cause: signal.reason }));
  try {
    // Whatever is returned: without a promise the flight would never land.
    return Promise.resolve(execute());
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Who takes the lead, where the failure says something of the leader alone. */
function heirOf({ followers }: Flight, leader: Caller, error: unknown): Follower | undefined {
  if (followers === undefined) return undefined;
  const last = error instanceof FallbackError ? error.cause : error;
  const isOwn = leader.signal?.aborted === true || OWN_FAILURES.some(type => last instanceof type);
  // Who would have given up no later gains nothing by a try of his own, and the others would wait for it.
  const patience = error instanceof AttemptTimeoutError ? (leader.attemptTimeoutMs ?? Infinity) : Infinity;
  for (const follower of followers) {
    if (isOwn || (follower.caller.attemptTimeoutMs ?? Infinity) > patience) return follower;
  }
  return undefined;
}

/** Limits of the leader: others have their own. */
const OWN_FAILURES = [AbortedError, DeadlineError, PoolExhaustedError, QueueFullError, RateLimitError] as const;

/** Waits for a verdict, or the caller's abort. */
function waitFor(signal: AbortSignal | undefined, follow: Parameters<Wait>[0]): Promise<Verdict> {
  return new Promise((resolve, reject) => {
    const leave = follow((verdict) => {
      unsubscribe?.();
      resolve(verdict);
    });
    const unsubscribe = signal && onAbort(signal, () => {
      leave();
      reject(new AbortedError({ cause: signal.reason }));
    });
  });
}

function dismissAll(flight: Flight, verdict: Verdict): void {
  const { followers } = flight;
  // An answer is kept for long.
  flight.followers = undefined;
  for (const follower of followers ?? []) follower.tell(verdict);
}
