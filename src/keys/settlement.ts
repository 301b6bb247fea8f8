import type { Fault } from '../faults/fault.ts';
import { Accusation } from './accusation.ts';
import type { Gate, GateState } from './gate.ts';
import type { PoolKey } from './key.ts';
import type { Lease } from './lease.ts';

/** A disabled key is probed again after ten times the first cool-down. */
const DISABLED_FACTOR = 10;
/** A fault's own default cool-down doubles up to this many times its length. */
const MAX_DOUBLING = 64;
/** Failures in a row, or of the last attempts, after which a key that fails alone is cooled. */
const FAILING_STREAK = 5;
const FAILING_RATE = 0.6;
const FAILING_MIN_ATTEMPTS = 20;

export interface CooldownSettings {
  readonly initialMs: number;
  readonly maxMs: number;
}

/** A key's state has changed. */
export interface KeyChange {
  readonly keyId: string;
  readonly from: GateState;
  readonly to: GateState | 'removed';
  readonly reason: string;
  /** When it may be tried again, epoch ms. */
  readonly until?: number;
  /** Set where only this model of the key is concerned. */
  readonly model?: string;
  /** Set where every key of this group is concerned. */
  readonly group?: string;
}

/** What the settlement needs of its pool. */
export interface SettlementPool {
  readonly cooldown: CooldownSettings;
  /** A uniform random number in [0, 1). */
  random(): number;
  /** The key, and those that share its group, may stand elsewhere in the lineups now. */
  regroup(key: PoolKey): void;
  /** Lineups must tell models apart from now on. */
  distinguishModels(): void;
  changed(change: KeyChange): void;
}

/** What outcomes teach: turns each settled attempt into gates closed, opened, or left alone. */
export class Settlement {
  private readonly pool: SettlementPool;
  /** Answers of the whole pool; a key that failed since this stood lower has failed alone. */
  private answers = 0;
  private readonly suspects = new Map<Gate, PoolKey>();
  private failureRate = 0;

  constructor(pool: SettlementPool) {
    this.pool = pool;
  }

  answered(lease: Lease, latencyMs: number): void {
    const { key, model } = lease;
    key.metrics.success(latencyMs);
    key.observe(false, latencyMs);
    key.failing.streak = 0;
    this.answers++;
    this.failureRate *= 0.98;
    this.open(lease, key.gate, false, false);
    this.open(lease, key.quotaGroup.gate, false, true);
    if (model !== undefined) {
      this.open(lease, key.models.get(model), true, false);
      this.open(lease, key.quotaGroup.models.get(model), true, true);
    }
    key.advanceRamp();
    if (this.suspects.size > 0) this.vouchForSuspects();
  }

  failed(lease: Lease, fault: Fault, now: number): Accusation | undefined {
    const { key } = lease;
    key.metrics.failure(fault.kind);
    if (fault.status === 429) key.metrics.rateLimitHits++;
    if (fault.scope === 'request' || fault.scope === 'ip') return undefined;
    key.observe(true, 0);
    if (fault.scope === 'provider' || fault.scope === 'provider+model') {
      this.failedWithProvider(lease, now);
      return undefined;
    }
    // What was leased before a gate closed only repeats what closed it.
    const gate = this.gateOf(lease, fault);
    if (isAccusation(fault)) return this.accuse(lease, fault, gate, now);
    const from = gate.state;
    const closed =
      fault.action === 'disable'
        ? (gate.disable(this.disabledUntil(gate, now), fault.kind, now), true)
        : gate.cool(this.cooledUntil(gate, fault, now), fault.kind, now);
    if (closed) this.report(lease, fault, gate, from);
    this.pool.regroup(key);
    return undefined;
  }

