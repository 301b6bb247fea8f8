import type { PoolKey } from './key.ts';
import { NAMELESS } from './learned-quota.ts';
import { Lineup, type LineupOptions } from './lineup.ts';
import { makeRoom } from './make-room.ts';

/** Models are named by callers, so the lineups kept are bounded; the oldest is rebuilt when needed. */
const MAX_LINEUPS = 64;
/** Models are named by callers: of so many it is remembered which keys serve them. */
const MAX_REPRESENTED = 1024;
/** Of more models than this, the further ones share a lineup: slower where keys are away, but as right. */
const MAX_DISTINGUISHED = 256;

/** What the lineups ask of their pool. */
export interface LineupsPool {
  readonly lineupOptions: LineupOptions;
  keys(): Iterable<PoolKey>;
}

/** The lineups of a pool: models that the same keys serve share one, until a model is refused somewhere. */
export class Lineups {
  /** True where some keys serve some models only, so that not all models share one lineup. */
  hasFilters = false;
  private readonly pool: LineupsPool;
  /** For all calls that nothing tells apart: in most pools, the only one. */
  private common: Lineup | undefined = undefined;
  private readonly byName = new Map<string, Lineup>();
  /** Of each model, one that the same keys serve: they share a lineup. */
  private readonly representatives = new Map<string, string>();
  /** By which of the keys serve it. */
  private readonly firstServed = new Map<string, string>();
  /** Models some key or group was refused for. */
  private readonly distinguished = new Set<string>();

  constructor(pool: LineupsPool) {
    this.pool = pool;
  }

  /** The one for the model's calls; made when it is first asked for. */
  of(model: string | undefined): Lineup {
    const name = this.nameOf(model);
    if (name === undefined) return (this.common ??= this.create(model, name));
    let lineup = this.byName.get(name);
    if (!lineup) {
      makeRoom(this.byName, MAX_LINEUPS);
      this.byName.set(name, (lineup = this.create(model, name)));
    }
    return lineup;
  }

  /** The same; undefined where it has not been asked for, or was forgotten. */
  find(model: string | undefined): Lineup | undefined {
    const name = this.nameOf(model);
    return name === undefined ? this.common : this.byName.get(name);
  }

  *[Symbol.iterator](): Generator<Lineup> {
    if (this.common) yield this.common;
    yield* this.byName.values();
  }

  /** This model is to have a lineup of its own. */
  distinguish(model: string): void {
    if (this.distinguished.size < MAX_DISTINGUISHED) this.distinguished.add(model);
  }

  /** Which keys there are, or what they serve, has changed. */
  keysChanged(): void {
    this.representatives.clear();
    this.firstServed.clear();
  }

  add(key: PoolKey): void {
    for (const lineup of this) lineup.add(key);
  }

  remove(key: PoolKey): void {
    for (const lineup of this) lineup.remove(key);
  }

  refresh(key: PoolKey): void {
    for (const lineup of this) lineup.refresh(key);
  }

  /** An attempt of the key has settled, for which it may have been parked. */
  refreshPending(key: PoolKey): void {
    if (this.common?.isPending(key)) this.common.refresh(key);
    if (this.byName.size === 0) return;
    for (const lineup of this.byName.values()) if (lineup.isPending(key)) lineup.refresh(key);
  }

  /** Puts every key where it belongs now. */
  rebuild(): void {
    for (const lineup of this) {
      for (const key of this.pool.keys()) {
        lineup.remove(key);
        if (!key.draining) lineup.add(key);
      }
    }
  }

  /** They are made anew, with the strategy there is then. */
  clear(): void {
    this.common = undefined;
    this.byName.clear();
  }

  private create(model: string | undefined, name: string | undefined): Lineup {
    const own = this.distinguished.has(model ?? NAMELESS) ? (model ?? NAMELESS) : undefined;
    const served = name === undefined ? undefined : model;
    const lineup = new Lineup(own, this.pool.lineupOptions, served);
    for (const key of this.pool.keys()) if (!key.draining) lineup.add(key);
    return lineup;
  }

  private nameOf(model: string | undefined): string | undefined {
    if (!this.hasFilters && this.distinguished.size === 0) return undefined;
    if (model === undefined) return this.distinguished.has(NAMELESS) ? 'nameless' : undefined;
    if (this.distinguished.has(model)) return `only ${model}`;
    return this.hasFilters ? `like ${this.representativeOf(model)}` : undefined;
  }

  /** The first model seen that the same keys serve. */
  private representativeOf(model: string): string {
    let representative = this.representatives.get(model);
    if (representative === undefined) {
      let served = '';
      for (const key of this.pool.keys()) served += key.servesModel(model) ? '1' : '0';
      representative = this.firstServed.get(served) ?? model;
      if (this.representatives.size >= MAX_REPRESENTED) this.keysChanged();
      this.firstServed.set(served, representative);
      this.representatives.set(model, representative);
    }
    return representative;
  }
}
