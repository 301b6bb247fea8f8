import { DayWindow } from './day-window.ts';
import type { QuotaWindow } from './quota-window.ts';
import { SlidingWindow } from './sliding-window.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Limits over time; absent ones do not apply. Requests and tokens per minute and per day. */
export interface QuotaLimits {
  readonly rpm?: number | undefined;
  readonly tpm?: number | undefined;
  readonly rpd?: number | undefined;
  readonly tpd?: number | undefined;
  /** Attempts under way at once. */
  readonly concurrency?: number | undefined;
}

export type QuotaDimension = 'rpm' | 'tpm' | 'rpd' | 'tpd';

/** Used and left of one window, for stats. */
export interface QuotaUse {
  readonly limit: number;
  readonly used: number;
  readonly left: number;
}

/** When the provider's day ends; a rolling day where the provider has none. */
export type DayReset = (now: number) => number;

const DIMENSIONS: readonly QuotaDimension[] = ['rpm', 'rpd', 'tpm', 'tpd'];
const isTokens = (dimension: QuotaDimension): boolean => dimension === 'tpm' || dimension === 'tpd';

/** All windows of one key or one group: checked together, then reserved together. */
export class Quota {
  readonly concurrency: number;
  private readonly requests: QuotaWindow[] = [];
  private readonly tokens: QuotaWindow[] = [];
  private readonly byDimension = new Map<QuotaDimension, QuotaWindow>();

  private constructor(limits: QuotaLimits, dayReset: DayReset | undefined, previous: Quota | undefined) {
    this.concurrency = limits.concurrency ?? Infinity;
    for (const dimension of DIMENSIONS) {
      const limit = limits[dimension];
      if (limit === undefined) continue;
      const window = previous?.byDimension.get(dimension) ?? createWindow(dimension, limit, dayReset);
      window.limit = limit;
      this.byDimension.set(dimension, window);
      (isTokens(dimension) ? this.tokens : this.requests).push(window);
    }
  }

  /** No quota object where nothing is limited; what `previous` has counted is carried over. */
  static of(limits: QuotaLimits | undefined, dayReset?: DayReset, previous?: Quota): Quota | undefined {
    if (!limits || Object.values(limits).every(limit => limit === undefined)) return undefined;
    return new Quota(limits, dayReset, previous);
  }

  /** What {@link use} says where nothing was used. */
  static unused(limits: QuotaLimits | undefined): Partial<Record<QuotaDimension, QuotaUse>> {
    const use: Partial<Record<QuotaDimension, QuotaUse>> = {};
    for (const dimension of DIMENSIONS) {
      const limit = limits?.[dimension];
      if (limit !== undefined) use[dimension] = { limit, used: 0, left: limit };
    }
    return use;
  }

  /** The earliest time a request of that many tokens fits; `Infinity` where it never will. */
  availableAt(tokens: number, now: number): number {
    let at = now;
    for (const window of this.requests) at = Math.max(at, window.availableAt(1, now));
    for (const window of this.tokens) at = Math.max(at, window.availableAt(tokens, now));
    return at;
  }

  reserve(tokens: number, now: number): void {
    for (const window of this.requests) window.add(1, now);
    if (tokens > 0) for (const window of this.tokens) window.add(tokens, now);
  }

  /** Takes a reservation made at `at` back. */
  refund(tokens: number, at: number, now: number): void {
    for (const window of this.requests) window.adjust(at, -1, now);
    for (const window of this.tokens) window.adjust(at, -tokens, now);
  }

  /** Replaces the tokens counted for a reservation made at `at`. */
  settleTokens(at: number, before: number, after: number, now: number): void {
    if (after === before) return;
    for (const window of this.tokens) window.adjust(at, after - before, now);
  }

  use(now: number): Partial<Record<QuotaDimension, QuotaUse>> {
    const use: Partial<Record<QuotaDimension, QuotaUse>> = {};
    for (const [dimension, window] of this.byDimension) {
      const used = window.used(now);
      use[dimension] = { limit: window.limit, used, left: Math.max(0, window.limit - used) };
    }
    return use;
  }
}

function createWindow(dimension: QuotaDimension, limit: number, dayReset: DayReset | undefined): QuotaWindow {
  if (dimension === 'rpm' || dimension === 'tpm') return new SlidingWindow(limit, MINUTE_MS);
  return dayReset ? new DayWindow(limit, dayReset) : new SlidingWindow(limit, DAY_MS);
}
