import type { Fault } from '../faults/fault.ts';
import type { Accusation } from './accusation.ts';
import type { Gate } from './gate.ts';
import type { QuotaGroup } from './group.ts';
import type { PoolKey } from './key.ts';

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
  /** The key's group when it was taken. */
  readonly group: QuotaGroup;
  readonly model: string | undefined;
  /** Tokens reserved. */
  readonly tokens: number;
  /** When it was taken, epoch ms. */
  readonly at: number;
  expiresAt: number;
  /** Called once, when the lease is over: its holder need not look out for the end any more. */
  whenReleased: (() => void) | undefined = undefined;
  /** Gates this attempt probes. */
  readonly probes: readonly Gate[] | undefined;
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
    this.tokens = tokens;
    this.settledTokens = tokens;
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
    this.holder.onReleased(this, now);
    this.whenReleased?.();
    this.whenReleased = undefined;
  }

  /** Ends `leaseMs` after it began, unless it ends before. */
  shorten(leaseMs: number): void {
    const expiresAt = Math.min(this.expiresAt, this.at + leaseMs);
    for (const gate of this.probes ?? []) if (gate.probeUntil === this.expiresAt) gate.probeUntil = expiresAt;
    this.expiresAt = expiresAt;
  }

  /** Replaces the estimate by the real figures. May be called several times; the last one counts. */
  reportUsage(usage: Usage, now: number): void {
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
      this.settledTokens = used;
      if (freed) this.holder.onTokensFreed(this);
    }
  }
}

function countOf(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) && value > 0 ? value : 0;
}
