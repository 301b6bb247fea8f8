import { hash } from 'node:crypto';
import { types } from 'node:util';

/** Deeper than any request; reached at once by a value that contains itself. */
const DEEPEST = 200;
/** With {@link LONGEST}, what bounds the time: at worst some 40 ms. A larger request is not worth comparing. */
const MOST_VALUES = 50_000;
/** Characters and bytes together. */
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
    const writer = new Writer();
    writer.write(value, 0);
    return writer.written;
  } catch {
    return undefined;
  }
}

// Each form begins with a letter of its own and ends by itself, so that no two sequences read alike.
class Writer {
  written = '';
  private values = 0;
  private length = 0;

  write(value: unknown, depth: number): void {
    if (++this.values > MOST_VALUES || depth > DEEPEST) throw NOT_COMPARABLE;
    switch (typeof value) {
      case 'string':
        this.text(value);
        break;
      case 'number':
        this.written += Object.is(value, -0) ? '#-0;' : `#${value};`;
        break;
      case 'boolean':
        this.written += value ? 't' : 'f';
        break;
      case 'undefined':
        this.written += 'u';
        break;
      case 'bigint':
        this.written += `b${value.toString(36)};`;
        break;
      case 'object':
        if (value === null) this.written += 'n';
        else this.object(value, depth + 1);
        break;
      default:
        throw NOT_COMPARABLE;
    }
  }

  /** With its length before it, a text needs no escapes. */
  private text(text: string): void {
    this.grow(text.length);
    this.written += `"${text.length}:${text}`;
  }

  private object(value: object, depth: number): void {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) this.record(value as Record<string, unknown>, depth);
    else if (prototype === Array.prototype) this.list(value as unknown[], depth);
    else if (ArrayBuffer.isView(value)) this.bytes(value, value);
    else if (types.isAnyArrayBuffer(value)) this.bytes(value, new Uint8Array(value));
    else this.builtIn(value, prototype, depth);
  }

  private builtIn(value: object, prototype: unknown, depth: number): void {
    switch (prototype) {
      case Date.prototype:
        this.written += `D${(value as Date).getTime()};`;
        break;
      case URL.prototype:
        this.written += 'U';
        this.text((value as URL).href);
        break;
      case URLSearchParams.prototype:
        this.written += 'Q';
        this.text((value as URLSearchParams).toString());
        break;
      case Map.prototype:
        this.written += 'M';
        this.list([...(value as Map<unknown, unknown>)].flat(), depth);
        break;
      case Set.prototype:
        this.written += 'S';
        this.list([...(value as Set<unknown>)], depth);
        break;
      default:
        throw NOT_COMPARABLE;
    }
  }

  private list(items: readonly unknown[], depth: number): void {
    if (!Array.isArray(items) || items.length > MOST_VALUES) throw NOT_COMPARABLE;
    this.written += '[';
    for (let i = 0; i < items.length; i += 1) {
      const item: unknown = items[i];
      if (item === undefined && !(i in items)) this.written += 'h';
      else this.write(item, depth);
    }
    this.written += ']';
  }

  private record(value: Readonly<Record<string, unknown>>, depth: number): void {
    const keys = Object.keys(value);
    if (keys.length > MOST_VALUES || Object.getOwnPropertySymbols(value).length > 0) throw NOT_COMPARABLE;
    this.written += '{';
    for (const key of keys.length > 1 ? keys.sort() : keys) {
      this.text(key);
      this.write(value[key], depth);
    }
    this.written += '}';
  }

  private bytes(value: object, view: ArrayBufferView): void {
    this.grow(view.byteLength);
    const content = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    this.written += 'Y';
    this.text(Object.prototype.toString.call(value));
    this.written += hash('sha256', content, 'hex');
  }

  private grow(length: number): void {
    this.length += length;
    if (this.length > LONGEST) throw NOT_COMPARABLE;
  }
}
