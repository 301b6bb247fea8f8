import { DAY_MS, HOUR_MS } from '../faults/durations.ts';
import type { LimitReading } from '../faults/limits.ts';
import { DayWindow } from './day-window.ts';
import type { DayReset } from './quota.ts';
import type { QuotaWindow } from './quota-window.ts';
import { SlidingWindow } from './sliding-window.ts';

/** Longer than a day no limit is believed that an answer speaks of by the way; without its size, an hour. */
const LONGEST_WINDOW_MS = DAY_MS;
/** Resets of one window that differ by no more are the same: they are told in seconds, and take time to come. */
const SAME_RESET_MS = 2000;

/** What was leased after the attempt that was answered, and is still under way: the figures may not know of it. */
export interface UnderWay {
  readonly requests: number;
  readonly tokens: number;
}

/** A limit as plain data; what is not known is absent. */
export interface LearnedLimitData {
  readonly counts: string;
  readonly limit?: number | undefined;
  readonly windowMs?: number | undefined;
  readonly remaining?: number | undefined;
  readonly left?: number | undefined;
  readonly resetAt?: number | undefined;
  readonly spanMs?: number | undefined;
  readonly heardFrom?: string | undefined;
  /** What we counted ourselves; see {@link QuotaWindow.entries}. */
  readonly window?: readonly number[] | undefined;
}

/** A lease that was answered, as far as it matters here. */
export interface Heard {
  readonly ordinal: number;
  readonly key: { readonly id: string };
}

/** A lease, as far as it matters here. */
export interface Taken {
  readonly at: number;
  readonly ordinal: number;
}

/**
 * One limit of the provider's. Where its answers say what is left, we count down from one figure to the next, and know
 * after the reset no more than how much there is at most. Where they only tell the limit, we count all by ourselves.
 */
export class LearnedLimit {
  readonly counts: string;
  /** What the provider says there is at most; undefined where it does not say. */
  limit: number | undefined = undefined;
  private readonly unit: 'requests' | 'tokens' | 'some tokens';
  private readonly dayReset: DayReset | undefined;
  /** What the provider last said was left, `Infinity` where it did not say. */
  private remaining = Infinity;
  private left = Infinity;
  private resetAt = -Infinity;
  private windowMs: number | undefined = undefined;
  /** How far ahead the reset was when it was last told. */
  private spanMs = 0;
  /** Nobody knows what became of what was under way: one call finds out. */
  private isUncertain = false;
  private window: QuotaWindow | undefined = undefined;
  /** The youngest lease whose answer was heard. */
  private heardOf = -1;
  /** The key that the last figure came from. */
  private heardFrom: string | undefined = undefined;

  constructor(counts: string, dayReset: DayReset | undefined) {
    this.counts = counts;
    this.dayReset = dayReset;
    this.unit = /^tokens\b(?!-)/.test(counts) ? 'tokens' : counts.includes('token') ? 'some tokens' : 'requests';
  }

  /**
   * @param lease the one that was answered
   * @param until when the limit is whole again, where something surer than the reading tells
   */
  hear(reading: LimitReading, lease: Heard, underWay: UnderWay, now: number, until: number | undefined): void {
    const { limit, remaining, windowMs } = reading;
    const { ordinal } = lease;
    // A limit of nothing is none, and a window of no time either.
    if (limit !== undefined && limit > 0) this.limit = limit;
    if (windowMs !== undefined && windowMs > 0) this.windowMs = windowMs;
    if (remaining === undefined) {
      this.countOurselves();
      return;
    }
    this.window = undefined;
    const left = remaining - this.weightOf(underWay.requests, underWay.tokens);
    // Without a time there is no telling for how long the figure holds.
    const told = until ?? reading.resetAt ?? (this.windowMs === undefined ? now : now + this.windowMs);
    const resetAt = Math.min(told, now + (this.limit === undefined ? HOUR_MS : LONGEST_WINDOW_MS));
    if (ordinal < this.heardOf && now < this.resetAt) {
      // An answer that comes late may know of more that was used, or speak of a window that is over.
      if (Math.abs(resetAt - this.resetAt) <= SAME_RESET_MS) this.left = Math.min(this.left, left);
      return;
    }
    this.heardOf = Math.max(this.heardOf, ordinal);
    this.heardFrom = lease.key.id;
    this.isUncertain = false;
    this.remaining = remaining;
    this.left = left;
    this.resetAt = resetAt;
    this.spanMs = Math.max(0, resetAt - now);
  }

  /**
   * True where another key's figure cannot be one of the same limit: that has another size, or far more is left of it
   * than there can be, even if it comes back bit by bit.
   */
  contradicts({ limit, remaining, resetAt }: LimitReading, keyId: string, now: number): boolean {
    const leftMs = this.resetAt - now;
    if (keyId === this.heardFrom || limit === undefined || remaining === undefined || this.limit === undefined) return false;
    if (leftMs <= SAME_RESET_MS || this.remaining > this.limit) return false;
    if (limit !== this.limit) return true;
    // A window that was renewed before its time says nothing.
    if (resetAt !== undefined && resetAt > this.resetAt + SAME_RESET_MS) return false;
    const most = limit - ((limit - this.remaining) * leftMs) / this.spanMs;
    return remaining > most + limit / 2;
  }

  /** Nothing is under way any more. */
  settled(): void {
    if (this.left < 1 && this.remaining > 0) this.isUncertain = true;
  }

