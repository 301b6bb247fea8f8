import { DAY_MS, HOUR_MS, MINUTE_MS } from '../faults/durations.ts';
import type { LimitReading } from '../faults/limits.ts';
import { DayWindow } from './day-window.ts';
import { Inference, type InferredData } from './inference.ts';
import { ON_THE_WAY_MS } from '../state/on-the-way.ts';
import type { Limits, SharedLimit } from '../state/store.ts';
import type { DayReset } from './quota.ts';
import type { QuotaWindow } from './quota-window.ts';
import { Refill } from './refill.ts';
import { Slide } from './slide.ts';
import { SlidingWindow } from './sliding-window.ts';
import { ToldWindow } from './told-window.ts';

/** Longer than a day no limit is believed that an answer speaks of by the way; without its size, an hour. */
const LONGEST_WINDOW_MS = DAY_MS;
/** What only a refusal has told is not told again while it is kept to: in the end, one more finds out whether it was raised. */
const TOLD_FOR_MS = 2 * DAY_MS;
/** Resets of one window that differ by no more are the same: they are told in seconds, and take time to come. */
const SAME_RESET_MS = 2000;

/** What was seen to last for so long is a window of a minute, or of a day: resets are told late, and in whole seconds. */
const MINUTE_SEEN_MS = [30_000, 61_000] as const;
const DAY_SEEN_MS = [0.95 * DAY_MS, 1.01 * DAY_MS] as const;

/** A limit as a window of our own would count it. */
export type CountableLimit = Omit<Limits, 'concurrency'>;

/** What was leased after the attempt that was answered, and is still under way: the figures may not know of it. */
export interface UnderWay {
  readonly requests: number;
  readonly tokens: number;
}

/** A limit as plain data; what is not known is absent. `heardFrom` is the id of a key. */
export interface LearnedLimitData extends SharedLimit {
  /** What we counted ourselves; see {@link QuotaWindow.entries}. */
  readonly window?: readonly number[] | undefined;
  /** Set where no provider has told it, in place of everything else. */
  readonly inferred?: InferredData | undefined;
}

/** Used and left of a limit, for stats. */
export interface LimitState {
  readonly limit: number | undefined;
  /** Undefined where the last figure is out of date. */
  readonly left: number | undefined;
  /** When it is whole again, epoch ms; undefined where no figure holds until then. */
  readonly resetAt: number | undefined;
  /** Set where the limit is no word of the provider's: it was inferred from refusals, for a window of so many ms. */
  readonly inferredMs?: number | undefined;
}

/** A lease that was answered, as far as it matters here. */
export interface Heard {
  readonly at: number;
  readonly ordinal: number;
  readonly key: { readonly id: string };
  readonly tokens?: number;
}

/** A lease, as far as it matters here. */
export interface Taken {
  readonly at: number;
  readonly ordinal: number;
}

/**
 * One limit of the provider's. Where its answers say what is left, we count down from one figure to the next, and know
 * after the reset no more than how much there is at most; or at any time, where the figures show that it comes back bit
 * by bit. Where they only tell the limit, we count all by ourselves.
 */
export class LearnedLimit {
  readonly counts: string;
  /** What the provider says there is at most; undefined where it does not say. */
  limit: number | undefined = undefined;
  /** Set while the provider says nothing of the limit, and its refusals have to tell. */
  inference: Inference | undefined = undefined;
  private readonly unit: 'requests' | 'tokens' | 'some tokens';
  private readonly dayReset: DayReset | undefined;
  /** What the provider last said was left, `Infinity` where it did not say. */
  private remaining = Infinity;
  private left = Infinity;
  /** When `left` was true. */
  private leftAt = -Infinity;
  private resetAt = -Infinity;
  /** The provider has said to come back then: one call finds out how much there is. */
  private retryAt = Infinity;
  private isAsking = false;
  private readonly refill = new Refill();
  private readonly slide = new Slide();
  private windowMs: number | undefined = undefined;
  /** How far ahead the reset was when it was last told, and at most: a window lasts so long at least. */
  private spanMs = 0;
  private longestSpanMs = 0;
  /** Nobody knows what became of what was under way: one call finds out. */
  private isUncertain = false;
  private window: QuotaWindow | undefined = undefined;
  /** When a refusal last told the limit of a window that we count ourselves. */
  private toldAt = -Infinity;
  /** The youngest lease whose answer was heard. */
  private heardOf = -1;
  private heardAt = -Infinity;
  /** When the first of the leases was made of which nobody knows in which order they have arrived. */
  private togetherSince = -Infinity;
  /** The key that the last figure came from. */
  private heardFrom: string | undefined = undefined;

