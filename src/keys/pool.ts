import type { Clock, Random } from '../clock.ts';
import type { Fault, FaultProfile } from '../faults/fault.ts';
import type { LimitReading } from '../faults/limits.ts';
import type { StoreConnection } from '../state/store.ts';
import type { StrategyFactory } from '../strategies/strategy.ts';
import type { Accusation } from './accusation.ts';
import type { Affinity } from './affinity.ts';
import { Attachments } from './attachments.ts';
import type { Gate } from './gate.ts';
import type { GateView } from './gated.ts';
import type { QuotaGroup } from './group.ts';
import { Groups } from './groups.ts';
import { PoolKey, type Demand } from './key.ts';
import { Lease, type LeaseHolder } from './lease.ts';
import { LearnedQuota, NAMELESS } from './learned-quota.ts';
import type { LearnedLimitData, UnderWay } from './learned-limit.ts';
import type { Blocked, Lineup, LineupOptions } from './lineup.ts';
import { Lineups, type LineupsPool } from './lineups.ts';
import type { ModelQuota } from './model-quotas.ts';
import type { NormalizedKey } from './normalize.ts';
import { addressObstacle, doubtOf, obstacleOf, type Obstacle } from './obstacle.ts';
import type { DayReset, QuotaLimits } from './quota.ts';
import { SharedPool, type SharedPoolHost } from './shared-pool.ts';
import { Settlement, type CooldownSettings, type KeyChange, type SettlementPool } from './settlement.ts';
import { Validation, type Validate } from './validation.ts';
import { WaitLine } from './wait-line.ts';

/** A clock that goes back further than this was set; less is jitter, or a reading of some time ago. */
const JITTER_MS = 5000;
/** Validations in a row that could not tell, before a call is risked although other keys are good. */
const MOST_INCONCLUSIVE = 3;
const NO_KEYS: ReadonlySet<PoolKey> = new Set();
/** Ready keys a newcomer leaves to those who wait, before it waits with them. */
const MOST_PASSED_OVER = 8;

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
  readonly affinity: Affinity | undefined;
}

/** What an answer says beside its content. */
export interface Heard {
  readonly limits: readonly LimitReading[];
  /** What the provider calls the group of the key. */
  readonly group: string | undefined;
  /** True where the limits are those of the call's model; else they are those of all models. */
  readonly ofModel: boolean;
  /** When limits that are used up are whole again, epoch ms, where the answer says so outside of them. */
  readonly until: number | undefined;
}

/** Hears that there is something new to be known of a pool's keys; see `snapshot.ts`. */
export interface PoolWatcher {
  /** Called often, with every attempt where quotas are counted. */
  touched(): void;
  /** The key is new to the pool. */
  joined(pool: Pool, key: PoolKey): void;
}

export interface PoolDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly onKeyChange: (change: KeyChange) => void;
  readonly watcher?: PoolWatcher | undefined;
  /** Where several processes share what they know. */
  readonly store?: StoreConnection | undefined;
}

/** The keys behind one pattern: who is in it, and which one goes next. */
export class Pool implements LeaseHolder, LineupsPool, SettlementPool, SharedPoolHost {
  readonly pattern: string;
  readonly line: WaitLine;
  readonly settlement: Settlement;
  readonly validation: Validation;
  readonly attachments = new Attachments();
  /** Undefined where this process alone uses the keys. */
  readonly shared: SharedPool | undefined;
  settings: PoolSettings;
  watcher: PoolWatcher | undefined;

  private readonly dependencies: PoolDependencies;
  readonly groups: Groups;
  /** By position; a removed key leaves a hole, for the next one that is added. */
  private readonly slots: (PoolKey | undefined)[] = [];
  private readonly holes: number[] = [];
  private readonly byId = new Map<string, PoolKey>();
  /** Keys that are draining; their ids are free. */
  private readonly leaving = new Set<PoolKey>();
  private readonly lineups = new Lineups(this);
  private hasTokenLimits = false;
  /** Some keys are used up for some models only. */
  private limitsModels = false;
  private blocked: Blocked = { at: Infinity, pending: false };
  /** The latest time seen, and by how much the clock was set back so far. */
  private seenAt: number;
  private setBackMs = 0;
  /** Position of the key whose leases were looked at last. */
  private lastReclaimed = 0;

