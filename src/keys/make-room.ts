/** A Map or a Set: both give their keys in the order in which these came. */
interface Bounded<K> {
  readonly size: number;
  keys(): Iterable<K>;
  delete(key: K): boolean;
}

/** Takes the oldest out until there is room for one more among so many; `forgotten` is told of each before it goes. */
export function makeRoom<K>(of: Bounded<K>, most: number, forgotten?: (key: K) => void): void {
  if (of.size < most) return;
  for (const oldest of of.keys()) {
    if (of.size < most) break;
    forgotten?.(oldest);
    of.delete(oldest);
  }
}
