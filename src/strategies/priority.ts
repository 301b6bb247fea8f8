import { IndexedHeap } from '../keys/indexed-heap.ts';
import { least, readyAt } from './least.ts';
import type { KeyView, ReadyKeys, SelectionStrategy } from './strategy.ts';

interface Rank {
  readonly position: number;
  readonly priority: number;
}

/** The ready key with the lowest `priority`; among equals the first in pool order. */
export function priority(): SelectionStrategy {
  return new Priority();
}

class Priority implements SelectionStrategy {
  readonly name = 'priority';
  readonly #ranks: (Rank | undefined)[] = [];
  readonly #line = new IndexedHeap<Rank>(compare);

  select(ready: ReadyKeys): KeyView | undefined {
    const first = this.#line.peek();
    const key = first !== undefined && this.#line.size === ready.size ? readyAt(ready, first.position) : undefined;
    return key ?? least(ready, compare);
  }

  onReady(key: KeyView): void {
    this.onAway(key);
    const rank = { position: key.position, priority: key.priority };
    while (this.#ranks.length <= key.position) this.#ranks.push(undefined);
    this.#ranks[key.position] = rank;
    this.#line.push(rank);
  }

  onAway(key: KeyView): void {
    const rank = this.#ranks[key.position];
    if (rank !== undefined) this.#line.remove(rank);
  }
}

function compare(a: Rank, b: Rank): number {
  return a.priority - b.priority || a.position - b.position;
}
