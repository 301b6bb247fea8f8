import type { ExecuteOptions } from './options.ts';

/** A field of an inbound request of any framework; undefined where there is none, or it cannot be read. */
export function field(req: unknown, name: string): unknown {
  if (typeof req !== 'object' || req === null) return undefined;
  try {
    const value: unknown = Reflect.get(req, name);
    return value;
  } catch {
    return undefined;
  }
}

/** True where the request's path begins with one of `prefixes`. */
export function isUnder(req: unknown, prefixes: readonly string[]): boolean {
  if (prefixes.length === 0) return false;
  // A mounted router sees the rest of the path only; Express keeps the whole of it.
  return [field(req, 'url'), field(req, 'originalUrl')].some(url => {
    const path = pathOf(url);
    return path !== undefined && prefixes.some(prefix => path.startsWith(prefix));
  });
}

function pathOf(url: unknown): string | undefined {
  if (url instanceof URL) return url.pathname;
  if (typeof url !== 'string') return undefined;
  if (url.startsWith('/')) return url;
  return URL.canParse(url) ? new URL(url).pathname : undefined;
}

/** Whose limit counts: the session named, else the request's session or address, else one for all. */
export function sessionOf({ sessionId, req }: Pick<ExecuteOptions, 'sessionId' | 'req'>): string {
  for (const id of [sessionId, field(req, 'sessionId'), field(req, 'ip')]) {
    if (typeof id === 'string' && id !== '') return id;
    if (typeof id === 'number') return String(id);
  }
  return 'anonymous';
}
