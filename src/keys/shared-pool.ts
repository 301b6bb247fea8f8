import type { Clock } from '../clock.ts';
import type {
  GateName,
  LeaseAnswer,
  Member,
  Note,
  PoolListener,
  PoolStore,
  SharedGate,
  StoreConnection,
} from '../state/store.ts';
import type { Gate } from './gate.ts';
import type { Gated } from './gated.ts';
import type { QuotaGroup } from './group.ts';
import { PoolKey, type Demand } from './key.ts';
import { NAMELESS } from './learned-quota.ts';
import type { Lease } from './lease.ts';
import type { DayReset } from './quota.ts';
import { SharedFacts, type SharedFactsHost } from './shared-facts.ts';
import { SharedMembers } from './shared-members.ts';
import { SharedShortage } from './shared-shortage.ts';
import { SharedShortages } from './shared-shortages.ts';
import type { KeyChange, Settlement } from './settlement.ts';

/** Keys the store may choose among in one round trip, the one the strategy wants first. */
const MOST_CANDIDATES = 4;
/** Another process may end an attempt at any time, and its message may be lost. */
const BUSY_MS = 1000;

/** What is shared of a pool. */
export interface SharedPoolHost extends SharedFactsHost {
  readonly settings: { readonly leaseMs: number; readonly dayReset: DayReset | undefined };
  readonly settlement: Settlement;
  /** Keys that would do as well as `first`, the best one first. */
  alternatives(demand: Demand, except: ReadonlySet<PoolKey> | undefined, first: PoolKey, most: number): PoolKey[];
  /** Takes that very key, whatever is used of it here; undefined where it cannot be had any more. */
  leaseOf(key: PoolKey, demand: Demand): Lease | undefined;
  refresh(key: PoolKey): void;
  regroup(key: PoolKey): void;
  distinguish(model: string): void;
  changed(change: KeyChange): void;
}

/** The store cannot be asked, and nobody may go on without it. */
export class StoreFailure {
  readonly cause: unknown;

  constructor(cause: unknown) {
    this.cause = cause;
  }
}

/** What became of a lease that the store was asked for; undefined where nobody it might have gone to has room. */
export type Confirmation = Lease | StoreFailure | undefined;

/** A question to the store. */
interface Asked {
  readonly lease: Lease;
  readonly demand: Demand;
  readonly others: readonly PoolKey[];
  /** What had been heard of when it was asked. */
  readonly frees: number;
}

/** A pool whose quotas and gates several processes share: asks the store for what the pool would take, and tells it. */
export class SharedPool implements PoolListener {
  private readonly host: SharedPoolHost;
  private readonly clock: Clock;
  private readonly store: PoolStore;
  private readonly members: SharedMembers;
  /** Leases the store was asked to confirm, with what will come of that. */
  private readonly unconfirmed = new Map<Lease, Promise<Confirmation>>();
  /** Fulfilled when all of them are. */
  private settled: Promise<unknown> | undefined = undefined;
  /** How often something was given back by another process, and when that last was so of each key and group. */
  private frees = 0;
  private readonly freedAt = new WeakMap<Gated, number>();
  private isAdopting = false;
  private isRestoring = false;
  readonly facts: SharedFacts;

  constructor(host: SharedPoolHost, pattern: string, connection: StoreConnection, clock: Clock) {
    this.host = host;
    this.clock = clock;
    this.store = connection.pool(pattern, this);
    this.members = new SharedMembers(host, this.store);
    this.facts = new SharedFacts(host, this.members, this.store, clock);
  }

  /** What changes its gates is told to the other processes. */
  watchKey(key: PoolKey): void {
    key.onGate = this.watchGate;
    this.store.joined();
  }

  watchGroup(group: QuotaGroup): void {
    group.onGate = this.watchGate;
  }

