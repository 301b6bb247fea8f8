import { DAY_MS } from '../faults/durations.ts';
import type { Fault } from '../faults/fault.ts';
import { Accusation, CORRELATED_GROUPS } from './accusation.ts';
import { FailureRun } from './failure-run.ts';
import type { Gate, GateSnapshot, GateState } from './gate.ts';
import type { Gated } from './gated.ts';
import type { PoolKey } from './key.ts';
import type { Lease } from './lease.ts';
import { makeRoom } from './make-room.ts';

/** A disabled key is probed again after twenty times the first cool-down. */
const DISABLED_FACTOR = 20;
/** A fault's own default cool-down doubles up to this many times its length. */
const MAX_DOUBLING = 64;
/** Keys remembered as refused together with others; the oldest is forgotten first. */
const MOST_DOUBTED = 100;
/** Suspects to be vouched for: callers name models without end. The oldest has to prove itself. */
const MOST_SUSPECTED = 10_000;
/** No reset a provider speaks of lies further ahead than the end of a month. */
export const LONGEST_COOLDOWN_MS = 31 * DAY_MS;

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
  /** Set where every key of this group, declared or learned, is concerned. */
  readonly group?: string;
}

/** What the settlement needs of its pool. */
export interface SettlementPool {
  readonly cooldown: CooldownSettings;
  /** Calls wait for a key. */
  readonly isAwaited: boolean;
  /** A uniform random number in [0, 1). */
  random(): number;
  /** The key may be ready sooner, or stand elsewhere in the lineups. */
  refresh(key: PoolKey): void;
  /** As {@link refresh}, for all keys of its group. */
  regroup(key: PoolKey): void;
  /** This model is to have a lineup of its own. */
  distinguish(model: string): void;
  changed(change: KeyChange): void;
  /**
   * Infers from the refusal what there is to be inferred. True where a limit accounts for it that holds back by itself
   * what comes: nobody has to rest.
   */
  accountsFor(lease: Lease, fault: Fault, now: number): boolean;
}

interface Suspicion {
  readonly key: PoolKey;
  readonly kind: string;
  /** What its gate was. */
  readonly before: GateSnapshot;
}

/** What outcomes teach: turns each settled attempt into gates closed, opened, or left alone. */
export class Settlement {
  /** Keys that were refused when others were refused alike, and that have not answered since. */
  readonly doubted = new Set<PoolKey>();
  private readonly pool: SettlementPool;
  private readonly tally = { answers: 0, failures: 0 };
  /** Suspects nobody has vouched for, with what their gates were before. */
  private readonly suspects = new Map<Gate, Suspicion>();

  constructor(pool: SettlementPool) {
    this.pool = pool;
  }

  answered(lease: Lease, latencyMs: number): void {
    const { key, model } = lease;
    const { quotaGroup } = key;
    key.metrics.success(latencyMs);
    key.observe(false, latencyMs);
    this.tally.answers++;
    if (key.failing && !key.failing.answered()) key.failing = undefined;
    if (this.doubted.size > 0) this.doubted.delete(key);
    this.open(lease, key, undefined);
    this.open(lease, quotaGroup, undefined);
    if (model !== undefined) {
      this.open(lease, key, model);
      this.open(lease, quotaGroup, model);
    }
    key.advanceRamp(this.pool.isAwaited);
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
    if (this.pool.accountsFor(lease, fault, now)) {
      this.reopen(lease, fault);
      return undefined;
    }
    const gate = this.gateOf(lease, fault);
    // An attempt that found the gate open, and fails while it is shut, repeats what has shut it.
    const repeats = gate.state !== 'ready' && !lease.probes?.includes(gate);
    if (isAccusation(fault)) return this.accuse(lease, fault, gate, repeats, now);
    const from = gate.state;
    if (fault.action === 'disable') {
      if (repeats && from === 'disabled') return undefined;
      gate.disable(this.disabledUntil(gate.strikes, now), fault.kind, now);
    } else {
      if (repeats && fault.until === undefined) return undefined;
      if (!gate.cool(this.cooledUntil(fault, gate.strikes, now), fault.kind, now)) return undefined;
    }
    this.report(lease, fault, gate, from);
    return undefined;
  }

  /** Another key has answered the same request: the accused key is to blame. */
  convict(accusation: Accusation, now: number): void {
    const { gate, fault, lease } = accusation;
    if (gate.state !== 'suspect') return;
    this.suspects.delete(gate);
    // The suspicion was a strike already.
    const strikes = Math.max(0, gate.strikes - 1);
    if (fault.action === 'cool') gate.convict('cooling', this.cooledUntil(fault, strikes, now), fault.kind, now);
    else gate.convict('disabled', this.disabledUntil(strikes, now), fault.kind, now);
    this.report(lease, fault, gate, 'suspect');
    this.pool.refresh(lease.key);
  }

