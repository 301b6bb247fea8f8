import type { Affinity, AffinityFunction } from './affinity.ts';

/** A function of somebody else's: where it fails any key will do, and `report` hears of the first time. */
export function shieldedAffinity(affinity: Affinity | undefined, report: (error: unknown) => void): Affinity | undefined {
  if (typeof affinity !== 'function') return affinity;
  const fn: AffinityFunction = affinity;
  let isReported = false;
  return request => {
    try {
      return fn(request);
    } catch (error) {
      if (!isReported) report(error);
      isReported = true;
      return undefined;
    }
  };
}
