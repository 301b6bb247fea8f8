import type { CircuitBreakerConfig, ExecutionGuardConfig } from '../../src/guard/config/types.ts';
import type { ExecuteOptions } from '../../src/guard/options.ts';
import { benchOf, fateOf, httpError, rejectionOf, type Bench, type Fate } from './support.ts';

export const RECOVERY_MS = 10_000;
export const NO_RETRY = { enabled: false } as const;

export interface Provider extends Bench {
  /** What it does with each attempt from now on: an Error is thrown, anything else is the answer. */
  reply: unknown;
  /** When it was asked, in ms since the beginning, and by whom. */
  readonly asked: { readonly name: string; readonly atMs: number }[];
  readonly call: (name: string, options?: ExecuteOptions) => Fate;
  /** Another call fails and, where one failure is enough, opens the breaker. */
  readonly fail: () => Promise<void>;
  readonly state: () => string | undefined;
}

/** A guard that holds calls while the breaker is open; one failed call opens it. */
export function providerOf(
  breaker: CircuitBreakerConfig = {},
  config: ExecutionGuardConfig = { retry: NO_RETRY },
): Provider {
  const circuitBreaker = { onOpen: 'wait', failureThreshold: 1, recoveryTimeMs: RECOVERY_MS, ...breaker } as const;
  const bench = benchOf({ ...config, circuitBreaker });
  const { clock, guard } = bench;
  const startAt = clock.now();
  const asked: Provider['asked'] = [];
  const provider: Provider = {
    ...bench,
    reply: 'fine',
    asked,
    call: (name, options) =>
      fateOf(
        guard.execute(
          () => {
            asked.push({ name, atMs: clock.now() - startAt });
            if (provider.reply instanceof Error) throw provider.reply;
            return isReply(provider.reply) ? provider.reply() : provider.reply;
          },
          { providerName: 'p', ...options },
        ),
      ),
    fail: async () => {
      const down = (): never => {
        throw httpError(500);
      };
      await rejectionOf(guard.execute(down, { providerName: 'p', idempotent: false }));
    },
    state: () => guard.getStats().providers.p?.circuitBreakerState,
  };
  return provider;
}

function isReply(reply: unknown): reply is () => unknown {
  return typeof reply === 'function';
}

export const FINE: Fate = { state: 'resolved', value: 'fine' };
export const namesOf = ({ asked }: Provider): string[] => asked.map(({ name }) => name);
export const timesOf = ({ asked }: Provider): number[] => asked.map(({ atMs }) => atMs);