  /**
   * Has the store reserve what the lease holds here; where there is no room, the store may choose another key that
   * would do, unless `isFixed`. A lease that is not confirmed is given back.
   */
  confirm(
    lease: Lease,
    demand: Demand,
    except: ReadonlySet<PoolKey> | undefined,
    isFixed: boolean,
  ): Confirmation | Promise<Confirmation> {
    const { key, model } = lease;
    const others = isFixed ? [] : this.host.alternatives(demand, except, key, MOST_CANDIDATES - 1);
    const candidates = [this.members.candidateOf(key, model, lease.probes !== undefined)];
    for (const other of others) candidates.push(this.members.candidateOf(other, model, other.probedGates(model) !== undefined));
    const asked = { lease, demand, others, frees: this.frees };
    const answer = this.store.lease({ candidates, ...this.askedFor(lease) });
    if (!(answer instanceof Promise)) return this.take(answer, asked);
    const confirmation = answer.then(late => {
      this.unconfirmed.delete(lease);
      return this.take(late, asked);
    });
    this.unconfirmed.set(lease, confirmation);
    this.settled = undefined;
    return confirmation;
  }

  /**
   * Leases that are not confirmed hold what they may have to give back: who finds no key because of them is to look
   * again when the store has answered. Undefined where that would not help.
   */
  settling(demand: Demand, tried: ReadonlySet<PoolKey> | undefined): Promise<unknown> | undefined {
    for (const { key } of this.unconfirmed.keys()) {
      if (tried?.has(key) || !key.servesModel(demand.model) || (demand.only && !demand.only.includes(key))) continue;
      return (this.settled ??= Promise.all(this.unconfirmed.values()));
    }
    return undefined;
  }

  /** Counts a lease that is used whatever the store would say. */
  record(lease: Lease): Lease {
    lease.receipt = this.store.record(this.members.candidateOf(lease.key, lease.model, false), this.askedFor(lease));
    return lease;
  }

  /** What `restore` changes dates from before the last start: where the store knows of it, the store knows better. */
  restoring(restore: () => void): void {
    this.isRestoring = true;
    restore();
    this.isRestoring = false;
  }

  /** A person has taken the key out, or put it back; see {@link SharedFacts.held}. */
  heldChanged(key: PoolKey, isOld = false): void {
    this.facts.held(key, isOld);
  }

  // PoolListener

  noted(note: Note): void {
    this.facts.adopt(note);
  }

  notes(): Iterable<Note> {
    return this.facts.all();
  }

  gateChanged({ member, model }: GateName, shared: SharedGate): void {
    const key = this.members.keyNamed(member);
    const group = key ? undefined : this.members.groupNamed(member);
    const owner = key ?? group;
    const [subject = key] = group?.members() ?? [];
    if (!owner || !subject) return;
    const before = model === undefined ? owner.gate : owner.modelGate(model);
    if (shared.state === 'ready' && before.state === 'ready' && shared.strikes === before.strikes) return;
    const from = before.state;
    this.isAdopting = true;
    const gate = owner.gateOf(model);
    gate.adopt(shared);
    this.isAdopting = false;
    if (model !== undefined) this.host.distinguish(model);
    this.host.settlement.adopted(gate, subject);
    if (from !== gate.state) this.announce(subject, from, gate, model, group);
    if (key && model === undefined && gate.state === 'ready' && from !== 'suspect') key.startRamp();
    if (group) this.host.regroup(subject);
    else this.host.refresh(subject);
  }

  freed(members: readonly string[]): void {
    this.frees++;
    for (const name of members) {
      const key = this.members.keyNamed(name);
      if (key) {
        this.freedAt.set(key, this.frees);
        key.shortages = undefined;
        this.host.refresh(key);
        continue;
      }
      const group = this.members.groupNamed(name);
      const [member] = group?.members() ?? [];
      if (!group || !member) continue;
      this.freedAt.set(group, this.frees);
      group.shortages = undefined;
      this.host.regroup(member);
    }
  }

  dividedBy(processes: number): void {
    const { dayReset } = this.host.settings;
    for (const key of this.host.keys()) {
      key.divide(processes, dayReset);
      key.shortages = undefined;
      this.host.refresh(key);
    }
    for (const group of this.host.quotaGroups()) {
      group.divide(processes, dayReset);
      group.shortages = undefined;
      const [member] = group.members();
      if (member) this.host.regroup(member);
    }
  }

