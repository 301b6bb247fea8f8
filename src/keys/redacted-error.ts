import { isPlain, safely } from '../faults/safe-read.ts';
import type { Redactor } from './redaction.ts';

/** Errors hang on to requests and answers; further in there is nothing that is ever shown. */
const MAX_DEPTH = 8;
const MAX_VALUES = 5000;

/**
 * The same error, with a mask wherever its texts, or those of its causes, repeat a key. What hangs on it, such as a body
 * or headers, is replaced by a copy where it holds one: others may go on using the original. An error that cannot be
 * changed is replaced by one that says as much. Objects of classes are left alone, but for errors, Headers, URLs, Maps
 * and Sets.
 */
export function redactedError(error: unknown, redactor: Redactor): unknown {
  return new Redaction(redactor).of(error, 0);
}

class Redaction {
  private readonly redactor: Redactor;
  private readonly results = new Map<object, unknown>();
  private left = MAX_VALUES;

  constructor(redactor: Redactor) {
    this.redactor = redactor;
  }

  of(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.redactor.text(value);
    if (typeof value !== 'object' || value === null || depth > MAX_DEPTH || this.left-- <= 0) return value;
    if (this.results.has(value)) return this.results.get(value);
    // Rings of causes come back to it.
    this.results.set(value, value);
    // Asking a revoked Proxy what it is throws.
    const result = safely(() => this.ofObject(value, depth + 1)) ?? value;
    this.results.set(value, result);
    return result;
  }

  private ofObject(value: object, depth: number): unknown {
    if (value instanceof Error) return this.ofError(value, depth);
    if (value instanceof URL) {
      const text = this.redactor.text(value.href);
      return text === value.href ? value : text;
    }
    if (Array.isArray(value)) {
      const items: unknown[] = value;
      const copy = items.map(item => this.of(item, depth));
      return copy.every((item, index) => item === items[index]) ? value : copy;
    }
    if (value instanceof Headers) return this.ofHeaders(value);
    if (value instanceof Map || value instanceof Set) return this.ofCollection(value, depth);
    return isPlain(value) ? this.ofPlain(value, depth) : value;
  }

  private ofError(error: Error, depth: number): Error {
    // A getter, or a Proxy, may throw: the error has to get to its caller all the same.
    for (const name of safely(() => Reflect.ownKeys(error)) ?? []) {
      const value = safely((): unknown => Reflect.get(error, name));
      const redacted = this.of(value, depth);
      if (redacted === value) continue;
      const field = { ...safely(() => Reflect.getOwnPropertyDescriptor(error, name)), value: redacted };
      delete field.get;
      delete field.set;
      if (safely(() => Reflect.defineProperty(error, name, field)) === true) continue;
      const substitute = new TypeError(this.redactor.text(error.message));
      substitute.name = error.name;
      return substitute;
    }
    return error;
  }

  private ofCollection(collection: Map<unknown, unknown> | Set<unknown>, depth: number): unknown {
    const entries: unknown[] = [...collection];
    const copies = entries.map(entry => this.of(entry, depth));
    // The pair that stands for an entry of a Map is itself again where it holds no key.
    if (copies.every((copy, index) => copy === entries[index])) return collection;
    return collection instanceof Map ? new Map(copies as [unknown, unknown][]) : new Set(copies);
  }

  private ofHeaders(headers: Headers): Headers {
    const entries = [...headers].map(([name, value]): [string, string, string] => [name, this.redactor.text(value), value]);
    if (entries.every(([, redacted, value]) => redacted === value)) return headers;
    return new Headers(entries.map(([name, , value]): [string, string] => [name, this.redactor.headerText(value)]));
  }

  private ofPlain(value: object, depth: number): object {
    let copy: Record<string, unknown> | undefined;
    for (const name of Object.keys(value)) {
      const field = safely((): unknown => Reflect.get(value, name));
      const redacted = this.of(field, depth);
      if (redacted === field) continue;
      copy ??= { ...value };
      copy[name] = redacted;
    }
    return copy ?? value;
  }
}
