import { randomBytes } from 'node:crypto';
import type { Clock, TimerHandle } from '../../clock.ts';
import { DAY_MS } from '../../faults/durations.ts';
import { errorName } from '../../faults/error-name.ts';
import type { Directory } from '../../keys/directory.ts';
import type { PoolKey } from '../../keys/key.ts';
import type { Pool, PoolWatcher } from '../../keys/pool.ts';
import { restoreGroup, restoreKey, snapshotGroup, snapshotKey } from '../../keys/snapshot.ts';
import { beforeExit } from '../../state/exit-flush.ts';
import { codeOf } from '../../state/file-lock.ts';
import { FileStore } from '../../state/file-store.ts';
import type { ProviderTable } from '../provider-state.ts';
import { mergeEntries } from './merge.ts';
import {
  bodyOf,
  groupName,
  keyToken,
  NOTHING_KNOWN,
  parseState,
  schemas,
  stateText,
  UnreadableState,
  type GroupEntry,
  type KeyEntry,
  type ProviderEntry,
  type StateData,
} from './state-data.ts';

/** However much happens, the file is written once in such a time. */
const INTERVAL_MS = 1000;
/** After a write that failed. */
const RETRY_MS = 30_000;
/** Writes of other processes that come in between are rare, and brief. */
const MOST_TRIES = 50;
const PAUSE_MS = 5;
/** What no process has had in use for so long is forgotten. */
const KEEP_MS = 7 * DAY_MS;

export interface PersistenceSettings {
  readonly enabled: boolean;
  readonly dataFile: string;
}

export interface PersistenceDependencies {
  readonly clock: Clock;
  readonly warn: (message: string) => void;
  readonly directory: Directory;
  readonly providers: ProviderTable;
}

/** Keeps what the guard has learned in a file, from which the next process goes on. */
export class Persistence implements PoolWatcher {
  private readonly dependencies: PersistenceDependencies;
  private store: FileStore | undefined;
  /** What the file said when it was last read or written. */
  private known: StateData = NOTHING_KNOWN;
  private tokens = new WeakMap<PoolKey, string>();
  /** Groups that have been told what the file says of them, or that it speaks of. */
  private told = new WeakSet<object>();
  /** Something may have changed since the last write. True as well where nobody wants to know. */
  private isTouched = true;
  private isWriting = false;
  private hasWarned = false;
  private timer: TimerHandle;
  private forgetExit: (() => void) | undefined;

  constructor(dependencies: PersistenceDependencies) {
    this.dependencies = dependencies;
  }

  get isOn(): boolean {
    return this.store !== undefined;
  }

  /** Another file is read at once, and what it says is joined with what is known already. */
  configure({ enabled, dataFile }: PersistenceSettings): void {
    const store = enabled ? new FileStore(dataFile) : undefined;
    if (store?.path === this.store?.path) return;
    this.close();
    if (!store) return;
    this.store = store;
    this.isTouched = false;
    this.dependencies.directory.watch(this);
    this.forgetExit = beforeExit(() => this.flush(store));
    store.sweep(this.dependencies.clock.now());
    try {
      if (this.renew(store)) this.touched();
    } catch (error) {
      this.failed(store, reasonOf(error), 'read');
    }
  }

  /** Writes what is new, and stops. */
  close(): void {
    if (!this.store) return;
    this.flush(this.store);
    this.dependencies.directory.watch(undefined);
    this.forgetExit?.();
    this.store = undefined;
    this.known = NOTHING_KNOWN;
    this.tokens = new WeakMap();
    this.told = new WeakSet();
    this.hasWarned = false;
    this.isTouched = true;
    this.stopTimer();
  }

  // PoolWatcher

  touched(): void {
    if (this.isTouched) return;
    this.isTouched = true;
    if (this.store && !this.isWriting) this.schedule(this.store, INTERVAL_MS);
  }

