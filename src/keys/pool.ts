import type { Clock, Random } from '../clock.ts';
import type { Fault, FaultProfile } from '../faults/fault.ts';
import type { StrategyFactory } from '../strategies/strategy.ts';
import type { Accusation } from './accusation.ts';
import type { Gate } from './gate.ts';
import { QuotaGroup } from './group.ts';
import { PoolKey, type Demand } from './key.ts';
import { Lease, type LeaseHolder } from './lease.ts';
import { Lineup, type Blocked } from './lineup.ts';
import type { NormalizedKey } from './normalize.ts';
import { obstacleOf, type Obstacle } from './obstacle.ts';
import type { DayReset, QuotaLimits } from './quota.ts';
import { Settlement, type CooldownSettings, type KeyChange, type SettlementPool } from './settlement.ts';
import { Validation, type Validate } from './validation.ts';
import { WaitLine } from './wait-line.ts';

/** Models are named by callers, so the lineups kept are bounded; the oldest is rebuilt when needed. */
const MAX_LINEUPS = 64;

/** What a pool is made of: its configuration, resolved. */
export interface PoolSettings {
  readonly pattern: string;
  readonly keys: readonly NormalizedKey[];
  readonly strategyName: string;
  readonly strategy: StrategyFactory;
  readonly fallbackBehavior: 'fail' | 'useFirst' | 'useEnvironment';
  readonly groups: Readonly<Record<string, { readonly limits?: QuotaLimits | undefined }>>;
  readonly cooldown: CooldownSettings;
  readonly leaseMs: number;
  readonly maxWaitMs: number;
  readonly validate: Validate | undefined;
  readonly validateTimeoutMs: number;
  /** How the provider's failures are read; found by the provider's name where the pool does not say. */
  readonly profile: FaultProfile | undefined;
  readonly dayReset: DayReset | undefined;
}

export interface PoolDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly onKeyChange: (change: KeyChange) => void;
}

/** The keys behind one pattern: who is in it, and which one goes next. */
export class Pool implements LeaseHolder, SettlementPool {
  readonly pattern: string;
  readonly line: WaitLine;
  readonly settlement: Settlement;
  readonly validation: Validation;
  settings: PoolSettings;

  private readonly dependencies: PoolDependencies;
  private readonly groups = new Map<string, QuotaGroup>();
  /** By position; a removed key leaves a hole, so that positions stay what they were. */
  private readonly slots: (PoolKey | undefined)[] = [];
  private readonly byId = new Map<string, PoolKey>();
  private lineups = new Map<string | undefined, Lineup>();
  private modelsMatter = false;
  private blocked: Blocked = { at: Infinity, pending: false };

  constructor(settings: PoolSettings, dependencies: PoolDependencies) {
    this.pattern = settings.pattern;
    this.settings = settings;
    this.dependencies = dependencies;
    this.line = new WaitLine(dependencies.clock);
    this.settlement = new Settlement(this);
    this.validation = new Validation(this, dependencies.clock);
    this.configure(settings);
  }

  /** Takes new settings; keys keep what was learned of them, by id and secret. */
  configure(settings: PoolSettings): void {
    const strategyChanged = settings.strategy !== this.settings.strategy;
    this.settings = settings;
    for (const group of this.groups.values()) group.configure(settings.groups[group.id]?.limits, settings.dayReset);
    const named = new Set<PoolKey>();
    for (const keySettings of settings.keys) {
      const known = this.byId.get(keySettings.id);
      if (known?.hasSecret(keySettings.key) && known.group === groupIdOf(keySettings)) {
        known.reconfigure(keySettings, settings.dayReset);
        known.draining = false;
        named.add(known);
      } else {
        if (known) this.drain(known);
        named.add(this.insert(keySettings));
      }
    }
    for (const key of this.keys()) if (!named.has(key)) this.drain(key);
    if (strategyChanged) this.lineups = new Map();
    this.rebuildLineups();
    this.line.announce();
  }

  get cooldown(): CooldownSettings {
    return this.settings.cooldown;
  }

  get size(): number {
    return this.byId.size;
  }

