/** Figures told in whole seconds may be off by as much; others by rounding, and by how the time is read. */
const COARSE_MS = 1000;
const FINE_MS = 20;
/** How closely the figures have to tell the time of one unit. */
const CLOSE = 1.3;
/** Figures that agree, of which the largest speaks of so many times as much as the smallest. */
const LEAST_FIGURES = 3;
const LEAST_SPREAD = 2;
/** Providers state limits by these times. */
const USUAL_WINDOWS_MS = [1000, 60_000, 3_600_000, 86_400_000];

/**
 * Finds out whether a limit comes back bit by bit. Its reset is then as far ahead as there is used of it: twice as much,
 * twice as long. The reset of a window comes nearer while more is used.
 */
export class Refill {
  /** After how many ms one more is there; undefined where the limit comes back at once, as far as is known. */
  unitMs: number | undefined = undefined;
  /** What all figures since the last contradiction allow. */
  private least = 0;
  private most = Infinity;
  private figures = 0;
  private fewest = Infinity;
  private largest = 0;

  /**
   * @param used at the time of the answer, which came `tookMs` after the question
   * @param resetAt epoch ms
   */
  hear(limit: number, used: number, resetAt: number, tookMs: number, now: number): void {
    // A full limit says nothing of how it comes back.
    if (used < 1) return;
    const spanMs = resetAt - now;
    const isCoarse = resetAt % 1000 === 0 || spanMs % 1000 === 0;
    const byMs = isCoarse ? COARSE_MS : FINE_MS;
    const least = Math.max(0, spanMs - byMs) / used;
    // What is left is told in whole units, and may be almost one more.
    const most = used > 1 ? (spanMs + tookMs + byMs) / (used - 1) : Infinity;
    if (least > this.most || most < this.least) this.forget();
    this.least = Math.max(this.least, least);
    this.most = Math.min(this.most, most);
    this.figures++;
    this.fewest = Math.min(this.fewest, used);
    this.largest = Math.max(this.largest, used);
    const isClear = this.figures >= LEAST_FIGURES && this.largest >= LEAST_SPREAD * this.fewest && this.most <= CLOSE * this.least;
    if (isClear) this.unitMs = this.usualUnit(limit) ?? this.most;
  }

  private usualUnit(limit: number): number | undefined {
    const usual = USUAL_WINDOWS_MS.find(ms => ms / limit >= this.least && ms / limit <= this.most);
    return usual === undefined ? undefined : usual / limit;
  }

  private forget(): void {
    this.unitMs = undefined;
    this.least = 0;
    this.most = Infinity;
    this.figures = 0;
    this.fewest = Infinity;
    this.largest = 0;
  }
}
