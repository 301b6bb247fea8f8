import type { Demand } from '../keys/key.ts';
import type { Pool } from '../keys/pool.ts';
import type { Call } from './call.ts';
import type { KeyObstacle } from './errors.ts';

/** An error names so many keys at most; a pool may hold a hundred thousand. */
const MAX_NAMED = 100;

/** Why no key of the pool could be had, key by key. */
export function exhaustedDetails(call: Call, pool: Pool | undefined, now: number) {
  const at = call.blocked?.at ?? Infinity;
  const isKnown = at !== Infinity && at > now;
  return {
    provider: call.provider.name,
    attempts: call.trail,
    keys: pool ? obstaclesOf(pool, { model: call.model, tokens: call.tokens, now }) : [],
    ...(isKnown && { retryAtMs: at, retryAfterMs: at - now }),
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
