import type { LimitReading } from '../faults/limits.ts';
import { Inference, type Counted } from './inference.ts';
import {
  LearnedLimit,
  type CountableLimit,
  type Heard,
  type LearnedLimitData,
  type LimitState,
  type Taken,
  type UnderWay,
} from './learned-limit.ts';
import { makeRoom } from './make-room.ts';
import type { DayReset } from './quota.ts';

/** Models are named by callers and policies by servers, so both are bounded; the oldest is forgotten first. */
const MAX_MODELS = 256;
const MAX_LIMITS = 16;
/** Stands for the model of calls that name none. */
export const NAMELESS = '';

/** One of the provider's limits, for stats. */
export interface LimitUse extends LimitState {
  /** `requests`, `tokens`... or the name of the provider's policy. */
  readonly counts: string;
  /** Undefined where it holds for all models, '' where it was told of calls that name none. */
  readonly model: string | undefined;
}

/** Limits as plain data, by what they count. */
export type LearnedLimitsData = Readonly<Record<string, LearnedLimitData>>;

/** See {@link LearnedQuota}. */
export interface LearnedData {
  readonly all?: LearnedLimitsData | undefined;
  readonly models?: Readonly<Record<string, LearnedLimitsData>> | undefined;
}

/** A limit that has no room. */
export interface Shortage {
  readonly limit: LearnedLimit;
  readonly ofModel: boolean;
  readonly at: number;
}

/**
 * A provider's limits as its answers tell them, for one group of keys: those of each model, and those of all. Calls that
 * name no model count as a model of their own.
 */
export class LearnedQuota {
  private readonly limits = new Map<string | undefined, LearnedLimit[]>();
  private readonly dayReset: DayReset | undefined;
  /** False where the provider has told all there is. */
  private isInferring = false;

  constructor(dayReset: DayReset | undefined) {
    this.dayReset = dayReset;
  }

  /** @param model undefined for limits that hold for all models */
  hear(
    model: string | undefined,
    reading: LimitReading,
    lease: Heard,
    underWay: UnderWay,
    now: number,
    until: number | undefined,
  ): void {
    this.dropInferred(model);
    this.limitOf(model, reading.counts).hear(reading, lease, underWay, now, until);
  }

  /** What another process has heard; see {@link LearnedLimit.adopt}. */
  adopt(model: string | undefined, limits: readonly LearnedLimitData[], heardOf: number, now: number): void {
    this.dropInferred(model);
    for (const data of limits.slice(0, MAX_LIMITS)) this.limitOf(model, data.counts).adopt(data, heardOf, now);
  }

  /**
   * What is inferred from refusals that say nothing, of one model or of all; begun where it was not yet. Undefined where
   * the provider tells its limits.
   */
  inferred(model: string | undefined, now: number): Inference | undefined {
    const [known] = this.of(model);
    if (known) return known.inference;
    const limit = this.limitOf(model, 'requests');
    this.isInferring = true;
    return (limit.inference = new Inference(now));
  }

  /** What was counted of an attempt that begins, where something is to be inferred from it. */
  counted(model: string | undefined, others: number, now: number): Counted | undefined {
    if (!this.isInferring) return undefined;
    for (const each of [model ?? NAMELESS, undefined]) {
      const inference = this.of(each)[0]?.inference;
      if (inference?.isStale(now)) this.dropInferred(each);
      else if (inference) return inference.counted(others, now);
    }
    return undefined;
  }

  /** What is told, or has held nobody back for long, need not be inferred. */
  private dropInferred(model: string | undefined): void {
    if (!this.isInferring || !this.of(model)[0]?.inference) return;
    this.limits.delete(model);
    this.isInferring = [...this.limits.values()].some(limits => limits.some(({ inference }) => inference));
  }

  private of(model: string | undefined): readonly LearnedLimit[] {
    return this.limits.get(model) ?? [];
  }

  forget(model: string | undefined): void {
    this.limits.delete(model);
  }

  /** The limits that were told of one model, or of all where it is undefined. */
  told(model: string | undefined): readonly LearnedLimit[] {
    const limits = this.of(model);
    return this.isInferring ? limits.filter(({ inference }) => !inference) : limits;
  }

  /** What limits were told of: models, and undefined for all. */
  keys(): (string | undefined)[] {
    return [...this.limits.keys()].filter(model => this.told(model).length > 0);
  }

  /** See {@link LearnedLimit.contradicts}. */
  contradicts(model: string | undefined, reading: LimitReading, keyId: string, now: number): boolean {
    const limit = this.limits.get(model)?.find(({ counts }) => counts === reading.counts);
    return limit?.contradicts(reading, keyId, now) === true;
  }

  /** The earliest time a request fits under every limit; `now` where it does at once. */
  availableAt(model: string | undefined, tokens: number, now: number): number {
    if (this.limits.size === 0) return now;
    const at = latest(this.limits.get(undefined), tokens, now);
    return Math.max(at, latest(this.limits.get(model ?? NAMELESS), tokens, now));
  }

