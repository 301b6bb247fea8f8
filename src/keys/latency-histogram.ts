/** Each bucket is so much wider than the one before: a percentile is right to 1 %. */
const RATIO = 1.02;
const LOG_RATIO = Math.log(RATIO);
/** An answer slower than this is counted as this slow. */
const SLOWEST_MS = 3_600_000;
/** The range of buckets grows by so many at a time. */
const STEP = 32;
const MOST_PER_BUCKET = 65_535;

/**
 * Counts latencies in buckets of equal ratio, and holds only the range that has occurred: some 200 bytes for a
 * key whose answers take about as long. One of `node:perf_hooks` takes 18 KB, of which a pool of a hundred
 * thousand keys would have a hundred thousand.
 */
export class LatencyHistogram {
  private counts = new Uint16Array(STEP);
  /** The bucket that `counts` begins with; undefined before the first answer. */
  private first: number | undefined;

  record(latencyMs: number): void {
    const bucket = latencyMs > 1 ? Math.round(Math.log(Math.min(latencyMs, SLOWEST_MS)) / LOG_RATIO) : 0;
    const index = this.indexOf(bucket);
    if (this.counts[index] === MOST_PER_BUCKET) this.halve();
    this.counts[index]!++;
  }

  /** In ms, to the nearest whole one; 0 before the first answer. */
  percentile(percentage: number): number {
    if (this.first === undefined) return 0;
    let total = 0;
    for (const count of this.counts) total += count;
    let left = Math.max(1, Math.ceil((percentage / 100) * total));
    const index = this.counts.findIndex(count => (left -= count) <= 0);
    return Math.round(RATIO ** (this.first + index));
  }

  private indexOf(bucket: number): number {
    this.first ??= bucket - (bucket % STEP);
    const before = Math.ceil(Math.max(0, this.first - bucket) / STEP) * STEP;
    const needed = Math.ceil((bucket - this.first + before + 1) / STEP) * STEP;
    if (before > 0 || needed > this.counts.length) {
      const counts = new Uint16Array(Math.max(needed, before + this.counts.length));
      counts.set(this.counts, before);
      this.counts = counts;
      this.first -= before;
    }
    return bucket - this.first;
  }

  /** A full bucket halves them all: what is old counts for less. */
  private halve(): void {
    this.counts = this.counts.map(count => count >>> 1);
  }
}
