import { LRUCache } from 'lru-cache';
import type { Clock } from '../../clock.ts';
import { onAbort } from '../abort.ts';
import { AbortedError, DeadlineError } from '../errors.ts';
import { footprint } from './footprint.ts';
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

/** In an object, because the cache cannot hold null. */
interface Answer {
  /** Nobody's but the cache's: whoever is served gets a copy of his own. */
  readonly value: unknown;
}

/** How a wait for another call ends. */
type Verdict =
  | { readonly kind: 'answer'; readonly value: unknown }
  | { readonly kind: 'failure'; readonly error: unknown }
  | { readonly kind: 'run' }
  | { readonly kind: 'lead' };

const RUN: Verdict = { kind: 'run' };
const LEAD: Verdict = { kind: 'lead' };

/** One call under way, with those that follow it. */
export class Flight {
  /** Made for the first follower: most calls have none. */
  followers: Set<Follower> | undefined = undefined;
  /** Cleared away while it was under way: its outcome is not kept. */
  isForgotten = false;
}

/** A call that waits for an equal one. */
class Follower {
  readonly verdict: Promise<Verdict>;
  private end!: (verdict: Verdict) => void;
  private unsubscribe: (() => void) | undefined;

  constructor(flight: Flight, signal: AbortSignal | undefined) {
    const followers = (flight.followers ??= new Set());
    this.verdict = new Promise((resolve, reject) => {
      this.end = resolve;
      if (signal === undefined) return;
      this.unsubscribe = onAbort(signal, () => {
        followers.delete(this);
        reject(new AbortedError({ cause: signal.reason }));
      });
    });
    followers.add(this);
  }

  dismiss(verdict: Verdict): void {
    this.unsubscribe?.();
    this.end(verdict);
  }
}

const SAMPLED_ANSWERS = 64;
const SAMPLED_VALUES = 1000;
/** A cache entry without its answer: the key and its places in the cache's lists. */
const ENTRY_BYTES = 200;

/**
 * Runs equal calls once. The first call of a key leads; those that come while it is under way follow.
 *
 * - An answer is given to everybody, each a copy of his own, and kept for `ttlSeconds`.
 * - An answer that cannot be shared (a stream, a Response, undefined) is the leader's; all followers
 *   then make their own calls, at once and side by side.
 * - A failure is shared by the followers, so that an outage is not multiplied, and never kept.
 * - A failure that is the leader's own affair, its caller's abort or its deadline, is nobody else's: one
 *   follower takes the lead, the others follow it.
 * - A follower whose caller aborts is rejected at once with AbortedError; nobody else notices.
 */
