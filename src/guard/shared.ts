import type { ExecutionGuard } from './execution-guard.ts';

/** On globalThis, so that the ESM and the CommonJS copy of the package share one guard. */
const KEY = Symbol.for('execution-guard');

interface Holder {
  [KEY]?: ExecutionGuard | undefined;
}

export function sharedGuard(create: () => ExecutionGuard): ExecutionGuard {
  const holder: typeof globalThis & Holder = globalThis;
  return (holder[KEY] ??= create());
}
