import type { Clock } from '../clock.ts';
import type { Note, PoolStore } from '../state/store.ts';
import type { QuotaGroup } from './group.ts';
import type { PoolKey } from './key.ts';
import type { LearnedLimit, LearnedLimitData } from './learned-limit.ts';
import { LimitNews } from './limit-news.ts';

/** What is shared of a pool beside quotas and gates. */
export interface SharedFactsHost {
  keys(): Iterable<PoolKey>;
  quotaGroups(): Iterable<QuotaGroup>;
  hold(key: PoolKey, reason: string): void;
  unhold(key: PoolKey): void;
  /** The provider calls the group of the key by that name. */
  join(key: PoolKey, name: string): void;
  /** The key does not share the quota of its group. */
  part(key: PoolKey): void;
  adoptLimits(group: QuotaGroup, model: string | undefined, limits: readonly LearnedLimitData[]): void;
}

/** How keys and groups are called in the store. */
export interface SharedNames {
  nameOf(owner: PoolKey | QuotaGroup): string;
  keyNamed(name: string): PoolKey | undefined;
  groupNamed(name: string): QuotaGroup | undefined;
}

const HELD_ELSEWHERE = 'disabled by hand in another process';

/** What one process is told by a person or by an answer, and the others are to know as well. */
export class SharedFacts {
  private readonly host: SharedFactsHost;
  private readonly names: SharedNames;
  private readonly store: PoolStore;
  private readonly clock: Clock;
  private readonly news = new LimitNews();
  private isAdopting = false;

  constructor(host: SharedFactsHost, names: SharedNames, store: PoolStore, clock: Clock) {
    this.host = host;
    this.names = names;
    this.store = store;
    this.clock = clock;
  }

  /** A person has taken the key out, or put it back. `isOld`: at some time before this process began. */
  held(key: PoolKey, isOld: boolean): void {
    if (!this.isAdopting) this.store.note(this.noteOfHeld(key), isOld);
  }

  /** A provider has named the group of the key, or shown that it is in none; the name is undefined then. */
  grouped(key: PoolKey, name: string | undefined): void {
    if (!this.isAdopting) this.store.note({ about: 'group', member: this.names.nameOf(key), name }, false);
  }

  /** An answer has told limits, of one model or of all. */
  heard(group: QuotaGroup, model: string | undefined): void {
    const limits = group.learned?.told(model);
    const now = this.clock.now();
    if (!limits?.some(limit => this.news.isNews(limit, now))) return;
    this.store.note(this.noteOfLimits(group, model, limits), false);
    for (const limit of limits) this.news.note(limit);
  }

  /** A person has said that the limits of the group are out of date. */
  forgotten(group: QuotaGroup): void {
    const { learned } = group;
    if (!learned) return;
    for (const model of learned.keys()) {
      this.store.note({ about: 'limits', member: this.names.nameOf(group), model, limits: [] }, false);
    }
  }

  /** Another process knows more. */
  adopt(note: Note): void {
    this.isAdopting = true;
    if (note.about === 'limits') this.adoptLimits(note);
    else this.adoptOfKey(note);
    this.isAdopting = false;
  }

  /** All that is known here. */
  *all(): Generator<Note> {
    for (const key of this.host.keys()) {
      if (key.held !== undefined) yield this.noteOfHeld(key);
      const [name] = key.quotaGroup.names;
      if (name !== undefined && key.settings.group === undefined) {
        yield { about: 'group', member: this.names.nameOf(key), name };
      }
    }
    for (const group of this.host.quotaGroups()) {
      const { learned } = group;
      if (!learned) continue;
      for (const model of learned.keys()) yield this.noteOfLimits(group, model, learned.told(model));
    }
  }

  private adoptOfKey(note: Exclude<Note, { about: 'limits' }>): void {
    const key = this.names.keyNamed(note.member);
    if (!key) return;
    if (note.about === 'held') {
      if (!note.held) this.host.unhold(key);
      else if (key.held === undefined) this.host.hold(key, HELD_ELSEWHERE);
    } else if (note.name === undefined) {
      this.host.part(key);
    } else {
      this.host.join(key, note.name);
    }
  }

  private adoptLimits({ member, model, limits }: Extract<Note, { about: 'limits' }>): void {
    const group = this.names.groupNamed(member);
    if (!group) return;
    const here = limits.map(({ heardFrom, ...limit }) => ({
      ...limit,
      // By its name in the store, where that key is not here.
      ...(heardFrom !== undefined && { heardFrom: this.names.keyNamed(heardFrom)?.id ?? heardFrom }),
    }));
    this.host.adoptLimits(group, model, here);
    for (const limit of group.learned?.told(model) ?? []) this.news.note(limit);
  }

  private noteOfHeld(key: PoolKey): Note {
    return { about: 'held', member: this.names.nameOf(key), held: key.held !== undefined };
  }

  private noteOfLimits(group: QuotaGroup, model: string | undefined, learned: readonly LearnedLimit[]): Note {
    const limits = learned.map(({ figures: { heardFrom, ...figures } }) => {
      const key = [...group.members()].find(({ id }) => id === heardFrom);
      return { ...figures, ...(key && { heardFrom: this.names.nameOf(key) }) };
    });
    return { about: 'limits', member: this.names.nameOf(group), model, limits };
  }
}
