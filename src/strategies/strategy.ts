import type { Random } from '../clock.ts';

/** What a strategy may know of a key. It never sees the secret. */
export interface KeyView {
  readonly id: string;
  /** The key's place in its pool; stable while the key is in the pool. */
  readonly position: number;
  readonly weight: number;
  readonly priority: number;
  readonly group: string;
  readonly tier: string | undefined;
  readonly region: string | undefined;
  readonly tags: readonly string[];
  /** Attempts under way on this key. */
  readonly inFlight: number;
  /** Smoothed latency of the key's answers, in ms; 0 before the first. */
  readonly latencyMs: number;
  /** Smoothed share of failed attempts, 0 to 1. */
  readonly errorRate: number;
}

/** The keys that are ready now, as a set a strategy can walk without a scan. */
export interface ReadyKeys<K extends KeyView = KeyView> extends Iterable<K> {
  readonly size: number;
  has(key: K): boolean;
  /** The first ready key at or after `position` in pool order, wrapping round. */
  next(position: number): K | undefined;
  /** A ready key drawn uniformly. */
  sample(random: Random): K | undefined;
}

/** What the call asks of its key. */
export interface SelectionRequest {
  readonly model: string | undefined;
  /** Estimated tokens of the call. */
  readonly tokens: number;
  readonly now: number;
}

/**
 * Picks one of the keys that are ready. `select` proposes and changes nothing: the pool checks the
 * proposal against the request, takes it out of `ready` for this lease if it does not fit, and asks
 * again. The `on...` hooks are how a strategy keeps what it needs, in constant or logarithmic time;
 * a strategy of your own may leave them all out:
 *
 * ```ts
 * const freeFirst: SelectionStrategy = {
 *   name: 'free-first',
 *   select(ready, request) {
 *     for (const key of ready) {
 *       if (key.tier === 'free' && request.tokens < 10_000) return key;
 *     }
 *     return ready.next(0);
 *   },
 * };
 * ```
 *
 * A key put out of sight for one lease goes through `onAway` and `onReady` within that lease, so
 * neither may cost the key its place.
 */
export interface SelectionStrategy {
  readonly name: string;
  select(ready: ReadyKeys, request: SelectionRequest): KeyView | undefined;
  /** The key has become ready (or was added, ready). */
  onReady?(key: KeyView): void;
  /** The key is no longer ready. */
  onAway?(key: KeyView): void;
  /** The key was leased on this strategy's proposal. `key.inFlight` already counts the lease. */
  onLease?(key: KeyView, now: number): void;
  /** An attempt on the key has ended. `key.inFlight` no longer counts it. */
  onSettle?(key: KeyView, now: number): void;
}

/** Strategies keep state per pool, and per priority within it, so a pool is given a factory. */
export type StrategyFactory = (random: Random) => SelectionStrategy;
