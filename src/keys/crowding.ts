/** So many refusals are remembered. */
const REMEMBERED = 8;
/** What was under way a while ago may have been under another limit. */
const PERIOD_MS = 300_000;

/**
 * Tells a limit of attempts at once from one over time, which looks much like it under a steady load: only what has many
 * beside it is refused then, and never what comes alone.
 */
export class Crowding {
  /** How many others were under way beside what was refused. */
  private readonly refusals: number[] = [];
  /** The most that were under way beside what was let through, in this period and in the one before. */
  private peak = 0;
  private peakBefore = 0;
  private since: number;

  constructor(now: number) {
    this.since = now;
  }

  /** True where attempts at once may be all that is limited. */
  get isLikely(): boolean {
    if (this.refusals.length === 0) return false;
    const peak = Math.max(this.peak, this.peakBefore);
    // What has been answered is under way here until the answer has come.
    return Math.min(...this.refusals) >= Math.max(1, peak - 1 - Math.floor(peak / 10));
  }

  admitted(others: number, now: number): void {
    if (now - this.since >= PERIOD_MS) {
      this.peakBefore = this.peak;
      this.peak = 0;
      this.since = now;
    }
    this.peak = Math.max(this.peak, others);
  }

  refused(others: number): void {
    if (this.refusals.length >= REMEMBERED) this.refusals.shift();
    this.refusals.push(others);
  }

  setBack(byMs: number): void {
    this.since -= byMs;
  }
}
