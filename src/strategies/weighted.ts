import { FairQueue } from './fair-queue.ts';
import { least, readyAt } from './least.ts';
import type { KeyView, ReadyKeys, SelectionStrategy } from './strategy.ts';

/**
 * Leases in proportion to `weight`, evenly interleaved. Keys of weight 0 are a reserve: they take turns when no other
 * key is ready. Weights further apart than 1 to 1e9 count as 1 to 1e9.
 */
export function weighted(): SelectionStrategy {
  return new Weighted();
}

class Weighted implements SelectionStrategy {
  readonly name = 'weighted';
  readonly #queue = new FairQueue();
  readonly #reserve = new FairQueue();

  select(ready: ReadyKeys): KeyView | undefined {
    if (this.#queue.size + this.#reserve.size === ready.size) {
      const position = this.#queue.next() ?? this.#reserve.next();
      if (position === undefined) return undefined;
      const key = readyAt(ready, position);
      if (key !== undefined) return key;
    }
    return least(ready, (a, b) => this.#compare(a, b));
  }

  onReady(key: KeyView): void {
    if (key.weight > 0) {
      this.#reserve.remove(key.position);
      this.#queue.add(key.position, key.weight);
    } else {
      this.#queue.remove(key.position);
      this.#reserve.add(key.position, 1);
    }
  }

  onAway(key: KeyView): void {
    this.#queue.remove(key.position);
    this.#reserve.remove(key.position);
  }

  onLease(key: KeyView): void {
    (key.weight > 0 ? this.#queue : this.#reserve).serve(key.position);
  }

  #compare(a: KeyView, b: KeyView): number {
    const isReserve = !(a.weight > 0);
    if (isReserve === b.weight > 0) return isReserve ? 1 : -1;
    return (isReserve ? this.#reserve : this.#queue).compare(a.position, b.position);
  }
}
