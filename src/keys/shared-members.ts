import type { Candidate, Limits, Member, PoolStore, Refilling } from '../state/store.ts';
import type { Gated } from './gated.ts';
import type { QuotaGroup } from './group.ts';
import { PoolKey } from './key.ts';
import { NAMELESS } from './learned-quota.ts';
import type { DayReset } from './quota.ts';
import type { SharedNames } from './shared-facts.ts';

/** Of a group, the models whose limits answers have told that are counted for all processes. */
const MOST_MODELS = 256;
/** In place of an entry. */
const ALL_MODELS = undefined;

/** Whose keys and groups have names in the store. */
export interface SharedMembersHost {
  readonly settings: { readonly dayReset: DayReset | undefined };
  keys(): Iterable<PoolKey>;
  quotaGroups(): Iterable<QuotaGroup>;
}

interface KnownMember {
  readonly limits: Limits | undefined;
  readonly member: Member;
}

/** What the store is told of: the keys and groups of a pool, with what they are limited to, by names that it gives. */
export class SharedMembers implements SharedNames {
  private readonly host: SharedMembersHost;
  private readonly store: PoolStore;
  /** By the entries of their limits by model. */
  private readonly known = new WeakMap<Gated, Map<string | undefined, KnownMember>>();
  private readonly keysByName = new Map<string, PoolKey>();
  private readonly groupsByName = new Map<string, QuotaGroup>();

  constructor(host: SharedMembersHost, store: PoolStore) {
    this.host = host;
    this.store = store;
  }

  candidateOf(key: PoolKey, model: string | undefined, probes: boolean): Candidate {
    const { quotaGroup } = key;
    const byModel = key.quotaFor(this.host.settings.dayReset)?.models?.of(model);
    const ofGroup = quotaGroup.quota?.models?.of(model);
    const told = ofGroup ? undefined : toldOf(quotaGroup, model ?? NAMELESS);
    return {
      key: this.ofKey(key),
      group: this.ofGroup(quotaGroup),
      keyModel: byModel && this.entryOf(key, byModel.limits, byModel.pattern),
      groupModel: ofGroup
        ? this.entryOf(quotaGroup, ofGroup.limits, ofGroup.pattern)
        : told && this.told(quotaGroup, told, model ?? NAMELESS),
      probes,
    };
  }

  of(owner: PoolKey | QuotaGroup): Member {
    return owner instanceof PoolKey ? this.ofKey(owner) : this.ofGroup(owner);
  }

  nameOf(owner: PoolKey | QuotaGroup): string {
    return this.of(owner).name;
  }

  /** Undefined where it is neither a key nor a group of the pool any more. */
  find(owner: Gated): Member | undefined {
    const find = (): Member | undefined => this.known.get(owner)?.get(ALL_MODELS)?.member;
    const known = find();
    if (known) return known;
    this.nameAll();
    return find();
  }

  keyNamed(name: string): PoolKey | undefined {
    if (!this.keysByName.has(name)) this.nameAll();
    const key = this.keysByName.get(name);
    return key && !key.draining ? key : undefined;
  }

  groupNamed(name: string): QuotaGroup | undefined {
    if (!this.groupsByName.has(name)) this.nameAll();
    const group = this.groupsByName.get(name);
    if (group && !group.isEmpty) return group;
    // Processes that have learned of a group in another order call it by another of its names.
    return [...this.host.quotaGroups()].find(each =>
      [...each.names].some(known => this.store.nameOf('group', known) === name),
    );
  }

  private ofKey(key: PoolKey): Member {
    return this.entryOf(key, key.settings.limits, ALL_MODELS);
  }

  private ofGroup(group: QuotaGroup): Member {
    return this.entryOf(group, toldOf(group, undefined) ?? group.limits, ALL_MODELS);
  }

  /** Callers name models without end. */
  private told(group: QuotaGroup, limits: Limits, model: string): Member | undefined {
    const known = this.known.get(group);
    return known && known.size > MOST_MODELS && !known.has(model) ? undefined : this.entryOf(group, limits, model);
  }

  /** @param entry of its limits by model */
  private entryOf(owner: PoolKey | QuotaGroup, limits: Limits | undefined, entry: string | undefined): Member {
    const members = this.known.get(owner) ?? new Map<string | undefined, KnownMember>();
    if (members.size === 0) this.known.set(owner, members);
    const known = members.get(entry);
    if (known && isSame(known.limits, limits)) return known.member;
    const member = this.create(owner, limits, entry);
    members.set(entry, { limits, member });
    if (owner instanceof PoolKey) this.keysByName.set(member.name, owner);
    else this.groupsByName.set(member.name, owner);
    return member;
  }

  private create(owner: PoolKey | QuotaGroup, limits: Limits | undefined, entry: string | undefined): Member {
    if (owner instanceof PoolKey) return this.store.member('key', owner.reveal(), limits, entry);
    const [first] = owner.members();
    if (owner.isNamed || !first) return this.store.member('group', owner.id, limits, entry);
    return this.store.member('own group', first.reveal(), limits, entry);
  }

  /** Keys and groups are given their names when they are first used, or first spoken of. */
  private nameAll(): void {
    for (const key of this.host.keys()) this.ofKey(key);
    for (const group of this.host.quotaGroups()) this.ofGroup(group);
  }
}

/** What nobody has declared the provider may have told: then it is counted for all processes as if it were. */
function toldOf(group: QuotaGroup, model: string | undefined): Limits | undefined {
  if (!group.learned || group.quota) return undefined;
  const [first] = group.members();
  return first?.usedQuota ? undefined : group.learned.countable(model);
}

function isSame(one: Limits | undefined, other: Limits | undefined): boolean {
  if (one === other) return true;
  if (!one || !other) return false;
  const { rpm, tpm, rpd, tpd, concurrency, rpmRefills, tpmRefills } = one;
  const isOver = other.rpm === rpm && other.tpm === tpm && other.rpd === rpd && other.tpd === tpd;
  const refillsOver = isRefilled(rpmRefills, other.rpmRefills) && isRefilled(tpmRefills, other.tpmRefills);
  return isOver && refillsOver && other.concurrency === concurrency;
}

/** What is known of it when it is first counted is out of date afterwards. */
function isRefilled(one: Refilling | undefined, other: Refilling | undefined): boolean {
  return (one === undefined) === (other === undefined);
}
