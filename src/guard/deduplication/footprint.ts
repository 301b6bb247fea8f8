const WORD = 8;
/** Header, map and property pointers of a small object; a guess that is right within a factor of two. */
const OBJECT = 40;

/** The memory behind a value, in bytes; roughly, and looking at no more than `values` values. */
export function footprint(value: unknown, values: number): number {
  const seen = new Set<object>();
  const waiting: unknown[] = [value];
  let bytes = 0;
  for (let looked = 0; looked < values && waiting.length > 0; looked += 1) {
    const next = waiting.pop();
    if (typeof next === 'string') bytes += 2 * WORD + 2 * next.length;
    else if (typeof next !== 'object' || next === null) bytes += WORD;
    else if (!seen.has(next)) {
      seen.add(next);
      bytes += OBJECT + contentSize(next, waiting, values);
    }
  }
  return bytes;
}

/** What an object takes by itself; its first `most` parts are put on the list of `waiting`. */
function contentSize(value: object, waiting: unknown[], most: number): number {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value.byteLength;
  if (Array.isArray(value)) {
    waiting.push(...(value.slice(0, most) as unknown[]));
    return WORD * value.length;
  }
  if (value instanceof Map || value instanceof Set) {
    const parts: Iterable<unknown> = value;
    let left = most;
    for (const part of parts) {
      if (left-- === 0) break;
      waiting.push(part);
    }
    return 2 * WORD * value.size;
  }
  const properties = Object.entries(value);
  for (const [, property] of properties) waiting.push(property);
  return 2 * WORD * properties.length;
}
