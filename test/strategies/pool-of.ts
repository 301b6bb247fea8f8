import { ReadySet } from '../../src/keys/ready-set.ts';
import type { SelectionStrategy } from '../../src/strategies/strategy.ts';
import type { TestKey } from './key-at.ts';

const T0 = 1_700_000_000_000;

/** Keys and a strategy, told of what happens to them as a pool tells it. */
export class TestPool {
  readonly ready = new ReadySet<TestKey>();
  now = T0;
  readonly strategy: SelectionStrategy;

  constructor(strategy: SelectionStrategy, keys: readonly TestKey[]) {
    this.strategy = strategy;
    for (const key of keys) this.return(key);
  }

  return(key: TestKey): void {
    this.ready.add(key);
    this.strategy.onReady?.(key);
  }

  away(key: TestKey): void {
    this.ready.remove(key);
    this.strategy.onAway?.(key);
  }

  proposal(): TestKey | undefined {
    const proposal = this.strategy.select(this.ready, { model: undefined, tokens: 0, now: this.now });
    return proposal === undefined ? undefined : this.ready.at(proposal.position);
  }

  /** Leases the proposal; keys that do not fit the call are out of sight meanwhile, as in a pool. */
  lease(fits: (key: TestKey) => boolean = () => true): TestKey | undefined {
    const skipped: TestKey[] = [];
    let key = this.proposal();
    while (key !== undefined && !fits(key)) {
      this.away(key);
      skipped.push(key);
      key = this.proposal();
    }
    for (const each of skipped) this.return(each);
    if (key !== undefined) this.occupy(key);
    return key;
  }

  occupy(key: TestKey): void {
    key.inFlight++;
    this.strategy.onLease?.(key, this.now);
  }

  settle(key: TestKey): void {
    key.inFlight--;
    this.strategy.onSettle?.(key, this.now);
  }

  /** One call after the other, each settled before the next. */
  run(calls: number, fits?: (key: TestKey) => boolean): (number | undefined)[] {
    return Array.from({ length: calls }, () => {
      const key = this.lease(fits);
      this.now += 100;
      if (key !== undefined) this.settle(key);
      return key?.position;
    });
  }
}

/** How often each position occurs, in order of position. */
export function counts(positions: readonly (number | undefined)[], keys: number): number[] {
  return Array.from({ length: keys }, (_, position) => positions.filter(each => each === position).length);
}

/** The longest run of one position. */
export function longestRun(positions: readonly (number | undefined)[], of: number): number {
  let longest = 0;
  let run = 0;
  for (const position of positions) {
    run = position === of ? run + 1 : 0;
    longest = Math.max(longest, run);
  }
  return longest;
}

/** A small generator, so that what is drawn is the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
