import type { Clock, Random } from '../clock.ts';
import { nextMidnight } from '../faults/calendar.ts';
import { errorName } from '../faults/error-name.ts';
import { profileFor } from '../faults/profiles.ts';
import { strategyFactory } from '../strategies/index.ts';
import type { StoreConnection } from '../state/store.ts';
import type { SelectionStrategy, StrategyFactory } from '../strategies/strategy.ts';
import type { FaultProfile } from '../faults/fault.ts';
import type { Affinity } from './affinity.ts';
import { HealthCheck } from './health-check.ts';
import type { ServesModel } from './model-lists.ts';
import { modelListsOf, normalizeKeys, type KeyLists } from './normalize.ts';
import { Pool, type PoolSettings, type PoolWatcher } from './pool.ts';
import type { QuotaLimits } from './quota.ts';
import { ProviderResolver } from './resolution.ts';
import { shieldedAffinity } from './shielded-affinity.ts';
import { shielded } from './shielded-strategy.ts';
import type { CooldownSettings, KeyChange } from './settlement.ts';
import type { Validate } from './validation.ts';

/** One pool as the configuration has it, defaults filled in. */
export interface PoolConfig extends KeyLists {
  readonly strategy: string | SelectionStrategy | StrategyFactory;
  readonly fallbackBehavior: PoolSettings['fallbackBehavior'];
  readonly healthCheck?: { readonly enabled: boolean; readonly intervalMs: number; readonly timeoutMs: number } | undefined;
  readonly validate?: Validate | undefined;
  readonly profile?: string | FaultProfile | undefined;
  readonly groups: Readonly<Record<string, { readonly limits?: QuotaLimits | undefined }>>;
  readonly leaseMs: number;
  readonly cooldown: CooldownSettings;
  readonly maxWaitMs?: number | undefined;
  readonly affinity?: Affinity | undefined;
}

export interface DirectoryConfig {
  readonly enabled: boolean;
  readonly maxWaitMs: number;
  readonly providers: Readonly<Record<string, PoolConfig>>;
}

export interface DirectoryDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly warn: (message: string) => void;
  readonly onKeyChange: (pool: Pool, change: KeyChange) => void;
  /** Where several processes share what they know. */
  readonly store?: StoreConnection | undefined;
}

const DEFAULT_VALIDATE_TIMEOUT_MS = 10_000;

/** A pool, and what belongs to it. */
interface Entry {
  readonly pool: Pool;
  readonly healthCheck: HealthCheck;
  readonly models: KeyLists['models'];
}

/** All pools, and which one a provider's name leads to. */
export class Directory {
  private readonly dependencies: DirectoryDependencies;
  /** Strategies from outside, shielded once, so that an update leaves them what they know. */
  private readonly strategies = new WeakMap<SelectionStrategy | StrategyFactory, StrategyFactory>();
  private readonly pools = new Map<string, Entry>();
  private resolver = new ProviderResolver<Pool>([]);
  private enabled = true;
  private watcher: PoolWatcher | undefined;
  private lastProvider: string | undefined;
  private lastPool: Pool | undefined;

  constructor(dependencies: DirectoryDependencies) {
    this.dependencies = dependencies;
  }

  /**
   * Pools keep what they have learned by their pattern, keys by their id and secret. Where `renamesKeys` is
   * false the keys stay those that are in the pools now, added and removed at run time included.
   */
  configure({ enabled, maxWaitMs, providers }: DirectoryConfig, renamesKeys: boolean): void {
    this.enabled = enabled;
    this.lastProvider = undefined;
    for (const [pattern, { pool, healthCheck }] of this.pools) {
      if (Object.hasOwn(providers, pattern)) continue;
      // Who waits for its keys hears that there are none.
      for (const key of [...pool.keys()]) pool.drain(key);
      pool.validation.close();
      healthCheck.close();
      this.pools.delete(pattern);
    }
    for (const [pattern, config] of Object.entries(providers)) {
      const known = this.pools.get(pattern);
      const keys =
        known && !renamesKeys
          ? [...known.pool.keys()].filter(key => !key.draining).map(key => key.settings)
          : normalizeKeys(config, { pattern, env: this.dependencies.env, warn: this.dependencies.warn });
      const strategy = this.strategyOf(pattern, config.strategy);
      const affinity = shieldedAffinity(config.affinity, error => {
        const path = `keyManagement.providers[${JSON.stringify(pattern)}].affinity`;
        this.dependencies.warn(`${path} threw ${errorName(error)}; where it tells nothing, calls go to any key`);
      });
      const settings = poolSettings(pattern, config, { keys, maxWaitMs, strategy, affinity });
      if (known) known.pool.configure(settings);
      const { pool, healthCheck } = known ?? this.create(settings);
      healthCheck.configure(config.healthCheck);
      if (config.healthCheck?.enabled && !config.validate) {
        this.dependencies.warn(
          `keyManagement.providers[${JSON.stringify(pattern)}].healthCheck has no effect without a validate function`,
        );
      }
      this.pools.set(pattern, { pool, healthCheck, models: config.models });
      this.warnOfEmptyGroups(pattern, config, keys);
    }
    this.resolver = new ProviderResolver([...this.pools].map(([pattern, { pool }]) => [pattern, pool]));
  }