  /** The limit that takes longest to have room; undefined where all have. */
  shortageOf(model: string | undefined, tokens: number, now: number): Shortage | undefined {
    let shortage: Shortage | undefined;
    for (const each of [undefined, model ?? NAMELESS]) {
      for (const limit of this.limits.get(each) ?? []) {
        const at = limit.availableAt(tokens, now);
        if (at > now && at > (shortage?.at ?? now)) shortage = { limit, ofModel: each !== undefined, at };
      }
    }
    return shortage;
  }

  take(model: string | undefined, tokens: number, now: number): void {
    for (const limit of this.limits.get(undefined) ?? []) limit.take(tokens, now);
    for (const limit of this.limits.get(model ?? NAMELESS) ?? []) limit.take(tokens, now);
  }

  /** See {@link LearnedLimit.adjust}. */
  adjust(lease: Taken & { readonly model: string | undefined }, requests: number, tokens: number, now: number): void {
    for (const limit of this.limits.get(undefined) ?? []) limit.adjust(requests, tokens, lease, now);
    for (const limit of this.limits.get(lease.model ?? NAMELESS) ?? []) limit.adjust(requests, tokens, lease, now);
  }

  /**
   * Those limits that windows of our own can count, of one model or of all; see {@link LearnedLimit.countable}. Where
   * tokens read and tokens written are limited apart, what a provider takes for tokens is not clear.
   */
  countable(model: string | undefined): CountableLimit | undefined {
    const limits = this.limits.get(model);
    if (!limits) return undefined;
    const countsApart = limits.some(({ counts }) => counts === 'input-tokens' || counts === 'output-tokens');
    const countable = limits.flatMap(limit => (countsApart && limit.counts !== 'requests' ? [] : (limit.countable ?? [])));
    return countable.length === 0 ? undefined : countable.reduce((all, each) => ({ ...all, ...each }));
  }

  /** See {@link LearnedLimit.settled}. */
  settled(): void {
    for (const limits of this.limits.values()) for (const limit of limits) limit.settled();
  }

  setBack(byMs: number): void {
    for (const limits of this.limits.values()) for (const limit of limits) limit.setBack(byMs);
  }

  use(now: number): LimitUse[] {
    return [...this.limits].flatMap(([model, limits]) =>
      limits.filter(({ isKnown }) => isKnown).map(limit => ({ counts: limit.counts, model, ...limit.use(now) })),
    );
  }

  /** The models something was heard of. */
  get models(): string[] {
    return [...this.limits.keys()].filter(model => model !== undefined);
  }

  get countsTokens(): boolean {
    return [...this.limits.values()].some(limits => limits.some(({ counts }) => counts.startsWith('tokens')));
  }

  /** Undefined where nothing was heard. */
  snapshot(now: number): LearnedData | undefined {
    const dataOf = (limits: readonly LearnedLimit[]): LearnedLimitsData =>
      Object.fromEntries(limits.map(limit => [limit.counts, limit.snapshot(now)]));
    const known = [...this.limits].map(([model, limits]) => [model, limits.filter(({ isKnown }) => isKnown)] as const);
    const all = known.find(([model, limits]) => model === undefined && limits.length > 0);
    const models = known.flatMap(([model, limits]) => (model === undefined || limits.length === 0 ? [] : [[model, dataOf(limits)] as const]));
    if (!all && models.length === 0) return undefined;
    return { ...(all && { all: dataOf(all[1]) }), ...(models.length > 0 && { models: Object.fromEntries(models) }) };
  }

  /** See {@link LearnedLimit.restore}. */
  restore({ all, models = {} }: LearnedData, heardOf: number, now: number): void {
    for (const [model, limits] of [...(all ? [[undefined, all] as const] : []), ...Object.entries(models)]) {
      for (const data of Object.values(limits).slice(0, MAX_LIMITS)) {
        const limit = new LearnedLimit(data.counts, this.dayReset);
        limit.restore(data, heardOf, now);
        if (limit.inference) this.isInferring = true;
        this.limitsOf(model).push(limit);
      }
    }
  }

  private limitOf(model: string | undefined, name: string): LearnedLimit {
    const limits = this.limitsOf(model);
    let limit = limits.find(({ counts }) => counts === name);
    if (!limit) {
      if (limits.length >= MAX_LIMITS) limits.shift();
      limits.push((limit = new LearnedLimit(name, this.dayReset)));
    }
    return limit;
  }

  private limitsOf(model: string | undefined): LearnedLimit[] {
    let limits = this.limits.get(model);
    if (!limits) {
      makeRoom(this.limits, MAX_MODELS);
      this.limits.set(model, (limits = []));
    }
    return limits;
  }
}

function latest(limits: readonly LearnedLimit[] | undefined, tokens: number, now: number): number {
  let at = now;
  for (const limit of limits ?? []) at = Math.max(at, limit.availableAt(tokens, now));
  return at;
}
