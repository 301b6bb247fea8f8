/** Whether a value is an object of options: neither an array nor a Map, Date, function and the like. */
export function isOptions(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object Object]';
}

/** A member of the object itself: `constructor` and `__proto__` are options like any other, and unknown ones. */
export function ownMember(value: unknown, name: PropertyKey): unknown {
  const isThere = typeof value === 'object' && value !== null && Object.hasOwn(value, name);
  return isThere ? Reflect.get(value, name) : undefined;
}
