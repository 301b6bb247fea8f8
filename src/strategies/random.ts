import type { Random } from '../clock.ts';
import type { SelectionStrategy } from './strategy.ts';

/** Any ready key, all alike. */
export function random(source: Random): SelectionStrategy {
  return { name: 'random', select: ready => ready.sample(source) };
}
