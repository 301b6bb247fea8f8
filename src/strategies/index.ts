import { healthBased } from './health-based.ts';
import { leastUsed } from './least-used.ts';
import { priority } from './priority.ts';
import { random } from './random.ts';
import { roundRobin } from './round-robin.ts';
import type { SelectionStrategy, StrategyFactory } from './strategy.ts';
import { weighted } from './weighted.ts';

export { healthBased, leastUsed, priority, random, roundRobin, weighted };

const factories = {
  'round-robin': roundRobin,
  random,
  weighted,
  'least-used': leastUsed,
  'health-based': healthBased,
  priority,
} satisfies Record<string, StrategyFactory>;

export type StrategyName = keyof typeof factories;

export const strategyNames = Object.keys(factories) as readonly StrategyName[];

/**
 * What a configuration may name: a built-in strategy, a factory, or a strategy. A strategy given as an object serves
 * every pool it is named for; one that keeps state per pool is given as a factory.
 *
 * @throws Error when the name is unknown, or the value is none of these.
 */
export function strategyFactory(strategy: string | SelectionStrategy | StrategyFactory): StrategyFactory {
  if (typeof strategy === 'function') return strategy;
  if (typeof strategy === 'string') {
    const name = strategyNames.find(known => known === strategy);
    if (name === undefined) {
      throw new Error(`Unknown strategy "${strategy}". Known strategies: ${strategyNames.join(', ')}`);
    }
    return factories[name];
  }
  if (!isStrategy(strategy)) throw new Error('A strategy is a name, a factory, or { name, select(ready, request) }');
  return () => strategy;
}

function isStrategy(value: unknown): value is SelectionStrategy {
  return typeof value === 'object' && value !== null
    && 'name' in value && typeof value.name === 'string'
    && 'select' in value && typeof value.select === 'function';
}
