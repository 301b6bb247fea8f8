import type { Policy, SimulatedFailure } from '../../src/simulate/policy.ts';
import { poolsOf } from './pools.ts';
import { untilAnswered } from './until-answered.ts';

/** The default is 0; this is what the documentation sets where several keys are to be used. */
const MAX_RETRIES = 5;
const INITIAL_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 5_000;
const TRANSIENT = new Set([500, 502, 503, 504, 529]);
const OUT_OF_MONEY = /insufficient_quota|credit balance|requires billing to be enabled/i;
const REJECTED_KEY = /api key not valid|invalid api key|api key expired/i;

/**
 * Bifrost after 1.5.0, keys of equal weight: any key by chance, without memory from call to call. Within a call, a 429
 * takes another key after a backoff, and all of them again once each has had its turn; a 401, 402 or 403, or a message
 * that says the same, takes another key at once and never that one again; 5xx and failures of the network take the same
 * key after a backoff. Anything else is not retried, and `retry-after` is not read.
 *
 * https://docs.getbifrost.ai/features/retries-and-fallbacks,
 * https://github.com/maximhq/bifrost/blob/9676223b1b3283ed388c076d6dcae5e8242ff2f7/core/failureclass.go
 */
export const bifrost: Policy = {
  name: 'bifrost',

  start(surroundings) {
    const { random, scenario } = surroundings;
    const pools = poolsOf(scenario, keyIds => ({ keyIds }));
    return {
      call(call, process, signal) {
        const { keyIds } = pools(process, call.provider);
        const used = new Set<string>();
        const dead = new Set<string>();
        let again: string | undefined;
        return untilAnswered(surroundings, call, signal, {
          key() {
            if (again !== undefined) return again;
            const living = keyIds.filter(keyId => !dead.has(keyId));
            if (living.every(keyId => used.has(keyId))) used.clear();
            const fresh = living.filter(keyId => !used.has(keyId));
            return fresh[Math.floor(random() * fresh.length)];
          },
          afterFailure(failure, keyId, retries) {
            const fault = faultOf(failure);
            if (fault === 'request' || retries >= MAX_RETRIES) return undefined;
            again = fault === 'server' ? keyId : undefined;
            if (fault === 'key') {
              dead.add(keyId);
              return 0;
            }
            if (fault === 'rate') used.add(keyId);
            const backoffMs = Math.min(INITIAL_BACKOFF_MS * 2 ** retries, MAX_BACKOFF_MS);
            return Math.min(backoffMs * (0.8 + 0.4 * random()), MAX_BACKOFF_MS);
          },
        });
      },
    };
  },
};

/** `ClassifyFailure`, as far as the simulated providers go. */
function faultOf({ error, status }: SimulatedFailure): 'server' | 'key' | 'rate' | 'request' {
  if (status === undefined || TRANSIENT.has(status)) return 'server';
  const text = JSON.stringify([error]);
  if (status === 402 || OUT_OF_MONEY.test(text)) return 'key';
  if (status === 429) return 'rate';
  return status === 401 || status === 403 || REJECTED_KEY.test(text) ? 'key' : 'request';
}