export class Deduplicator {
  readonly #clock: Clock;
  readonly #flights = new Map<string, Flight>();
  #answers: LRUCache<string, Answer> | undefined;
  #ttlSeconds = 30;
  #maxCacheSize = 1000;
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
    const old = this.#answers;
    const ttl = Math.ceil(ttlSeconds * 1000);
    const max = Math.floor(maxCacheSize);
    if (old?.ttl === ttl && old.max === max) return;
    // To lru-cache a start of 0 means no expiry, and a test's clock may well start at 0.
    const now = () => this.#clock.now() + 1;
    this.#answers = ttl > 0 && max > 0 ? new LRUCache({ max, ttl, ttlResolution: 0, perf: { now } }) : undefined;
    if (old === undefined) return;
    for (const key of old.rkeys()) {
      const ageMs = old.ttl - old.getRemainingTTL(key);
      if (ageMs <= ttl) this.#answers?.set(key, old.peek(key), { start: now() - ageMs });
    }
  }

  /** The outcome of `execute`, or of an equal call: `key` stands for one request, and so for one type of answer. */
  run<T>(key: string, signal: AbortSignal | undefined, execute: () => Promise<T>): Promise<T> {
    return this.join(key, signal, execute) ?? this.#lead(key, this.takeOff(key), signal, execute);
  }

  /** The outcome of an equal call, where there is one to follow; `execute` serves if it cannot be shared. */
  join<T>(key: string, signal: AbortSignal | undefined, execute: () => Promise<T>): Promise<T> | undefined {
    this.#calls += 1;
    if (signal?.aborted) return Promise.reject(new AbortedError({ cause: signal.reason }));
    const answer = this.#find(key);
    if (answer !== undefined) return this.#serve(answer.value, signal, execute);
    const flight = this.#flights.size === 0 ? undefined : this.#flights.get(key);
    return flight && this.#follow(key, flight, signal, execute);
  }

  /** Makes the call the one that others follow, until it has {@link land}ed. */
  takeOff(key: string): Flight {
    const flight = new Flight();
    this.#flights.set(key, flight);
    return flight;
  }

  /** Gives the leader's outcome to those that followed. */
  land(key: string, flight: Flight, signal: AbortSignal | undefined, rejected: boolean, outcome: unknown): void {
    if (rejected) this.#fail(key, flight, signal, outcome);
    else this.#succeed(key, flight, outcome);
  }

  /** Forgets every answer, those of the calls under way included. */
  clear(): void {
    this.#answers?.clear();
    // Later calls start afresh; followers of a call under way still get what they wait for.
    for (const flight of this.#flights.values()) flight.isForgotten = true;
    this.#flights.clear();
  }

  stats(): DeduplicationStats {
    this.#answers?.purgeStale();
    return {
      totalCachedRequests: this.#answers?.size ?? 0,
      totalDuplicateRequestsBlocked: this.#served,
      cacheHitRate: this.#calls === 0 ? 0 : this.#served / this.#calls,
      memoryUsage: this.#estimateMemory(),
    };
  }

  #find(key: string): Answer | undefined {
    const answer = this.#answers?.get(key);
    // A clock that was set back would keep the answer alive for as long again.
    if (answer === undefined || this.#answers!.getRemainingTTL(key) <= this.#answers!.ttl) return answer;
    this.#answers!.delete(key);
    return undefined;
  }

  #lead<T>(key: string, flight: Flight, signal: AbortSignal | undefined, execute: () => Promise<T>): Promise<T> {
    return start(signal, execute).then(
      (value) => {
        this.#succeed(key, flight, value);
        return value;
      },
      (error: unknown) => {
        this.#fail(key, flight, signal, error);
        throw error;
      },
    );
  }

  #follow<T>(
    key: string,
    flight: Flight,
    signal: AbortSignal | undefined,
    execute: () => Promise<T>,
  ): Promise<T> {
    // In a continuation, so that what runs here runs in the follower's async context, not the leader's.
    return new Follower(flight, signal).verdict.then((verdict) => {
      switch (verdict.kind) {
        case 'answer':
          return this.#serve(verdict.value, signal, execute);
        case 'failure':
          this.#served += 1;
          throw verdict.error;
        case 'run':
          return start(signal, execute);
        case 'lead':
          return this.#lead(key, flight, signal, execute);
      }
    });
  }

  #succeed(key: string, flight: Flight, value: unknown): void {
    const answers = this.#detach(key, flight) ? this.#answers : undefined;
    if (answers === undefined && !flight.followers?.size) return;
    // Before the leader's caller can touch it.
    const pristine = shareable(value);
    if (pristine === NOT_SHAREABLE) {
      dismissAll(flight, RUN);
      return;
    }
    answers?.set(key, { value: pristine });
    dismissAll(flight, { kind: 'answer', value: pristine });
  }

  #fail(key: string, flight: Flight, signal: AbortSignal | undefined, error: unknown): void {
    if (signal?.aborted || error instanceof DeadlineError) {
      const [heir] = flight.followers ?? [];
      if (heir !== undefined) {
        flight.followers?.delete(heir);
        heir.dismiss(LEAD);
        return;
      }
    }
    this.#detach(key, flight);
    dismissAll(flight, { kind: 'failure', error });
  }

  #serve<T>(pristine: unknown, signal: AbortSignal | undefined, execute: () => Promise<T>): Promise<T> {
    const copy = shareable(pristine);
    // Possible where the stack has less room than it had when the answer came.
    if (copy === NOT_SHAREABLE) return start(signal, execute);
    this.#served += 1;
    return Promise.resolve(copy as T);
  }

  /** False where the flight was forgotten while it was under way. */
  #detach(key: string, flight: Flight): boolean {
    return !flight.isForgotten && this.#flights.delete(key);
  }

  #estimateMemory(): number {
    let bytes = 0;
    let sampled = 0;
    const size = this.#answers?.size ?? 0;
    for (const answer of this.#answers?.values() ?? []) {
      if (sampled === SAMPLED_ANSWERS) break;
      bytes += ENTRY_BYTES + footprint(answer.value, SAMPLED_VALUES);
      sampled += 1;
    }
    return sampled === 0 ? 0 : Math.round((bytes / sampled) * size);
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

function dismissAll(flight: Flight, verdict: Verdict): void {
  if (!flight.followers) return;
  for (const follower of flight.followers) follower.dismiss(verdict);
  flight.followers.clear();
}