  constructor(settings: PoolSettings, dependencies: PoolDependencies) {
    this.pattern = settings.pattern;
    this.settings = settings;
    this.dependencies = dependencies;
    this.watcher = dependencies.watcher;
    this.line = new WaitLine(dependencies.clock, (now, due) => this.look(now, due));
    this.seenAt = dependencies.clock.now();
    this.groups = new Groups(settings);
    this.settlement = new Settlement(this);
    this.validation = new Validation(this, dependencies.clock);
    const { clock, store } = dependencies;
    const shared = store && new SharedPool(this, settings.pattern, store, clock);
    this.shared = shared;
    if (shared) this.groups.onGroup = group => shared.watchGroup(group);
    this.configure(settings);
  }

  /** Takes new settings; keys keep what was learned of them, by id and secret. */
  configure(settings: PoolSettings): void {
    const strategyChanged = settings.strategy !== this.settings.strategy;
    if (settings.leaseMs < this.settings.leaseMs) {
      for (const group of this.groups.all()) group.shortenLeases(settings.leaseMs);
    }
    this.settings = settings;
    this.groups.configure(settings);
    for (const { limits } of Object.values(settings.groups)) this.noteLimits(limits);
    const named = new Set<PoolKey>();
    for (const keySettings of settings.keys) {
      const known = this.byId.get(keySettings.id);
      if (known?.hasSecret(keySettings.key)) {
        this.adopt(known, keySettings);
        named.add(known);
      } else {
        // The new one first: what its group has used must outlive the old one.
        named.add(this.insert(keySettings));
        if (known) {
          this.attachments.passOn(known, this.byId.get(keySettings.id)!);
          this.drain(known);
        }
      }
    }
    for (const key of this.keys()) if (!named.has(key)) this.drain(key);
    if (strategyChanged) this.lineups.clear();
    this.lineups.rebuild();
    this.line.announce();
  }

  get lineupOptions(): LineupOptions {
    const { strategy, dayReset } = this.settings;
    return { strategy, dayReset, random: this.dependencies.random };
  }

  get isAwaited(): boolean {
    return this.line.size > 0;
  }

  get cooldown(): CooldownSettings {
    return this.settings.cooldown;
  }

  /** Keys in use; those that are draining do not count. */
  get size(): number {
    return this.byId.size;
  }

