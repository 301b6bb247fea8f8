/** One answer that takes many times as long as any before says little of the next one. */
const MOST_AT_ONCE = 2;

/**
 * How long answers take, smoothed, with the smoothed deviation: much as TCP has it, and a little more patient.
 * https://www.rfc-editor.org/rfc/rfc6298
 */
export class AnswerTime {
  private meanMs = 0;
  private deviationMs = 0;

  add(durationMs: number): void {
    if (this.meanMs === 0) {
      this.meanMs = durationMs;
      this.deviationMs = durationMs / 2;
      return;
    }
    const byMs = Math.min(durationMs, MOST_AT_ONCE * this.usualMs) - this.meanMs;
    this.meanMs += 0.2 * byMs;
    this.deviationMs += 0.2 * (Math.abs(byMs) - this.deviationMs);
  }

  /** Few take longer. */
  get usualMs(): number {
    return this.meanMs + 5 * this.deviationMs;
  }
}
