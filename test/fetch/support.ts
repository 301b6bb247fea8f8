import { createGuardedFetch, type GuardedFetchOptions } from '../../src/fetch/index.ts';
import type { ExecutionGuardConfig, KeyConfig } from '../../src/index.ts';
import { opened, setUp, type Setup } from '../integration/harness.ts';
import { fakeOpenAIKey, startScripted } from '../support/loopback/index.ts';
import type { ScriptedAnswer } from '../support/loopback/index.ts';

export { failureOf, inFlight, opened, reportsOf, setUp, statesOf } from '../integration/harness.ts';

export const KEY_A = fakeOpenAIKey('ann');
export const KEY_B = fakeOpenAIKey('ben');

export interface ScriptedWorld extends Setup {
  readonly server: Awaited<ReturnType<typeof startScripted>>;
  readonly fetch: typeof fetch;
  /** The keys that the server was sent as bearer tokens, by their names. */
  readonly used: () => string[];
}

export interface ScriptedWorldOptions extends GuardedFetchOptions {
  readonly keys?: readonly KeyConfig[];
  readonly pattern?: string;
  readonly config?: ExecutionGuardConfig;
  readonly pool?: object;
}

/** A server that answers by a script, and a guard with the keys `ann` and `ben` for it. */
export async function scriptedWorld(
  script: readonly ScriptedAnswer[],
  { keys, pattern = 'openai', config, pool, ...options }: ScriptedWorldOptions = {},
): Promise<ScriptedWorld> {
  const server = opened(await startScripted(script, { repeatLast: true }));
  const poolKeys = keys ?? [{ id: 'ann', key: KEY_A }, { id: 'ben', key: KEY_B }];
  const setup = setUp({
    retry: { maxRetries: 1, initialBackoffMs: 1000, jitterMs: 0 },
    ...config,
    keyManagement: { maxWaitMs: 0, providers: { [pattern]: { keys: poolKeys, ...pool } } },
  });
  const fetch = createGuardedFetch(setup.guard, { provider: pattern, ...options });
  return {
    ...setup,
    server,
    fetch,
    used: () =>
      server.requests.map(({ headers }) => {
        const secret = headers.authorization?.replace('Bearer ', '');
        return poolKeys.find(({ key }) => key === secret)?.id ?? headers.authorization ?? 'none';
      }),
  };
}

/** A server-sent event. */
export function event(data: unknown, name?: string): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data);
  return `${name === undefined ? '' : `event: ${name}\n`}data: ${text}\n\n`;
}

/** A chunk of OpenAI's chat. */
export function delta(content: string): string {
  return event({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
}