  /** True where how large a call is decides which keys it may have. */
  get limitsTokens(): boolean {
    return this.hasTokenLimits;
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
  lease(demand: Demand, tried: ReadonlySet<PoolKey> | undefined): Lease | undefined {
    this.look(demand.now);
    if (this.limitsModels && demand.model !== undefined) this.distinguish(demand.model);
    if (this.holdsBack(demand)) return undefined;
    const lineup = this.lineups.of(demand.model);
    for (;;) {
      const key = this.choose(lineup, demand, tried);
      if (!key) {
        this.blocked = demand.only ? this.outlookAmong(untried(demand.only, tried), demand) : lineup.whyBlocked;
        return undefined;
      }
      if (this.validatesFirst(key, demand.model)) {
        this.validation.start(key);
        continue;
      }
      return this.take(lineup, key, demand);
    }
  }

  /**
   * As {@link lease}, for who comes to a pool that others wait for: only a key that none of them could have, as
   * it does not serve their models.
   */
  leaseUnclaimed(demand: Demand): Lease | undefined {
    this.look(demand.now);
    if (this.holdsBack(demand)) return undefined;
    const lineup = this.lineups.of(demand.model);
    const claimed = new Set<PoolKey>();
    while (claimed.size < MOST_PASSED_OVER) {
      const key = this.choose(lineup, demand, claimed);
      if (!key) return undefined;
      if (!this.validatesFirst(key, demand.model) && !this.isClaimed(key, demand.now)) return this.take(lineup, key, demand);
      claimed.add(key);
    }
    return undefined;
  }

  /** `time`, in a count that goes on evenly where the clock is set back; see {@link fromSteady}. */
  toSteady(time: number): number {
    return time + this.setBackMs;
  }

  fromSteady(time: number): number {
    return time - this.setBackMs;
  }

  get whyBlocked(): Blocked {
    return this.blocked;
  }

  /** True where the provider takes no more from this address: no key is of any help. {@link whyBlocked} says for how long. */
  holdsBack({ address, now }: Demand): boolean {
    if (address === undefined) return false;
    const at = address.availableAt(now);
    if (at <= now) return false;
    this.blocked = { at, pending: address.isOurs };
    return true;
  }

  /** Keys that would do as well as `first`, the best one first. Nothing is taken. */
  alternatives(demand: Demand, except: ReadonlySet<PoolKey> | undefined, first: PoolKey, most: number): PoolKey[] {
    const passedOver = new Set(except).add(first);
    if (demand.only) {
      return demand.only.filter(key => canServe(key, demand) && this.isReady(key, demand, passedOver)).slice(0, most);
    }
    const found: PoolKey[] = [];
    if (demand.affinity !== undefined) {
      for (const key of this.preferredBy(demand.affinity, demand.model)) {
        if (found.length === most || !this.isFit(key, demand, passedOver)) continue;
        found.push(key);
        passedOver.add(key);
      }
    }
    const others = this.lineups.of(demand.model).findSeveral(demand, passedOver, most - found.length);
    return [...found, ...others.filter(key => !this.validatesFirst(key, demand.model))];
  }

  /**
   * Takes that very key, whatever is used of it: somebody who knows better has found room. Undefined where it is shut,
   * or has been taken out.
   */
  leaseOf(key: PoolKey, demand: Demand): Lease | undefined {
    const { model, now } = demand;
    if (key.held !== undefined || key.draining || !canServe(key, demand)) return undefined;
    if (key.opensAt(model, now) > now || key.quotaGroup.opensAt(model, now) > now) return undefined;
    return this.take(this.lineups.of(demand.model), key, demand);
  }

  quotaGroups(): Iterable<QuotaGroup> {
    return this.groups.all();
  }

  /** The first key of the pool as configured, whatever its state, for `fallbackBehavior: 'useFirst'`. */
  leaseFirst(demand: Demand): Lease | undefined {
    if (this.holdsBack(demand)) return undefined;
    const usable = (key: PoolKey | undefined): key is PoolKey =>
      key !== undefined && key.held === undefined && !key.draining && canServe(key, demand);
    for (const { id } of this.settings.keys) {
      const key = this.byId.get(id);
      if (usable(key)) return this.take(this.lineups.of(demand.model), key, demand);
    }
    for (const key of this.keys()) if (usable(key)) return this.take(this.lineups.of(demand.model), key, demand);
    return undefined;
  }

  /** What {@link lease} would take, without taking it. */
  peek(demand: Demand): PoolKey | undefined {
    if (this.holdsBack(demand)) return undefined;
    const passedOver = new Set<PoolKey>();
    for (;;) {
      const key = this.choose(this.lineups.of(demand.model), demand, passedOver);
      if (!key || !this.validatesFirst(key, demand.model)) return key;
      passedOver.add(key);
    }
  }

  /** When a key may be had. */
  outlook(demand: Demand): Blocked {
    this.look(demand.now);
    if (this.holdsBack(demand)) return this.blocked;
    if (demand.only) return this.outlookAmong(demand.only, demand);
    const lineup = this.lineups.of(demand.model);
    return lineup.find(demand, undefined) ? { at: demand.now, pending: false } : lineup.whyBlocked;
  }

  /** When a key may be had that is none of these, and that nobody has refused. */
  outlookOf(demand: Demand, except: ReadonlySet<PoolKey>): Blocked {
    return this.outlookAmong(demand.only ?? this.byId.values(), demand, except);
  }

  private outlookAmong(keys: Iterable<PoolKey>, demand: Demand, except?: ReadonlySet<PoolKey>): Blocked {
    let at = Infinity;
    let pending = false;
    for (const key of keys) {
      if (except && (except.has(key) || doubtOf(key, demand.model) !== undefined)) continue;
      const obstacle = this.obstacleOf(key, demand);
      // Where a lineup had it otherwise, a call that is sent back there would go round for ever.
      if (!obstacle && except) this.lineups.refresh(key);
      at = Math.min(at, obstacle ? obstacle.at : demand.now);
      pending ||= obstacle?.pending === true;
      if (at <= demand.now) break;
    }
    return { at, pending };
  }

  /** True where some key other than these might answer: one that nobody has refused. */
  hasUndoubted({ model, only }: Pick<Demand, 'model' | 'only'>, except: ReadonlySet<PoolKey>): boolean {
    for (const key of only ?? this.byId.values()) {
      if (except.has(key) || key.held !== undefined || !key.servesModel(model)) continue;
      if (doubtOf(key, model) === undefined) return true;
    }
    return false;
  }

  /** A validation call costs nothing: where the pool has one, no real call is risked on a doubtful key. */
  validatesFirst(key: PoolKey, model?: string): boolean {
    if (this.settings.validate === undefined || doubtOf(key) === undefined) return false;
    // A validation that cannot tell must not keep the key away for ever: one call finds out.
    const { inconclusive } = key;
    return inconclusive === 0 || (inconclusive < MOST_INCONCLUSIVE && this.hasUndoubted({ model }, NO_KEYS));
  }

  /** Why the key cannot be leased for `demand` now; undefined where it can. */
  obstacleOf(key: PoolKey, demand: Demand): Obstacle | undefined {
    if (canServe(key, demand)) return obstacleOf(key, demand, this.settings.dayReset) ?? addressObstacle(demand);
    const isOfModel = !key.servesModel(demand.model);
    const reason = isOfModel ? `does not serve ${demand.model ?? 'the model'}` : 'does not have what the call uses';
    return { state: 'unsuitable', reason, at: Infinity, pending: false, concerns: isOfModel ? 'model' : 'call' };
  }

  /**
   * The keys with which all of these can be used: the one that made them, then those that share its group. Undefined
   * where nothing is known of them, or all of those keys have left the pool.
   */
  keysWith(resources: string | readonly string[]): readonly PoolKey[] | undefined {
    if (!this.attachments.resources) return undefined;
    const owner = [resources].flat().map(each => this.attachments.ownerOf(each)).find(key => key && this.slots[key.position] === key);
    if (!owner) return undefined;
    const keys = [owner, ...[...owner.quotaGroup.members()].filter(key => key !== owner)];
    return keys.every(key => key.draining) ? undefined : keys;
  }

  /** True where some key holds this secret, in use or not. */
  hasSecret(secret: string): boolean {
    for (const key of this.keys()) if (key.hasSecret(secret)) return true;
    return false;
  }

  /** What an answer, good or bad, says of the provider's limits, and of who shares them. */
  hear(lease: Lease, { limits, group: name, ofModel, until }: Heard, now: number): void {
    const { key, model } = lease;
    // Names that a provider chooses are shown, and some repeat the key.
    const isPlain = (text: string): boolean => !text.includes(key.reveal());
    if (name !== undefined && isPlain(name)) this.join(key, name);
    if (limits.length === 0) return;
    this.watcher?.touched();
    const about = ofModel ? (model ?? NAMELESS) : undefined;
    lease.isHeard = true;
    if (this.isApart(key, limits, about, now)) this.part(key);
    const group = key.quotaGroup;
    const learned = (group.learned ??= new LearnedQuota(this.settings.dayReset));
    const before = learned.availableAt(model, 0, now);
    const underWay = group.underWaySince(lease, about);
    let hasMore = this.line.size > 0;
    for (const reading of limits) {
      if (!isPlain(reading.counts)) continue;
      learned.hear(about, reading, lease, underWay, now, until);
      if (reading.counts.startsWith('tokens')) this.hasTokenLimits = true;
      const used = usedOf(reading, underWay);
      if (used === undefined) continue;
      if (key.usedQuota?.correct(reading, used, now, about)) hasMore = true;
      if (group.quota?.correct(reading, used, now, about)) hasMore = true;
    }
    const after = learned.availableAt(model, 0, now);
    if (after > now && about !== undefined) this.distinguish(about);
    if (hasMore || after < before) this.refreshAll(group);
    this.shared?.facts.heard(group, about);
  }

  // SharedFactsHost

  join(key: PoolKey, name: string): void {
    if (!this.groups.learn(key, name)) return;
    this.refreshAll(key.quotaGroup);
    this.watcher?.touched();
    this.shared?.facts.grouped(key, name);
  }

  part(key: PoolKey): void {
    if (!this.groups.part(key)) return;
    this.refresh(key);
    this.shared?.facts.grouped(key, undefined);
  }

  adoptLimits(group: QuotaGroup, model: string | undefined, limits: readonly LearnedLimitData[]): void {
    const now = this.dependencies.clock.now();
    group.adoptLimits(model, limits, this.settings.dayReset, now);
    if (model !== undefined && group.learned && group.learned.availableAt(model, 0, now) > now) this.distinguish(model);
    this.watcher?.touched();
    for (const key of group.members()) this.restored(key);
  }

  /** True where the figures cannot be those of the group: an organization may have parts with limits of their own. */
  private isApart(key: PoolKey, limits: readonly LimitReading[], about: string | undefined, now: number): boolean {
    const { isNamed, learned } = key.quotaGroup;
    if (!isNamed || learned === undefined || key.settings.group !== undefined) return false;
    return limits.some(reading => learned.contradicts(about, reading, key.id, now));
  }

  onAnswered(lease: Lease, latencyMs: number, now: number): void {
    this.settlement.answered(lease, latencyMs);
    if (lease.counted?.by.answered(lease, now)) this.refreshAll(lease.group);
    if (this.watcher && (lease.key.hasGates || lease.group.hasGates || lease.key.ramp > 0)) this.watcher.touched();
  }

  onFailed(lease: Lease, fault: Fault, now: number): Accusation | undefined {
    this.watcher?.touched();
    return this.settlement.failed(lease, fault, now);
  }

  onReleased(lease: Lease, now: number): void {
    const { group, key, probes } = lease;
    key.onRelease(lease);
    if (this.watcher && isCounted(key)) this.watcher.touched();
    if (!key.draining) this.lineups.find(lease.model)?.strategyOf(key).onSettle?.(key, now);
    if (probes) for (const gate of probes) endProbe(gate, lease);
    if (key.draining && key.inFlight === 0) this.remove(key);
    const isQuiet = group.inFlight === 0 && group.learned !== undefined;
    if (isQuiet) group.learned?.settled();
    const wasFull = group.inFlight + 1 === group.quota?.concurrency || lease.modelQuotas?.some(wasBusy);
    const concernsGroup = probes !== undefined || isQuiet || wasFull === true;
    if (concernsGroup) this.refreshAll(group);
    // The key may have been moved to another group since it was taken.
    if (!key.draining && (!concernsGroup || key.quotaGroup !== group)) this.lineups.refreshPending(key);
    this.line.announce();
  }

  /** Takes back what attempts hold beyond their time. */
  reclaimExpired(now: number): void {
    this.look(now);
    for (const group of this.groups.all()) group.reclaimExpired(now);
  }

  onTokensFreed({ group, key }: Lease): void {
    if (group.quota) this.refreshAll(group);
    if (!group.quota || key.quotaGroup !== group) this.refresh(key);
  }

  // SettlementPool

  random(): number {
    return this.dependencies.random();
  }

  refresh(key: PoolKey): void {
    // Another key may have taken the place of one that has left.
    if (this.slots[key.position] !== key) return;
    this.lineups.refresh(key);
    this.line.announce();
  }

  regroup(key: PoolKey): void {
    this.refresh(key);
    this.refreshAll(key.quotaGroup);
  }

  distinguish(model: string): void {
    this.lineups.distinguish(model);
  }

  accountsFor(lease: Lease, fault: Fault, now: number): boolean {
    if (!isSilent(lease, fault)) return false;
    const { group, model } = lease;
    const about = fault.scope.endsWith('+model') ? (model ?? NAMELESS) : undefined;
    const inference = (group.learned ??= new LearnedQuota(this.settings.dayReset)).inferred(about, now);
    // What was sent before counting began is not known.
    if (!inference || lease.counted?.by !== inference) return false;
    const isKnown = inference.refused(lease, now);
    if (isKnown && about !== undefined) this.distinguish(about);
    return isKnown;
  }

  changed(change: KeyChange): void {
    this.watcher?.touched();
    this.dependencies.onKeyChange(change);
  }

  /** What was known of the key or its group has been put in place of what is. */
  restored(key: PoolKey): void {
    if (key.quotaGroup.learned?.countsTokens) this.hasTokenLimits = true;
    this.regroup(key);
  }

  // Membership

  /** Adds a key under an id that is free. One that is still draining comes back as what it was. */
  insert(settings: NormalizedKey): PoolKey {
    for (const key of this.leaving) {
      if (key.id !== settings.id || !key.hasSecret(settings.key)) continue;
      this.leaving.delete(key);
      key.draining = false;
      this.adopt(key, settings);
      this.enlist(key);
      return key;
    }
    const key = new PoolKey(settings, this.holes.pop() ?? this.slots.length, this.groups.of(settings));
    this.slots[key.position] = key;
    key.quotaGroup.join(key);
    this.shared?.watchKey(key);
    this.enlist(key);
    this.watcher?.joined(this, key);
    return key;
  }

  /** No new attempt goes to the key; it leaves when the last one under way has settled. */
  drain(key: PoolKey): void {
    key.quotaGroup.reclaimExpired(this.dependencies.clock.now());
    key.draining = true;
    if (this.byId.get(key.id) === key) this.byId.delete(key.id);
    if (key.inFlight === 0) {
      this.remove(key);
    } else {
      this.leaving.add(key);
      this.lineups.remove(key);
    }
    this.line.announce();
  }

  hold(key: PoolKey, reason: string): void {
    const from = key.gate.state;
    key.held = reason;
    this.shared?.heldChanged(key);
    this.changed({ keyId: key.id, from, to: 'disabled', reason });
  }

  unhold(key: PoolKey): void {
    if (key.held === undefined) return;
    key.held = undefined;
    this.shared?.heldChanged(key);
    this.changed({ keyId: key.id, from: 'disabled', to: key.gate.state, reason: 'enabled by hand' });
    this.regroup(key);
    this.line.announce();
  }

  reset(key: PoolKey): void {
    this.shared?.facts.forgotten(key.quotaGroup);
    this.settlement.reset(key);
    this.watcher?.touched();
    this.line.announce();
  }

  /** Ends what the pool has started. Calls that wait are told through their own signals. */
  close(): void {
    this.line.close();
    this.validation.close();
  }

  /** True where a call that waits may have the key: its model is neither excluded nor refused there. */
  private isClaimed(key: PoolKey, now: number): boolean {
    for (const model of this.line.wanted) {
      if (!key.servesModel(model)) continue;
      if (model === undefined || (isOpen(key.modelGate(model), now) && isOpen(key.quotaGroup.modelGate(model), now))) {
        return true;
      }
    }
    return false;
  }

  /** What was to be over in five seconds must not take an hour, where the clock is set back by one. */
  private look(now: number, due = -Infinity): void {
    if (due > this.seenAt) this.seenAt = due;
    const byMs = this.seenAt - now;
    if (byMs > JITTER_MS || byMs < -JITTER_MS) this.lookAgain();
    else if (byMs < 0) this.seenAt = now;
  }

  /** The time that looked odd may only have been read some time ago. */
  private lookAgain(): void {
    const now = this.dependencies.clock.now();
    const byMs = this.seenAt - now;
    if (byMs > 0 && byMs <= JITTER_MS) return;
    this.seenAt = now;
    if (byMs <= 0) return;
    this.setBackMs += byMs;
    for (const key of this.keys()) key.setBack(byMs);
    for (const group of this.groups.all()) group.setBack(byMs);
    this.lineups.rebuild();
    this.line.setBack(byMs);
  }

  private take(lineup: Lineup, key: PoolKey, demand: Demand): Lease {
    const { now, model } = demand;
    const expiresAt = now + this.settings.leaseMs;
    const probes = key.probedGates(model);
    if (probes) {
      for (const gate of probes) gate.probeUntil = expiresAt;
      key.inconclusive = 0;
    }
    const lease = new Lease(this, key, model, demand.tokens, now, expiresAt, probes);
    if (demand.address !== undefined) lease.visit = demand.address.begin(now);
    key.onLease(lease, this.settings.dayReset);
    if (this.watcher && isCounted(key)) this.watcher.touched();
    lineup.strategyOf(key).onLease?.(key, now);
    this.reclaimNext(now);
    return lease;
  }

  /** One key per lease: what an attempt never gave back is found in time, and costs a call next to nothing. */
  private reclaimNext(now: number): void {
    this.lastReclaimed = this.lastReclaimed + 1 < this.slots.length ? this.lastReclaimed + 1 : 0;
    this.slots[this.lastReclaimed]?.quotaGroup.reclaimExpired(now);
  }

  private choose(lineup: Lineup, demand: Demand, tried: ReadonlySet<PoolKey> | undefined): PoolKey | undefined {
    const { affinity, only, preferredKeyId } = demand;
    if (only) return only.find(key => canServe(key, demand) && this.isReady(key, demand, tried));
    if (preferredKeyId !== undefined) {
      const key = this.byId.get(preferredKeyId);
      if (key && this.isFit(key, demand, tried)) return key;
    }
    if (affinity !== undefined) {
      const key = this.preferredBy(affinity, demand.model).find(each => this.isFit(each, demand, tried));
      if (key) return key;
    }
    return lineup.find(demand, tried);
  }

  private preferredBy(affinity: string, model: string | undefined): readonly PoolKey[] {
    return this.attachments.preferredBy(affinity, this.lineups.hasFilters ? model : undefined, () => this.keys());
  }

  /** A suspect is not taken for a preference. */
  private isFit(key: PoolKey, demand: Demand, tried: ReadonlySet<PoolKey> | undefined): boolean {
    return !key.gate.lastInLine && key.servesModel(demand.model) && this.isReady(key, demand, tried);
  }

  private isReady(key: PoolKey, demand: Demand, tried: ReadonlySet<PoolKey> | undefined): boolean {
    return !tried?.has(key) && key.availableAt(demand, this.settings.dayReset) <= demand.now;
  }

  /** New settings for a key that stays. */
  private adopt(key: PoolKey, settings: NormalizedKey): void {
    const group = this.groups.of(settings, key);
    key.reconfigure(settings, this.settings.dayReset);
    if (group !== key.quotaGroup) this.groups.move(key, group);
    this.note(settings);
  }

  private enlist(key: PoolKey): void {
    this.byId.set(key.id, key);
    this.note(key.settings);
    this.lineups.add(key);
    this.line.announce();
  }

  /** What keys are limited to decides how calls are told apart. */
  private note({ models, excludeModels, servesModel, limits }: NormalizedKey): void {
    this.keysChanged();
    if (models?.length || excludeModels?.length || servesModel) this.lineups.hasFilters = true;
    this.noteLimits(limits);
  }

  private noteLimits(limits: QuotaLimits | undefined): void {
    if (limitsTokens(limits)) this.hasTokenLimits = true;
    if (limits?.models) this.limitsModels = true;
  }

  private remove(key: PoolKey): void {
    this.leaving.delete(key);
    this.lineups.remove(key);
    this.slots[key.position] = undefined;
    this.keysChanged();
    this.holes.push(key.position);
    this.groups.leave(key);
    this.settlement.forget(key);
    this.changed({ keyId: key.id, from: key.gate.state, to: 'removed', reason: 'removed' });
  }

  private keysChanged(): void {
    this.lineups.keysChanged();
    this.attachments.keysChanged();
  }

  private refreshAll(group: QuotaGroup): void {
    for (const lineup of this.lineups) {
      if (lineup.hasParked) for (const member of group.members()) lineup.refresh(member);
    }
    this.line.announce();
  }
}

/** True where an attempt leaves a trace in windows. */
function isCounted({ usedQuota, quotaGroup }: PoolKey): boolean {
  return usedQuota !== undefined || quotaGroup.quota !== undefined || quotaGroup.learned !== undefined;
}

/** Refused for a quota, without a word of which one, or of when to come back. */
function isSilent({ isHeard, key }: Lease, { action, kind, scope, status, until }: Fault): boolean {
  if (status !== 429 || kind !== 'rate_limit' || action !== 'cool' || until !== undefined || isHeard) return false;
  return scope.startsWith('group') || (scope === 'key' && !key.quotaGroup.isNamed);
}

/** Before the attempt was over: some key of its group may wait for that. */
function wasBusy({ inFlight, quota }: ModelQuota): boolean {
  return inFlight + 1 === quota.concurrency;
}

function canServe(key: PoolKey, { model, only }: Demand): boolean {
  return key.servesModel(model) && (only === undefined || only.includes(key));
}

function untried(keys: readonly PoolKey[], tried: ReadonlySet<PoolKey> | undefined): readonly PoolKey[] {
  return tried ? keys.filter(key => !tried.has(key)) : keys;
}

/** What the provider has counted, and what is on its way to it. */
function usedOf({ counts, limit, remaining }: LimitReading, { requests, tokens }: UnderWay): number | undefined {
  if (limit === undefined || remaining === undefined) return undefined;
  return Math.max(0, limit - remaining) + (counts === 'tokens' ? tokens : requests);
}

function limitsTokens(limits: QuotaLimits | undefined): boolean {
  const all = limits ? [limits, ...Object.values(limits.models ?? {})] : [];
  return all.some(({ tpm, tpd }) => tpm !== undefined || tpd !== undefined);
}

function isOpen(gate: GateView, now: number): boolean {
  return gate.availableAt(now) <= now;
}

/** A probe that neither opened nor closed its gate leaves it half-open for the next one. */
function endProbe(gate: Gate, lease: Lease): void {
  if (gate.probeUntil === lease.expiresAt) gate.probeUntil = 0;
}
