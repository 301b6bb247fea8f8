import type { Demand, PoolKey } from '../keys/key.ts';
import { doubtOf, type KeyState } from '../keys/obstacle.ts';
import type { Pool } from '../keys/pool.ts';
import type { Stop } from './fallback-chains.ts';
import type { BreakerState } from './provider-breaker.ts';
import type { ProviderState } from './provider-state.ts';

/** What would be asked of the pool. */
export interface ExplainOptions {
  readonly model?: string | undefined;
  /** Estimated tokens of the call. */
  readonly tokens?: number | undefined;
  /** As the options of a call have it. */
  readonly affinity?: string | undefined;
  /** As the options of a call have it. */
  readonly uses?: string | readonly string[] | undefined;
}

export interface KeyExplanation {
  readonly id: string;
  readonly mask: string;
  readonly state: KeyState;
  /** True for the key that would be taken now. */
  readonly chosen: boolean;
  /** Why the key is chosen, or why it is not. */
  readonly why: string;
  /** When that changes, epoch ms; undefined where no time is known. */
  readonly until: number | undefined;
}

/** Which key a call would take now, and why each other one would not serve it. */
export interface Explanation {
  readonly provider: string;
  /** The pattern of the pool; undefined where none matches and the provider is left alone. */
  readonly pool: string | undefined;
  readonly strategy: string | undefined;
  readonly circuitBreakerState: BreakerState;
  /** Calls of this provider that wait now. */
  readonly waiting: number;
  /** The key that would be taken; undefined where none is ready. */
  readonly keyId: string | undefined;
  readonly keys: readonly KeyExplanation[];
  /** Where a call would go in turn when this provider cannot serve it. */
  readonly fallbacks: readonly Stop[];
}

/** A key that nothing holds back is taken, or stands behind the one that is. */
function whyReady(key: PoolKey, chosen: PoolKey | undefined, pool: Pool, { affinity, only }: Demand): string {
  const doubt = doubtOf(key);
  if (doubt && pool.validatesFirst(key)) return `${doubt}: ${key.gate.reason}; validated before its next use`;
  if (key === chosen) {
    if (only) return 'chosen: it has what the call uses';
    return affinity === undefined ? `chosen by ${pool.settings.strategyName}` : 'chosen by affinity';
  }
  if (doubt && key.gate.lastInLine) return `${doubt}: ${key.gate.reason}; last in line`;
  return chosen && chosen.priority < key.priority ? 'ready, a backup' : 'ready, not its turn';
}

function explainKey(key: PoolKey, chosen: PoolKey | undefined, pool: Pool, demand: Demand): KeyExplanation {
  const obstacle = pool.obstacleOf(key, demand);
  return {
    id: key.id,
    mask: key.mask,
    state: obstacle?.state ?? doubtOf(key) ?? 'ready',
    chosen: key === chosen,
    why: obstacle?.reason ?? whyReady(key, chosen, pool, demand),
    until: obstacle && obstacle.at !== Infinity ? obstacle.at : undefined,
  };
}

/**
 * Looks at the keys before one of them is taken for an attempt. What it returns says why that one was, and why each
 * other one was not.
 *
 * @param tried keys the call has tried
 */
export function explainChoice(
  pool: Pool,
  demand: Demand,
  tried: ReadonlySet<PoolKey> | undefined,
): (chosen: PoolKey | undefined) => KeyExplanation[] {
  const before = [...pool.keys()].map(key => ({ key, ...explainKey(key, undefined, pool, demand) }));
  return chosen =>
    before.map(({ key, ...explanation }) => {
      if (key === chosen) return { ...explanation, chosen: true, why: whyReady(key, chosen, pool, demand), until: undefined };
      return tried?.has(key) && explanation.state === 'ready' ? { ...explanation, why: 'tried in this call' } : explanation;
    });
}

export function explainPool(
  name: string,
  provider: ProviderState | undefined,
  pool: Pool | undefined,
  options: ExplainOptions,
  fallbacks: readonly Stop[],
  now: number,
): Explanation {
  const { affinity, model, tokens = 0, uses = [] } = options;
  const only = pool?.keysWith(uses);
  const demand = { model, tokens, now, affinity, only, address: provider?.address };
  const chosen = pool?.peek(demand);
  return {
    provider: name,
    pool: pool?.pattern,
    strategy: pool?.settings.strategyName,
    circuitBreakerState: provider?.breaker.state ?? 'CLOSED',
    waiting: provider?.lane.waiting ?? 0,
    keyId: chosen?.id,
    keys: pool ? [...pool.keys()].map(key => explainKey(key, chosen, pool, demand)) : [],
    fallbacks,
  };
}