  constructor(counts: string, dayReset: DayReset | undefined) {
    this.counts = counts;
    this.dayReset = dayReset;
    this.unit = /^tokens\b(?!-)/.test(counts) ? 'tokens' : counts.includes('token') ? 'some tokens' : 'requests';
  }

  /**
   * @param lease the one that was answered
   * @param until after a refusal, when to come back
   */
  hear(reading: LimitReading, lease: Heard, underWay: UnderWay, now: number, until: number | undefined): void {
    const { limit, remaining, windowMs } = reading;
    const { ordinal } = lease;
    // A limit of nothing, or next to nothing, is none, and a window of no time either.
    if (limit !== undefined && limit >= 1) this.limit = limit;
    if (windowMs !== undefined && windowMs > 0) this.windowMs = windowMs;
    if (remaining === undefined) {
      this.countOurselves(now, until);
      this.toldAt = now;
      return;
    }
    const left = remaining - this.weightOf(underWay.requests, underWay.tokens);
    const retryAt = remaining === 0 && until !== undefined ? until : Infinity;
    const resetAt = this.believed(reading, until, now);
    // An answer that took long speaks of a window that is over.
    if (reading.resetAt !== undefined && resetAt <= now && remaining > 0) return;
    this.countSliding(reading, lease, left, now, until !== undefined);
    if (ordinal < this.heardOf && now < this.resetAt) {
      // One that comes late may know of more that was used.
      const isSame = Math.abs(resetAt - this.resetAt) <= SAME_RESET_MS;
      if (!isSame || this.refill.unitMs !== undefined) return;
      this.left = Math.min(this.left, left);
      this.remaining = Math.min(this.remaining, remaining);
      return;
    }
    if (this.limit !== undefined && reading.resetAt !== undefined) {
      this.refill.hear(this.limit, this.limit - remaining, reading.resetAt, now - lease.at, now);
    }
    this.heardOf = Math.max(this.heardOf, ordinal);
    this.heardFrom = lease.key.id;
    this.isUncertain = false;
    const isTogether = lease.at < Math.min(this.heardAt, this.togetherSince + ON_THE_WAY_MS) && now < this.resetAt;
    this.remaining = isTogether ? Math.min(remaining, this.remaining) : remaining;
    this.left = isTogether ? Math.min(left, this.refilled(now)) : left;
    if (!isTogether) this.togetherSince = lease.at;
    this.heardAt = now;
    this.leftAt = now;
    this.isAsking = false;
    this.resetAt = resetAt;
    this.retryAt = Math.min(retryAt, resetAt);
    this.spanMs = Math.max(0, resetAt - now);
    this.longestSpanMs = Math.max(this.longestSpanMs, this.spanMs);
  }

  /** A window that slides comes back as what we have sent leaves it, one by one. */
  private countSliding({ remaining, resetAt }: LimitReading, { at, ordinal, tokens = 0 }: Heard, left: number, now: number, isRefused: boolean): void {
    const { limit, slide } = this;
    if (limit === undefined || remaining === undefined) return;
    if (resetAt !== undefined) slide.hear(limit, limit - remaining, resetAt, at, now);
    if (slide.windowMs === undefined) {
      this.window = undefined;
      return;
    }
    if (!(this.window instanceof ToldWindow)) {
      this.window = new ToldWindow(limit, slide.windowMs);
      this.window.restore([now, Math.max(0, limit - left)], now);
      return;
    }
    this.window.limit = limit;
    // The provider has not counted it.
    if (isRefused) this.window.adjust(at, -this.weightOf(1, tokens), now);
    this.window.told(limit - remaining, at, ordinal >= this.heardOf ? remaining - left : undefined, now);
  }

