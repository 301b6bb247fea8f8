import type { ExecutionGuardConfig, KeyConfig, KeyProviderConfig } from '../../src/guard/config/types.ts';
import type { KeyReport } from '../../src/guard/key-report.ts';
import type { CallContext, ExecuteOptions } from '../../src/guard/options.ts';
import { benchOf, fateOf, httpError, type Bench, type Fate } from './support.ts';

/** What the provider does with one attempt: a status it refuses with, an error it breaks down with, or an answer. */
export type Reply = number | Error | (() => unknown) | string;

export interface PoolBench extends Bench {
  /** The keys that were asked, in order. */
  readonly asked: string[];
  /** What each key is met with from now on; a list is worked off, its last reply stays. `*` is for all others. */
  readonly replies: Record<string, Reply | readonly Reply[]>;
  /** Calls the provider; what becomes of it can be looked at without waiting. */
  readonly call: (options?: ExecuteOptions) => Fate;
  /** Calls and waits for the end, letting `ms` pass. */
  readonly ask: (options?: ExecuteOptions, ms?: number) => Promise<Fate>;
  readonly key: (id: string) => KeyReport;
  readonly states: () => Record<string, string>;
}

export const PATTERN = '*vendor*';
export const PROVIDER = 'vendor-x';

export interface PoolBenchOptions extends Partial<KeyProviderConfig> {
  readonly guard?: ExecutionGuardConfig;
  readonly env?: Record<string, string | undefined>;
}

/** A guard with one pool whose provider does as told. Keys are named `a`, `b`, ... or given in full. */
export function poolBench(keys: readonly (string | KeyConfig)[], options: PoolBenchOptions = {}): PoolBench {
  const { guard: config, env, ...pool } = options;
  const entries = keys.map(key => (typeof key === 'string' ? { id: key } : key)).map(key => ({ key: secretOf(key.id), ...key }));
  const { keyManagement, ...rest } = config ?? {};
  const bench = benchOf(
    {
      retry: { jitterMs: 0 },
      ...rest,
      keyManagement: { ...keyManagement, providers: { [PATTERN]: { ...pool, keys: entries }, ...keyManagement?.providers } },
    },
    env,
  );
  const asked: string[] = [];
  const replies: PoolBench['replies'] = {};
  const used = new Map<unknown, number>();
  const fn = ({ keyId = 'none' }: CallContext): unknown => {
    asked.push(keyId);
    const name = keyId in replies ? keyId : '*';
    const script = replies[name] ?? 'ok';
    const count = used.get(script) ?? 0;
    used.set(script, count + 1);
    const reply = isList(script) ? script[Math.min(count, script.length - 1)] : script;
    if (typeof reply === 'number') throw httpError(reply);
    if (reply instanceof Error) throw reply;
    return typeof reply === 'function' ? reply() : `${String(reply)} from ${keyId}`;
  };
  const call = (callOptions: ExecuteOptions = {}): Fate =>
    fateOf(bench.guard.execute(fn, { providerName: PROVIDER, ...callOptions }));
  return {
    ...bench,
    asked,
    replies,
    call,
    async ask(callOptions, ms = 0) {
      const fate = call(callOptions);
      await bench.clock.advance(ms);
      return fate;
    },
    key: id => bench.guard.keys.get(PATTERN, id),
    states: () => Object.fromEntries(bench.guard.keys.list()[0]!.keys.map(({ id, state }) => [id, state])),
  };
}

export function secretOf(id = ''): string {
  return `secret-of-${id}-0123456789`;
}

export const OK = (id: string): Fate => ({ state: 'resolved', value: `ok from ${id}` });

function isList(script: Reply | readonly Reply[]): script is readonly Reply[] {
  return Array.isArray(script);
}