  /** All fail alike: nobody is to blame, and the key is what it was. */
  acquit(accusation: Accusation): void {
    const { gate, lease, fault } = accusation;
    this.doubt(lease.key);
    if (gate.state !== 'suspect' || gate.since !== accusation.since) return;
    this.suspects.delete(gate);
    gate.restore(accusation.before);
    this.report(lease, { ...fault, kind: 'acquitted' }, gate, 'suspect');
    this.pool.refresh(lease.key);
  }

  /**
   * As {@link acquit}, over all calls: where so many groups were refused alike that no key can be to blame, and
   * nobody has been answered since.
   */
  acquitSuspects(kind: string): void {
    const alike = [...this.suspects].filter(([, suspicion]) => suspicion.kind === kind);
    if (new Set(alike.map(([, { key }]) => key.group)).size < CORRELATED_GROUPS) return;
    for (const [gate, { key, before }] of alike) {
      this.doubt(key);
      this.suspects.delete(gate);
      gate.restore(before);
      this.pool.changed({ keyId: key.id, from: 'suspect', to: gate.state, reason: 'acquitted' });
      this.pool.refresh(key);
    }
  }

  /** A validation call has spoken. `undefined`: it could not tell. It says nothing about quotas. */
  validated(key: PoolKey, valid: boolean | undefined, now: number): void {
    key.inconclusive = valid === undefined ? key.inconclusive + 1 : 0;
    const gate = key.gateOf(undefined);
    const from = gate.state;
    if (valid === false) {
      this.suspects.delete(gate);
      gate.disable(this.disabledUntil(Math.max(0, gate.strikes - (from === 'suspect' ? 1 : 0)), now), 'validation failed', now);
    } else if (from === 'disabled' || from === 'suspect') {
      gate.probeUntil = 0;
      if (valid) {
        this.suspects.delete(gate);
        gate.recover();
        key.startRamp();
      } else {
        gate.until = Math.max(gate.until, now + this.pool.cooldown.initialMs);
      }
    }
    if (gate.state !== from) {
      this.pool.changed({
        keyId: key.id,
        from,
        to: gate.state,
        reason: valid ? 'validated' : gate.reason,
        ...(gate.state !== 'ready' && { until: gate.until }),
      });
    }
    this.pool.refresh(key);
  }

  /** Another process has shut or opened the gate. A suspect is anybody's to vouch for. */
  adopted(gate: Gate, key: PoolKey): void {
    this.suspects.delete(gate);
    if (gate.state !== 'suspect' || !gate.lastInLine) return;
    const { strikes } = gate;
    const before = { state: 'ready', until: 0, since: 0, strikes: Math.max(0, strikes - 1), reason: '', lastInLine: false } as const;
    this.suspects.set(gate, { key, kind: gate.reason, before });
  }

  /** A person says the key is good. */
  reset(key: PoolKey): void {
    const from = key.gate.state;
    for (const owner of [key, key.quotaGroup]) {
      for (const gate of owner.gates()) {
        this.suspects.delete(gate);
        gate.reset();
      }
    }
    key.quotaGroup.learned = undefined;
    key.ramp = 0;
    key.failing = undefined;
    this.doubted.delete(key);
    if (from !== 'ready') this.pool.changed({ keyId: key.id, from, to: 'ready', reason: 'reset' });
    this.pool.regroup(key);
  }

  /** What the gate of a suspect was that nobody has vouched for; undefined where it is none. */
  beforeSuspicion(gate: Gate): GateSnapshot | undefined {
    return this.suspects.get(gate)?.before;
  }

  /** The suspicion was raised earlier, by what this settlement has not seen. */
  suspectAgain(key: PoolKey, gate: Gate, before: GateSnapshot): void {
    this.suspects.set(gate, { key, kind: gate.reason, before });
  }

  /** The gate was set to what it was elsewhere: what was suspected here is out of date. */
  unsuspect(gate: Gate): void {
    this.suspects.delete(gate);
  }

  /** See {@link doubted}. */
  setDoubted(key: PoolKey, isDoubted: boolean): void {
    if (isDoubted) this.doubt(key);
    else this.doubted.delete(key);
  }

  forget(key: PoolKey): void {
    this.doubted.delete(key);
    for (const [gate, suspect] of this.suspects) if (suspect.key === key) this.suspects.delete(gate);
  }

  private doubt(key: PoolKey): void {
    makeRoom(this.doubted, MOST_DOUBTED);
    this.doubted.add(key);
  }

