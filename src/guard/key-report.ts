import type { GateState } from '../keys/gate.ts';
import type { LatencySummary } from '../keys/key-metrics.ts';
import type { PoolKey } from '../keys/key.ts';
import type { LimitUse } from '../keys/learned-quota.ts';
import { doubtOf, type KeyState } from '../keys/obstacle.ts';
import type { Pool } from '../keys/pool.ts';
import type { QuotaUses } from '../keys/quota.ts';

/** One key as stats and lists show it: never its secret. */
export interface KeyReport {
  readonly id: string;
  /** The key's public prefix, such as `AIza…`. */
  readonly mask: string;
  readonly state: KeyState;
  /** Why it is not ready; undefined while it is. */
  readonly reason: string | undefined;
  /** When it may be used or probed again, epoch ms; undefined where no time is set. */
  readonly until: number | undefined;
  /** The group, declared or named by the provider's answers; undefined where the key has a quota of its own. */
  readonly group: string | undefined;
  readonly weight: number;
  readonly priority: number;
  readonly tier: string | undefined;
  readonly region: string | undefined;
  readonly tags: readonly string[];
  readonly requests: number;
  readonly successes: number;
  /** Failed attempts by the kind of their fault. */
  readonly failures: Readonly<Record<string, number>>;
  /** Answers with status 429. */
  readonly rateLimitHits: number;
  readonly inFlight: number;
  /** Epoch ms; undefined before the first use. */
  readonly lastUsed: number | undefined;
  /** In ms; 0 before the first answer. */
  readonly latency: LatencySummary;
  /** 0 to 1: the smoothed share of answered attempts, halved while the key rests, 0 while it is disabled. */
  readonly healthScore: number;
  /** Use of the key's declared limits. */
  readonly quota: QuotaUses;
  /** Models it is not used for at the moment, though it may be for others. */
  readonly modelsAway: readonly ModelAway[];
  /** The provider's own limits, as its answers have told them. */
  readonly learned: readonly LimitUse[];
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cost: number;
}

/** A model that a key, or its group, was refused for. */
export interface ModelAway {
  readonly model: string;
  readonly state: GateState;
  readonly reason: string;
  /** When it may be tried again, epoch ms. */
  readonly until: number;
}

/** One pool as stats and lists show it. */
export interface PoolReport {
  readonly pattern: string;
  readonly strategy: string;
  /** Keys that may be leased now. */
  readonly ready: number;
  /** Calls waiting for a key. */
  readonly waiting: number;
  readonly keys: readonly KeyReport[];
}

export function reportPool(pool: Pool, now: number): PoolReport {
  pool.reclaimExpired(now);
  const keys: KeyReport[] = [];
  let ready = 0;
  for (const key of pool.keys()) {
    keys.push(reportKey(pool, key, now));
    if (!pool.obstacleOf(key, { model: undefined, tokens: 0, now })) ready++;
  }
  return { pattern: pool.pattern, strategy: pool.settings.strategyName, ready, waiting: pool.line.size, keys };
}

export function reportKey(pool: Pool, key: PoolKey, now: number): KeyReport {
  key.quotaGroup.reclaimExpired(now);
  const { metrics, settings } = key;
  const obstacle = pool.obstacleOf(key, { model: undefined, tokens: 0, now });
  const doubt = doubtOf(key);
  const state = obstacle?.state ?? doubt ?? 'ready';
  return {
    id: key.id,
    mask: key.mask,
    state,
    reason: obstacle?.reason ?? (doubt && `${key.gate.reason}; to be proved by its next use`),
    until: obstacle && obstacle.at !== Infinity ? obstacle.at : undefined,
    group: key.namedGroup,
    weight: settings.weight,
    priority: settings.priority,
    tier: settings.tier,
    region: settings.region,
    tags: [...settings.tags],
    requests: key.requests,
    successes: metrics.successes,
    failures: metrics.failures,
    rateLimitHits: metrics.rateLimitHits,
    inFlight: key.inFlight,
    lastUsed: key.lastUsedAt > 0 ? key.lastUsedAt : undefined,
    latency: metrics.latency,
    healthScore: healthScore(key, state),
    quota: key.quotaUse(now),
    modelsAway: modelsAway(key, now),
    learned: key.quotaGroup.learned?.use(now) ?? [],
    inputTokens: metrics.inputTokens,
    outputTokens: metrics.outputTokens,
    cost: metrics.cost,
  };
}

function modelsAway(key: PoolKey, now: number): ModelAway[] {
  return [...key.closedModels(), ...key.quotaGroup.closedModels()].flatMap(([model, gate]) => {
    const until = gate.availableAt(now);
    return until > now ? { model, state: gate.state, reason: gate.reason, until } : [];
  });
}

function healthScore(key: PoolKey, state: KeyState): number {
  if (state === 'disabled') return 0;
  return (1 - key.errorRate) * (state === 'cooling' || state === 'suspect' ? 0.5 : 1);
}
