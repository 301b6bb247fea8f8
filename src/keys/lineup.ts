import type { Random } from '../clock.ts';
import type { SelectionRequest, SelectionStrategy, StrategyFactory } from '../strategies/strategy.ts';
import { IndexedHeap } from './indexed-heap.ts';
import type { Demand, PoolKey } from './key.ts';
import { obstacleOf, type Obstacle } from './obstacle.ts';
import type { DayReset } from './quota.ts';
import { ReadySet } from './ready-set.ts';
import type { Obstruction } from './wait-line.ts';

/** Keys of one priority, with a strategy of their own. */
interface Tier {
  readonly priority: number;
  readonly ready: ReadySet<PoolKey>;
  readonly strategy: SelectionStrategy;
}

/** A key set aside until a time, or until an attempt under way has settled. */
interface Parked {
  readonly position: number;
  readonly key: PoolKey;
  readonly until: number;
  readonly pending: boolean;
}

/** Why no key was found. `at` is the earliest time one may return; `Infinity` where none will by itself. */
export interface Blocked extends Obstruction {
  /** True where a settling attempt may free one sooner. */
  readonly pending: boolean;
}

/** What the lineup asks of its pool. */
export interface LineupOptions {
  readonly strategy: StrategyFactory;
  readonly random: Random;
  readonly dayReset: DayReset | undefined;
}

/** Keys that are looked at for a second choice: most of those in a tier are ready. */
const MOST_LOOKED_AT = 32;
/** Suspects stand behind every tier. */
const LAST_RESORT = Infinity;

/**
 * The keys of a pool that serve one model, in the order they are to be tried.
 *
 * A key found away is parked until its time, so that it costs nothing while it is away: finding the
 * next key takes the same time in a pool of ten and in one of a hundred thousand. Parking is lazy. What
 * makes a key available later need not be announced; what makes it available sooner must be, by
 * {@link refresh}.
 */
export class Lineup {
  readonly model: string | undefined;
  private readonly served: string | undefined;
  private readonly options: LineupOptions;
  private readonly tiers: Tier[] = [];
  private readonly parked = new IndexedHeap<Parked>((a, b) => a.until - b.until || a.position - b.position);
  /** Where each key stands, by position. */
  private readonly places: (Tier | Parked | undefined)[] = [];
  private pendingParked = 0;
  private blocked: Blocked = { at: Infinity, pending: false };

  /**
   * @param model whom the lineup is for alone; undefined where it is for several
   * @param served a model that all its keys serve
   */
  constructor(model: string | undefined, options: LineupOptions, served = model) {
    this.model = model;
    this.served = served;
    this.options = options;
  }

  add(key: PoolKey): void {
    if (key.servesModel(this.served)) this.enter(key);
  }

  remove(key: PoolKey): void {
    const place = this.places[key.position];
    if (!place) return;
    if (isTier(place)) this.leave(place, key);
    else this.unpark(place);
    this.places[key.position] = undefined;
  }

  /** Something may have made the key available, or moved it to another tier. */
  refresh(key: PoolKey): void {
    const place = this.places[key.position];
    if (!place) return;
    if (isTier(place) && place.priority === this.priorityOf(key)) return;
    this.remove(key);
    this.enter(key);
  }

  /** True where the key is parked only for as long as an attempt under way has not settled. */
  isPending(key: PoolKey): boolean {
    const place = this.places[key.position];
    return place !== undefined && !isTier(place) && place.pending;
  }