  /** When the limit is whole again. */
  private believed(reading: LimitReading, until: number | undefined, now: number): number {
    // Without a time there is no telling for how long the figure holds.
    const told = reading.resetAt ?? (this.windowMs === undefined ? (until ?? now) : now + this.windowMs);
    const sure = reading.remaining === 0 && until !== undefined ? Math.max(told, until) : told;
    return Math.min(sure, now + (this.limit === undefined ? HOUR_MS : LONGEST_WINDOW_MS));
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
    if (this.left < 1 && (this.remaining > 0 || this.isAsking)) this.isUncertain = true;
  }

  /** The earliest time a request of so many tokens fits. */
  availableAt(tokens: number, now: number): number {
    if (this.inference) return this.inference.availableAt(now);
    if (this.isOutOfDate(now)) this.forget();
    const needed = this.needed(tokens);
    if (this.window) return this.window.availableAt(needed, now);
    if (now >= this.resetAt || this.left >= needed || this.isUncertain || now >= this.retryAt) return now;
    const { unitMs } = this.refill;
    const refilledAt = unitMs === undefined ? this.resetAt : Math.ceil(this.leftAt + (needed - this.left) * unitMs);
    return Math.max(now, Math.min(refilledAt, this.resetAt, this.retryAt));
  }

  take(tokens: number, now: number): void {
    if (this.inference) {
      this.inference.take(now);
      return;
    }
    const weight = this.weightOf(1, tokens);
    if (this.window) {
      this.window.add(weight, now);
      return;
    }
    if (now >= this.resetAt) {
      if (this.limit === undefined || this.heardOf < 0) return;
      this.remaining = this.limit;
      this.left = this.limit;
      this.leftAt = now;
      this.spanMs = Math.min(this.windowMs ?? this.longestSpanMs, LONGEST_WINDOW_MS);
      this.resetAt = now + this.spanMs;
    } else if (this.refill.unitMs !== undefined) {
      this.left = this.refilled(now);
      this.leftAt = Math.max(now, this.leftAt);
      this.resetAt += weight * this.refill.unitMs;
    }
    if (now >= this.retryAt) {
      this.retryAt = Infinity;
      this.isAsking = true;
    }
    this.isUncertain = false;
    this.left -= weight;
  }

  private isOutOfDate(now: number): boolean {
    return this.window !== undefined && this.heardOf < 0 && now >= this.toldAt + TOLD_FOR_MS;
  }

  private forget(): void {
    this.window = undefined;
    this.limit = undefined;
    this.windowMs = undefined;
  }

  /** How much is left, with what has come back since. */
  private refilled(now: number): number {
    const { unitMs } = this.refill;
    if (unitMs === undefined || now <= this.leftAt) return this.left;
    return Math.min(this.limit ?? Infinity, this.left + (now - this.leftAt) / unitMs);
  }

  /** Corrects what {@link take} has taken, unless the provider has spoken of it since. */
  adjust(requests: number, tokens: number, { at, ordinal }: Taken, now: number): void {
    const weight = this.weightOf(requests, tokens);
    if (this.inference) this.inference.adjust(requests, at, now);
    else if (this.window) this.window.adjust(at, weight, now);
    else if (ordinal > this.heardOf) this.left -= weight;
  }

  /** True where attempts under way, and not the provider, keep it from being available. */
  isOurs(now: number): boolean {
    if (this.inference) return this.inference.isAsking(now);
    return this.window === undefined && this.remaining > 0;
  }

