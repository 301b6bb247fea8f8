import type { Clock } from '../../../src/clock.ts';
import { redisStore, type RedisStoreOptions } from '../../../src/redis.ts';
import type { Candidate, LeaseRequest, Limits, PoolListener, PoolStore } from '../../../src/state/store.ts';
import type { RedisServer } from './server.ts';

export interface StorePool {
  readonly pool: PoolStore;
  /** A key of that name in a group of its own, or in a named one. */
  readonly candidate: (
    key: string,
    limits: Limits | undefined,
    group?: string,
    groupLimits?: Limits,
    ofModel?: { readonly key?: Limits | undefined; readonly group?: Limits | undefined },
  ) => Candidate;
  readonly warnings: readonly string[];
  readonly close: () => void;
}

const DEAF: PoolListener = {
  gateChanged: () => undefined,
  freed: () => undefined,
  dividedBy: () => undefined,
  closedGates: () => [],
  noted: () => undefined,
  notes: () => [],
};

/** One pool's part of a store, without a guard before it. */
export function storePool(
  options: RedisStoreOptions,
  clock: Clock,
  pattern = 'openai',
  listener: Partial<PoolListener> = {},
): StorePool {
  const warnings: string[] = [];
  const connection = redisStore(options).open({ clock, warn: warning => warnings.push(warning) });
  const pool = connection.pool(pattern, { ...DEAF, ...listener });
  return {
    pool,
    candidate: (key, limits, group, groupLimits, ofModel = {}) => {
      const [kind, identity] = group === undefined ? (['own group', key] as const) : (['group', group] as const);
      return {
        key: pool.member('key', key, limits),
        group: pool.member(kind, identity, groupLimits),
        keyModel: ofModel.key && pool.member('key', key, ofModel.key, 'gpt-*'),
        groupModel: ofModel.group && pool.member(kind, identity, ofModel.group, 'gpt-*'),
        probes: false,
      };
    },
    warnings,
    close: () => connection.close(),
  };
}

/** A request for one of these, the first one first. */
export function requestFor(candidates: readonly Candidate[], more: Partial<LeaseRequest> = {}): LeaseRequest {
  return { candidates, model: undefined, tokens: 0, leaseMs: 600_000, dayReset: undefined, ...more };
}

/** How many scripts the server has run. */
export async function scriptsRun(server: RedisServer): Promise<number> {
  const client = server.client();
  const stats = await client.info('commandstats');
  client.disconnect();
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}
