import { hash } from 'node:crypto';
import { types } from 'node:util';

/** Deeper than any request; reached at once by a value that contains itself. */
const DEEPEST = 200;
const MOST_VALUES = 200_000;
/** Characters and bytes together: some 30 ms of hashing. A larger request is not worth comparing. */
const LONGEST = 8 * 2 ** 20;

const NOT_COMPARABLE = Symbol('not comparable');

/**
 * A text that two values share exactly if they have the same content: the type counts (`1` and `'1'`,
 * `undefined`, `null` and a missing property all differ), the order of an object's keys does not.
 *
 * Undefined where content cannot be read without being used up or run: streams, iterators, functions,
 * promises, instances of foreign classes, values that contain themselves, throw when looked at, or are
 * too large. Properties hung on arrays, dates, maps and sets beside their content are not part of it.
 */
export function canonicalText(value: unknown): string | undefined {
  try {
    return new Writer().write(value, 0);
  } catch {
    return undefined;
  }
}

// Each form begins with a letter of its own and ends by itself, so that no two sequences read alike.
class Writer {
  private values = 0;
  private length = 0;

  write(value: unknown, depth: number): string {
    if (++this.values > MOST_VALUES || depth > DEEPEST) throw NOT_COMPARABLE;
    switch (typeof value) {
      case 'string':
        return this.text(value);
      case 'number':
        return `#${Object.is(value, -0) ? '-0' : value};`;
      case 'boolean':
        return value ? 't' : 'f';
      case 'undefined':
        return 'u';
      case 'bigint':
        return `b${value.toString(36)};`;
      case 'object':
        return value === null ? 'n' : this.object(value, depth + 1);
      default:
        throw NOT_COMPARABLE;
    }
  }

  /** JSON, because it delimits itself and keeps lone surrogates apart, which UTF-8 does not. */
  private text(text: string): string {
    this.grow(text.length);
    return JSON.stringify(text);
  }

  private object(value: object, depth: number): string {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) return this.record(value, depth);
    if (Array.isArray(value)) return prototype === Array.prototype ? this.list(value, depth) : refuse();
    if (ArrayBuffer.isView(value)) return this.bytes(value, value);
    if (types.isAnyArrayBuffer(value)) return this.bytes(value, new Uint8Array(value));
    switch (prototype) {
      case Date.prototype:
        return `D${(value as Date).getTime()};`;
      case URL.prototype:
        return `U${this.text((value as URL).href)}`;
      case URLSearchParams.prototype:
        return `Q${this.text((value as URLSearchParams).toString())}`;
      case Map.prototype:
        return `M${this.list([...(value as Map<unknown, unknown>)].flat(), depth)}`;
      case Set.prototype:
        return `S${this.list([...(value as Set<unknown>)], depth)}`;
      default:
        return refuse();
    }
  }

  private list(items: readonly unknown[], depth: number): string {
    if (items.length > MOST_VALUES) throw NOT_COMPARABLE;
    let text = '[';
    for (let i = 0; i < items.length; i += 1) {
      const item = items[i];
      text += item === undefined && !(i in items) ? 'h' : this.write(item, depth);
    }
    return `${text}]`;
  }

  private record(value: object, depth: number): string {
    const entries = value as Record<string, unknown>;
    const keys = Object.keys(entries);
    if (keys.length > MOST_VALUES || Object.getOwnPropertySymbols(entries).length > 0) throw NOT_COMPARABLE;
    let text = '{';
    for (const key of keys.sort()) text += this.text(key) + this.write(entries[key], depth);
    return `${text}}`;
  }

  private bytes(value: ArrayBuffer | SharedArrayBuffer | ArrayBufferView, view: ArrayBufferView): string {
    this.grow(view.byteLength);
    const content = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    return `Y${this.text(Object.prototype.toString.call(value))}${hash('sha256', content, 'hex')}`;
  }

  private grow(length: number): void {
    this.length += length;
    if (this.length > LONGEST) throw NOT_COMPARABLE;
  }
}

function refuse(): never {
  throw NOT_COMPARABLE;
}
