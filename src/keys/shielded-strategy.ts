import type { Random } from '../clock.ts';
import type { KeyView, ReadyKeys, SelectionRequest, SelectionStrategy, StrategyFactory } from '../strategies/strategy.ts';

type Report = (error: unknown) => void;

/**
 * A strategy from outside. What it throws is reported and costs no call: where it does not choose, the first
 * ready key is taken.
 */
class ShieldedStrategy implements SelectionStrategy {
  readonly name: string;
  private readonly strategy: SelectionStrategy | undefined;
  private readonly report: Report;

  constructor(strategy: SelectionStrategy | undefined, report: Report) {
    this.strategy = strategy;
    this.name = strategy?.name ?? 'custom';
    this.report = report;
  }

  select(ready: ReadyKeys, request: SelectionRequest): KeyView | undefined {
    try {
      const proposal: unknown = this.strategy?.select(ready, request);
      if (isKeyView(proposal)) return proposal;
      if (this.strategy) this.report(new TypeError('select() returned no key'));
      return undefined;
    } catch (error) {
      this.report(error);
      return undefined;
    }
  }

  onReady(key: KeyView): void {
    try {
      this.strategy?.onReady?.(key);
    } catch (error) {
      this.report(error);
    }
  }

  onAway(key: KeyView): void {
    try {
      this.strategy?.onAway?.(key);
    } catch (error) {
      this.report(error);
    }
  }

  onLease(key: KeyView, now: number): void {
    try {
      this.strategy?.onLease?.(key, now);
    } catch (error) {
      this.report(error);
    }
  }

  onSettle(key: KeyView, now: number): void {
    try {
      this.strategy?.onSettle?.(key, now);
    } catch (error) {
      this.report(error);
    }
  }
}

function isKeyView(proposal: unknown): proposal is KeyView {
  return typeof proposal === 'object' && proposal !== null && 'position' in proposal && typeof proposal.position === 'number';
}

/** Shields a pool from a strategy of the user's own: an object, which serves all its tiers, or a factory. */
export function shielded(strategy: SelectionStrategy | StrategyFactory, report: Report): StrategyFactory {
  if (typeof strategy === 'object') return () => new ShieldedStrategy(strategy, report);
  return (random: Random) => {
    try {
      return new ShieldedStrategy(strategy(random), report);
    } catch (error) {
      report(error);
      return new ShieldedStrategy(undefined, report);
    }
  };
}
