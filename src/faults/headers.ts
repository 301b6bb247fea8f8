import type { HeaderReader } from './fault.ts';
import { isRecord, property, safely } from './safe-read.ts';

export const noHeaders: HeaderReader = () => undefined;

/**
 * Reads headers from a `Headers`, a `Map` or a plain object, whatever the case of its names; undefined
 * where the value is none of these. Several values are joined as HTTP joins them.
 */
export function headerReader(container: unknown): HeaderReader | undefined {
  return isRecord(container) ? readerOf(container) : undefined;
}

function readerOf(container: Record<string, unknown>): HeaderReader | undefined {
  const entries = safely(() => (container instanceof Map ? [...(container as Map<unknown, unknown>)] : undefined));
  if (entries) return lookup(entries);
  const get = property(container, 'get');
  if (typeof get === 'function') return (name) => text(safely(() => Reflect.apply(get, container, [name]) as unknown));
  const names = safely(() => Object.keys(container));
  return names && lookup(names.map((name) => [name, property(container, name)]));
}

function lookup(entries: readonly (readonly [unknown, unknown])[]): HeaderReader {
  const values = new Map<string, string>();
  for (const [name, value] of entries) {
    const content = text(value);
    if (typeof name === 'string' && content !== undefined) values.set(name.toLowerCase(), content);
  }
  return (name) => values.get(name.toLowerCase());
}

function text(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  return safely(() => {
    if (!Array.isArray(value)) return undefined;
    const items: unknown[] = value;
    return items.filter((item) => typeof item === 'string').join(', ');
  });
}
