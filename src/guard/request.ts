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

/** Whose limit counts: the session named, else the request's session or address, else one for all. */
export function sessionOf({ sessionId, req }: Pick<ExecuteOptions, 'sessionId' | 'req'>): string {
  for (const id of [sessionId, field(req, 'sessionId'), field(req, 'ip')]) {
    if (typeof id === 'string' && id !== '') return id;
    if (typeof id === 'number') return String(id);
  }
  return 'anonymous';
}
