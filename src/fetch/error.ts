import type { Redactor } from '../keys/redaction.ts';

/**
 * The same error, with a mask wherever its texts, or those of its causes, repeat a key. One that cannot be changed is
 * replaced by one that says as much.
 */
export function redactedError(error: unknown, redactor: Redactor, seen = new Set<unknown>()): unknown {
  if (typeof error === 'string') return redactor.text(error);
  if (!(error instanceof Error) || seen.has(error)) return error;
  seen.add(error);
  for (const name of Reflect.ownKeys(error)) {
    const value: unknown = Reflect.get(error, name);
    const redacted = redactedValue(value, redactor, seen);
    if (redacted === value) continue;
    const field = { ...Reflect.getOwnPropertyDescriptor(error, name), value: redacted };
    delete field.get;
    delete field.set;
    if (Reflect.defineProperty(error, name, field)) continue;
    const substitute = new TypeError(redactor.text(error.message));
    substitute.name = error.name;
    return substitute;
  }
  return error;
}

function redactedValue(value: unknown, redactor: Redactor, seen: Set<unknown>): unknown {
  if (value instanceof URL) {
    const text = redactor.text(value.href);
    return text === value.href ? value : text;
  }
  if (!Array.isArray(value)) return redactedError(value, redactor, seen);
  const redacted = value.map(each => redactedError(each, redactor, seen));
  return redacted.every((each, index) => each === value[index]) ? value : redacted;
}
