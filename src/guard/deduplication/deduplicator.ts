import type { Clock } from '../../clock.ts';
import { onAbort } from '../abort.ts';
import { AbortedError, DeadlineError } from '../errors.ts';
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

/** How a wait for another call ends. */
type Verdict =
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
/** An entry of the table without its answer: the key, its place and what is known of the call. */
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
    return this.join(key, signal, this.#clock.now(), execute) ?? this.#lead(key, this.takeOff(key), signal, execute);
  }

  /** The outcome of an equal call, where there is one to follow; `execute` serves if it cannot be shared. */
  join<T>(
    key: string,
    signal: AbortSignal | undefined,
    now: number,
    execute: () => Promise<T>,
  ): Promise<T> | undefined {
    this.#calls += 1;
    if (signal?.aborted) return Promise.reject(new AbortedError({ cause: signal.reason }));
    const flight = this.#flights.get(key);
    if (flight === undefined) return undefined;
    if (flight.landedAt === undefined) return this.#follow(key, flight, signal, execute);
    if (this.#isStale(flight.landedAt, now)) {
      this.#flights.delete(key);
      return undefined;
    }
    this.#flights.put(key, flight);
    return this.#serve(flight.answer, signal, execute);
  }

  /** Makes the call the one that others follow, until it has {@link land}ed. */
  takeOff(key: string): Flight {
    const flight = new Flight();
    this.#flights.put(key, flight);
    return flight;
  }

  /** Gives the leader's outcome, which came at `now`, to those that followed. */
  land(
    key: string,
    flight: Flight,
    signal: AbortSignal | undefined,
    now: number,
    rejected: boolean,
    outcome: unknown,
  ): void {
    if (rejected) this.#fail(key, flight, signal, outcome);
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

  #lead<T>(key: string, flight: Flight, signal: AbortSignal | undefined, execute: () => Promise<T>): Promise<T> {
    return start(signal, execute).then(
      (value) => {
        this.#succeed(key, flight, this.#clock.now(), value);
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

  #succeed(key: string, flight: Flight, now: number, value: unknown): void {
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

  #fail(key: string, flight: Flight, signal: AbortSignal | undefined, error: unknown): void {
    if (signal?.aborted || error instanceof DeadlineError) {
      const [heir] = flight.followers ?? [];
      if (heir !== undefined) {
        flight.followers?.delete(heir);
        heir.dismiss(LEAD);
        return;
      }
    }
    this.#remove(key, flight);
    if (flight.followers) dismissAll(flight, { kind: 'failure', error });
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

function dismissAll(flight: Flight, verdict: Verdict): void {
  const { followers } = flight;
  // An answer is kept for long.
  flight.followers = undefined;
  for (const follower of followers ?? []) follower.dismiss(verdict);
}
