import type { ExecutionGuardConfig } from '../../src/guard/config/types.ts';
import type { GuardEventName, GuardEvents } from '../../src/guard/events.ts';
import { ExecutionGuard } from '../../src/guard/execution-guard.ts';
import { ManualClock, settle } from '../support/manual-clock.ts';

export { ManualClock, settle };

export interface Bench {
  readonly guard: ExecutionGuard;
  readonly clock: ManualClock;
  readonly warnings: string[];
}

/** A guard whose time moves by hand, and whose chance is always the least: back-offs have no jitter. */
export function benchOf(config: ExecutionGuardConfig = {}, env: Record<string, string | undefined> = {}): Bench {
  const clock = new ManualClock();
  const warnings: string[] = [];
  const guard = new ExecutionGuard(config, { clock, random: () => 0, env, warn: message => warnings.push(message) });
  return { guard, clock, warnings };
}

/** What has become of a promise so far. */
export interface Fate {
  state: 'pending' | 'resolved' | 'rejected';
  value: unknown;
}

/** Looks on, so that a rejection is never unhandled. */
export function fateOf(promise: Promise<unknown>): Fate {
  const fate: Fate = { state: 'pending', value: undefined };
  promise.then(
    value => Object.assign(fate, { state: 'resolved', value }),
    (error: unknown) => Object.assign(fate, { state: 'rejected', value: error }),
  );
  return fate;
}

/** What a promise is rejected with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('The promise was not rejected');
}

/** What an action throws. */
export function catching(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error('Nothing was thrown');
}

/** A callback that ends when the test says so. */
export interface Held<T> {
  readonly fn: () => Promise<T>;
  readonly finish: (value: T) => void;
  readonly fail: (error: unknown) => void;
  readonly runs: () => number;
}

export function held<T = string>(): Held<T> {
  let finish!: (value: T) => void;
  let fail!: (error: unknown) => void;
  let runs = 0;
  const promise = new Promise<T>((resolve, reject) => {
    finish = resolve;
    fail = reject;
  });
  return {
    fn: () => {
      runs++;
      return promise;
    },
    finish,
    fail,
    runs: () => runs,
  };
}

/** A callback that goes through its outcomes, the last one for good. A thrown outcome is an Error instance. */
export function scripted(...outcomes: unknown[]): { fn: () => Promise<unknown>; runs: () => number } {
  let runs = 0;
  return {
    fn: () => {
      const outcome = outcomes[Math.min(runs++, outcomes.length - 1)];
      return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome);
    },
    runs: () => runs,
  };
}

/** An error as an SDK throws it. */
export function httpError(status: number, headers: Record<string, string> = {}, field = 'status'): Error {
  return Object.assign(new Error(`HTTP ${status}`), { [field]: status, headers });
}

/** An error as Node's sockets throw it. */
export function networkError(code = 'ECONNRESET'): Error {
  return Object.assign(new Error(`read ${code}`), { code });
}

/** Everything the guard tells of one kind. */
export function heard<Name extends GuardEventName>(guard: ExecutionGuard, name: Name): GuardEvents[Name][] {
  const events: GuardEvents[Name][] = [];
  guard.on(name, event => events.push(event));
  return events;
}

/** Runs calls until the provider's breaker opens. */
export async function tripBreaker({ guard }: Bench, provider: string, failures: number): Promise<void> {
  for (let i = 0; i < failures; i++) await rejectionOf(guard.execute(scripted(httpError(500)).fn, provider));
}
