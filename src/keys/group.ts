import { Gated } from './gated.ts';
import type { PoolKey } from './key.ts';
import type { Lease } from './lease.ts';
import { LearnedQuota, NAMELESS, type LearnedData } from './learned-quota.ts';
import type { LearnedLimitData, UnderWay } from './learned-limit.ts';
import { ON_THE_WAY_MS } from '../state/on-the-way.ts';
import { Quota, type DayReset, type QuotaLimits } from './quota.ts';
import type { SharedShortages } from './shared-shortages.ts';

const NO_NAMES = new Set<string>();

/** Keys that share one quota: one project, one organisation, one account. Most have a single key. */
export class QuotaGroup extends Gated {
  // What every lease looks at comes first, as in PoolKey.
  quota: Quota | undefined;
  /** What the provider's answers say is left; undefined while they have said nothing. */
  learned: LearnedQuota | undefined = undefined;
  /** Set where other processes have used it up. */
  shortages: SharedShortages | undefined = undefined;
  inFlight = 0;
  /** Leases under way, oldest first, linked through the leases themselves. */
  private oldest: Lease | undefined;
  private newest: Lease | undefined;

  readonly id: string;
  /** False for a key without a group, which stands for itself. */
  readonly isNamed: boolean;
  /** What the provider calls it. */
  readonly names: Set<string>;
  /** As declared. */
  limits: QuotaLimits | undefined = undefined;
  private share = 1;
  private leases = 0;
  private first: PoolKey | undefined;
  private others: Set<PoolKey> | undefined;

  constructor(id: string, isNamed: boolean) {
    super();
    this.id = id;
    this.isNamed = isNamed;
    // Most groups are keys on their own, which no provider names.
    this.names = isNamed ? new Set() : NO_NAMES;
  }

  configure(limits: QuotaLimits | undefined, dayReset: DayReset | undefined): void {
    this.limits = limits;
    this.quota = Quota.of(limits, dayReset, this.quota, this.share);
  }

  /** So many processes make do with its limits, each for itself. */
  divide(share: number, dayReset: DayReset | undefined): void {
    this.share = share;
    this.configure(this.limits, dayReset);
  }

  join(key: PoolKey): void {
    if (!this.first) this.first = key;
    else (this.others ??= new Set()).add(key);
  }

  leave(key: PoolKey): void {
    if (this.first !== key) {
      this.others?.delete(key);
      return;
    }
    this.first = undefined;
    for (const next of this.others ?? []) {
      this.others?.delete(next);
      this.first = next;
      break;
    }
  }

  /** True where a person has said of one of the keys that it belongs here. */
  get hasDeclaredKeys(): boolean {
    for (const { settings } of this.members()) if (settings.group !== undefined) return true;
    return false;
  }

  get isEmpty(): boolean {
    return this.first === undefined;
  }

  *members(): Generator<PoolKey> {
    if (this.first) yield this.first;
    if (this.others) yield* this.others;
  }

  /** When the oldest attempt under way gives its place back at the latest, epoch ms. */
  get nextExpiry(): number {
    return this.oldest?.expiresAt ?? Infinity;
  }

  onLease(lease: Lease): void {
    this.inFlight++;
    lease.ordinal = this.leases++;
    this.reserve(lease);
    if (this.learned) {
      lease.counted = this.learned.counted(lease.model, this.inFlight - 1, lease.at);
      this.learned.take(lease.model, lease.tokens, lease.at);
    }
    this.append(lease);
  }

  onRelease(lease: Lease): void {
    this.inFlight--;
    if (lease.older) lease.older.newer = lease.newer;
    else this.oldest = lease.newer;
    if (lease.newer) lease.newer.older = lease.older;
    else this.newest = lease.older;
    lease.older = lease.newer = undefined;
  }

  /**
   * What the provider may have counted after `lease`, for the model, or for any where it is undefined: it is still under
   * way, and has not been answered. A stream that has begun has told its figures.
   */
  underWaySince(lease: Lease, model: string | undefined): UnderWay {
    let requests = 0;
    let tokens = 0;
    const since = lease.at - ON_THE_WAY_MS;
    for (let each = this.newest; each && (each.ordinal > lease.ordinal || each.at > since); each = each.older) {
      // One that is older, and was answered, has been counted.
      if (each.ordinal <= lease.ordinal && each.isJudged) continue;
      if (each === lease || each.isHeard || (model !== undefined && (each.model ?? NAMELESS) !== model)) continue;
      requests++;
      tokens += each.tokens;
    }
    return { requests, tokens };
  }

  /** Takes over the keys of another group, what is known of it, and what is under way with them. */
  absorb(other: QuotaGroup): void {
    for (const key of [...other.members()]) {
      other.leave(key);
      key.quotaGroup = this;
      this.join(key);
    }
    this.inherit(other);
    this.learned ??= other.learned;
    this.leases = Math.max(this.leases, other.leases);
    const leases = [...this.underWay(), ...other.underWay()].sort((a, b) => a.at - b.at);
    this.oldest = this.newest = other.oldest = other.newest = undefined;
    for (const lease of leases) {
      if (lease.group === other) this.reserve(lease);
      lease.group = this;
      lease.ordinal = this.leases++;
      this.append(lease);
    }
    this.inFlight = leases.length;
    other.inFlight = 0;
  }

  override setBack(byMs: number): void {
    super.setBack(byMs);
    this.shortages = undefined;
    this.learned?.setBack(byMs);
    for (let lease = this.oldest; lease; lease = lease.newer) lease.setBack(byMs);
  }

  /** Leases under way end as if they had been made for so long. */
  shortenLeases(leaseMs: number): void {
    for (let lease = this.oldest; lease; lease = lease.newer) lease.shorten(leaseMs);
  }

  /** What was known of the provider's limits; takes the place of what is. */
  relearn(data: LearnedData | undefined, dayReset: DayReset | undefined, now: number): void {
    this.learned = undefined;
    if (!data) return;
    this.learned = new LearnedQuota(dayReset);
    this.learned.restore(data, this.leases++, now);
  }

  /** What another process has heard of the provider's limits; nothing where they are to be forgotten. */
  adoptLimits(
    model: string | undefined,
    limits: readonly LearnedLimitData[],
    dayReset: DayReset | undefined,
    now: number,
  ): void {
    if (limits.length === 0) this.learned?.forget(model);
    else (this.learned ??= new LearnedQuota(dayReset)).adopt(model, limits, this.leases++, now);
  }

  private reserve(lease: Lease): void {
    const { quota } = this;
    if (!quota) return;
    quota.reserve(lease.tokens, lease.at, lease.model);
    quota.models?.take(lease);
  }

  private *underWay(): Generator<Lease> {
    for (let lease = this.oldest; lease; lease = lease.newer) yield lease;
  }

  private append(lease: Lease): void {
    lease.older = this.newest;
    lease.newer = undefined;
    if (this.newest) this.newest.newer = lease;
    else this.oldest = lease;
    this.newest = lease;
  }

  /** A lease whose holder never came back gives its place back after its time. */
  reclaimExpired(now: number): void {
    while (this.oldest && this.oldest.expiresAt <= now) this.oldest.release(now);
  }
}