  joined(pool: Pool, key: PoolKey): void {
    const { keys, groups, salt } = this.known;
    if (salt === undefined) return;
    const now = this.dependencies.clock.now();
    const entry = keys.get(this.tokenOf(pool, key, salt));
    if (entry) restoreKey(pool, key, entry.data, now);
    const { quotaGroup } = key;
    if (!quotaGroup.isNamed || this.told.has(quotaGroup)) return;
    this.told.add(quotaGroup);
    const ofGroup = groups.get(groupName(pool.pattern, quotaGroup.id));
    if (ofGroup) restoreGroup(pool, quotaGroup, ofGroup.data, now);
  }

  /** Writes before it returns; what is being written in the background has no effect any more. */
  private flush(store: FileStore): void {
    this.stopTimer();
    try {
      for (let tries = 0; tries < MOST_TRIES; tries++) {
        const next = this.renew(store);
        if (!next) return;
        if (store.replaceSync(this.textOf(next))) {
          this.wrote(next);
          return;
        }
        pause(PAUSE_MS);
      }
      this.failed(store, 'in use', 'written');
    } catch (error) {
      this.failed(store, reasonOf(error), 'written');
    }
  }

  private schedule(store: FileStore, delayMs: number): void {
    this.stopTimer();
    this.timer = this.dependencies.clock.setTimeout(() => void this.write(store), delayMs, true);
  }

