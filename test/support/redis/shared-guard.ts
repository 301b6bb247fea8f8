import { ExecutionGuard, type ExecuteOptions, type ExecutionGuardConfig, type GuardEventName, type GuardEvents } from '../../../src/index.ts';
import { redisStore, type RedisStoreOptions } from '../../../src/redis.ts';

/** Calls wait for Redis for as long as the machine takes. */
export const PATIENT = { storeTimeoutMs: 30_000 };

export interface SharedGuard {
  readonly guard: ExecutionGuard;
  readonly warnings: string[];
  /** The first event of that name that fits, past ones included. */
  heard<Name extends GuardEventName>(name: Name, fits?: (event: GuardEvents[Name]) => boolean): Promise<GuardEvents[Name]>;
  /** The first warning that fits, past ones included. */
  readonly warned: (pattern: RegExp) => Promise<string>;
  /** Makes calls until `until` settles, and returns which keys they had. */
  readonly keysUntil: (until: Promise<unknown>, options?: ExecuteOptions) => Promise<string[]>;
  /** Which keys so many calls had, made at once. */
  readonly keysOf: (times: number, options?: ExecuteOptions) => Promise<string[]>;
}

const open: ExecutionGuard[] = [];

export function closeGuards(): void {
  for (const guard of open.splice(0)) guard.close();
}

export function sharedGuard(store: RedisStoreOptions, provider: object, config: ExecutionGuardConfig = {}): SharedGuard {
  const warnings: string[] = [];
  const hearing = new Set<(what: unknown) => void>();
  const tell = (what: unknown): void => {
    for (const hear of [...hearing]) hear(what);
  };
  const guard = new ExecutionGuard(
    {
      deduplication: { enabled: false },
      queue: { maxQueueSize: 10_000 },
      ...config,
      keyManagement: { maxWaitMs: 0, providers: { openai: provider } },
      store: redisStore(store),
    },
    { warn: warning => {
      warnings.push(warning);
      tell(undefined);
    } },
  );
  open.push(guard);
  const past = new Map<string, unknown[]>();
  for (const name of ['key', 'breaker', 'attempt'] as const) {
    const events: unknown[] = [];
    past.set(name, events);
    guard.on(name, event => {
      events.push(event);
      tell(undefined);
    });
  }
  const first = <T>(find: () => T | undefined): Promise<T> =>
    new Promise(resolve => {
      const look = (): void => {
        const found = find();
        if (found === undefined) return;
        hearing.delete(look);
        resolve(found);
      };
      hearing.add(look);
      look();
    });
  const keysOf: SharedGuard['keysOf'] = async (times, options) => {
    const keys: string[] = [];
    const call = (): Promise<unknown> =>
      guard.execute(({ keyId = '' }) => Promise.resolve(keys.push(keyId)), { providerName: 'openai', ...options });
    await Promise.allSettled(Array.from({ length: times }, call));
    return keys;
  };
  return {
    guard,
    warnings,
    heard: (name, fits = () => true) => first(() => (past.get(name) as GuardEvents[typeof name][]).find(fits)),
    warned: pattern => first(() => warnings.find(warning => pattern.test(warning))),
    keysOf,
    keysUntil: async (until, options) => {
      const keys: string[] = [];
      const over = new AbortController();
      const end = until.finally(() => over.abort());
      while (!over.signal.aborted) {
        for (const id of await keysOf(5, options)) keys.push(id);
        // Calls that wait for nothing leave no room for news.
        await new Promise(resolve => setImmediate(resolve));
      }
      await end;
      return keys;
    },
  };
}
