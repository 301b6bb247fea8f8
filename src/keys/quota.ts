import { DAY_MS, MINUTE_MS } from '../faults/durations.ts';
import type { LimitReading } from '../faults/limits.ts';
import { NAMELESS } from './learned-quota.ts';
import { DayWindow } from './day-window.ts';
import { ModelQuotas } from './model-quotas.ts';
import { ON_THE_WAY_MS } from '../state/on-the-way.ts';
import type { QuotaWindow } from './quota-window.ts';
import { SlidingWindow } from './sliding-window.ts';

/** Limits over time; absent ones do not apply. Requests and tokens per minute and per day. */
export interface QuotaLimits extends ModelLimits {
  /** Beside those, limits of single models, by name or pattern. All models that an entry is for share it. */
  readonly models?: Readonly<Record<string, ModelLimits>> | undefined;
}

/** Limits of all models together, or of some. */
export interface ModelLimits {
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

/** Used and left, by window and, under `models`, by the entries of the limits by model. */
export type QuotaUses = { readonly [Dimension in QuotaDimension]?: QuotaUse | undefined } & {
  readonly models?: Readonly<Record<string, QuotaUses>> | undefined;
};

/** What counts in each window; see {@link QuotaWindow.entries}. */
export type QuotaData = { readonly [Dimension in QuotaDimension]?: readonly number[] | undefined } & {
  readonly models?: Readonly<Record<string, QuotaData>> | undefined;
};

/** When the provider's day ends; a rolling day where the provider has none. */
export type DayReset = (now: number) => number;

const REQUESTS: Readonly<Record<number, QuotaDimension>> = { [MINUTE_MS]: 'rpm', [DAY_MS]: 'rpd' };
const TOKENS: Readonly<Record<number, QuotaDimension>> = { [MINUTE_MS]: 'tpm', [DAY_MS]: 'tpd' };

/** In place of the model that was counted. */
const NOTHING = Symbol('nothing');
const SEVERAL = Symbol('several');
const DIMENSIONS = ['rpm', 'rpd', 'tpm', 'tpd'] as const satisfies readonly QuotaDimension[];

/** All windows of one key or one group: checked together, then reserved together. */
export class Quota {
  readonly concurrency: number;
  /** Undefined where all models are limited alike. */
  readonly models: ModelQuotas | undefined;
  /** Processes that have to make do with the limits, each for itself. */
  private readonly share: number;
  private readonly rpm: QuotaWindow | undefined;
  private readonly rpd: QuotaWindow | undefined;
  private readonly tpm: QuotaWindow | undefined;
  private readonly tpd: QuotaWindow | undefined;
  /** The one model that everything counted was for. */
  private countedModel: string | symbol | undefined = NOTHING;

  private constructor(limits: QuotaLimits, dayReset: DayReset | undefined, previous: Quota | undefined, share: number) {
    this.concurrency = partOf(limits.concurrency ?? Infinity, share);
    this.share = share;
    const perDay = (limit: number): QuotaWindow =>
      dayReset ? new DayWindow(limit, dayReset) : new SlidingWindow(limit, DAY_MS + ON_THE_WAY_MS);
    const perMinute = (limit: number): QuotaWindow => new SlidingWindow(limit, MINUTE_MS + ON_THE_WAY_MS);
    this.rpm = windowFor(limits.rpm, share, previous?.rpm, perMinute);
    this.rpd = windowFor(limits.rpd, share, previous?.rpd, perDay);
    this.tpm = windowFor(limits.tpm, share, previous?.tpm, perMinute);
    this.tpd = windowFor(limits.tpd, share, previous?.tpd, perDay);
    const { models } = limits;
    this.models =
      models && new ModelQuotas(models, previous?.models, (each, before) => Quota.of(each, dayReset, before, share));
  }

  /** No quota object where nothing is limited; what `previous` has counted is carried over. */
  static of(limits: QuotaLimits | undefined, dayReset?: DayReset, previous?: Quota, share = 1): Quota | undefined {
    if (!limits || Object.values(limits).every(limit => limit === undefined)) return undefined;
    return new Quota(limits, dayReset, previous, share);
  }

  /** What {@link use} says where nothing was used. */
  static unused(limits: QuotaLimits | undefined): QuotaUses {
    return Quota.of(limits)?.use(0) ?? {};
  }

  /** The earliest time a request of that many tokens fits, whatever its model; `Infinity` where it never will. */
  availableAt(tokens: number, now: number): number {
    const { rpm, rpd, tpm, tpd } = this;
    let at = now;
    if (rpm) at = Math.max(at, rpm.availableAt(1, now));
    if (rpd) at = Math.max(at, rpd.availableAt(1, now));
    if (tpm) at = Math.max(at, tpm.availableAt(this.needed(tokens, tpm), now));
    if (tpd) at = Math.max(at, tpd.availableAt(this.needed(tokens, tpd), now));
    return at;
  }

