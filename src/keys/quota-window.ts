/**
 * A limit over time: at most `limit` units of weight (requests = 1, tokens = many) per window. Checked with
 * `availableAt`, spent with `add`, settled with `adjust`. Needs no timer: everything is computed when looked at.
 */
export interface QuotaWindow {
  /** May be changed at any time, for instance when the provider teaches the real one. */
  limit: number;
  /** Weight that counts against the limit now; above `limit` where more was used than reserved. */
  used(now: number): number;
  /**
   * `now` when `weight` fits; else the earliest epoch ms it fits at, provided nothing else is added; Infinity when
   * it never does, being more than the limit.
   */
  availableAt(weight: number, now: number): number;
  /** Spends `weight`, whether or not it fits. */
  add(weight: number, now: number): void;
  /**
   * Corrects what was added at `at` by `delta`: negative refunds, positive adds. Nothing happens once that time no
   * longer counts, and nothing falls below zero.
   */
  adjust(at: number, delta: number, now: number): void;
  /** The provider has counted less: what it has let go of already, the oldest first, counts here no more either. */
  lower(to: number, now: number): void;
  /** What counts now, as pairs of a time (epoch ms) and a weight, oldest first; empty where nothing does. */
  entries(now: number): number[];
  /** Counts these {@link entries}, of this window or of another of the same limit, in place of its own. */
  restore(entries: readonly number[], now: number): void;
}