  private stopTimer(): void {
    this.dependencies.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private async write(store: FileStore): Promise<void> {
    this.timer = undefined;
    this.isWriting = true;
    this.isTouched = false;
    let isDone = true;
    let delayMs = INTERVAL_MS;
    try {
      const next = this.renew(store);
      if (next) {
        // Where another process was faster, what it has written is taken in the next time.
        isDone = await store.replace(this.textOf(next));
        if (isDone && this.store === store) this.wrote(next);
      }
    } catch (error) {
      isDone = false;
      delayMs = RETRY_MS;
      if (this.store === store) this.failed(store, reasonOf(error), 'written');
    }
    this.isWriting = false;
    if (!isDone && this.store === store) this.isTouched = true;
    if (this.isTouched && this.store) this.schedule(this.store, delayMs);
  }

  private wrote(next: StateData): void {
    this.known = next;
    this.hasWarned = false;
  }

  private textOf(state: StateData): string {
    return stateText(state, this.dependencies.clock.now());
  }

  private failed(store: FileStore, reason: string, what: 'read' | 'written'): void {
    if (this.hasWarned) return;
    this.hasWarned = true;
    this.dependencies.warn(
      `persistence.dataFile: ${store.path} cannot be ${what} (${reason}); ` +
        'what is learned is kept in memory, and written as soon as it can be',
    );
  }

  /** Takes in what other processes have written, and returns what is to be written; undefined where nothing is new. */
  private renew(store: FileStore): StateData | undefined {
    const now = this.dependencies.clock.now();
    const theirs = this.present(store, now);
    const salt = theirs.salt ?? this.known.salt ?? randomBytes(16).toString('hex');
    const isSalted = this.known.salt === salt;
    if (!isSalted) this.tokens = new WeakMap();
    // With another salt the keys have other names.
    const base = isSalted ? this.known : { ...this.known, keys: NOTHING_KNOWN.keys };
    const mine = this.ownState(salt, base, theirs, now);
    const { key, group, provider } = schemas();
    const forgetBefore = now - KEEP_MS;
    const next: StateData = {
      salt,
      keys: mergeEntries(base.keys, mine.keys, theirs.keys, key, forgetBefore),
      groups: mergeEntries(base.groups, mine.groups, theirs.groups, group, forgetBefore),
      providers: mergeEntries(base.providers, mine.providers, theirs.providers, provider, forgetBefore),
    };
    const isRead = theirs !== this.known;
    this.known = theirs;
    if (isRead) this.adopt(mine, next, base, now);
    return bodyOf(next) === bodyOf({ ...theirs, salt }) ? undefined : next;
  }

  /** What the file says now. One that makes no sense is set aside. */
  private present(store: FileStore, now: number): StateData {
    if (!store.hasChanged) return this.known;
    const text = store.read();
    if (text === undefined) return NOTHING_KNOWN;
    try {
      return parseState(text, now);
    } catch (error) {
      if (!(error instanceof UnreadableState)) throw error;
      const aside = store.setAside(now);
      this.dependencies.warn(
        `persistence.dataFile: ${store.path} ${error.message}; it was set aside as ${aside}, and a new one begins`,
      );
      return NOTHING_KNOWN;
    }
  }

  /** What is known of all that is in use here. Where there is nothing to say, that is said only of what the file names. */
  private ownState(salt: string, base: StateData, theirs: StateData, now: number): StateData {
    const keys = new Map<string, KeyEntry>();
    const groups = new Map<string, GroupEntry>();
    const providers = new Map<string, ProviderEntry>();
    const seen = now - (now % DAY_MS);
    const ids = new Set<string>();
    for (const state of [base, theirs]) for (const { pool, id } of state.keys.values()) ids.add(groupName(pool, id));
    for (const pool of this.dependencies.directory.all()) {
      for (const key of pool.keys()) {
        if (key.draining) continue;
        const data = snapshotKey(pool, key, now);
        if (!data && !ids.has(groupName(pool.pattern, key.id))) continue;
        const token = this.tokenOf(pool, key, salt);
        const before = base.keys.get(token) ?? theirs.keys.get(token);
        if (data) keys.set(token, { pool: pool.pattern, id: key.id, token, seen, data });
        else if (before) keys.set(token, { ...before, data: {} });
      }
      for (const group of pool.groups.all()) {
        if (!group.isNamed) continue;
        this.told.add(group);
        const name = groupName(pool.pattern, group.id);
        const data = snapshotGroup(pool, group, now);
        const before = base.groups.get(name) ?? theirs.groups.get(name);
        if (data) groups.set(name, { pool: pool.pattern, group: group.id, seen, data });
        else if (before) groups.set(name, { ...before, data: {} });
      }
    }
    for (const state of this.dependencies.providers.all()) {
      const { name } = state;
      const data = state.snapshot();
      const before = base.providers.get(name) ?? theirs.providers.get(name);
      if (data) providers.set(name, { provider: name, seen, data });
      else if (before) providers.set(name, { ...before, data: {} });
    }
    return { salt, keys, groups, providers };
  }

  /** Others have written: what is new holds here, too. */
  private adopt(mine: StateData, next: StateData, base: StateData, now: number): void {
    const { directory, providers } = this.dependencies;
    for (const [token, { pool: pattern, id, data }] of next.keys) {
      const known = mine.keys.get(token);
      const pool = directory.get(pattern);
      const key = pool?.get(id);
      if (known && known.data !== data && pool && key) restoreKey(pool, key, data, now);
    }
    for (const [name, { pool: pattern, group: id, data }] of next.groups) {
      const known = mine.groups.get(name);
      const pool = directory.get(pattern);
      const group = pool?.groups.find(id);
      if (known && known.data !== data && pool && group) restoreGroup(pool, group, data, now);
    }
    for (const [name, { data }] of next.providers) {
      const known = mine.providers.get(name);
      const isNew = known ? known.data !== data : !base.providers.has(name) && Object.keys(data).length > 0;
      if (isNew) providers.restore(name, data);
    }
  }

  private tokenOf(pool: Pool, key: PoolKey, salt: string): string {
    let token = this.tokens.get(key);
    if (token === undefined) {
      token = keyToken(salt, pool.pattern, key.id, key.reveal());
      this.tokens.set(key, token);
    }
    return token;
  }
}

/** Its code says enough, and shows nothing. */
function reasonOf(error: unknown): string {
  return codeOf(error) ?? errorName(error);
}

/** For a flush at the end of a process, which cannot wait otherwise. */
function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
