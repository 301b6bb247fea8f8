import { QuotaGroup } from './group.ts';
import type { PoolKey } from './key.ts';
import { makeRoom } from './make-room.ts';
import type { NormalizedKey } from './normalize.ts';
import type { DayReset, QuotaLimits } from './quota.ts';

/** They come from providers' answers, so what is remembered of them is bounded; the oldest is forgotten first. */
const MAX_NAMES = 10_000;

export interface GroupSettings {
  readonly groups: Readonly<Record<string, { readonly limits?: QuotaLimits | undefined }>>;
  readonly dayReset: DayReset | undefined;
}

/** Which keys of a pool share a quota: as declared, else as the provider's answers tell, else none do. */
export class Groups {
  /** Hears of every group that is made. */
  onGroup: ((group: QuotaGroup) => void) | undefined = undefined;
  private readonly byId = new Map<string, QuotaGroup>();
  /** Groups by what providers call them; one organization may have several names. */
  private readonly byName = new Map<string, QuotaGroup>();
  /** Keys that were found not to share the quota of those that go by the same name. */
  private readonly apart = new WeakSet<PoolKey>();
  private settings: GroupSettings;

  constructor(settings: GroupSettings) {
    this.settings = settings;
  }

  configure(settings: GroupSettings): void {
    this.settings = settings;
    for (const group of this.byId.values()) this.limit(group);
  }

  find(id: string): QuotaGroup | undefined {
    return this.byId.get(id);
  }

  all(): QuotaGroup[] {
    return [...this.byId.values()];
  }

  /** The group of a key with these settings. What was learned of a `known` key stays true under new ones. */
  of(settings: NormalizedKey, known?: PoolKey): QuotaGroup {
    if (settings.group !== undefined) return this.get(settings.group, true);
    if (known && known.settings.group === undefined) return known.quotaGroup;
    return this.get(`key:${settings.id}`, false);
  }

  move(key: PoolKey, group: QuotaGroup): void {
    this.leave(key);
    key.quotaGroup = group;
    group.join(key);
  }

  leave(key: PoolKey): void {
    const group = key.quotaGroup;
    group.leave(key);
    if (group.isEmpty) this.forget(group);
  }

  /**
   * The provider calls the group of this key by that name. Keys whose group was not declared come together under
   * it, with all that is known of them. True where the key now shares its quota with others than before.
   */
  learn(key: PoolKey, name: string): boolean {
    if (key.settings.group !== undefined || this.apart.has(key)) return false;
    const own = key.quotaGroup;
    const meant = this.byName.get(name) ?? this.byId.get(name);
    if (meant === own) return false;
    if (!meant && own.isNamed) {
      this.remember(name, own);
      return false;
    }
    const group = meant ?? this.get(name, true);
    const [into, from] = own.hasDeclaredKeys ? [own, group] : [group, own];
    if (from.hasDeclaredKeys) return false;
    into.absorb(from);
    for (const other of [...from.names]) this.remember(other, into);
    this.forget(from);
    this.remember(name, into);
    return true;
  }

  /** The key does not share the quota of the group it was put into. True where it was one of several there. */
  part(key: PoolKey): boolean {
    this.apart.add(key);
    if ([...key.quotaGroup.members()].length < 2) return false;
    this.move(key, this.get(`key:${key.id}`, false));
    return true;
  }

  /** The provider calls the group by that name, too. */
  remember(name: string, group: QuotaGroup): void {
    makeRoom(this.byName, MAX_NAMES, oldest => this.byName.get(oldest)?.names.delete(oldest));
    this.byName.get(name)?.names.delete(name);
    this.byName.set(name, group);
    group.names.add(name);
  }

  private forget(group: QuotaGroup): void {
    this.byId.delete(group.id);
    for (const name of group.names) this.byName.delete(name);
    group.names.clear();
  }

  private get(id: string, isNamed: boolean): QuotaGroup {
    let group = this.byId.get(id);
    if (!group) {
      group = new QuotaGroup(id, isNamed);
      this.limit(group);
      this.byId.set(id, group);
      this.onGroup?.(group);
    }
    return group;
  }

  private limit(group: QuotaGroup): void {
    group.configure(this.settings.groups[group.id]?.limits, this.settings.dayReset);
  }
}
