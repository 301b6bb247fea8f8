import { nextMidnight } from '../faults/calendar.ts';
import { DAY_MS, MINUTE_MS } from '../faults/durations.ts';
import type { SimulatedQuota } from './scenario.ts';

/** One limit over time, as its provider counts it: exactly, and by the provider's clock. */
export interface Meter {
  readonly quota: SimulatedQuota;
  readonly limit: number;
  used(now: number): number;
  /** The earliest time at which so much fits; `Infinity` where it never does. */
  fitsAt(amount: number, now: number): number;
  add(amount: number, now: number): void;
  /** When nothing of it is used any more, unless something is added. */
  wholeAt(now: number): number;
}

export function meterOf(quota: SimulatedQuota, scale = 1): Meter {
  const limit = quota.limit * scale;
  if (quota.form === 'refill') return new Bucket(quota, limit);
  return quota.form === 'sliding' ? new SlidingMeter(quota, limit) : new FixedMeter(quota, limit);
}

function periodOf({ per }: SimulatedQuota): number {
  return per === 'minute' ? MINUTE_MS : DAY_MS;
}

class SlidingMeter implements Meter {
  readonly quota: SimulatedQuota;
  readonly limit: number;
  private readonly periodMs: number;
  private readonly entries: { readonly at: number; readonly amount: number }[] = [];
  private first = 0;
  private total = 0;

  constructor(quota: SimulatedQuota, limit: number) {
    this.quota = quota;
    this.limit = limit;
    this.periodMs = periodOf(quota);
  }

  used(now: number): number {
    const { entries } = this;
    for (let oldest = entries[this.first]; oldest && oldest.at + this.periodMs <= now; oldest = entries[this.first]) {
      this.total -= oldest.amount;
      this.first++;
    }
    if (this.first > 1024 && this.first * 2 > entries.length) {
      entries.splice(0, this.first);
      this.first = 0;
    }
    return this.total;
  }

  fitsAt(amount: number, now: number): number {
    if (amount > this.limit) return Infinity;
    let excess = this.used(now) + amount - this.limit;
    if (excess <= 0) return now;
    for (let index = this.first; index < this.entries.length; index++) {
      const entry = this.entries[index]!;
      excess -= entry.amount;
      if (excess <= 0) return entry.at + this.periodMs;
    }
    return now;
  }

  add(amount: number, now: number): void {
    this.total = this.used(now) + amount;
    this.entries.push({ at: now, amount });
  }

  wholeAt(now: number): number {
    const newest = this.used(now) > 0 ? this.entries.at(-1) : undefined;
    return newest ? newest.at + this.periodMs : now;
  }
}

class FixedMeter implements Meter {
  readonly quota: SimulatedQuota;
  readonly limit: number;
  private endsAt = -Infinity;
  private count = 0;

  constructor(quota: SimulatedQuota, limit: number) {
    this.quota = quota;
    this.limit = limit;
  }

  used(now: number): number {
    return now < this.endsAt ? this.count : 0;
  }

  fitsAt(amount: number, now: number): number {
    if (amount > this.limit) return Infinity;
    return this.used(now) + amount <= this.limit ? now : this.endsAt;
  }

  add(amount: number, now: number): void {
    this.count = this.used(now) + amount;
    this.endsAt = this.wholeAt(now);
  }

  wholeAt(now: number): number {
    if (now < this.endsAt) return this.endsAt;
    const { per, timeZone = 'UTC' } = this.quota;
    return per === 'minute' ? (Math.floor(now / MINUTE_MS) + 1) * MINUTE_MS : nextMidnight(now, timeZone);
  }
}

class Bucket implements Meter {
  readonly quota: SimulatedQuota;
  readonly limit: number;
  private readonly perMs: number;
  private level = 0;
  private at = 0;

  constructor(quota: SimulatedQuota, limit: number) {
    this.quota = quota;
    this.limit = limit;
    this.perMs = limit / periodOf(quota);
  }

  used(now: number): number {
    return Math.max(0, this.level - (now - this.at) * this.perMs);
  }

  fitsAt(amount: number, now: number): number {
    if (amount > this.limit) return Infinity;
    const excess = this.used(now) + amount - this.limit;
    // A binary fraction is no millisecond.
    return excess <= 1e-9 ? now : now + Math.max(1, Math.ceil(excess / this.perMs - 1e-6));
  }

  add(amount: number, now: number): void {
    this.level = this.used(now) + amount;
    this.at = now;
  }

  wholeAt(now: number): number {
    return now + Math.ceil(this.used(now) / this.perMs);
  }
}
