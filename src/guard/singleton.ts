import { ExecutionGuard } from './execution-guard.ts';
import type { ExecuteOptions, GuardedFunction } from './options.ts';

/**
 * The shared guard. Importing it costs nothing: the guard is made when something of it is first used.
 * Configure it with `executionGuard.updateConfig({ ... })`.
 */
export const executionGuard: ExecutionGuard = new Proxy(Object.create(ExecutionGuard.prototype) as ExecutionGuard, {
  get(_target, property) {
    const guard = ExecutionGuard.getInstance();
    const member: unknown = Reflect.get(guard, property, guard);
    if (typeof member !== 'function' || property === 'constructor') return member;
    // Called on the guard, whose private fields are not the proxy's; not bound, or a spy would lose its record.
    return new Proxy(member, { apply: (method, _this, args) => Reflect.apply(method, guard, args) as unknown });
  },
  set: (_target, property, value) => Reflect.set(ExecutionGuard.getInstance(), property, value),
  has: (_target, property) => Reflect.has(ExecutionGuard.getInstance(), property),
  defineProperty: (_target, property, descriptor) =>
    Reflect.defineProperty(ExecutionGuard.getInstance(), property, descriptor),
  deleteProperty: (_target, property) => Reflect.deleteProperty(ExecutionGuard.getInstance(), property),
});

/** {@link ExecutionGuard.execute} of the shared guard. `context` is a provider's name, or options. */
export function guardedExecute<T>(fn: GuardedFunction<T>, context?: string | ExecuteOptions): Promise<T> {
  return ExecutionGuard.getInstance().execute(fn, context);
}

/** {@link ExecutionGuard.canMakeRequest} of the shared guard. */
export function canMakeRequest(req?: unknown): boolean {
  return ExecutionGuard.getInstance().canMakeRequest(req);
}

/** {@link ExecutionGuard.isProviderHealthy} of the shared guard. */
export function isProviderHealthy(provider: string): boolean {
  return ExecutionGuard.getInstance().isProviderHealthy(provider);
}
