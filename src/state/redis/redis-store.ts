import type { Cluster, Redis } from 'ioredis';
import type { StateStore } from '../store.ts';
import { RedisConnection } from './redis-connection.ts';
import type { Client } from './script.ts';

/** Where the Redis server is, and what is done while it cannot be reached. */
export interface RedisStoreOptions {
  /** Such as `redis://localhost:6379` or `rediss://user:password@host:6380/2`. */
  readonly url?: string | undefined;
  /**
   * An ioredis client: of one server, of Sentinels or of a cluster. The store opens connections of its own, as this one
   * is configured, and leaves this one alone.
   */
  readonly client?: Redis | Cluster | undefined;
  /** What all names in Redis begin with; guards that share state have the same. Default `eg:`. */
  readonly prefix?: string | undefined;
  /** Longest time a call waits for the store, in ms; default 50. */
  readonly storeTimeoutMs?: number | undefined;
  /**
   * While the store cannot be reached: `local` lets every process go on with its share of the limits, `reject` ends
   * calls with StoreError. Default `local`.
   */
  readonly onStoreFailure?: 'local' | 'reject' | undefined;
  /**
   * Local leasing: calls for which quota is taken in one round trip, to be spent within a second. What is not spent goes
   * back. Keys with a limit of concurrency have every call asked for. Default 1: none.
   */
  readonly blockSize?: number | undefined;
}

const DEFAULT_TIMEOUT_MS = 50;

/**
 * State that processes share through Redis 6.2 or later, or what speaks its language. Needs the package `ioredis`.
 *
 * @throws TypeError where an option is not what it should be
 */
export function redisStore(options: RedisStoreOptions): StateStore {
  const { url, client, prefix = 'eg:', storeTimeoutMs = DEFAULT_TIMEOUT_MS, onStoreFailure = 'local' } = options;
  const { blockSize = 1 } = options;
  if ((url === undefined) === (client === undefined)) throw new TypeError('redisStore needs either a url or a client');
  if (!(storeTimeoutMs > 0)) throw new TypeError('redisStore: storeTimeoutMs must be a number of ms above 0');
  if (!(Number.isInteger(blockSize) && blockSize >= 1)) throw new TypeError('redisStore: blockSize must be a whole number from 1 on');
  return {
    open: host =>
      new RedisConnection(
        {
          prefix,
          timeoutMs: storeTimeoutMs,
          isStrict: onStoreFailure === 'reject',
          blockSize,
          connect: purpose => (client ? Promise.resolve(likeness(client, purpose)) : connect(url ?? '', purpose)),
        },
        host,
      ),
  };
}

/** A server that says nothing for so long is looked for anew: Sentinels may know another one. */
const SILENT_MS = 5000;

/** A lost connection fails what was asked, at once: whether it was done is found out when the store is back. */
function settingsFor(purpose: 'commands' | 'messages') {
  return {
    enableOfflineQueue: purpose === 'messages',
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: purpose === 'messages' ? null : 0,
    retryStrategy,
    lazyConnect: false,
    ...(purpose === 'commands' && { socketTimeout: SILENT_MS }),
    // Channels and names that scripts make would not have it.
    keyPrefix: '',
    connectionName: `execution-guard-${purpose}`,
  };
}

function retryStrategy(attempts: number): number {
  return Math.min(50 * 2 ** Math.min(attempts, 10), 2000);
}

async function connect(url: string, purpose: 'commands' | 'messages'): Promise<Client> {
  const { Redis: RedisClient } = await import('ioredis');
  return new RedisClient(url, settingsFor(purpose));
}

function likeness(client: Redis | Cluster, purpose: 'commands' | 'messages'): Client {
  const settings = settingsFor(purpose);
  if (!isCluster(client)) return client.duplicate(settings);
  const { autoResendUnfulfilledCommands, connectionName, keyPrefix, lazyConnect, maxRetriesPerRequest, socketTimeout } = settings;
  return client.duplicate([], {
    // A node that was not asked for anything so far is connected to when it is.
    enableOfflineQueue: true,
    keyPrefix,
    lazyConnect,
    clusterRetryStrategy: retryStrategy,
    // What was sent to a node that is lost would be sent to another one, and perhaps done twice.
    retryDelayOnFailover: 0,
    redisOptions: {
      autoResendUnfulfilledCommands,
      connectionName,
      keyPrefix,
      maxRetriesPerRequest,
      socketTimeout,
      // Who listens is connected to the next node as soon as one is lost. One that was never connected to is never taken
      // for lost, and would be tried without end and without a pause.
      lazyConnect: purpose === 'commands',
    },
  });
}

function isCluster(client: Redis | Cluster): client is Cluster {
  return client.isCluster;
}
