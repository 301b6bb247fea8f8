import type { Policy } from '../../src/simulate/policy.ts';
import { poolsOf } from './pools.ts';
import { untilAnswered } from './until-answered.ts';

const MAX_RETRIES = 5;
const INITIAL_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;
const JITTER_MS = 500;
const RETRYABLE = new Set([429, 500, 502, 503, 504]);

/**
 * The next key for each call, without memory: the guard that this package replaces, with its defaults
 * (docs/migration-from-the-existing-guard.md). A retry takes the key that has failed, `retry-after` is not read, and
 * failures of the network are not retried. Its queue and its rate limit are left out: they are no choice of keys.
 */
export const roundRobin: Policy = {
  name: 'round-robin',

  start(surroundings) {
    const { random, scenario } = surroundings;
    const pools = poolsOf(scenario, keyIds => ({ keyIds, turn: 0 }));
    return {
      call(call, process, signal) {
        const pool = pools(process, call.provider);
        const keyId = pool.keyIds[pool.turn++ % pool.keyIds.length];
        return untilAnswered(surroundings, call, signal, {
          key: () => keyId,
          afterFailure({ status }, _, retries) {
            if (status === undefined || !RETRYABLE.has(status) || retries >= MAX_RETRIES) return undefined;
            return Math.min(INITIAL_BACKOFF_MS * 2 ** retries, MAX_BACKOFF_MS) + random() * JITTER_MS;
          },
        });
      },
    };
  },
};
