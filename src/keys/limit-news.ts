import type { LearnedLimit, LearnedLimitData } from './learned-limit.ts';

/** Resets that differ by no more are those of one window. */
const SAME_RESET_MS = 2000;

/**
 * Which figures of learned limits other processes are to hear of. Every answer brings new ones, and they hear some
 * themselves: told are the size of a limit, that it refills, and that half is left of what was told before. So a limit of
 * thousands is told of a dozen times before it is used up.
 */
export class LimitNews {
  private readonly told = new WeakMap<LearnedLimit, LearnedLimitData>();

  isNews(limit: LearnedLimit, now: number): boolean {
    const told = this.told.get(limit);
    const { left, limit: size, refillMs, resetAt = 0, windowMs } = limit.figures;
    if (!told || size !== told.limit || windowMs !== told.windowMs) return true;
    if (refillMs !== undefined && told.refillMs === undefined) return true;
    if (left === undefined) return false;
    const { left: toldLeft = Infinity, resetAt: toldResetAt = 0 } = told;
    if (left < 1 && toldLeft < 1) return resetAt > toldResetAt + SAME_RESET_MS;
    return left <= (now < toldResetAt ? toldLeft : (size ?? Infinity)) / 2;
  }

  /** The others know this of it. */
  note(limit: LearnedLimit): void {
    this.told.set(limit, limit.figures);
  }
}
