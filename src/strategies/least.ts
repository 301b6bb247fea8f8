import type { KeyView, ReadyKeys } from './strategy.ts';

/** The key at exactly this position, when it is ready. */
export function readyAt(ready: ReadyKeys, position: number): KeyView | undefined {
  const key = ready.next(position);
  return key?.position === position ? key : undefined;
}

/** The least of the ready keys, found by a scan: for ready keys the hooks have not told of. */
export function least(ready: ReadyKeys, compare: (a: KeyView, b: KeyView) => number): KeyView | undefined {
  let first: KeyView | undefined;
  for (const key of ready) if (first === undefined || compare(key, first) < 0) first = key;
  return first;
}
