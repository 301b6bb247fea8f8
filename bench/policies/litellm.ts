import type { Policy, SimulatedFailure } from '../../src/simulate/policy.ts';
import { poolsOf } from './pools.ts';
import { retryAfterMs } from './retry-after.ts';
import { untilAnswered } from './until-answered.ts';

const NUM_RETRIES = 2;
const COOLDOWN_MS = 5_000;
const WINDOW_MS = 60_000;
const FAILURE_THRESHOLD = 0.5;
const FAILURE_THRESHOLD_REQUESTS = 5;
const TOTAL_FAILURE_REQUESTS = 1_000;
const INITIAL_RETRY_DELAY_MS = 500;
const MAX_RETRY_AFTER_MS = 60_000;
const JITTER_MS = 750;

/**
 * The router of LiteLLM with `simple-shuffle`, a deployment per key, all else as it comes: any key that is not cooling
 * down, by chance. A key cools down for as long as `retry-after` says, or else 5 s, after a 429 (unless it is the only
 * one), a 401 or a 404, and after anything but the other 4xx once more than half of at least 5 requests within a minute
 * have failed. Two retries, at once where a key is to be had, and none after 4xx other than 401, 403, 408, 409 and 429.
 * A key that has answered 401 or 403 is not asked again in the same call. While all keys cool down, calls fail before
 * they are tried.
 *
 * https://github.com/BerriAI/litellm/blob/f292d1ae7d83f2bc07c80c10d1a61bf63cb087bd/litellm/router.py
 * (`async_function_with_retries`, `_time_to_sleep_before_retry`, `deployment_callback_on_failure`);
 * `should_retry_this_error` there, `_should_cooldown_deployment` of litellm/router_utils/cooldown_handlers.py and
 * litellm/constants.py, all three of later versions; https://github.com/BerriAI/litellm/pull/40014;
 * https://docs.litellm.ai/docs/router/learn/reliability
 *
 * Assumed: failures of the network are what it calls an APIConnectionError, which cools nothing down.
 */
export const litellm: Policy = {
  name: 'litellm',

  start(surroundings) {
    const { clock, random, scenario } = surroundings;
    const groups = poolsOf(scenario, keyIds => new ModelGroup(keyIds));
    return {
      call(call, process, signal) {
        const group = groups(process, call.provider);
        const refusing = new Set<string>();
        let first: SimulatedFailure | undefined;
        return untilAnswered(surroundings, call, signal, {
          key() {
            const healthy = group.healthy(clock.now());
            const others = healthy.filter(keyId => !refusing.has(keyId));
            const candidates = others.length > 0 ? others : healthy;
            return candidates[Math.floor(random() * candidates.length)];
          },
          answered: keyId => group.answered(keyId, clock.now()),
          afterFailure(failure, keyId, retries) {
            const now = clock.now();
            group.failed(keyId, failure, now);
            if (failure.status !== undefined && !isTransient(failure.status)) refusing.add(keyId);
            const isHealthy = group.healthy(now).length > 0;
            // Only the first failure is asked whether it is worth a retry, and how long to wait.
            first ??= failure;
            if (retries === 0 && !(isHealthy && isRetried(first, group.size))) return undefined;
            if (retries >= NUM_RETRIES) return undefined;
            if (isHealthy && group.size > 1) return 0;
            const askedMs = retryAfterMs(first.headers, now) ?? 0;
            const isReasonable = askedMs > 0 && askedMs <= MAX_RETRY_AFTER_MS;
            // Both retries wait the first time's delay: the loop counts its first round as none.
            return (isReasonable ? askedMs : INITIAL_RETRY_DELAY_MS) + random() * JITTER_MS;
          },
        });
      },
    };
  },
};

interface Deployment {
  readonly keyId: string;
  readonly successes: MinuteCount;
  readonly failures: MinuteCount;
  coolUntil: number;
}

class ModelGroup {
  private readonly deployments: ReadonlyMap<string, Deployment>;

  constructor(keyIds: readonly string[]) {
    this.deployments = new Map(
      keyIds.map(keyId => {
        return [keyId, { keyId, successes: new MinuteCount(), failures: new MinuteCount(), coolUntil: 0 }];
      }),
    );
  }

  get size(): number {
    return this.deployments.size;
  }

  healthy(now: number): string[] {
    return [...this.deployments.values()].filter(({ coolUntil }) => coolUntil <= now).map(({ keyId }) => keyId);
  }

  answered(keyId: string, now: number): void {
    this.deployments.get(keyId)?.successes.increment(now);
  }

  failed(keyId: string, failure: SimulatedFailure, now: number): void {
    const deployment = this.deployments.get(keyId);
    if (!deployment) return;
    deployment.failures.increment(now);
    if (this.coolsDown(deployment, failure, now)) {
      deployment.coolUntil = now + (retryAfterMs(failure.headers, now) ?? COOLDOWN_MS);
    }
  }

  private coolsDown({ failures, successes }: Deployment, { status }: SimulatedFailure, now: number): boolean {
    if (status === undefined) return false;
    if (status >= 400 && status < 500 && ![401, 404, 408, 429].includes(status)) return false;
    const isOnly = this.size === 1;
    if (status === 429 && !isOnly) return true;
    const failed = failures.value(now);
    const total = failed + successes.value(now);
    if (failed === total && total >= TOTAL_FAILURE_REQUESTS) return true;
    if (failed / total > FAILURE_THRESHOLD && total >= FAILURE_THRESHOLD_REQUESTS && !isOnly) return true;
    return !isTransient(status);
  }
}

/** A counter that is forgotten a minute after it began. */
class MinuteCount {
  private count = 0;
  private endsAt = 0;

  increment(now: number): void {
    this.count = this.value(now) + 1;
    if (this.count === 1) this.endsAt = now + WINDOW_MS;
  }

  value(now: number): number {
    return now < this.endsAt ? this.count : 0;
  }
}

/** `_should_retry` of litellm/utils.py. */
function isTransient(status: number): boolean {
  return status === 408 || status === 409 || status === 429 || status >= 500;
}

function isRetried({ status }: SimulatedFailure, deployments: number): boolean {
  if (status === undefined || isTransient(status)) return true;
  return status === 403 || (status === 401 && deployments > 1);
}
