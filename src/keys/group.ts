import { Gated } from './gated.ts';
import type { PoolKey } from './key.ts';
import type { Lease } from './lease.ts';
import { Quota, type DayReset, type QuotaLimits } from './quota.ts';

/** Keys that share one quota: one project, one organisation, one account. Most have a single key. */
export class QuotaGroup extends Gated {
  // What every lease looks at comes first, as in PoolKey.
  quota: Quota | undefined;
  inFlight = 0;
  /** Leases under way, oldest first, linked through the leases themselves. */
  private oldest: Lease | undefined;
  private newest: Lease | undefined;

  readonly id: string;
  private first: PoolKey | undefined;
  private others: Set<PoolKey> | undefined;

  constructor(id: string) {
    super();
    this.id = id;
  }

  configure(limits: QuotaLimits | undefined, dayReset: DayReset | undefined): void {
    this.quota = Quota.of(limits, dayReset, this.quota);
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
    this.quota?.reserve(lease.tokens, lease.at);
    lease.older = this.newest;
    if (this.newest) this.newest.newer = lease;
    else this.oldest = lease;
    this.newest = lease;
  }

  onRelease(lease: Lease): void {
    this.inFlight--;
    if (lease.older) lease.older.newer = lease.newer;
    else this.oldest = lease.newer;
    if (lease.newer) lease.newer.older = lease.older;
    else this.newest = lease.older;
    lease.older = lease.newer = undefined;
  }

  override setBack(byMs: number): void {
    super.setBack(byMs);
    for (let lease = this.oldest; lease; lease = lease.newer) lease.setBack(byMs);
  }

  /** Leases under way end as if they had been made for so long. */
  shortenLeases(leaseMs: number): void {
    for (let lease = this.oldest; lease; lease = lease.newer) lease.shorten(leaseMs);
  }

  /** A lease whose holder never came back gives its place back after its time. */
  reclaimExpired(now: number): void {
    while (this.oldest && this.oldest.expiresAt <= now) this.oldest.release(now);
  }
}
