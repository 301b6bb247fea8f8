import type { AddressReading } from '../faults/address.ts';
import { DAY_MS, HOUR_MS } from '../faults/durations.ts';
import { ON_THE_WAY_MS } from '../state/on-the-way.ts';
import { Chain, type Link } from './chain.ts';

/** A limit that was told is believed for so long, one that was only seen for less: it may be raised. */
const TOLD_FOR_MS = DAY_MS;
const SEEN_FOR_MS = HOUR_MS;
/** An HTTP date is in whole seconds. */
const SECOND_MS = 1000;
/** A clock that goes back further than this was set; less is a reading of some time ago. */
const JITTER_MS = 5000;
/** What calls cost is reckoned from so many times as many as are under way: those may have arrived in any order. */
const CLEAR = 4;

/** An attempt that the latest figure may not know of. */
export class Visit implements Link<Visit> {
  before: Visit | undefined = undefined;
  after: Visit | undefined = undefined;
  readonly at: number;
  readonly ordinal: number;
  private readonly limit: AddressLimit;

  constructor(limit: AddressLimit, at: number, ordinal: number) {
    this.limit = limit;
    this.at = at;
    this.ordinal = ordinal;
  }

  /** The attempt is over, and nothing was told of it: it counts until there is a figure. */
  end(): void {
    this.limit.end(this, true);
  }

  /** Nothing has reached the provider. */
  cancel(): void {
    this.limit.end(this, false);
  }
}

/** A lease that was answered, as far as it matters here. */
interface Answered {
  readonly at: number;
  readonly visit: Visit | undefined;
}

/**
 * What a provider takes from the address of this machine, in each minute of its clock or so, whatever the key. What its
 * answers say is used is the truth, for other programs use the address as well; we only add what is under way. How much
 * there is at most is known once a call was refused for it.
 */
export class AddressLimit {
  readonly counts: string;
  private readonly windowMs: number;
  private limit: number | undefined = undefined;
  private believedUntil = 0;
  /** The most that an answer has told of this window, and when its attempt began. */
  private used = 0;
  private usedAt = -Infinity;
  /** The most of it that was not refused. */
  private served = 0;
  private startedAt = -Infinity;
  private endsAt = -Infinity;
  /** By how much the provider's clock is ahead of ours, at least. */
  private aheadMs = 0;
  private isSynchronized = false;
  private readonly underWay = new Chain<Visit>();
  private visits = 0;
  /** The first figure of the window that is known to belong to one of our attempts. */
  private first: { readonly ordinal: number; readonly used: number } | undefined = undefined;
  /** What one of our calls costs, on average. */
  private cost = 1;

  constructor(counts: string, windowMs: number) {
    this.counts = counts;
    this.windowMs = windowMs;
  }

  /** The earliest time at which one more call fits; `now` where it does at once. */
  availableAt(now: number): number {
    if (this.limit === undefined) return now;
    this.turn(now);
    if (now >= this.believedUntil) this.limit = undefined;
    return this.fits(this.underWay.size) ? now : this.endsAt;
  }

  /** True where attempts under way, and not the provider, keep a call from being made. */
  get isOurs(): boolean {
    return this.underWay.size > 0 && this.fits(0);
  }

  /** An attempt begins. Undefined where there is nothing to be counted. */
  begin(now: number): Visit | undefined {
    if (this.limit === undefined) return undefined;
    this.turn(now);
    const visit = new Visit(this, now, this.visits++);
    this.underWay.add(visit);
    return visit;
  }

  /** @param until after a refusal, when to come back */
  hear({ isFailure, refusal, serverNow, used }: AddressReading, { at, visit }: Answered, now: number, until?: number): void {
    if (serverNow !== undefined) this.synchronize(serverNow, at, now);
    this.turn(now);
    // What was asked before the window turned may have been counted before as well.
    const isOfWindow = at >= this.startedAt;
    if (used !== undefined && isOfWindow) this.count(used, at, visit);
    if (refusal) this.refused(refusal.limit, isOfWindow, now, until);
    else if (used !== undefined && isOfWindow && !isFailure) this.answered(used);
    if (visit) this.end(visit, used === undefined);
  }

