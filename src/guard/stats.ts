import type { Directory } from '../keys/directory.ts';
import { reportPool, type PoolReport } from './key-report.ts';
import type { BreakerState } from './provider-breaker.ts';
import type { ProviderState, ProviderTable } from './provider-state.ts';
import type { Runtime } from './runtime.ts';

/** Use of one inbound rule: the session that used it most. */
export interface RuleUsage {
  readonly current: number;
  /** 0 where the rule is off. */
  readonly limit: number;
  /** 0 to 100. */
  readonly percentage: number;
  /** 0 where the rule is off. */
  readonly windowMs: number;
}

/** What is known of a provider. */
export interface ProviderStatus {
  readonly name: string;
  /** Epoch ms. */
  readonly lastFailure?: number;
  /** Failed calls since the last answered one. */
  readonly failureCount: number;
  readonly inRecovery: boolean;
  readonly isOnline: boolean;
  /** Smoothed, in ms; absent before the first answer. */
  readonly responseTime?: number;
  /** Smoothed share of failed calls, 0 to 1. */
  readonly errorRate?: number;
  readonly totalRequests?: number;
  /** Calls that left it for the next one of their fallback chain; absent before the first. */
  readonly fallbacksFrom?: number;
  /** Calls that came to it along a fallback chain; absent before the first. */
  readonly fallbacksTo?: number;
  readonly circuitBreakerState: BreakerState;
}

/** A copy of the guard's figures at one moment. No number is ever undefined or NaN. */
export interface ExecutionStats {
  readonly deduplication: {
    readonly totalCachedRequests: number;
    readonly totalDuplicateRequestsBlocked: number;
    /** 0 to 1. */
    readonly cacheHitRate: number;
    /** Bytes, estimated. */
    readonly memoryUsage: number;
  };
  readonly rateLimiting: {
    /** The worst of all providers. */
    readonly circuitBreakerState: BreakerState;
    readonly totalRequestsTracked: number;
    readonly rulesUsage: {
      readonly perMinuteUsage: RuleUsage;
      readonly perHourUsage: RuleUsage;
      readonly perDayUsage: RuleUsage;
      readonly burstUsage: RuleUsage;
    };
  };
  readonly queue: {
    /** Calls waiting, of all providers. */
    readonly currentSize: number;
    /** Attempts that took a slot. */
    readonly totalProcessed: number;
    /** In ms, per attempt. */
    readonly averageWaitTime: number;
    readonly processing: boolean;
  };
  readonly retry: {
    readonly totalRetries: number;
    readonly successAfterRetry: number;
    readonly finalFailures: number;
  };
  readonly providers: Readonly<Record<string, ProviderStatus>>;
  /** By pattern. */
  readonly keys: Readonly<Record<string, PoolReport>>;
}

type RuleName = 'burst' | 'perMinute' | 'perHour' | 'perDay';

export function collectStats(runtime: Runtime, providers: ProviderTable, directory: Directory): ExecutionStats {
  const { clock, counters, deduplicator, limits } = runtime;
  const now = clock.now();
  const rule = (name: RuleName): RuleUsage => ruleUsage(runtime, name, now);
  let currentSize = 0;
  let totalProcessed = 0;
  let totalWaitMs = 0;
  let running = 0;
  for (const { lane } of providers.all()) {
    currentSize += lane.waiting;
    totalProcessed += lane.processed;
    totalWaitMs += lane.totalWaitMs;
    running += lane.running;
  }
  return {
    deduplication: deduplicator.stats(),
    rateLimiting: {
      circuitBreakerState: worstBreaker(providers),
      totalRequestsTracked: limits.totalTracked,
      rulesUsage: {
        perMinuteUsage: rule('perMinute'),
        perHourUsage: rule('perHour'),
        perDayUsage: rule('perDay'),
        burstUsage: rule('burst'),
      },
    },
    queue: {
      currentSize,
      totalProcessed,
      averageWaitTime: totalProcessed === 0 ? 0 : totalWaitMs / totalProcessed,
      processing: running > 0,
    },
    retry: { ...counters },
    providers: byName(
      [...providers.all()].filter(({ name }) => name !== ''),
      provider => [provider.name, statusOf(provider, runtime, now)],
    ),
    keys: byName(directory.all(), pool => [pool.pattern, reportPool(pool, now)]),
  };
}

function ruleUsage({ config, limits }: Runtime, name: RuleName, now: number): RuleUsage {
  const { enabled, rules } = config.rateLimiting;
  const rule = rules[name];
  if (!enabled || !rule) return { current: 0, limit: 0, percentage: 0, windowMs: 0 };
  const current = Math.min(rule.requests, limits.highestUse(name, now));
  return {
    current,
    limit: rule.requests,
    percentage: Math.round((current / rule.requests) * 100),
    windowMs: rule.windowMs,
  };
}

function statusOf(provider: ProviderState, { config }: Runtime, now: number): ProviderStatus {
  const inRecovery = config.fallback.enabled && provider.isInRecovery(now, config.fallback.recoveryWindowMs);
  return {
    name: provider.name,
    ...(provider.lastFailureAt > 0 && { lastFailure: provider.lastFailureAt }),
    failureCount: provider.failureCount,
    inRecovery,
    isOnline: !inRecovery,
    responseTime: provider.responseTimeMs,
    errorRate: provider.errorRate,
    totalRequests: provider.totalRequests,
    ...(provider.fallbacksFrom > 0 && { fallbacksFrom: provider.fallbacksFrom }),
    ...(provider.fallbacksTo > 0 && { fallbacksTo: provider.fallbacksTo }),
    circuitBreakerState: provider.breaker.state,
  };
}

function worstBreaker(providers: ProviderTable): BreakerState {
  const states = new Set([...providers.all()].map(({ breaker }) => breaker.state));
  if (states.has('OPEN')) return 'OPEN';
  return states.has('HALF_OPEN') ? 'HALF_OPEN' : 'CLOSED';
}

/** From entries: names come from callers, and `__proto__` is a name like any other. */
function byName<T, V>(items: Iterable<T>, entry: (item: T) => [string, V]): Record<string, V> {
  return Object.fromEntries([...items].map(entry));
}
