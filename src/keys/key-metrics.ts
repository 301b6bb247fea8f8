import { LatencyHistogram } from './latency-histogram.ts';

export interface LatencySummary {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** What a key has done, for stats. The maps are made on first use: an idle key holds a few numbers. */
export class KeyMetrics {
  successes = 0;
  rateLimitHits = 0;
  inputTokens = 0;
  outputTokens = 0;
  cost = 0;
  private failuresByKind: Map<string, number> | undefined;
  private histogram: LatencyHistogram | undefined;

  success(latencyMs: number): void {
    this.successes++;
    this.histogram ??= new LatencyHistogram();
    this.histogram.record(latencyMs);
  }

  failure(kind: string): void {
    this.failuresByKind ??= new Map();
    this.failuresByKind.set(kind, (this.failuresByKind.get(kind) ?? 0) + 1);
  }

  get failures(): Record<string, number> {
    return Object.fromEntries(this.failuresByKind ?? []);
  }

  get latency(): LatencySummary {
    const histogram = this.histogram;
    const at = (percentile: number): number => histogram?.percentile(percentile) ?? 0;
    return { p50: at(50), p95: at(95), p99: at(99) };
  }
}
