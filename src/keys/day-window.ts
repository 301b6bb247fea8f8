import { DAY_MS, HOUR_MS } from '../faults/durations.ts';
import type { QuotaWindow } from './quota-window.ts';

/** A clock that goes back further than this was set; less must not move an event into the day before. */
const JITTER_MS = HOUR_MS;

/**
 * At most `limit` per day of the provider: everything is free again at its reset, and at no other time.
 *
 * @param nextReset The provider's first reset after an epoch ms, as epoch ms. Asked once a day, when something counts.
 */
export class DayWindow implements QuotaWindow {
  limit: number;
  readonly #nextReset: (now: number) => number;
  #total = 0;
  /** When the day being counted began to count, and when it ends; -Infinity while nothing counts. */
  #since = -Infinity;
  #resetAt = -Infinity;
  #lastSeen = -Infinity;

  constructor(limit: number, nextReset: (now: number) => number) {
    this.limit = limit;
    this.#nextReset = nextReset;
  }

  used(now: number): number {
    this.#advance(now);
    return this.#total;
  }

  availableAt(weight: number, now: number): number {
    if (weight > this.limit) return Infinity;
    this.#advance(now);
    if (this.#total + weight <= this.limit) return now;
    return this.#resetAt === -Infinity ? Infinity : this.#resetAt;
  }

  add(weight: number, now: number): void {
    const time = this.#advance(now);
    if (this.#resetAt === -Infinity) this.#begin(time);
    if (weight > 0) this.#total += Math.min(weight, Number.MAX_SAFE_INTEGER);
  }

  adjust(at: number, delta: number, now: number): void {
    if (!(delta < 0 || delta > 0)) return;
    const time = this.#advance(now);
    if (this.#resetAt === -Infinity || at < this.#since) {
      // Nothing was counted then, which leaves nothing to refund; more to count, if it is still the same day.
      if (delta < 0 || this.#resetAfter(at) <= time) return;
      this.#begin(at);
    }
    this.#total = Math.max(0, this.#total + Math.min(delta, Number.MAX_SAFE_INTEGER));
  }

  lower(to: number, now: number): void {
    this.#advance(now);
    this.#total = Math.min(this.#total, Math.max(0, to));
  }

  entries(now: number): number[] {
    this.#advance(now);
    return this.#total > 0 ? [this.#since, this.#total] : [];
  }

  restore(entries: readonly number[], now: number): void {
    this.#total = 0;
    this.#since = -Infinity;
    this.#resetAt = -Infinity;
    this.#lastSeen = now;
    for (let slot = 0; slot + 1 < entries.length; slot += 2) {
      const since = Math.min(entries[slot]!, now);
      if (this.#resetAfter(since) <= now) continue;
      if (this.#resetAt === -Infinity) this.#begin(since);
      this.#total += Math.max(0, entries[slot + 1]!);
    }
  }

  #begin(time: number): void {
    this.#since = time;
    this.#resetAt = this.#resetAfter(time);
  }

  #advance(now: number): number {
    if (now >= this.#lastSeen - JITTER_MS) {
      this.#lastSeen = Math.max(now, this.#lastSeen);
    } else {
      // The clock was set back, perhaps by days: what was used still counts, until the day it shows now ends.
      this.#lastSeen = now;
      if (this.#resetAt !== -Infinity) {
        this.#since = Math.min(this.#since, now);
        this.#resetAt = Math.min(this.#resetAt, this.#resetAfter(now));
      }
    }
    if (this.#lastSeen >= this.#resetAt) {
      this.#total = 0;
      this.#since = -Infinity;
      this.#resetAt = -Infinity;
    }
    return this.#lastSeen;
  }

  #resetAfter(time: number): number {
    const reset = this.#nextReset(time);
    // A reset that is not ahead would free everything at once.
    return reset > time ? reset : time + DAY_MS;
  }
}
