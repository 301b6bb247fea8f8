import { hash } from 'node:crypto';
import { canonicalText } from './canonical.ts';

/** What tells two calls apart beside the request itself. */
export interface CallIdentity {
  readonly provider: string;
  readonly model?: string | undefined;
  readonly userId?: string | undefined;
  readonly sessionId?: string | undefined;
}

/** Who asks, and which form of the answer: callers that differ in one of these never share. */
const TELLING_HEADERS: ReadonlySet<string> = new Set([
  'authorization',
  'x-api-key',
  'x-goog-api-key',
  'api-key',
  'cookie',
  'accept',
  'accept-language',
  'content-type',
  'host',
  'range',
]);

const SIZE_HEADERS: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding']);

/** Fields of a plain request that do not ask for anything, or are looked at by themselves. */
const NOT_CONTENT: ReadonlySet<string> = new Set(['headers', 'sessionId', 'signal', 'ip', 'ips']);

type Fields = Record<string, unknown>;

/**
 * A key that two calls share exactly if one answer can serve both; undefined where that cannot be
 * told, so that the call must not be deduplicated. Taken before the call, which may change the request.
 *
 * Counted are the identity, the session, the headers that say who asks and for what form, and what the
 * request asks: every field of a plain object; of a framework's request its method, URL, query and
 * body. A request without a URL and a body only says who asks, and shares nothing. The key is a
 * SHA-256: it holds no secret. Never throws; costs about 5 ms per MB, and gives up beyond 8 MB.
 */
export function fingerprint(req: unknown, identity: CallIdentity): string | undefined {
  try {
    if (typeof req !== 'object' || req === null) return undefined;
    const request = req as Fields;
    const content = contentOf(request);
    if (content === undefined) return undefined;
    const { provider, model, userId, sessionId } = identity;
    const headers = pickHeaders(request['headers'], TELLING_HEADERS);
    const session = request['sessionId'] ?? null;
    const text = canonicalText([provider, model, userId, sessionId, session, headers, content]);
    return text === undefined ? undefined : hash('sha256', text, 'base64');
  } catch {
    // A getter or a proxy of the request threw.
    return undefined;
  }
}

function contentOf(request: Fields): Fields | undefined {
  const prototype: unknown = Object.getPrototypeOf(request);
  const isPlain = prototype === Object.prototype || prototype === null;
  const content = isPlain ? ownFields(request) : frameworkFields(request);
  const { method, url, originalUrl, body } = content;
  if (url === undefined && originalUrl === undefined && body === undefined) return undefined;
  if (typeof method === 'string') content['method'] = method.toUpperCase();
  if (url instanceof URL) content['url'] = url.href;
  return hasUnreadBody(request, body) ? undefined : content;
}

/** All of them: `params` or `data` may ask as much as `body` does. */
function ownFields(request: Fields): Fields {
  // Without a prototype, so that a field named __proto__ is one like any other.
  const content = Object.create(null) as Fields;
  for (const name of Object.keys(request)) {
    if (NOT_CONTENT.has(name)) continue;
    const value = request[name];
    if (typeof value !== 'function') content[name] = value;
  }
  return content;
}

/** A framework's request is full of sockets and caches. Express cuts a router's mount path off `url`. */
function frameworkFields({ method, url, originalUrl, query, body }: Fields): Fields {
  return { method, url, originalUrl, query, body };
}

/**
 * True for a server's request whose body nobody has parsed: it would look like every other request to
 * its URL. Parsers leave undefined, null or `{}` where they did not feel responsible.
 */
function hasUnreadBody(request: Fields, body: unknown): boolean {
  const isEmpty = body === undefined || body === null || (typeof body === 'object' && isEmptyRecord(body));
  if (!isEmpty) return false;
  for (const [name, value] of pickHeaders(request['headers'], SIZE_HEADERS)) {
    if (name === 'transfer-encoding' || Number(value) > '{}'.length) return true;
  }
  const { method } = request;
  // HTTP/2 need not announce a body.
  return typeof request['pipe'] === 'function' && body === undefined && method !== 'GET' && method !== 'HEAD';
}

function isEmptyRecord(value: object): boolean {
  return Object.getPrototypeOf(value) === Object.prototype && Object.keys(value).length === 0;
}

/** Of a Headers object, a plain object, a map or a list of pairs; names in lower case and in order. */
function pickHeaders(headers: unknown, wanted: ReadonlySet<string>): [name: string, value: unknown][] {
  if (headers === undefined || headers === null) return [];
  const picked: [string, unknown][] = [];
  for (const [name, value] of headerPairs(headers)) {
    const folded = name.toLowerCase();
    if (value !== undefined && wanted.has(folded)) picked.push([folded, value]);
  }
  return picked.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function headerPairs(headers: unknown): Iterable<[string, unknown]> {
  if (typeof headers !== 'object' || headers === null) throw new TypeError('not a container of headers');
  if (!(Symbol.iterator in headers)) return Object.entries(headers);
  const pairs = [...(headers as Iterable<unknown>)];
  if (pairs.every(isPair)) return pairs;
  throw new TypeError('not a list of header pairs');
}

function isPair(pair: unknown): pair is [string, unknown] {
  return Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string';
}
