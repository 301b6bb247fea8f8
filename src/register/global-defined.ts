/**
 * Has `replace` decide on the value that a global property with one of these names is defined with. Every version of
 * undici sets its dispatcher by `Object.defineProperty`, which no accessor outlives. Returns the way back.
 */
export function onGlobalDefined(names: readonly PropertyKey[], replace: (value: unknown) => unknown): () => void {
  const original = Object.defineProperty;
  let isOver = false;
  const watching = <T>(target: T, name: PropertyKey, descriptor: PropertyDescriptor & ThisType<unknown>): T => {
    const isWatched = Object.is(target, globalThis) && !isOver && names.includes(name) && 'value' in descriptor;
    return original(target, name, isWatched ? { ...descriptor, value: replace(descriptor.value) } : descriptor);
  };
  original(watching, 'name', { value: original.name });
  Object.defineProperty = watching;
  return () => {
    isOver = true;
    if (Object.defineProperty === watching) Object.defineProperty = original;
  };
}