  /** False while something is still to be inferred. */
  get isKnown(): boolean {
    return this.inference === undefined || this.inference.limit !== undefined;
  }

  setBack(byMs: number): void {
    this.inference?.setBack(byMs);
    this.resetAt -= byMs;
    this.leftAt -= byMs;
    this.toldAt -= byMs;
    this.retryAt -= byMs;
    this.heardAt -= byMs;
    this.togetherSince -= byMs;
  }

  /**
   * The same limit as a window of the minute or the day, for who counts for several processes; undefined where the
   * provider has told no size of it, or its window is not known, or is none of these.
   */
  get countable(): CountableLimit | undefined {
    const { unit, windowMs = this.seenWindowMs } = this;
    const limit = Math.floor(this.limit ?? 0);
    if (limit < 1 || limit > Number.MAX_SAFE_INTEGER || unit === 'some tokens') return undefined;
    const isIn = ([least, most]: readonly [number, number]): boolean => windowMs >= least && windowMs <= most;
    if (isIn(DAY_SEEN_MS)) return unit === 'requests' ? { rpd: limit } : { tpd: limit };
    if (!isIn(MINUTE_SEEN_MS)) return undefined;
    // What comes back more slowly than its limit in a minute is passed by who counts on that.
    const { unitMs = Infinity } = this.refill;
    const refills = Math.round(unitMs * limit) <= MINUTE_MS && { wholeAt: this.leftAt + (limit - this.left) * unitMs };
    if (unit === 'requests') return { rpm: limit, ...(refills && { rpmRefills: refills }) };
    return { tpm: limit, ...(refills && { tpmRefills: refills }) };
  }

  /** How long its window is, as far as its figures show. */
  private get seenWindowMs(): number {
    const { limit, refill, slide } = this;
    if (slide.windowMs !== undefined) return slide.windowMs;
    return refill.unitMs === undefined || limit === undefined ? this.longestSpanMs : refill.unitMs * limit;
  }

  /** Used and left of it, for stats. `left` and `resetAt` are undefined where the last figure is out of date. */
  use(now: number): LimitState {
    const { inference, limit, window } = this;
    if (inference) return { limit: inference.limit, left: inference.left(now), resetAt: undefined, inferredMs: inference.windowMs };
    if (window) return { limit, left: Math.max(0, window.limit - window.used(now)), resetAt: undefined };
    if (now >= this.resetAt) return { limit, left: undefined, resetAt: undefined };
    return { limit, left: Math.max(0, Math.floor(this.refilled(now))), resetAt: this.resetAt };
  }

  snapshot(now: number): LearnedLimitData {
    const { counts, figures, inference, window } = this;
    if (inference) return { counts, inferred: inference.snapshot(now) };
    return window ? { ...figures, window: window.entries(now) } : figures;
  }

  /** What the provider has told of it. */
  get figures(): LearnedLimitData {
    const { counts, limit, windowMs, remaining, left, leftAt, refill, resetAt, retryAt, slide, spanMs, heardFrom, toldAt } = this;
    return {
      counts,
      ...(limit !== undefined && { limit }),
      ...(windowMs !== undefined && { windowMs }),
      ...(this.heardOf >= 0 && { remaining, left, leftAt, resetAt, spanMs, heardFrom }),
      ...(this.heardOf < 0 && this.window && { toldAt }),
      ...(refill.unitMs !== undefined && { refillMs: refill.unitMs }),
      ...(slide.windowMs !== undefined && { slidingMs: slide.windowMs }),
      ...(retryAt !== Infinity && { retryAt }),
    };
  }