  /** The pool behind a provider's name; undefined where none matches, and the provider is left alone. */
  resolve(provider: string): Pool | undefined {
    // Calls in a row tend to go to one provider.
    if (provider !== this.lastProvider) {
      this.lastPool = this.enabled ? this.resolver.resolve(provider) : undefined;
      this.lastProvider = provider;
    }
    return this.lastPool;
  }

  get(pattern: string): Pool | undefined {
    return this.pools.get(pattern)?.pool;
  }

  /** The test of a key that stands in none of the pool's lists by model; undefined where it has no such lists. */
  servesOthers({ pattern }: Pool): ServesModel | undefined {
    return modelListsOf(this.pools.get(pattern)?.models)?.testOf(new Set([undefined]));
  }

  /** Of all pools, those to come included; undefined: nobody is told any more. */
  watch(watcher: PoolWatcher | undefined): void {
    this.watcher = watcher;
    for (const pool of this.all()) pool.watcher = watcher;
  }

  *all(): Generator<Pool> {
    for (const { pool } of this.pools.values()) yield pool;
  }

  close(): void {
    for (const { pool, healthCheck } of this.pools.values()) {
      pool.close();
      healthCheck.close();
    }
  }

  private strategyOf(pattern: string, strategy: PoolConfig['strategy']): StrategyFactory {
    if (typeof strategy === 'string') return strategyFactory(strategy);
    let factory = this.strategies.get(strategy);
    if (!factory) {
      let isReported = false;
      factory = shielded(strategy, error => {
        if (isReported) return;
        isReported = true;
        this.dependencies.warn(
          `keyManagement.providers[${JSON.stringify(pattern)}].strategy threw ${errorName(error)}; ` +
            'where it does not choose, keys are taken in pool order',
        );
      });
      this.strategies.set(strategy, factory);
    }
    return factory;
  }

  /** A misspelt group would switch its limits off in silence. */
  private warnOfEmptyGroups(pattern: string, { groups }: PoolConfig, keys: PoolSettings['keys']): void {
    for (const group of Object.keys(groups)) {
      if (keys.some(key => key.group === group)) continue;
      const path = `keyManagement.providers[${JSON.stringify(pattern)}].groups[${JSON.stringify(group)}]`;
      this.dependencies.warn(`${path} has no effect: no key is in this group`);
    }
  }

  private create(settings: PoolSettings): Pick<Entry, 'pool' | 'healthCheck'> {
    const { clock, random, onKeyChange, store } = this.dependencies;
    const { watcher } = this;
    const pool: Pool = new Pool(settings, {
      clock,
      random,
      watcher,
      store,
      onKeyChange: change => onKeyChange(pool, change),
    });
    return { pool, healthCheck: new HealthCheck(pool, clock) };
  }
}

function poolSettings(
  pattern: string,
  config: PoolConfig,
  { keys, maxWaitMs, strategy, affinity }: Pick<PoolSettings, 'keys' | 'maxWaitMs' | 'strategy' | 'affinity'>,
): PoolSettings {
  const profile = profileFor(pattern, config.profile);
  const { dayTimeZone } = profile;
  const isKnown = config.profile !== undefined || profile !== profileFor('');
  return {
    pattern,
    keys,
    strategyName: typeof config.strategy === 'string' ? config.strategy : strategy(() => 0).name || 'custom',
    strategy,
    fallbackBehavior: config.fallbackBehavior,
    groups: config.groups,
    cooldown: config.cooldown,
    leaseMs: config.leaseMs,
    maxWaitMs: config.maxWaitMs ?? maxWaitMs,
    validate: config.validate,
    validateTimeoutMs: config.healthCheck?.timeoutMs ?? DEFAULT_VALIDATE_TIMEOUT_MS,
    profile: isKnown ? profile : undefined,
    affinity,
    dayReset: dayTimeZone === undefined ? undefined : now => nextMidnight(now, dayTimeZone),
  };
}
