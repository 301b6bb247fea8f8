import { Cluster, Redis } from 'ioredis';
import type { RedisStoreOptions } from '../../../src/redis.ts';

interface Place {
  readonly host: string;
  readonly port: number;
}

/** Where state is shared: one server, the nodes of a cluster, or Sentinels that know a master by its name. */
export type Address = string | { readonly cluster: readonly Place[] } | { readonly sentinels: readonly Place[]; readonly master: string };

/** The client is a pattern for those of the store, and connects to nothing itself. */
export function storeAt(address: Address): Pick<RedisStoreOptions, 'url' | 'client'> {
  if (typeof address === 'string') return { url: address };
  if ('cluster' in address) return { client: new Cluster([...address.cluster], { lazyConnect: true }) };
  return { client: new Redis({ sentinels: [...address.sentinels], name: address.master, lazyConnect: true }) };
}