  *closedGates(): Generator<{ readonly name: GateName; readonly gate: SharedGate }> {
    for (const key of this.host.keys()) yield* this.closedGatesOf(key, this.members.of(key));
    for (const group of this.host.quotaGroups()) yield* this.closedGatesOf(group, this.members.of(group));
  }

  private readonly watchGate = (gate: Gate, model: string | undefined, owner: Gated): void => {
    gate.onChange = () => this.tell(gate, model, this.members.find(owner));
  };

  private tell(gate: Gate, model: string | undefined, member: Member | undefined): void {
    if (this.isAdopting || !member) return;
    this.store.changeGate({ member: member.name, model }, sharedFrom(gate), this.isRestoring);
  }

  private *closedGatesOf(owner: Gated, member: Member) {
    for (const [model, gate] of owner.gatesByModel()) {
      if (gate.state !== 'ready') yield { name: { member: member.name, model }, gate: sharedFrom(gate) };
    }
  }

  private take(answer: LeaseAnswer, { lease, demand, others, frees }: Asked): Confirmation {
    const now = this.clock.now();
    demand.now = now;
    for (const { candidate, of, why, at } of answer.refusals) {
      const key = candidate === 0 ? lease.key : others[candidate - 1];
      if (!key) continue;
      const owner = of === 'key' || of === 'keyModel' ? key : key.quotaGroup;
      const model = of === 'key' || of === 'group' ? undefined : (lease.model ?? NAMELESS);
      // News of what was given back may come before the answer to a question that was asked earlier.
      const isNews = (this.freedAt.get(owner) ?? 0) <= frees;
      const until = why === 'busy' ? Math.min(at, now + BUSY_MS) : at;
      owner.shortages ??= new SharedShortages();
      owner.shortages.note(model, new SharedShortage(why, isNews ? Math.max(now + 1, until) : now + 1, lease.tokens));
    }
    const { granted, receipt, unavailable, unheard } = answer;
    if (granted === 0 && this.isStillGood(lease, now)) {
      lease.receipt = receipt;
      // All that were asked for at once may go unheard, here and in every other process.
      if (unheard === undefined || !lease.key.isOverdrawn(unheard, lease, now)) return lease;
      lease.cancel(now);
      return undefined;
    }
    lease.cancel(now);
    if (unavailable) return new StoreFailure(unavailable.cause);
    if (granted === undefined) return undefined;
    const other = granted === 0 ? undefined : others[granted - 1];
    const taken = other && this.host.leaseOf(other, demand);
    if (taken) {
      taken.receipt = receipt;
      return taken;
    }
    receipt?.correct(-1, -Math.ceil(lease.tokens));
    receipt?.release();
    return undefined;
  }

  /** While the store was asked, another process may have shut the key, or a person taken it out. */
  private isStillGood({ key, model, probes }: Lease, now: number): boolean {
    if (key.held !== undefined || key.draining) return false;
    return probes !== undefined || Math.max(key.opensAt(model, now), key.quotaGroup.opensAt(model, now)) <= now;
  }

  private askedFor({ model, tokens }: Lease) {
    const { leaseMs, dayReset } = this.host.settings;
    return { model, tokens, leaseMs, dayReset };
  }

  private announce(key: PoolKey, from: Gate['state'], gate: Gate, model: string | undefined, group?: QuotaGroup): void {
    this.host.changed({
      keyId: key.id,
      from,
      to: gate.state,
      reason: gate.state === 'ready' ? 'answered' : gate.reason,
      ...(gate.state !== 'ready' && { until: gate.until }),
      ...(model !== undefined && { model }),
      ...(group?.isNamed && { group: group.id }),
    });
  }
}

function sharedFrom({ state, until, since, strikes, lastInLine, probeUntil, reason }: Gate): SharedGate {
  return { state, until, since, strikes, lastInLine, probeUntil, reason };
}