  /** Another key has answered the same request: the accused key is to blame. */
  convict(accusation: Accusation, now: number): void {
    const { gate, fault, lease } = accusation;
    if (gate.state !== 'suspect') return;
    this.suspects.delete(gate);
    const from = gate.state;
    if (fault.action === 'cool') {
      gate.state = 'ready';
      gate.cool(fault.until ?? now + (fault.coolMs ?? this.pool.cooldown.initialMs), fault.kind, now);
    } else {
      gate.disable(this.disabledUntil(gate, now), fault.kind, now);
    }
    this.report(lease, fault, gate, from);
    this.pool.regroup(lease.key);
  }

  /** All fail alike: nobody is to blame, and the key is what it was. */
  acquit(accusation: Accusation): void {
    const { gate, lease, fault } = accusation;
    if (gate.state !== 'suspect' || gate.since !== accusation.since) return;
    this.suspects.delete(gate);
    const from = gate.state;
    gate.restore(accusation.before);
    this.report(lease, { ...fault, kind: 'acquitted' }, gate, from);
    this.pool.regroup(lease.key);
  }

  /** A validation call has spoken. `undefined`: it could not tell. */
  validated(key: PoolKey, valid: boolean | undefined, now: number): void {
    const { gate } = key;
    const from = gate.state;
    gate.probeUntil = 0;
    if (valid === true && from !== 'ready') {
      this.suspects.delete(gate);
      gate.recover();
    } else if (valid === false) {
      this.suspects.delete(gate);
      gate.disable(this.disabledUntil(gate, now), 'validation failed', now);
    } else if (valid === undefined && (from === 'disabled' || from === 'suspect')) {
      gate.until = now + this.pool.cooldown.initialMs;
    }
    if (gate.state !== from) {
      this.pool.changed({
        keyId: key.id,
        from,
        to: gate.state,
        reason: valid === true ? 'validated' : gate.reason,
        ...(gate.state === 'ready' ? {} : { until: gate.until }),
      });
    }
    this.pool.regroup(key);
  }

  /** A person says the key is good. */
  reset(key: PoolKey): void {
    const from = key.gate.state;
    for (const gate of [key.gate, key.quotaGroup.gate]) {
      this.suspects.delete(gate);
      gate.reset();
    }
    for (const models of [key.models, key.quotaGroup.models]) {
      for (const [, gate] of models.entries()) {
        this.suspects.delete(gate);
        gate.reset();
      }
    }
    key.ramp = 0;
    key.failing.streak = 0;
    if (from !== 'ready') this.pool.changed({ keyId: key.id, from, to: 'ready', reason: 'reset' });
    this.pool.regroup(key);
  }

  forget(key: PoolKey): void {
    for (const [gate, suspect] of this.suspects) if (suspect === key) this.suspects.delete(gate);
  }

  private accuse(lease: Lease, fault: Fault, gate: Gate, now: number): Accusation {
    const { key } = lease;
    const from = gate.state;
    const before = gate.snapshot();
    // A disabled key that fails its probe was convicted before; it needs no second trial.
    if (from === 'disabled') {
      gate.disable(this.disabledUntil(gate, now), fault.kind, now);
    } else {
      const again = from === 'suspect' && now >= gate.until;
      gate.suspect(again ? now + this.backoff(this.pool.cooldown.initialMs, gate.strikes - 1) : now, fault.kind, now);
      this.suspects.set(gate, key);
    }
    if (gate.state !== from) this.report(lease, fault, gate, from);
    this.pool.regroup(key);
    return new Accusation(lease, fault, gate, before);
  }

  /** The provider has answered somebody: each suspect may prove itself, one attempt at a time. */
  private vouchForSuspects(): void {
    for (const [gate, key] of this.suspects) {
      gate.lastInLine = false;
      this.pool.regroup(key);
    }
    this.suspects.clear();
  }

  /** Opens a gate this lease was the probe of; a plain success only walks the next cool-down back. */
  private open(lease: Lease, gate: Gate | undefined, ofModel: boolean, ofGroup: boolean): void {
    if (!gate) return;
    if (gate.state === 'ready') {
      if (gate.strikes > 0 && lease.at >= gate.since) gate.strikes--;
      return;
    }
    if (!lease.probes?.includes(gate)) return;
    const from = gate.state;
    const { key } = lease;
    this.suspects.delete(gate);
    gate.recover();
    if (gate === key.gate) key.startRamp();
    this.pool.changed({
      keyId: key.id,
      from,
      to: 'ready',
      reason: 'answered',
      ...(ofModel && lease.model !== undefined ? { model: lease.model } : {}),
      ...(ofGroup ? { group: key.group } : {}),
    });
    this.pool.regroup(key);
  }