  private accuse(lease: Lease, fault: Fault, gate: Gate, repeats: boolean, now: number): Accusation {
    const { key } = lease;
    const from = gate.state;
    const before = this.suspects.get(gate)?.before ?? gate.snapshot();
    if (repeats && (from === 'suspect' || from === 'disabled')) return new Accusation(lease, fault, gate, before);
    // A disabled key that fails its probe was convicted before; it needs no second trial.
    if (from === 'disabled') {
      gate.disable(this.disabledUntil(gate.strikes, now), fault.kind, now);
    } else {
      const until = from === 'suspect' ? now + this.backoff(this.pool.cooldown.initialMs, gate.strikes - 1) : now;
      gate.suspect(until, fault.kind, now);
      makeRoom(this.suspects, MOST_SUSPECTED);
      this.suspects.set(gate, { key, kind: fault.kind, before });
    }
    if (gate.state !== from) this.report(lease, fault, gate, from);
    this.pool.refresh(key);
    return new Accusation(lease, fault, gate, before);
  }

  /** The provider has answered somebody: each suspect may prove itself, one attempt at a time. */
  private vouchForSuspects(): void {
    for (const [gate, { key }] of this.suspects) {
      gate.lastInLine = false;
      this.pool.refresh(key);
    }
    this.suspects.clear();
  }

  /** Opens a gate this lease was the probe of; a plain success only walks the next cool-down back. */
  private open(lease: Lease, owner: Gated, model: string | undefined): void {
    const { since, state: from, strikes } = model === undefined ? owner.gate : owner.modelGate(model);
    if (from === 'ready' && strikes === 0) return;
    const gate = owner.gateOf(model);
    if (from === 'ready') {
      if (lease.at >= since) gate.strikes--;
      return;
    }
    if (!lease.probes?.includes(gate)) return;
    const { key } = lease;
    const ofGroup = owner !== key;
    this.suspects.delete(gate);
    gate.recover();
    // A suspect was not away. Of one model, too: all who wait for it would come at once.
    if (from !== 'suspect') key.startRamp();
    this.pool.changed({
      keyId: key.id,
      from,
      to: 'ready',
      reason: 'answered',
      ...(model !== undefined && { model }),
      ...(ofGroup && key.namedGroup !== undefined && { group: key.namedGroup }),
    });
    if (ofGroup) this.pool.regroup(key);
    else this.pool.refresh(key);
  }

  /** A probe was refused for a limit that holds back what comes by itself. */
  private reopen(lease: Lease, fault: Fault): void {
    const { key } = lease;
    for (const gate of lease.probes ?? []) {
      const from = gate.state;
      if (from !== 'cooling') continue;
      gate.recover();
      this.report(lease, { ...fault, kind: 'limit inferred' }, gate, from);
    }
    if (lease.probes) this.pool.regroup(key);
  }

  /**
   * A provider's failure blames no key, unless one key keeps failing while others are answered: then it is
   * that key's own trouble (its project, its region), whatever the status says.
   */
  private failedWithProvider({ key }: Lease, now: number): void {
    const run = (key.failing ??= new FailureRun(this.tally));
    this.tally.failures++;
    run.failed();
    if (!run.isAlone(this.tally)) return;
    key.failing = undefined;
    const gate = key.gateOf(undefined);
    const from = gate.state;
    if (!gate.cool(now + this.backoff(this.pool.cooldown.initialMs, gate.strikes), 'failing alone', now)) return;
    this.pool.changed({ keyId: key.id, from, to: gate.state, reason: gate.reason, until: gate.until });
  }

  private gateOf(lease: Lease, fault: Fault): Gate {
    const { key, model } = lease;
    const owner = fault.scope.startsWith('group') ? key.quotaGroup : key;
    if (model === undefined || !fault.scope.endsWith('+model')) return owner.gateOf(undefined);
    this.pool.distinguish(model);
    return owner.gateOf(model);
  }

  /** @param strikes those before this one */
  private cooledUntil(fault: Fault, strikes: number, now: number): number {
    if (fault.until !== undefined) return Math.min(fault.until, now + LONGEST_COOLDOWN_MS);
    const { initialMs, maxMs } = this.pool.cooldown;
    const base = fault.coolMs ?? initialMs;
    const cap = Math.max(base, Math.min(maxMs, base * MAX_DOUBLING));
    return now + Math.min(cap, this.backoff(base, strikes));
  }

  /** @param strikes those before this one */
  private disabledUntil(strikes: number, now: number): number {
    const { initialMs, maxMs } = this.pool.cooldown;
    return now + this.backoff(Math.max(initialMs, Math.min(maxMs, initialMs * DISABLED_FACTOR)), strikes);
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
      ...(fault.scope.startsWith('group') && key.namedGroup !== undefined && { group: key.namedGroup }),
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
  // A model this call did not name may be all that is out of reach.
  if (fault.scope === 'key+model' && fault.model === undefined) return true;
  return fault.status !== undefined && fault.status >= 400 && fault.status < 500 && fault.status !== 429;
}