  get(id: string): PoolKey | undefined {
    return this.byId.get(id);
  }

  *keys(): Generator<PoolKey> {
    for (const key of this.slots) if (key) yield key;
  }

  /**
   * Takes the best key for one attempt and reserves its quota, in one synchronous step; undefined where
   * none is ready, and {@link whyBlocked} says when to ask again.
   */
  lease(demand: Demand, tried: ReadonlySet<PoolKey> | undefined, preferredId?: string): Lease | undefined {
    const lineup = this.lineupFor(demand.model);
    for (;;) {
      const key = this.preferred(lineup, demand, tried, preferredId) ?? lineup.find(demand, tried);
      if (!key) {
        this.blocked = lineup.whyBlocked;
        return undefined;
      }
      // A validation call costs nothing; where the pool has one, no real call is risked on a doubtful key.
      if (this.settings.validate && (key.gate.state === 'disabled' || key.gate.state === 'suspect')) {
        this.validation.start(key);
        continue;
      }
      return this.take(lineup, key, demand);
    }
  }

  get whyBlocked(): Blocked {
    return this.blocked;
  }

  /** The first key of the pool whatever its state, for `fallbackBehavior: 'useFirst'`. */
  leaseFirst(demand: Demand): Lease | undefined {
    for (const key of this.keys()) {
      if (key.held === undefined && !key.draining && key.servesModel(demand.model)) {
        return this.take(this.lineupFor(demand.model), key, demand);
      }
    }
    return undefined;
  }

  /** What {@link lease} would take, without taking it. */
  peek(demand: Demand): PoolKey | undefined {
    return this.lineupFor(demand.model).find(demand, undefined);
  }

  /** Why the key cannot be leased for `demand` now; undefined where it can. */
  obstacleOf(key: PoolKey, demand: Demand): Obstacle | undefined {
    if (key.servesModel(demand.model)) return obstacleOf(key, demand, this.settings.dayReset);
    const reason = `does not serve ${demand.model ?? 'the model'}`;
    return { state: 'ready', reason, at: Infinity, pending: false, forTokens: false };
  }

  onAnswered(lease: Lease, latencyMs: number): void {
    this.settlement.answered(lease, latencyMs);
  }

  onFailed(lease: Lease, fault: Fault, now: number): Accusation | undefined {
    return this.settlement.failed(lease, fault, now);
  }

  onReleased(lease: Lease, now: number): void {
    const { key, probes } = lease;
    key.onRelease(lease);
    this.lineupFor(lease.model).strategyOf(key).onSettle?.(key, now);
    if (probes) for (const gate of probes) endProbe(gate, lease);
    if (key.draining && key.inFlight === 0) {
      this.remove(key);
    } else if (probes || (key.quotaGroup.quota?.concurrency ?? Infinity) !== Infinity) {
      this.regroup(key);
    } else {
      this.refreshPending(key);
    }
    this.line.announce();
  }

  // SettlementPool

  random(): number {
    return this.dependencies.random();
  }

  regroup(key: PoolKey): void {
    for (const lineup of this.lineups.values()) {
      lineup.refresh(key);
      if (key.quotaGroup.members.size > 1) for (const member of key.quotaGroup.members) lineup.refresh(member);
    }
  }

  distinguishModels(): void {
    this.modelsMatter = true;
  }

  changed(change: KeyChange): void {
    this.dependencies.onKeyChange(change);
  }

  // Membership

  /** Adds a key, or returns the one that has this id already. */
  insert(settings: NormalizedKey): PoolKey {
    const groupId = groupIdOf(settings);
    let group = this.groups.get(groupId);
    if (!group) {
      group = new QuotaGroup(groupId);
      group.configure(this.settings.groups[groupId]?.limits, this.settings.dayReset);
      this.groups.set(groupId, group);
    }
    const key = new PoolKey(settings, this.slots.length, group);
    this.slots.push(key);
    this.byId.set(key.id, key);
    group.members.add(key);
    if (key.filtersModels) this.modelsMatter = true;
    for (const lineup of this.lineups.values()) lineup.add(key);
    this.line.announce();
    return key;
  }

