import type { Fault } from '../faults/fault.ts';
import type { Receipt } from '../state/store.ts';
import type { Accusation } from './accusation.ts';
import type { Visit } from './address-limit.ts';
import type { Gate } from './gate.ts';
import type { QuotaGroup } from './group.ts';
import type { Counted } from './inference.ts';
import type { PoolKey } from './key.ts';
import type { ModelQuota } from './model-quotas.ts';

/** More is a mistake. Windows hold so much exactly, so that what is settled down again takes nothing from others. */
const MOST = 2 ** 40;

/** Where a lease reports to; the pool implements it. */
export interface LeaseHolder {
  onAnswered(lease: Lease, latencyMs: number, now: number): void;
  onFailed(lease: Lease, fault: Fault, now: number): Accusation | undefined;
  onReleased(lease: Lease, now: number): void;
  /** The call used fewer tokens than were reserved. */
  onTokensFreed(lease: Lease): void;
}

/** What a call really used. */
export interface Usage {
  readonly inputTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  /** In whatever currency the caller keeps. */
  readonly cost?: number | undefined;
}

/**
 * A key taken for one attempt, with its quota reserved.
 *
 * It is judged at most once (answered or failed) and released exactly once. Most attempts do both in
 * one step; a stream is judged when it begins and released when it ends. One that outlives its lease has
 * given its place back, but still teaches what came of it.
 */
export class Lease {
  readonly key: PoolKey;
  /** The key's group when it was taken, or the one that has taken that over. */
  group: QuotaGroup;
  readonly model: string | undefined;
  /** Tokens reserved. */
  readonly tokens: number;
  /** When it was taken, epoch ms. */
  readonly at: number;
  expiresAt: number;
  /** Called once, when the lease is over: its holder need not look out for the end any more. */
  whenReleased: (() => void) | undefined = undefined;
  /** What the processes that share state have counted for it; undefined where none do, or nothing is limited. */
  receipt: Receipt | undefined = undefined;
  /** Those limits of single models that it is counted under; undefined where there are none. */
  modelQuotas: ModelQuota[] | undefined = undefined;
  /** What it holds of the provider's limit on the address; undefined where there is none. */
  visit: Visit | undefined = undefined;
  /** Gates this attempt probes. */
  readonly probes: readonly Gate[] | undefined;
  /** What its answer says of limits was heard. */
  isHeard = false;
  /** What was counted when it was taken, where a limit is inferred. */
  counted: Counted | undefined = undefined;
  /** Counts up within the group. */
  ordinal = 0;
  /** Neighbours in the group's list of leases under way. */
  older: Lease | undefined = undefined;
  newer: Lease | undefined = undefined;

  private readonly holder: LeaseHolder;
  private judged = false;
  private released = false;
  /** What the windows hold for this attempt now, and what was reported of it so far. */
  private settledTokens: number;
  private reported: Required<{ [F in keyof Usage]: number }> | undefined;

  constructor(
    holder: LeaseHolder,
    key: PoolKey,
    model: string | undefined,
    tokens: number,
    at: number,
    expiresAt: number,
    probes: readonly Gate[] | undefined,
  ) {
    this.holder = holder;
    this.key = key;
    this.group = key.quotaGroup;
    this.model = model;
    this.tokens = Math.min(tokens, MOST);
    this.settledTokens = this.tokens;
    this.at = at;
    this.expiresAt = expiresAt;
    this.probes = probes;
  }

  get isJudged(): boolean {
    return this.judged;
  }

  /** The provider answered. */
  answered(latencyMs: number, now: number): void {
    if (this.judged) return;
    this.judged = true;
    this.holder.onAnswered(this, latencyMs, now);
  }

  /** The attempt failed; the fault says whose it was. A suspicion comes back as an accusation. */
  failed(fault: Fault, now: number): Accusation | undefined {
    if (this.judged) return undefined;
    this.judged = true;
    return this.holder.onFailed(this, fault, now);
  }

  /** The attempt is over: the key's place and probe are given back. */
  release(now: number): void {
    if (this.released) return;
    this.released = true;
    this.visit?.end();
    if (this.receipt !== undefined) this.receipt.release();
    this.holder.onReleased(this, now);
    this.whenReleased?.();
    this.whenReleased = undefined;
  }

  /** The clock was set back by so much. */
  setBack(byMs: number): void {
    this.expiresAt -= byMs;
  }

  /** Ends `leaseMs` after it began, unless it ends before. */
  shorten(leaseMs: number): void {
    const expiresAt = Math.min(this.expiresAt, this.at + leaseMs);
    for (const gate of this.probes ?? []) if (gate.probeUntil === this.expiresAt) gate.probeUntil = expiresAt;
    this.expiresAt = expiresAt;
  }

  /** Nothing reached the provider, which has counted nothing: what was reserved goes back, too. */
  cancel(now: number): void {
    if (this.released) return;
    // A failure to connect is a request all the same; an attempt that was never begun is none.
    if (!this.judged) this.key.requests--;
    this.visit?.cancel();
    this.key.usedQuota?.refund(this.settledTokens, this.at, now);
    this.group.quota?.refund(this.settledTokens, this.at, now);
    for (const { quota } of this.modelQuotas ?? []) quota.refund(this.settledTokens, this.at, now);
    this.group.learned?.adjust(this, -1, -this.settledTokens, now);
    this.receipt?.correct(-1, -Math.ceil(this.settledTokens));
    this.settledTokens = 0;
    this.holder.onTokensFreed(this);
    this.release(now);
  }

  /** Replaces the estimate by the real figures. May be called several times; the last one counts. */
  reportUsage(usage: Usage | null | undefined, now: number): void {
    // An answer without usage is passed on as it is, and must not fail the call that got it.
    if (usage === null || usage === undefined) return;
    const { metrics } = this.key;
    const before = this.reported;
    const after = {
      inputTokens: countOf(usage.inputTokens),
      outputTokens: countOf(usage.outputTokens),
      cost: countOf(usage.cost),
    };
    metrics.inputTokens += after.inputTokens - (before?.inputTokens ?? 0);
    metrics.outputTokens += after.outputTokens - (before?.outputTokens ?? 0);
    metrics.cost += after.cost - (before?.cost ?? 0);
    this.reported = after;
    const used = after.inputTokens + after.outputTokens;
    if (used > 0 && used !== this.settledTokens) {
      const freed = used < this.settledTokens;
      this.key.settleTokens(this, this.settledTokens, used, now);
      this.receipt?.correct(0, Math.ceil(used) - Math.ceil(this.settledTokens));
      this.settledTokens = used;
      if (freed) this.holder.onTokensFreed(this);
    }
  }
}

function countOf(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) && value > 0 ? Math.min(value, MOST) : 0;
}
