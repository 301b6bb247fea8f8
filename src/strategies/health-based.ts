import type { Random } from '../clock.ts';
import type { KeyView, ReadyKeys, SelectionStrategy } from './strategy.ts';

/** A key without an answer yet counts as this much faster than its rival. */
const OPTIMISM = 0.5;
/** Share of leases that look at no score: a key once slow or failing is tried again and can recover. */
const EXPLORATION = 1 / 32;
/** A key that only fails costs this share's inverse, squared, rather than infinitely much. */
const LEAST_SUCCESS = 0.01;

/** The healthier of two keys drawn at random: fast, reliable and little loaded keys get more, none gets everything. */
export function healthBased(random: Random): SelectionStrategy {
  return {
    name: 'health-based',
    select(ready: ReadyKeys): KeyView | undefined {
      const first = ready.sample(random);
      if (first === undefined || ready.size === 1) return first;
      const drawn = ready.sample(random);
      const second = drawn === first ? ready.next(first.position + 1) : drawn;
      if (second === undefined || random() >= 1 - EXPLORATION) return first;
      return cost(second, first) < cost(first, second) ? second : first;
    },
  };
}

/** Time to a good answer, in the unit of the rival's latency where the key's own is unknown. */
function cost(key: KeyView, rival: KeyView): number {
  const latencyMs = key.latencyMs > 0 ? key.latencyMs : OPTIMISM * (rival.latencyMs > 0 ? rival.latencyMs : 1);
  // Squared, for a failed attempt costs more than the time it took.
  const success = Math.max(LEAST_SUCCESS, 1 - key.errorRate);
  return latencyMs * (1 + key.inFlight) / success ** 2;
}
