import type { Policy, SimulatedFailure } from '../../src/simulate/policy.ts';
import { poolsOf } from './pools.ts';
import { retryAfterMs } from './retry-after.ts';
import { untilAnswered } from './until-answered.ts';

const MAX_RETRIES = 2;
const INITIAL_DELAY_MS = 500;
const MAX_DELAY_MS = 8_000;
const JITTER = 0.25;

/**
 * One key, the provider's first, and the retries of an SDK: openai-node 6.49 (https://github.com/openai/openai-node,
 * `shouldRetry` and `retryRequest` of src/client.ts). It retries 408, 409, 429, 5xx and failures of the network twice,
 * when `retry-after-ms` or `retry-after` say, however late that is.
 */
export const sdk: Policy = {
  name: 'sdk',

  start(surroundings) {
    const { clock, random, scenario } = surroundings;
    const pools = poolsOf(scenario, keyIds => ({ first: keyIds[0] }));
    return {
      call: (call, process, signal) =>
        untilAnswered(surroundings, call, signal, {
          key: () => pools(process, call.provider).first,
          afterFailure(failure, _, retries) {
            if (!isRetried(failure) || retries >= MAX_RETRIES) return undefined;
            const backoffMs = Math.min(INITIAL_DELAY_MS * 2 ** retries, MAX_DELAY_MS) * (1 - random() * JITTER);
            return askedMs(failure, clock.now()) ?? backoffMs;
          },
        }),
    };
  },
};

function isRetried({ headers, status }: SimulatedFailure): boolean {
  const should = headers['x-should-retry'];
  if (should === 'true' || should === 'false') return should === 'true';
  return status === undefined || status === 408 || status === 409 || status === 429 || status >= 500;
}

function askedMs({ headers }: SimulatedFailure, now: number): number | undefined {
  const exactMs = Number.parseFloat(headers['retry-after-ms'] ?? '');
  return exactMs > 0 ? exactMs : retryAfterMs(headers, now);
}
