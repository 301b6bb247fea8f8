import { Redis, type Cluster } from 'ioredis';
import type { StateStore } from '../store.ts';
import { RedisConnection } from './redis-connection.ts';
import { isCluster, type Client } from './script.ts';

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
  checkOptions(options);
  const { url, client, prefix = 'eg:', storeTimeoutMs = DEFAULT_TIMEOUT_MS, onStoreFailure = 'local' } = options;
  const { blockSize = 1 } = options;
  return {
    open: host =>
      new RedisConnection(
        {
          prefix,
          timeoutMs: storeTimeoutMs,
          isStrict: onStoreFailure === 'reject',
          blockSize,
          connect: purpose => (client ? likeness(client, purpose) : new Redis(url ?? '', settingsFor(purpose))),
        },
        host,
      ),
  };
}

/** A server that says nothing for so long is looked for anew: Sentinels may know another one. */
const SILENT_MS = 5000;

/** A server that does not say goodbye is not waited for any longer; it would keep the process from ending. */
const GOODBYE_MS = 250;

/** A lost connection fails what was asked, at once: whether it was done is found out when the store is back. */
function settingsFor(purpose: 'commands' | 'messages') {
  return {
    enableOfflineQueue: purpose === 'messages',
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: purpose === 'messages' ? null : 0,
    retryStrategy,
    lazyConnect: false,
    disconnectTimeout: GOODBYE_MS,
    // The client's own way leaves nobody to hear that it has failed, which ends the process.
    autoResubscribe: false,
    ...(purpose === 'commands' && { socketTimeout: SILENT_MS }),
    // Channels and names that scripts make would not have it.
    keyPrefix: '',
    connectionName: `execution-guard-${purpose}`,
  };
}

function retryStrategy(attempts: number): number {
  return Math.min(50 * 2 ** Math.min(attempts, 10), 2000);
}

function likeness(client: Redis | Cluster, purpose: 'commands' | 'messages'): Client {
  const settings = settingsFor(purpose);
  if (!isCluster(client)) return client.duplicate(settings);
  const { autoResendUnfulfilledCommands, connectionName, disconnectTimeout, keyPrefix } = settings;
  const { lazyConnect, maxRetriesPerRequest, socketTimeout } = settings;
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
      disconnectTimeout,
      keyPrefix,
      maxRetriesPerRequest,
      socketTimeout,
      // Who listens is connected to the next node as soon as one is lost. One that was never connected to is never taken
      // for lost, and would be tried without end and without a pause.
      lazyConnect: purpose === 'commands',
    },
  });
}

const isText = (value: unknown): boolean => typeof value === 'string' && value.trim() !== '';
const isFunction = (value: unknown): boolean => typeof value === 'function';

/** Of a database that is no number the client learns when it is connected, and ends the process. */
function isRedisUrl(value: unknown): boolean {
  if (typeof value !== 'string' || !/^rediss?:\/\//.test(value) || !URL.canParse(value)) return false;
  return /^\/?\d*$/.test(new URL(value).pathname);
}

const ALLOWED: Readonly<Record<keyof RedisStoreOptions, readonly [allowed: string, holds: (value: unknown) => boolean]>> = {
  url: ['a URL that begins with `redis://` or `rediss://`, its path empty or the number of a database', isRedisUrl],
  client: ['an ioredis client', value => typeof value === 'object' && value !== null && isFunction(Reflect.get(value, 'duplicate'))],
  prefix: ['a string that is not blank', isText],
  storeTimeoutMs: ['a number of ms above 0', value => typeof value === 'number' && value > 0 && Number.isFinite(value)],
  onStoreFailure: ['`local` or `reject`', value => value === 'local' || value === 'reject'],
  blockSize: ['a whole number, 1 or more', value => Number.isInteger(value) && Number(value) >= 1],
};

/** What was found is named by its type alone: a URL may hold a password. */
function checkOptions(options: unknown): asserts options is RedisStoreOptions {
  if (typeof options !== 'object' || options === null) throw wrong('options', 'an object', options);
  for (const [name, value] of Object.entries(options)) {
    if (!isOption(name)) throw new TypeError(`redisStore: unknown option \`${name}\`; known: ${Object.keys(ALLOWED).join(', ')}`);
    const [allowed, holds] = ALLOWED[name];
    if (value !== undefined && !holds(value)) throw wrong(name, allowed, value);
  }
  const { client, url } = options as RedisStoreOptions;
  if ((url === undefined) === (client === undefined)) throw new TypeError('redisStore: expected either `url` or `client`');
}

function isOption(name: string): name is keyof RedisStoreOptions {
  return Object.hasOwn(ALLOWED, name);
}

function wrong(name: string, allowed: string, value: unknown): TypeError {
  const found = typeof value === 'number' ? `the number ${value}` : value === null ? 'null' : `a value of type ${typeof value}`;
  return new TypeError(`redisStore: ${name}: expected ${allowed}, found ${found}`);
}