  /**
   * What another process has heard. Of one window the smaller figure counts, else that of the later one.
   *
   * @param heardOf no lease that is under way, or is to come, is so young
   */
  adopt(data: LearnedLimitData, heardOf: number, now: number): void {
    const { limit, windowMs, remaining, left, refillMs, resetAt } = data;
    if (limit !== undefined && limit >= 1) this.limit = limit;
    if (windowMs !== undefined && windowMs > 0) this.windowMs = windowMs;
    this.refill.unitMs ??= refillMs;
    if (remaining === undefined || left === undefined || resetAt === undefined) {
      if (this.heardOf >= 0) return;
      this.countOurselves(now, undefined);
      this.toldAt = Math.max(this.toldAt, Math.min(data.toldAt ?? now, now));
      return;
    }
    const until = Math.min(resetAt, now + LONGEST_WINDOW_MS);
    if (until <= now) return;
    if (now < this.resetAt) {
      if (until < this.resetAt - SAME_RESET_MS) return;
      if (until <= this.resetAt + SAME_RESET_MS) {
        this.remaining = Math.min(this.remaining, remaining);
        this.left = Math.min(this.left, left);
        this.keepSliding(left, now);
        return;
      }
    }
    this.keepSliding(left, now);
    this.isUncertain = false;
    this.takeOver(data, remaining, left, until, Math.max(this.heardOf, heardOf), now);
  }

  /** What others have used of a window that slides leaves it at the end of all. */
  private keepSliding(left: number, now: number): void {
    const { limit, slide, window } = this;
    if (slide.windowMs === undefined || limit === undefined) this.window = undefined;
    else window?.add(Math.max(0, limit - left - window.used(now)), now);
  }

  /** @param heardOf no lease that is under way, or is to come, is so young */
  restore(data: LearnedLimitData, heardOf: number, now: number): void {
    const { inferred, limit, windowMs, remaining, left, resetAt, window } = data;
    if (inferred) {
      this.inference = Inference.restore(inferred, now);
      return;
    }
    if (limit !== undefined && limit >= 1) this.limit = limit;
    if (windowMs !== undefined && windowMs > 0) this.windowMs = windowMs;
    if (remaining !== undefined && left !== undefined && resetAt !== undefined) {
      this.takeOver(data, remaining, left, Math.min(resetAt, now + LONGEST_WINDOW_MS), heardOf, now);
      this.settled();
    }
    if (!window) return;
    const { slidingMs, toldAt = now } = data;
    this.toldAt = Math.min(toldAt, now);
    if (slidingMs !== undefined && this.limit !== undefined) this.window = new ToldWindow(this.limit, slidingMs);
    else this.countOurselves(now, undefined);
    this.window?.restore(window, now);
  }

  private takeOver(data: LearnedLimitData, remaining: number, left: number, resetAt: number, heardOf: number, now: number): void {
    const { heardFrom, leftAt = now, refillMs, retryAt = Infinity, slidingMs, spanMs = 0 } = data;
    this.heardOf = heardOf;
    this.heardFrom = heardFrom;
    this.remaining = remaining;
    this.left = left;
    this.leftAt = Math.min(leftAt, now);
    this.refill.unitMs = refillMs ?? this.refill.unitMs;
    this.slide.windowMs = slidingMs ?? this.slide.windowMs;
    this.retryAt = retryAt;
    this.resetAt = resetAt;
    this.spanMs = Math.min(spanMs, LONGEST_WINDOW_MS);
    this.longestSpanMs = Math.max(this.longestSpanMs, this.spanMs);
  }

  private countOurselves(now: number, until: number | undefined): void {
    const { dayReset, limit, windowMs } = this;
    if (limit === undefined || windowMs === undefined) return;
    const isDay = windowMs === DAY_MS && dayReset !== undefined;
    if (this.window) {
      this.window.limit = limit;
      return;
    }
    this.window = isDay ? new DayWindow(limit, dayReset) : new SlidingWindow(limit, windowMs + ON_THE_WAY_MS);
    if (until === undefined || isDay) return;
    // It is used up, and nobody has counted when: the first use is as long ago as it takes to come back, the others are
    // taken to be of this moment.
    const first = Math.min(1, limit);
    this.window.restore([Math.min(now, until - windowMs - ON_THE_WAY_MS), first, now, limit - first], now);
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
