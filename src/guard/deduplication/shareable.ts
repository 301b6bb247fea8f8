import { types } from 'node:util';

/** Stands for a value that cannot be given to two callers. */
export const NOT_SHAREABLE: unique symbol = Symbol('not shareable');

/** Some 100 ms of copying. */
const MOST_VALUES = 1_000_000;

/**
 * A deep copy that shares nothing mutable with `value`, or {@link NOT_SHAREABLE}.
 *
 * Copied are primitives, plain objects, arrays, dates, maps, sets, buffers and typed arrays, cycles
 * included. Everything else has an identity or can be used up: streams, a Response, iterators,
 * functions, promises, errors, instances of classes. Neither is `undefined` shared at the top: a
 * function that returns it worked by side effect. Properties hung on arrays, dates, maps and sets
 * beside their content are not copied, nor is being frozen.
 */
export function shareable<T>(value: T): T | typeof NOT_SHAREABLE {
  if (value === undefined || typeof value === 'function') return NOT_SHAREABLE;
  if (typeof value !== 'object' || value === null) return value;
  try {
    // A copy is of its original's type.
    return new Copier().copy(value) as T;
  } catch {
    // Refused, too deep for the stack, or a getter threw.
    return NOT_SHAREABLE;
  }
}

class Copier {
  /** The first object that was copied: most answers hold few others, and a flat one none. */
  private root: object | undefined = undefined;
  private rootCopy: object | undefined = undefined;
  private others: Map<object, object> | undefined = undefined;
  private values = 0;

  copy(value: unknown): unknown {
    if (++this.values > MOST_VALUES || typeof value === 'function') throw NOT_SHAREABLE;
    if (typeof value !== 'object' || value === null) return value;
    return this.copied(value) ?? this.object(value);
  }

  private object(source: object): object {
    const prototype: unknown = Object.getPrototypeOf(source);
    if (prototype === Object.prototype) return this.record(source, {});
    if (prototype === null) return this.record(source, Object.create(null) as object);
    switch (prototype) {
      case Array.prototype:
        return this.list(source as unknown[]);
      case Date.prototype:
        return this.remember(source, new Date((source as Date).getTime()));
      case Map.prototype: {
        const copy = this.remember(source, new Map<unknown, unknown>());
        for (const [key, value] of source as Map<unknown, unknown>) copy.set(this.copy(key), this.copy(value));
        return copy;
      }
      case Set.prototype: {
        const copy = this.remember(source, new Set<unknown>());
        for (const value of source as Set<unknown>) copy.add(this.copy(value));
        return copy;
      }
      case Buffer.prototype:
        return this.remember(source, Buffer.from(source as Buffer));
      case ArrayBuffer.prototype:
        return this.remember(source, (source as ArrayBuffer).slice(0));
      case DataView.prototype: {
        const { buffer, byteOffset, byteLength } = source as DataView<ArrayBuffer>;
        return this.remember(source, new DataView(buffer.slice(byteOffset, byteOffset + byteLength)));
      }
      default:
        if (types.isTypedArray(source) && Object.getPrototypeOf(prototype) === TypedArrayPrototype) {
          return this.remember(source, source.slice());
        }
        throw NOT_SHAREABLE;
    }
  }

  private list(source: readonly unknown[]): object {
    const { length } = source;
    if (length > MOST_VALUES) throw NOT_SHAREABLE;
    const copy = this.remember(source, new Array<unknown>(length));
    for (let i = 0; i < length; i += 1) {
      const value = source[i];
      // A hole stays one.
      if (value !== undefined || i in source) copy[i] = this.copy(value);
    }
    return copy;
  }

  private record(source: object, copy: object): object {
    this.remember(source, copy);
    const keys = Object.keys(source);
    if (hidesProperties(source, keys.length)) return this.properties(source, copy);
    const from = source as Record<string, unknown>;
    const to = copy as Record<string, unknown>;
    for (const key of keys) {
      if (key === '__proto__') return this.properties(source, copy);
      to[key] = this.copy(from[key]);
    }
    return copy;
  }

  private properties(source: object, copy: object): object {
    for (const key of Reflect.ownKeys(source)) {
      const property = Object.getOwnPropertyDescriptor(source, key);
      if (property === undefined || !('value' in property)) throw NOT_SHAREABLE;
      Object.defineProperty(copy, key, {
        value: this.copy(property.value),
        enumerable: property.enumerable ?? false,
        configurable: true,
        writable: true,
      });
    }
    return copy;
  }

  private copied(source: object): object | undefined {
    return source === this.root ? this.rootCopy : this.others?.get(source);
  }

  private remember<C extends object>(source: object, copy: C): C {
    if (this.root === undefined) {
      this.root = source;
      this.rootCopy = copy;
    } else {
      (this.others ??= new Map<object, object>()).set(source, copy);
    }
    return copy;
  }
}

/** SDKs hide request ids and the like in properties that are not enumerable. */
function hidesProperties(source: object, shown: number): boolean {
  // Reflect.ownKeys would take twice as long as the two of them.
  return Object.getOwnPropertyNames(source).length !== shown || Object.getOwnPropertySymbols(source).length > 0;
}

const TypedArrayPrototype: unknown = Object.getPrototypeOf(Uint8Array.prototype);
