import { UNGUARDED } from '../fetch/guarded-fetch.ts';
import { readTarget } from '../fetch/request.ts';
import { unguardedDispatcher } from './global-dispatcher.ts';
import type { Gate } from './gate.ts';

/** Puts a guarded fetch in the place of the global one. Returns the way back. */
export function guardGlobalFetch(gate: Gate): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, 'fetch');
  const original = globalThis.fetch;
  if (typeof original !== 'function' || !descriptor) return () => undefined;

  // The global dispatcher is guarded too, and what is sent here has been through the gate. A Request may have a
  // dispatcher of its own, which nobody can see.
  const base: typeof fetch = (input, init) => {
    const dispatcher = input instanceof Request ? undefined : unguardedDispatcher();
    return original(input, dispatcher ? { dispatcher, ...init } : init);
  };
  const guarded: typeof globalThis.fetch = async (input, init) => {
    const target = readTarget(input, init);
    const destination = gate.destinationOf(target);
    return target && destination ? gate.send(base, target, destination) : original(input, init);
  };
  Object.defineProperties(guarded, { name: { value: 'fetch' }, [UNGUARDED]: { value: base } });
  Object.defineProperty(globalThis, 'fetch', { ...descriptor, value: guarded });
  return () => {
    if (globalThis.fetch === guarded) Object.defineProperty(globalThis, 'fetch', descriptor);
  };
}
