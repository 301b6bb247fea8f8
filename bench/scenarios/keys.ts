import type { SimulatedKey } from '../../src/simulate/scenario.ts';

/** So many keys, named from 0 on. */
export function keys(count: number, each: (index: number) => Omit<SimulatedKey, 'id'> = () => ({})): SimulatedKey[] {
  return Array.from({ length: count }, (_, index) => ({ id: `key-${index}`, ...each(index) }));
}
