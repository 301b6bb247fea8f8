/** What `read` gives, or undefined where it throws: an error object may be a Proxy or carry throwing getters. */
export function safely<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** A property of any value at all; undefined where there is none or reading it throws. */
export function property(value: unknown, name: string): unknown {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function') return undefined;
  // Not by `safely`: this runs for every answer.
  try {
    return (value as Record<string, unknown>)[name];
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return !Array.isArray(value);
  } catch {
    // A revoked Proxy, asked whether it is an array.
    return false;
  }
}

const MAX_DEPTH = 10;
const MAX_NODES = 2000;
const MAX_STRING = 64 * 1024;

/**
 * The JSON part of a value as fresh plain data: getters are read once here, so that nobody who looks
 * at the copy later can be thrown at, and cycles end at a depth of 10. Undefined where the value is
 * neither a plain object nor an array, such as a stream, a Buffer or an Error.
 */
export function plainCopy(value: unknown): unknown {
  let nodes = 0;

  function copy(source: unknown, depth: number): unknown {
    if (typeof source === 'string') return source.slice(0, MAX_STRING);
    if (typeof source !== 'object' || source === null) return typeof source === 'function' ? undefined : source;
    if (depth === MAX_DEPTH) return undefined;
    if (Array.isArray(source)) {
      const items: unknown[] = [];
      for (let index = 0; index < source.length && nodes++ < MAX_NODES; index++) {
        items.push(safely(() => copy(source[index], depth + 1)));
      }
      return items;
    }
    if (!isPlain(source)) return undefined;
    const fields: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    for (const name of Object.keys(source)) {
      if (nodes++ >= MAX_NODES) break;
      fields[name] = safely(() => copy(property(source, name), depth + 1));
    }
    return fields;
  }

  return typeof value === 'object' && value !== null ? safely(() => copy(value, 0)) : undefined;
}

/** An object literal or parsed JSON, of any realm; an instance of no class. */
export function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return typeof prototype !== 'object' || prototype === null || Object.getPrototypeOf(prototype) === null;
}
