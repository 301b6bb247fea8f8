import type { ExecutionGuardConfig, KeyProviderConfig } from '../../src/guard/config/types.ts';
import type { CallContext, ExecuteOptions } from '../../src/guard/options.ts';
import { benchOf, fateOf, httpError, type Bench, type Fate } from './support.ts';

/** What a provider does with one attempt: a status it throws, an error, or what is called or given. */
export type Reply = number | Error | (() => unknown) | string;

export interface FallbackBench extends Bench {
  /** `provider/key` of every attempt, with `:model` where there is one. */
  readonly asked: string[];
  /** By provider, `provider/key`, or the whole place; a list is worked off, its last reply stays. */
  readonly replies: Record<string, Reply | readonly Reply[]>;
  readonly call: (options?: ExecuteOptions) => Fate;
  /** Calls, lets `ms` pass, and tells what has come of it. */
  readonly ask: (options?: ExecuteOptions, ms?: number) => Promise<Fate>;
}

/** A guard over several providers, by the ids of their keys; calls go to `a` where nothing else is said. */
export function fallbackBench(
  pools: Record<string, readonly string[] | KeyProviderConfig>,
  config: ExecutionGuardConfig = {},
): FallbackBench {
  const providers = Object.fromEntries(
    Object.entries(pools).map(([name, pool]) => [name, 'map' in pool ? { keys: pool.map(keyOf) } : pool]),
  );
  const { keyManagement, ...rest } = config;
  const bench = benchOf({
    retry: { maxRetries: 1, initialBackoffMs: 10, jitterMs: 0 },
    ...rest,
    keyManagement: { maxWaitMs: 1000, ...keyManagement, providers },
  });
  const asked: string[] = [];
  const replies: FallbackBench['replies'] = {};
  const used = new Map<unknown, number>();
  const fn = ({ keyId, model, provider }: CallContext): unknown => {
    const key = keyId === undefined ? provider : `${provider}/${keyId}`;
    const place = model === undefined ? key : `${key}:${model}`;
    asked.push(place);
    const script = replies[place] ?? replies[key] ?? replies[provider] ?? `answer of ${place}`;
    const count = used.get(script) ?? 0;
    used.set(script, count + 1);
    const reply = isList(script) ? script[Math.min(count, script.length - 1)] : script;
    if (typeof reply === 'number') throw httpError(reply);
    if (reply instanceof Error) throw reply;
    return typeof reply === 'function' ? reply() : reply;
  };
  const call = (options: ExecuteOptions = {}): Fate =>
    fateOf(bench.guard.execute(fn, { providerName: 'a', ...options }));
  return {
    ...bench,
    asked,
    replies,
    call,
    async ask(options, ms = 0) {
      const fate = call(options);
      await bench.clock.advance(ms);
      return fate;
    },
  };
}

export const answerOf = (place: string): Fate => ({ state: 'resolved', value: `answer of ${place}` });

export function keyOf(id: string): { id: string; key: string } {
  return { id, key: `secret-of-${id}-0123456789` };
}

function isList(script: Reply | readonly Reply[]): script is readonly Reply[] {
  return Array.isArray(script);
}
