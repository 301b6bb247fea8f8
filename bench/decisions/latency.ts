// Run: npx tsx --expose-gc bench/decisions/latency.ts
// What it costs to keep the latencies of a hundred thousand keys: node:perf_hooks against buckets of equal ratio.
import { createHistogram } from 'node:perf_hooks';
import { LatencyHistogram } from '../../src/keys/latency-histogram.ts';

interface Recorder {
  record(latencyMs: number): void;
}

const HISTOGRAMS = 5000;
const RECORDS = 1_000_000;

function measure(name: string, create: () => Recorder): void {
  globalThis.gc?.();
  const residentBefore = process.memoryUsage().rss;
  const kept: Recorder[] = [];
  const createdFrom = performance.now();
  for (let i = 0; i < HISTOGRAMS; i++) {
    const histogram = create();
    histogram.record(250 + (i % 100));
    kept.push(histogram);
  }
  const createMicros = ((performance.now() - createdFrom) * 1000) / HISTOGRAMS;
  const bytes = (process.memoryUsage().rss - residentBefore) / kept.length;

  const [histogram] = kept;
  const recordedFrom = performance.now();
  for (let i = 0; i < RECORDS; i++) histogram!.record(250 + (i % 100));
  const recordNanos = ((performance.now() - recordedFrom) * 1e6) / RECORDS;
  console.log(
    `${name.padEnd(28)} ${createMicros.toFixed(2)} µs to create, ${recordNanos.toFixed(0)} ns to record, ` +
      `${(bytes / 1024).toFixed(1)} KB resident`,
  );
}

measure('LatencyHistogram', () => new LatencyHistogram());
for (const figures of [1, 2, 3] as const) {
  measure(`perf_hooks, ${figures} figures`, () => createHistogram({ lowest: 1, highest: 3_600_000, figures }));
}
