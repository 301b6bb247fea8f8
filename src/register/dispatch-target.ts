import { stringify } from 'node:querystring';
import type { Target } from '../fetch/request.ts';
import { isRecord } from '../faults/safe-read.ts';

/** What a dispatcher of undici is given, as far as it matters here; each version has more. */
export type DispatchOptions = Readonly<Record<string, unknown>>;

/**
 * A request to a dispatcher, as the guard reads requests; without its signal, which the handler has. Undefined for
 * what cannot be guarded, such as an upgrade, or what undici would refuse.
 */
export function targetOf({ origin, path, query, method, headers, upgrade, body }: DispatchOptions): Target | undefined {
  if (upgrade || method === 'CONNECT') return undefined;
  const url = addressOf(origin, path, query);
  const fields = url && headersOf(headers);
  if (!url || !fields) return undefined;
  // A redirect is followed here: whoever follows it outside would carry the placeholder to another host.
  const init: RequestInit = { redirect: 'follow', ...(typeof method === 'string' && { method }) };
  return { url, headers: fields, init, body: repeatable(body), signal: undefined };
}

function addressOf(origin: unknown, path: unknown, query: unknown): URL | undefined {
  if (typeof path !== 'string' || !path.startsWith('/')) return undefined;
  const server = typeof origin === 'string' && URL.canParse(origin) ? new URL(origin) : origin;
  if (!(server instanceof URL) || !/^https?:$/.test(server.protocol) || server.username !== '') return undefined;
  const parameters = isRecord(query) ? stringify(plain(query)) : '';
  // Undici refuses that.
  if (parameters !== '' && /[?#]/.test(path)) return undefined;
  return new URL(`${server.origin}${path}${parameters === '' ? '' : `?${parameters}`}`);
}

function plain(query: Record<string, unknown>): Record<string, string | readonly string[]> {
  return Object.fromEntries(
    Object.entries(query).map(([name, value]) => [name, Array.isArray(value) ? value.map(String) : String(value)]),
  );
}

/** From a flat list, from pairs, or from an object; undefined where a header is none. */
function headersOf(headers: unknown): Headers | undefined {
  const found = new Headers();
  try {
    for (const [name, value] of pairsOf(headers)) {
      for (const each of Array.isArray(value) ? (value as unknown[]) : [value]) {
        if (each != null) found.append(String(name), text(each));
      }
    }
  } catch {
    return undefined;
  }
  return found;
}

function pairsOf(headers: unknown): Iterable<readonly [unknown, unknown]> {
  if (Array.isArray(headers)) {
    const list: readonly unknown[] = headers;
    return list.flatMap((name, at) => (at % 2 === 0 ? [[text(name), list[at + 1]] as const] : []));
  }
  if (typeof headers !== 'object' || headers === null) return [];
  if (Symbol.iterator in headers) return headers as Iterable<readonly [unknown, unknown]>;
  return Object.entries(headers);
}

/** The bytes of a header are latin1. */
function text(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('latin1') : String(value);
}

/** A generator yields once: as a stream it is kept, to be sent again. */
function repeatable(body: unknown): unknown {
  const isOnce = typeof body === 'object' && body !== null && 'next' in body && Symbol.iterator in body;
  return isOnce ? ReadableStream.from(body as Iterable<unknown>) : body;
}
