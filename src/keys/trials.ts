import { HOUR_MS } from '../faults/durations.ts';
import { ON_THE_WAY_MS } from '../state/on-the-way.ts';

/** While a limit is no more than likely, it is put to the test as soon as a key that rests would be. */
const FIRST_MS = 5000;
/** One that is proven is put to the test no more often than once in so many windows. */
const LEAST_WINDOWS = 2;
/** A trial whose answer takes longer is not waited for. */
const LONGEST_MS = 30_000;

/**
 * When to try whether a limit that was inferred is too low: one request more than fits, ever more rarely where it is
 * refused. Each that is let through makes room for twice as many at once.
 */
export class Trials {
  private readonly windowMs: number;
  private intervalMs = FIRST_MS;
  private nextAt: number;
  private begunAt = -Infinity;
  private isWaiting = false;
  private takenAt = -Infinity;
  private step = 1;
  private refusedAt = -Infinity;

  constructor(windowMs: number, now: number) {
    this.windowMs = windowMs;
    this.nextAt = now + this.intervalMs;
  }

  /** There is such a limit; only how high it is may change. */
  proven(now: number): void {
    const least = LEAST_WINDOWS * this.windowMs;
    if (this.intervalMs >= least) return;
    this.intervalMs = least;
    if (this.step === 1) this.nextAt = now + least;
  }

  isUnderWay(now: number): boolean {
    return this.isWaiting && now < this.begunAt + LONGEST_MS;
  }

  /** What was sent then is the trial. */
  isOf(at: number): boolean {
    return this.isWaiting && at === this.begunAt;
  }

  /**
   * When to begin one, or `at` where it is not worth it.
   *
   * @param at when there is room without one
   */
  availableBefore(at: number, now: number): number {
    const dueAt = this.isUnderWay(now) ? this.begunAt + LONGEST_MS : this.nextAt;
    // One on its own tells most: others may overtake it, and close to `at` the provider may have room already. Where
    // there is no such moment in a whole window, none is waited for.
    const quietAt = Math.min(this.takenAt + ON_THE_WAY_MS, dueAt + this.windowMs);
    const tryAt = Math.max(now, dueAt, quietAt);
    return tryAt < at - 2 * ON_THE_WAY_MS || (tryAt < at && tryAt >= dueAt + this.windowMs) ? tryAt : at;
  }

  taken(now: number): void {
    this.takenAt = now;
  }

  begin(now: number): void {
    this.begunAt = now;
    this.isWaiting = true;
  }

  /** By how much the limit rises. */
  succeeded(now: number): number {
    this.isWaiting = false;
    this.nextAt = now;
    const { step } = this;
    this.step *= 2;
    return step;
  }

  refused(now: number): void {
    // What is refused in a burst is refused for one cause.
    const isNew = this.isWaiting || now - this.refusedAt >= this.windowMs;
    if (isNew) this.intervalMs = Math.min(Math.max(HOUR_MS, this.windowMs), 2 * this.intervalMs);
    this.refusedAt = now;
    this.isWaiting = false;
    this.step = 1;
    this.nextAt = now + this.intervalMs;
  }

  setBack(byMs: number): void {
    this.nextAt -= byMs;
    this.begunAt -= byMs;
    this.takenAt -= byMs;
    this.refusedAt -= byMs;
  }
}
