import { IndexedHeap } from '../keys/indexed-heap.ts';
import { least, readyAt } from './least.ts';
import type { KeyView, ReadyKeys, SelectionStrategy } from './strategy.ts';

const HALF_LIFE_MS = 60_000;
/** Enough to be ahead of the key it is compared with, and much less than one lease. */
const JUST_AHEAD = 1e-6;

interface Usage {
  readonly id: string;
  readonly position: number;
  inFlight: number;
  /**
   * log2 of the leases, each of which counts 2^(its time / half-life). Decaying all keys alike would change no order,
   * so nothing has to be: recent leases count more instead, and the logarithm keeps the numbers small.
   */
  leases: number;
  /** The strategy's count of leases when the key was last ready. */
  leftAfter: number;
}

/** The key with the fewest attempts under way; of those the one least used lately, then the first in pool order. */
export function leastUsed(): SelectionStrategy {
  return new LeastUsed();
}

class LeastUsed implements SelectionStrategy {
  readonly name = 'least-used';
  readonly #usages: (Usage | undefined)[] = [];
  readonly #line = new IndexedHeap<Usage>(compare);
  #count = 0;

  select(ready: ReadyKeys): KeyView | undefined {
    const first = this.#line.peek();
    const key = first !== undefined && this.#line.size === ready.size ? readyAt(ready, first.position) : undefined;
    return key ?? least(ready, (a, b) => compare(this.#usageOf(a), this.#usageOf(b)));
  }

  onReady(key: KeyView): void {
    const usage = this.#usageOf(key);
    const known = this.#usages[key.position];
    if (known !== undefined && known !== usage) this.#line.remove(known);
    while (this.#usages.length <= key.position) this.#usages.push(undefined);
    this.#usages[key.position] = usage;
    usage.inFlight = key.inFlight;
    // A key that joins or comes back is next, but does not take every call until it has caught up with the others.
    // One that was out of sight for one lease only keeps its place.
    const front = this.#line.peek();
    if (front !== undefined && usage.leftAfter < this.#count - 1 && !this.#line.has(usage)) {
      usage.leases = Math.max(usage.leases, front.leases - JUST_AHEAD);
    }
    this.#line.push(usage);
  }

  onAway(key: KeyView): void {
    const usage = this.#usageOf(key);
    if (this.#line.remove(usage)) usage.leftAfter = this.#count;
  }

  onLease(key: KeyView, now: number): void {
    this.#count++;
    const usage = this.#usageOf(key);
    const [more, less] = [Math.max(usage.leases, now / HALF_LIFE_MS), Math.min(usage.leases, now / HALF_LIFE_MS)];
    usage.leases = more + Math.log2(1 + 2 ** (less - more));
    usage.inFlight = key.inFlight;
    this.#line.update(usage);
  }

  onSettle(key: KeyView): void {
    const usage = this.#usageOf(key);
    usage.inFlight = key.inFlight;
    this.#line.update(usage);
  }

  #usageOf(key: KeyView): Usage {
    const usage = this.#usages[key.position];
    // Another key may have taken the place of one that was removed.
    if (usage?.id === key.id) return usage;
    return { id: key.id, position: key.position, inFlight: key.inFlight, leases: -Infinity, leftAfter: -2 };
  }
}

function compare(a: Usage, b: Usage): number {
  return a.inFlight - b.inFlight || a.leases - b.leases || a.position - b.position;
}
