import { AsyncLocalStorage } from 'node:async_hooks';
import type { Envelope } from '../fetch/credential.ts';
import type { ExecutionGuard } from '../guard/execution-guard.ts';

/**
 * Knows the keys that `guardedExecute` has given to the functions under way. A request that carries the key of the
 * attempt it is part of is guarded already: guarded again, it would take a second key while it holds the first.
 */
export class OwnAttempts {
  /** What runs the calls of the guard's own fetch, which need no telling. */
  readonly execute: ExecutionGuard['execute'];
  private readonly keys = new AsyncLocalStorage<readonly string[]>();
  private readonly guard: ExecutionGuard;

  constructor(guard: ExecutionGuard) {
    this.guard = guard;
    this.execute = guard.execute.bind(guard);
  }

  /** Is told of every call from now on. Returns the way back. */
  watch(): () => void {
    const { guard, keys, execute } = this;
    const watched: ExecutionGuard['execute'] = (fn, context) =>
      execute(
        // Anything else is the guard's to refuse.
        typeof fn !== 'function'
          ? fn
          : attempt => {
              const { apiKey } = attempt;
              return apiKey === undefined ? fn(attempt) : keys.run([...(keys.getStore() ?? []), apiKey], fn, attempt);
            },
        context,
      );
    Object.defineProperty(guard, 'execute', { value: watched, configurable: true, writable: true });
    return () => {
      if (guard.execute === watched) Reflect.deleteProperty(guard, 'execute');
    };
  }

  /** True for a request that carries the key of an attempt it is part of, whatever else it carries. */
  isOwn({ headers, url }: Envelope): boolean {
    const keys = this.keys.getStore();
    if (!keys) return false;
    const values = [...headers.values(), ...url.searchParams.values()];
    // A key stands alone, or behind the name of its scheme.
    return values.some(value => keys.some(key => value === key || value.endsWith(` ${key}`)));
  }
}
