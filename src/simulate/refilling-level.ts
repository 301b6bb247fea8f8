import { MINUTE_MS } from '../faults/durations.ts';
import { ON_THE_WAY_MS } from '../state/on-the-way.ts';

/** What is used of a limit of the minute that refills evenly, as Redis would count it; see src/state/redis/level.ts. */
export class RefillingLevel {
  limit: number;
  private level: number;
  private at: number;
  private emptyAt = -Infinity;

  constructor(limit: number, used: number, now: number) {
    this.limit = limit;
    this.level = Math.min(used, limit);
    this.at = now;
  }

  /** The earliest time at which so much fits; `Infinity` where it never does. */
  availableAt(amount: number, now: number): number {
    if (amount > this.limit) return Infinity;
    const level = this.levelAt(now);
    // Should it arrive late, only an empty bucket has room for it.
    const needsAll = amount > this.limit - ON_THE_WAY_MS * this.perMs;
    const excess = needsAll ? level : level + amount - this.limit;
    // A binary fraction is no millisecond.
    return excess <= 1e-9 ? now : now + Math.max(1, Math.ceil(excess / this.perMs - 1e-6));
  }

  /** Each is taken to arrive as late as it can: what comes back by then was not its own. */
  add(amount: number, now: number): void {
    const level = this.levelAt(now);
    const held = ON_THE_WAY_MS * this.perMs;
    this.level = Math.max(level, held) + amount;
  }

  /** What has come back by itself since is not given back again. */
  giveBack(amount: number, takenAt: number, now: number): void {
    const level = this.levelAt(now);
    if (takenAt >= this.emptyAt) this.level = Math.max(0, level - amount);
  }

  private get perMs(): number {
    return this.limit / MINUTE_MS;
  }

  private levelAt(now: number): number {
    const left = this.level - Math.max(0, now - this.at) * this.perMs;
    if (left <= 0 && this.level > 0) this.emptyAt = this.at + this.level / this.perMs;
    this.level = Math.max(0, left);
    this.at = Math.max(now, this.at);
    return this.level;
  }
}