  /**
   * The key to lease now, or undefined; {@link whyBlocked} then says when to ask again. Nothing is
   * reserved here.
   */
  find(demand: Demand, tried: ReadonlySet<PoolKey> | undefined): PoolKey | undefined {
    this.wake(demand.now);
    let at = Infinity;
    let pending = false;
    let found: PoolKey | undefined;
    let skipped: PoolKey[] | undefined;
    for (let i = 0; i < this.tiers.length && !found; i++) {
      const tier = this.tiers[i]!;
      while (tier.ready.size > 0) {
        const key = propose(tier, demand);
        if (!tried?.has(key)) {
          if (key.availableAt(demand, this.options.dayReset) <= demand.now) {
            found = key;
            break;
          }
          const obstacle = obstacleOf(key, demand, this.options.dayReset);
          if (obstacle && this.isFor(obstacle)) {
            this.leave(tier, key);
            this.park(key, obstacle.at, obstacle.pending);
            continue;
          }
          if (obstacle) {
            at = Math.min(at, obstacle.at);
            pending ||= obstacle.pending;
          }
        }
        // Right for other calls, wrong for this one: out of the strategy's sight until the end of the search.
        this.leave(tier, key);
        (skipped ??= []).push(key);
      }
    }
    if (skipped) for (const key of skipped) this.enter(key);
    if (!found) {
      this.blocked = {
        at: Math.min(at, this.parked.peek()?.until ?? Infinity),
        pending: pending || this.pendingParked > 0,
      };
    }
    return found;
  }

  /** Keys that {@link find} would find, one after the other, if each were taken. */
  findSeveral(demand: Demand, except: ReadonlySet<PoolKey>, most: number): PoolKey[] {
    const found: PoolKey[] = [];
    const passedOver: PoolKey[] = [];
    for (const tier of this.tiers) {
      while (tier.ready.size > 0 && found.length < most && passedOver.length < MOST_LOOKED_AT) {
        const key = propose(tier, demand);
        if (!except.has(key) && key.availableAt(demand, this.options.dayReset) <= demand.now) found.push(key);
        this.leave(tier, key);
        passedOver.push(key);
      }
    }
    for (const key of passedOver) this.enter(key);
    return found;
  }

  get whyBlocked(): Blocked {
    return this.blocked;
  }

  /** False where every key stands in its tier. */
  get hasParked(): boolean {
    return this.parked.size > 0;
  }

  /** The strategy that stands for the key, to be told of leases and settlements. */
  strategyOf(key: PoolKey): SelectionStrategy {
    const place = this.places[key.position];
    return place && isTier(place) ? place.strategy : this.tierFor(key).strategy;
  }

  private wake(now: number): void {
    for (let first = this.parked.peek(); first && first.until <= now; first = this.parked.peek()) {
      this.unpark(first);
      this.enter(first.key);
    }
  }

  /** True where the obstacle holds back every call that asks this lineup. */
  private isFor({ concerns }: Obstacle): boolean {
    return concerns === 'all' || (concerns === 'model' && this.model !== undefined);
  }

  private enter(key: PoolKey): void {
    const tier = this.tierFor(key);
    tier.ready.add(key);
    tier.strategy.onReady?.(key);
    this.places[key.position] = tier;
  }

  private leave(tier: Tier, key: PoolKey): void {
    tier.ready.remove(key);
    tier.strategy.onAway?.(key);
  }

  private park(key: PoolKey, until: number, pending: boolean): void {
    const parked = { position: key.position, key, until, pending };
    this.parked.push(parked);
    if (pending) this.pendingParked++;
    this.places[key.position] = parked;
  }

  private unpark(parked: Parked): void {
    this.parked.remove(parked);
    if (parked.pending) this.pendingParked--;
  }

  private priorityOf(key: PoolKey): number {
    const lastInLine =
      key.gate.lastInLine || (this.model !== undefined && key.modelGate(this.model).lastInLine);
    return lastInLine ? LAST_RESORT : key.priority;
  }

  private tierFor(key: PoolKey): Tier {
    const priority = this.priorityOf(key);
    const index = this.tiers.findIndex(tier => tier.priority >= priority);
    const at = this.tiers[index];
    if (at?.priority === priority) return at;
    const tier = {
      priority,
      ready: new ReadySet<PoolKey>(),
      strategy: this.options.strategy(this.options.random),
    };
    this.tiers.splice(index < 0 ? this.tiers.length : index, 0, tier);
    return tier;
  }
}

function isTier(place: Tier | Parked): place is Tier {
  return 'strategy' in place;
}

/** A strategy that proposes nothing, or a key that is not ready, must not stop the call. */
function propose(tier: Tier, request: SelectionRequest): PoolKey {
  const proposal = tier.strategy.select(tier.ready, request);
  const key = proposal && tier.ready.at(proposal.position);
  return key && key === proposal ? key : tier.ready.next(0)!;
}
