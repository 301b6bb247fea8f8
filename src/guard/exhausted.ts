import type { Demand } from '../keys/key.ts';
import type { Pool } from '../keys/pool.ts';
import type { Call } from './call.ts';
import type { KeyObstacle } from './errors.ts';

/** An error names so many keys at most; a pool may hold a hundred thousand. */
const MAX_NAMED = 100;

/** Why no key of the pool could be had, key by key. */
export function exhaustedDetails(call: Call, pool: Pool | undefined, now: number) {
  const demand = { model: call.model, tokens: call.tokens, now, only: call.only, address: call.address };
  const { at, pending } = pool?.outlook(demand) ?? { at: Infinity, pending: false };
  // An attempt under way may end at any moment, or not for long: that is no time to name.
  const retryAtMs = pending ? Infinity : at;
  return {
    provider: call.provider.name,
    model: call.model,
    attempts: call.trail,
    keys: pool ? obstaclesOf(pool, demand) : [],
    ...(retryAtMs !== Infinity && { retryAtMs, retryAfterMs: retryAtMs - now }),
  };
}

function obstaclesOf(pool: Pool, demand: Demand): KeyObstacle[] {
  const obstacles: KeyObstacle[] = [];
  for (const key of pool.keys()) {
    if (obstacles.length >= MAX_NAMED) break;
    const obstacle = pool.obstacleOf(key, demand);
    obstacles.push({
      id: key.id,
      state: obstacle?.state ?? 'ready',
      reason: obstacle?.reason ?? 'ready, but tried in this call',
      ...(obstacle && obstacle.at !== Infinity && { untilMs: obstacle.at }),
    });
  }
  return obstacles;
}
