import { safely } from '../faults/safe-read.ts';

// Registered, not a set of its own: the package may be loaded twice, as ESM and as CommonJS.
const ELSEWHERE: unique symbol = Symbol.for('execution-guard.elsewhere');

/**
 * Says of an attempt's outcome, an answer or an error, that it is not the provider's: a redirect led to a host that
 * was sent no key. It is nobody's fault, and nobody's merit.
 */
export function markElsewhere(outcome: unknown): void {
  if (typeof outcome === 'object' && outcome !== null) safely(() => Reflect.defineProperty(outcome, ELSEWHERE, { value: true }));
}

/** See {@link markElsewhere}. */
export function isFromElsewhere(outcome: unknown): boolean {
  if (typeof outcome !== 'object' || outcome === null) return false;
  // Read by its name, as every attempt's outcome is looked at.
  try {
    return (outcome as { readonly [ELSEWHERE]?: unknown })[ELSEWHERE] === true;
  } catch {
    return false;
  }
}
