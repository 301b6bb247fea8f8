import type { KeyView, ReadyKeys, SelectionStrategy } from './strategy.ts';

/** One key after the other, in pool order. */
export function roundRobin(): SelectionStrategy {
  return new RoundRobin();
}

class RoundRobin implements SelectionStrategy {
  readonly name = 'round-robin';
  #cursor = 0;

  select(ready: ReadyKeys): KeyView | undefined {
    return ready.next(this.#cursor);
  }

  onLease(key: KeyView): void {
    this.#cursor = key.position + 1;
  }
}
