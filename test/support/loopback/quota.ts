/** Requests or tokens, per minute or per day. */
export type Dimension = 'rpm' | 'tpm' | 'rpd' | 'tpd';

/** What is not named is unlimited; 0 means the model is not in the plan. */
export type Limits = { readonly [D in Dimension]?: number };

export interface GroupLimits extends Limits {
  /** Limits of single models, in place of the group's own; `false`: the group may not use the model. */
  readonly models?: Readonly<Record<string, Limits | false>>;
}

/** One limit over time. */
export interface Window {
  readonly limit: number;
  used(now: number): number;
  add(amount: number, now: number): void;
  /** Milliseconds until `amount` fits; 0 when it fits now. */
  fitsInMs(amount: number, now: number): number;
  /** Milliseconds until nothing is used any more. */
  resetInMs(now: number): number;
}

/** Counts from the first use to a fixed end, then starts anew with the next use. */
export class FixedWindow implements Window {
  readonly limit: number;
  readonly #endOf: (startedAt: number) => number;
  #endsAt = Number.NEGATIVE_INFINITY;
  #used = 0;

  constructor(limit: number, endOf: (startedAt: number) => number) {
    this.limit = limit;
    this.#endOf = endOf;
  }

  used(now: number): number {
    return now < this.#endsAt ? this.#used : 0;
  }

  add(amount: number, now: number): void {
    if (now >= this.#endsAt) {
      this.#endsAt = this.#endOf(now);
      this.#used = 0;
    }
    this.#used += amount;
  }

  fitsInMs(amount: number, now: number): number {
    if (this.used(now) + amount <= this.limit) return 0;
    return (now < this.#endsAt ? this.#endsAt : this.#endOf(now)) - now;
  }

  resetInMs(now: number): number {
    return Math.max(0, now < this.#endsAt ? this.#endsAt - now : 0);
  }
}

/** Refills evenly over the period: of 10 a minute, one comes back every 6 s. */
export class RefillingWindow implements Window {
  readonly limit: number;
  readonly #periodMs: number;
  #used = 0;
  #at = 0;

  constructor(limit: number, periodMs: number) {
    this.limit = limit;
    this.#periodMs = periodMs;
  }

  used(now: number): number {
    const refilled = (Math.max(0, now - this.#at) * this.limit) / this.#periodMs;
    return Math.max(0, this.#used - refilled);
  }

  add(amount: number, now: number): void {
    this.#used = this.used(now) + amount;
    this.#at = now;
  }

  fitsInMs(amount: number, now: number): number {
    return this.#refillMs(this.used(now) + amount - this.limit);
  }

  resetInMs(now: number): number {
    return this.#refillMs(this.used(now));
  }

  #refillMs(amount: number): number {
    if (amount <= 0) return 0;
    // Rounded to the microsecond, so that a binary fraction does not turn 6000 ms into 6001.
    return this.limit === 0 ? this.#periodMs : Math.round(((amount * this.#periodMs) / this.limit) * 1000) / 1000;
  }
}

/** The windows of providers whose limits refill all the time. */
export function evenly(dimension: Dimension, limit: number): Window {
  return new RefillingWindow(limit, dimension === 'rpd' || dimension === 'tpd' ? 86_400_000 : 60_000);
}

/** One limit that a request did not fit in. */
export interface Refusal {
  readonly dimension: Dimension;
  readonly limit: number;
  readonly used: number;
  readonly requested: number;
  readonly retryInMs: number;
}

// Days first: a provider that finds both limits hit names the day.
const DIMENSIONS: readonly Dimension[] = ['rpd', 'tpd', 'rpm', 'tpm'];

export const isDimension = (kind: string): kind is Dimension => (DIMENSIONS as readonly string[]).includes(kind);

/** The windows of one group and model. */
export class Meter {
  readonly #windows: ReadonlyMap<Dimension, Window>;

  constructor(limits: Limits, windowOf: (dimension: Dimension, limit: number) => Window) {
    this.#windows = new Map(
      DIMENSIONS.flatMap((dimension) => {
        const limit = limits[dimension];
        return limit === undefined ? [] : [[dimension, windowOf(dimension, limit)] as const];
      }),
    );
  }

  /** Takes one request of so many tokens out of all windows, or out of none and says which refused. */
  admit(tokens: number, now: number): readonly Refusal[] {
    const refusals: Refusal[] = [];
    for (const [dimension, window] of this.#windows) {
      const requested = amountOf(dimension, tokens);
      const retryInMs = window.fitsInMs(requested, now);
      if (retryInMs > 0) {
        refusals.push({ dimension, limit: window.limit, used: Math.round(window.used(now)), requested, retryInMs });
      }
    }
    if (refusals.length === 0) {
      for (const [dimension, window] of this.#windows) window.add(amountOf(dimension, tokens), now);
    }
    return refusals;
  }

  window(dimension: Dimension): Window | undefined {
    return this.#windows.get(dimension);
  }

  /** Uses up what is left of the day; false where the day has no limit. */
  exhaustDay(now: number): boolean {
    const window = this.window('rpd');
    window?.add(Math.max(0, window.limit - window.used(now)), now);
    return window !== undefined;
  }
}

function amountOf(dimension: Dimension, tokens: number): number {
  return dimension === 'rpm' || dimension === 'rpd' ? 1 : tokens;
}