  /**
   * A provider's failure blames no key, unless one key keeps failing while others are answered: then it is
   * that key's own trouble (its project, its region), whatever the status says.
   */
  private failedWithProvider(lease: Lease, now: number): void {
    const { key } = lease;
    const { failing } = key;
    this.failureRate += 0.02 * (1 - this.failureRate);
    if (failing.streak === 0) failing.answersBefore = this.answers;
    failing.streak++;
    const others = this.answers - failing.answersBefore;
    const failsAlone = failing.streak >= FAILING_STREAK && others >= FAILING_STREAK;
    const failsMore =
      key.metrics.requests >= FAILING_MIN_ATTEMPTS &&
      key.errorRate >= FAILING_RATE &&
      this.failureRate < key.errorRate / 2;
    if (!failsAlone && !failsMore) return;
    const { gate } = key;
    const from = gate.state;
    if (!gate.cool(now + this.backoff(this.pool.cooldown.initialMs, gate.strikes), 'failing alone', now)) return;
    failing.streak = 0;
    key.errorRate = 0;
    this.pool.changed({ keyId: key.id, from, to: gate.state, reason: gate.reason, until: gate.until });
    this.pool.regroup(key);
  }

  private gateOf(lease: Lease, fault: Fault): Gate {
    const { key, model } = lease;
    const owner = fault.scope.startsWith('group') ? key.quotaGroup : key;
    if (model === undefined || !fault.scope.endsWith('+model')) return owner.gate;
    this.pool.distinguishModels();
    return owner.models.of(model);
  }

  private cooledUntil(gate: Gate, fault: Fault, now: number): number {
    if (fault.until !== undefined) return fault.until;
    const { initialMs, maxMs } = this.pool.cooldown;
    const base = fault.coolMs ?? initialMs;
    const cap = Math.max(base, Math.min(maxMs, base * MAX_DOUBLING));
    return now + Math.min(cap, this.backoff(base, gate.strikes));
  }

  private disabledUntil(gate: Gate, now: number): number {
    return now + this.backoff(this.pool.cooldown.initialMs * DISABLED_FACTOR, Math.max(0, gate.strikes - 1));
  }

  /** Doubles with each strike, capped, with up to a tenth of jitter so that keys do not return in step. */
  private backoff(baseMs: number, strikes: number): number {
    const { maxMs } = this.pool.cooldown;
    const delayMs = Math.min(Math.max(maxMs, baseMs), baseMs * 2 ** Math.min(strikes, 30));
    return Math.round(delayMs * (1 + 0.1 * this.pool.random()));
  }

  private report(lease: Lease, fault: Fault, gate: Gate, from: GateState): void {
    const { key } = lease;
    this.pool.changed({
      keyId: key.id,
      from,
      to: gate.state,
      reason: fault.kind,
      ...(gate.state === 'ready' ? {} : { until: gate.until }),
      ...(fault.scope.endsWith('+model') && lease.model !== undefined ? { model: lease.model } : {}),
      ...(fault.scope.startsWith('group') ? { group: key.group } : {}),
    });
  }
}

/**
 * Faults of a credential are accusations: they need the contrast of another key's answer. Quota faults do
 * not, the provider has counted; nor does a failure that names the key beyond doubt.
 */
function isAccusation(fault: Fault): boolean {
  if (fault.certainty === 'certain') return false;
  if (!fault.scope.startsWith('key')) return false;
  if (fault.action === 'disable' || fault.action === 'probation') return true;
  return fault.status !== undefined && fault.status >= 400 && fault.status < 500 && fault.status !== 429;
}
