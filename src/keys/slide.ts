/** Figures told in whole seconds may be off by as much; others by how the time is read. */
const COARSE_MS = 1000;
const FINE_MS = 20;
/** Providers state limits by these times. */
const USUAL_WINDOWS_MS = [60_000, 3_600_000, 86_400_000];

/**
 * Finds out whether a window slides. Nothing is used of it when its newest request has left, so that each answer tells a
 * reset one window after its own request. A window that comes back at once tells the same reset to all that are in it;
 * one that comes back bit by bit a nearer one the less of it is used.
 */
export class Slide {
  /** How long the window is; undefined where it does not slide, as far as is known. */
  windowMs: number | undefined = undefined;
  private candidateMs: number | undefined = undefined;
  /** When the last request of the figures that fit was answered. */
  private fitAt = -Infinity;
  /** Two that fit have been far enough from one another, and in one window. */
  private isMoving = false;
  /** One that fits was of a window of which little was used. */
  private isEven = false;

  /**
   * @param used at the time of the answer
   * @param resetAt epoch ms
   * @param at when the request was sent
   */
  hear(limit: number, used: number, resetAt: number, at: number, now: number): void {
    if (used < 1) return;
    const byMs = resetAt % 1000 === 0 || (resetAt - now) % 1000 === 0 ? COARSE_MS : FINE_MS;
    const fits = (windowMs: number): boolean => resetAt - windowMs >= at - byMs && resetAt - windowMs <= now + byMs;
    const windowMs = USUAL_WINDOWS_MS.find(fits);
    if (windowMs === undefined || (this.candidateMs !== undefined && windowMs !== this.candidateMs)) {
      // One that was refused is not in the window, and tells the reset of the newest that is.
      if (used < limit) this.forget();
      return;
    }
    // An answer that has taken long fits too much.
    if (now - at > windowMs / 4) return;
    this.candidateMs = windowMs;
    if (at - this.fitAt > 2 * byMs && at - this.fitAt < windowMs / 2) this.isMoving = true;
    if (used <= limit / 2) this.isEven = true;
    // The first of several that came together is the one to be far from.
    if (now - this.fitAt >= windowMs / 2 || at - this.fitAt > 2 * byMs) this.fitAt = now;
    if (this.isMoving && this.isEven) this.windowMs = windowMs;
  }

  private forget(): void {
    this.windowMs = undefined;
    this.candidateMs = undefined;
    this.fitAt = -Infinity;
    this.isMoving = false;
    this.isEven = false;
  }
}