  /** The earliest time a request of so many tokens fits. */
  availableAt(tokens: number, now: number): number {
    const needed = this.needed(tokens);
    if (this.window) return this.window.availableAt(needed, now);
    return now >= this.resetAt || this.left >= needed || this.isUncertain ? now : this.resetAt;
  }

  take(tokens: number, now: number): void {
    const weight = this.weightOf(1, tokens);
    if (this.window) {
      this.window.add(weight, now);
      return;
    }
    if (now >= this.resetAt) {
      if (this.limit === undefined || this.heardOf < 0) return;
      this.remaining = this.limit;
      this.left = this.limit;
      this.spanMs = this.windowMs ?? this.spanMs;
      this.resetAt = now + this.spanMs;
    }
    this.isUncertain = false;
    this.left -= weight;
  }

  /** Corrects what {@link take} has taken, unless the provider has spoken of it since. */
  adjust(requests: number, tokens: number, { at, ordinal }: Taken, now: number): void {
    const weight = this.weightOf(requests, tokens);
    if (this.window) this.window.adjust(at, weight, now);
    else if (ordinal > this.heardOf) this.left -= weight;
  }

  /** True where attempts under way, and not the provider, keep it from being available. */
  get isOurs(): boolean {
    return this.window === undefined && this.remaining > 0;
  }

  setBack(byMs: number): void {
    this.resetAt -= byMs;
  }

  /** Used and left of it, for stats. `left` and `resetAt` are undefined where the last figure is out of date. */
  use(now: number): { limit: number | undefined; left: number | undefined; resetAt: number | undefined } {
    const { limit, window } = this;
    if (window) return { limit, left: Math.max(0, window.limit - window.used(now)), resetAt: undefined };
    if (now >= this.resetAt) return { limit, left: undefined, resetAt: undefined };
    return { limit, left: Math.max(0, this.left), resetAt: this.resetAt };
  }

  snapshot(now: number): LearnedLimitData {
    const { figures, window } = this;
    return window ? { ...figures, window: window.entries(now) } : figures;
  }

  /** What the provider has told of it. */
  get figures(): LearnedLimitData {
    const { counts, limit, windowMs, remaining, left, resetAt, spanMs, heardFrom } = this;
    return {
      counts,
      ...(limit !== undefined && { limit }),
      ...(windowMs !== undefined && { windowMs }),
      ...(this.heardOf >= 0 && { remaining, left, resetAt, spanMs, heardFrom }),
    };
  }

  /**
   * What another process has heard. Of one window the smaller figure counts, else that of the later one.
   *
   * @param heardOf no lease that is under way, or is to come, is so young
   */
  adopt({ limit, windowMs, remaining, left, resetAt, spanMs = 0, heardFrom }: LearnedLimitData, heardOf: number, now: number): void {
    if (limit !== undefined && limit > 0) this.limit = limit;
    if (windowMs !== undefined && windowMs > 0) this.windowMs = windowMs;
    if (remaining === undefined || left === undefined || resetAt === undefined) {
      if (this.heardOf < 0) this.countOurselves();
      return;
    }
    const until = Math.min(resetAt, now + LONGEST_WINDOW_MS);
    if (until <= now) return;
    if (now < this.resetAt) {
      if (until < this.resetAt - SAME_RESET_MS) return;
      if (until <= this.resetAt + SAME_RESET_MS) {
        this.remaining = Math.min(this.remaining, remaining);
        this.left = Math.min(this.left, left);
        return;
      }
    }
    this.window = undefined;
    this.heardOf = Math.max(this.heardOf, heardOf);
    this.heardFrom = heardFrom;
    this.isUncertain = false;
    this.remaining = remaining;
    this.left = left;
    this.resetAt = until;
    this.spanMs = Math.min(spanMs, LONGEST_WINDOW_MS);
  }

  /** @param heardOf no lease that is under way, or is to come, is so young */
  restore(data: LearnedLimitData, heardOf: number, now: number): void {
    const { limit, windowMs, remaining, left, resetAt, spanMs = 0, heardFrom, window } = data;
    if (limit !== undefined && limit > 0) this.limit = limit;
    if (windowMs !== undefined && windowMs > 0) this.windowMs = windowMs;
    if (remaining !== undefined && left !== undefined && resetAt !== undefined) {
      this.heardOf = heardOf;
      this.remaining = remaining;
      this.left = left;
      this.resetAt = Math.min(resetAt, now + LONGEST_WINDOW_MS);
      this.spanMs = Math.min(spanMs, LONGEST_WINDOW_MS);
      this.heardFrom = heardFrom;
      this.settled();
    }
    if (!window) return;
    this.countOurselves();
    this.window?.restore(window, now);
  }

  private countOurselves(): void {
    const { dayReset, limit, windowMs } = this;
    if (limit === undefined || windowMs === undefined) return;
    const isDay = windowMs === DAY_MS && dayReset !== undefined;
    this.window ??= isDay ? new DayWindow(limit, dayReset) : new SlidingWindow(limit, windowMs);
    this.window.limit = limit;
  }

  /** A call larger than the whole limit is the provider's to refuse. */
  private needed(tokens: number): number {
    const needed = this.unit === 'tokens' && tokens > 1 ? tokens : 1;
    return this.limit === undefined ? needed : Math.min(needed, this.limit);
  }

  /** Nobody knows beforehand how an estimate splits into tokens read and tokens written. */
  private weightOf(requests: number, tokens: number): number {
    if (this.unit === 'requests') return requests;
    return this.unit === 'tokens' ? tokens : 0;
  }
}