  /** No new attempt goes to the key; it leaves when the last one under way has settled. */
  drain(key: PoolKey): void {
    key.draining = true;
    if (key.inFlight === 0) this.remove(key);
    else for (const lineup of this.lineups.values()) lineup.remove(key);
  }

  hold(key: PoolKey, reason: string): void {
    const from = key.gate.state;
    key.held = reason;
    this.changed({ keyId: key.id, from, to: 'disabled', reason });
  }

  unhold(key: PoolKey): void {
    if (key.held === undefined) return;
    key.held = undefined;
    this.changed({ keyId: key.id, from: 'disabled', to: key.gate.state, reason: 'enabled by hand' });
    this.regroup(key);
    this.line.announce();
  }

  reset(key: PoolKey): void {
    this.settlement.reset(key);
    this.line.announce();
  }

  /** Ends what the pool has started. Calls that wait are told through their own signals. */
  close(): void {
    this.line.close();
    this.validation.close();
  }

  private take(lineup: Lineup, key: PoolKey, demand: Demand): Lease {
    const { now, model } = demand;
    const expiresAt = now + this.settings.leaseMs;
    const probes = key.probedGates(model);
    if (probes) for (const gate of probes) gate.probeUntil = expiresAt;
    const lease = new Lease(this, key, model, demand.tokens, now, expiresAt, probes);
    key.onLease(lease, this.settings.dayReset);
    lineup.strategyOf(key).onLease?.(key, now);
    return lease;
  }

  private preferred(
    lineup: Lineup,
    demand: Demand,
    tried: ReadonlySet<PoolKey> | undefined,
    id: string | undefined,
  ): PoolKey | undefined {
    const key = id === undefined ? undefined : this.byId.get(id);
    if (!key || tried?.has(key) || !key.servesModel(lineup.model) || key.gate.lastInLine) return undefined;
    return key.availableAt(demand, this.settings.dayReset) <= demand.now ? key : undefined;
  }

  private remove(key: PoolKey): void {
    for (const lineup of this.lineups.values()) lineup.remove(key);
    this.slots[key.position] = undefined;
    if (this.byId.get(key.id) === key) this.byId.delete(key.id);
    key.quotaGroup.members.delete(key);
    if (key.quotaGroup.members.size === 0) this.groups.delete(key.group);
    this.settlement.forget(key);
    this.changed({ keyId: key.id, from: key.gate.state, to: 'removed', reason: 'removed' });
  }

  private refreshPending(key: PoolKey): void {
    for (const lineup of this.lineups.values()) if (lineup.isPending(key)) lineup.refresh(key);
  }

  private lineupFor(model: string | undefined): Lineup {
    const named = this.modelsMatter ? model : undefined;
    let lineup = this.lineups.get(named);
    if (!lineup) {
      if (this.lineups.size >= MAX_LINEUPS) {
        for (const oldest of this.lineups.keys()) {
          this.lineups.delete(oldest);
          break;
        }
      }
      lineup = this.createLineup(named);
      this.lineups.set(named, lineup);
    }
    return lineup;
  }

  private createLineup(model: string | undefined): Lineup {
    const { strategy, dayReset } = this.settings;
    const lineup = new Lineup(model, { strategy, random: this.dependencies.random, dayReset });
    for (const key of this.keys()) if (!key.draining) lineup.add(key);
    return lineup;
  }

  private rebuildLineups(): void {
    this.modelsMatter ||= [...this.keys()].some(key => key.filtersModels);
    for (const [model, lineup] of this.lineups) {
      for (const key of this.keys()) {
        lineup.remove(key);
        if (!key.draining) lineup.add(key);
      }
      this.lineups.set(model, lineup);
    }
  }
}

/** A key without a declared group has a quota of its own. */
function groupIdOf(settings: NormalizedKey): string {
  return settings.group ?? `key:${settings.id}`;
}

/** A probe that neither opened nor closed its gate leaves it half-open for the next one. */
function endProbe(gate: Gate, lease: Lease): void {
  if (gate.probeUntil === lease.expiresAt) gate.probeUntil = 0;
}