  /** See {@link Visit.end}. */
  end(visit: Visit, isCounted: boolean): void {
    if (this.underWay.delete(visit) && isCounted) this.used += this.cost;
  }

  private fits(underWay: number): boolean {
    const { limit } = this;
    if (limit === undefined) return true;
    // So many calls as it is reckoned from were served in one window. A figure that is absurd would else leave room for
    // one call in each, which are too few to reckon from again.
    const cost = Math.min(this.cost, Math.max(1, limit / CLEAR));
    const used = this.used + underWay * cost;
    // A call that is larger than all of it is the provider's to refuse.
    return used === 0 || used + Math.round(cost) <= limit;
  }

  private answered(used: number): void {
    this.served = Math.max(this.served, used);
    // Whatever the limit is, it is not this one.
    if (this.limit !== undefined && used > this.limit) this.limit = undefined;
  }

  private refused(told: number | undefined, isOfWindow: boolean, now: number, until = Infinity): void {
    const limit = told ?? (this.served > 0 ? this.served : this.used);
    if (limit <= 0) return;
    this.limit = limit;
    this.believedUntil = now + (told === undefined ? SEEN_FOR_MS : TOLD_FOR_MS);
    if (!isOfWindow) return;
    this.used = Math.max(this.used, limit);
    // The provider knows better than our clock when its window turns.
    this.endsAt = Math.min(this.endsAt, Math.max(now, until));
  }

  private count(used: number, at: number, visit: Visit | undefined): void {
    if (used < this.used) {
      // It may have arrived earlier than the one that told more; much later, and the window has turned in between.
      if (at <= this.usedAt + ON_THE_WAY_MS) return;
      this.first = undefined;
    }
    this.used = used;
    this.forgetBefore(at);
    if (!visit) return;
    this.first ??= { ordinal: visit.ordinal, used };
    const calls = visit.ordinal - this.first.ordinal;
    if (calls >= CLEAR * (this.underWay.size + 1)) this.cost = Math.max(1, (used - this.first.used) / calls);
  }

  /** What began well before an attempt has arrived before it, and is part of what that was told. */
  private forgetBefore(at: number): void {
    this.usedAt = Math.max(this.usedAt, at);
    for (let { oldest } = this.underWay; oldest && oldest.at <= this.usedAt - ON_THE_WAY_MS; { oldest } = this.underWay) {
      this.underWay.delete(oldest);
    }
  }

  private turn(now: number): void {
    if (now < this.endsAt && now >= this.startedAt - JITTER_MS) return;
    const turnedAt = Math.min(this.endsAt, now);
    this.endsAt = this.nextTurn(now);
    this.startedAt = Math.max(this.endsAt - this.windowMs, turnedAt);
    this.used = 0;
    this.served = 0;
    this.first = undefined;
    this.usedAt = -Infinity;
    this.forgetBefore(this.startedAt);
  }

  private nextTurn(now: number): number {
    return (Math.floor((now + this.aheadMs) / this.windowMs) + 1) * this.windowMs - this.aheadMs;
  }

  /**
   * Its clock shows at least what it has sent, so that a window has surely turned there when it turns here. The most that
   * was seen is closest to the truth, unless one of the clocks was set.
   */
  private synchronize(serverNow: number, at: number, now: number): void {
    const leastMs = serverNow - now;
    const mostMs = serverNow + SECOND_MS - at;
    if (this.isSynchronized && leastMs <= this.aheadMs && this.aheadMs <= mostMs) return;
    this.isSynchronized = true;
    this.aheadMs = leastMs;
    if (now < this.endsAt) this.endsAt = this.nextTurn(now);
  }
}