  /** A call larger than the share, and not than the limit, goes when nothing else does. */
  private needed(tokens: number, { limit }: QuotaWindow): number {
    return this.share > 1 && tokens > limit && tokens <= limit * this.share ? limit : tokens;
  }

  /** True where more is taken than the part of one of so many processes. One request is nobody's too much, of any size. */
  isOverdrawn(processes: number, inFlight: number, tokens: number, now: number, model?: string): boolean {
    const ofModel = this.models?.of(model);
    if (ofModel?.quota.isOverdrawn(processes, ofModel.inFlight, tokens, now)) return true;
    const share = processes / this.share;
    const exceeds = (window: QuotaWindow | undefined, least: number): boolean =>
      window !== undefined && window.used(now) > Math.max(least, partOf(window.limit, share));
    return (
      inFlight > partOf(this.concurrency, share) ||
      exceeds(this.rpm, 1) ||
      exceeds(this.rpd, 1) ||
      exceeds(this.tpm, tokens) ||
      exceeds(this.tpd, tokens)
    );
  }

  reserve(tokens: number, now: number, model?: string): void {
    if (this.countedModel === NOTHING) this.countedModel = model;
    else if (this.countedModel !== model) this.countedModel = SEVERAL;
    this.rpm?.add(1, now);
    this.rpd?.add(1, now);
    if (tokens > 0) {
      this.tpm?.add(tokens, now);
      this.tpd?.add(tokens, now);
    }
  }

  /** Takes a reservation made at `at` back. */
  refund(tokens: number, at: number, now: number): void {
    this.rpm?.adjust(at, -1, now);
    this.rpd?.adjust(at, -1, now);
    this.settleTokens(at, tokens, 0, now);
  }

  /** Replaces the tokens counted for a reservation made at `at`. */
  settleTokens(at: number, before: number, after: number, now: number): void {
    this.tpm?.adjust(at, after - before, now);
    this.tpd?.adjust(at, after - before, now);
  }

  /**
   * The provider tells how much of a limit is used. Where it is one of these, and less than was counted here, its
   * figure holds. True where there is more room now.
   *
   * @param model whom the figure is about; undefined where it is about all. Of one model it says nothing where several
   * were counted together.
   */
  correct(reading: LimitReading, used: number, now: number, model: string | undefined): boolean {
    const { counts, limit, windowMs = MINUTE_MS } = reading;
    if (this.models?.of(model)?.quota.correct(reading, used, now, model)) return true;
    if (model !== undefined && (this.countedModel ?? NAMELESS) !== model) return false;
    const dimension = (counts === 'requests' ? REQUESTS : counts === 'tokens' ? TOKENS : undefined)?.[windowMs];
    const window = dimension && this[dimension];
    if (!window || window.limit !== limit || window.used(now) <= used) return false;
    window.lower(used, now);
    return true;
  }

  /** What was used, as plain data; undefined where nothing counts. */
  snapshot(now: number): QuotaData | undefined {
    const data: Partial<Record<QuotaDimension, number[]>> = {};
    let isUsed = false;
    for (const dimension of DIMENSIONS) {
      const entries = this[dimension]?.entries(now) ?? [];
      if (entries.length === 0) continue;
      data[dimension] = entries;
      isUsed = true;
    }
    const models = this.models?.snapshot(now);
    if (models) return { ...data, models };
    return isUsed ? data : undefined;
  }

  restore(data: QuotaData, now: number): void {
    for (const dimension of DIMENSIONS) this[dimension]?.restore(data[dimension] ?? [], now);
    this.models?.restore(data.models ?? {}, now);
  }

  use(now: number): QuotaUses {
    const use: Partial<Record<QuotaDimension, QuotaUse>> = {};
    for (const dimension of DIMENSIONS) {
      const window = this[dimension];
      if (!window) continue;
      const used = window.used(now);
      use[dimension] = { limit: window.limit, used, left: Math.max(0, window.limit - used) };
    }
    const models = this.models?.use(now);
    return models ? { ...use, models } : use;
  }
}

/** One of so many equal parts, and never nothing: no process is to stand still. */
function partOf(limit: number, share: number): number {
  return Math.max(1, Math.floor(limit / share));
}

/** Undefined where there is no limit. What was counted goes on under a new one. */
function windowFor(
  limit: number | undefined,
  share: number,
  previous: QuotaWindow | undefined,
  create: (limit: number) => QuotaWindow,
): QuotaWindow | undefined {
  if (limit === undefined) return undefined;
  const part = partOf(limit, share);
  const window = previous ?? create(part);
  window.limit = part;
  return window;
}
