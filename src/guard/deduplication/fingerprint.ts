import { hash } from 'node:crypto';
import { canonicalText } from './canonical.ts';

/** What tells two calls apart beside the request itself. */
export interface CallIdentity {
  readonly provider: string;
  readonly model?: string | undefined;
  readonly userId?: string | undefined;
  readonly sessionId?: string | undefined;
}

/**
 * Headers of the connection, of tracing and of the client's make: they differ between equal calls. Every other one
 * counts, because any may say who asks: a gateway's, a proxy's, a program's own.
 */
const IDLE_HEADERS: ReadonlySet<string> = new Set([
  'accept-encoding',
  'baggage',
  'cache-control',
  'cf-ray',
  'connection',
  'content-length',
  'date',
  'dnt',
  'keep-alive',
  'pragma',
  'priority',
  'te',
  'traceparent',
  'tracestate',
  'transfer-encoding',
  'upgrade-insecure-requests',
  'user-agent',
  'x-amzn-trace-id',
  'x-cloud-trace-context',
  'x-correlation-id',
  'x-request-id',
]);
const IDLE_PREFIXES = ['sec-', 'x-b3-', 'x-stainless-'];

const SIZE_HEADERS: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding']);

/** Fields of a plain request that do not ask for anything, or are looked at by themselves. */
const NOT_CONTENT: ReadonlySet<string> = new Set(['headers', 'sessionId', 'signal', 'ip', 'ips']);

/** Where frameworks and their middleware say who asks. */
const IDENTITY_FIELDS = [
  'account',
  'apiKey',
  'auth',
  'organization',
  'session',
  'sessionID',
  'tenant',
  'tenantId',
  'token',
  'user',
  'userId',
];

const LONE_SURROGATE = /\p{Surrogate}/u;

type Fields = Record<string, unknown>;

/**
 * A key that two calls share exactly if one answer can serve both; undefined where that cannot be
 * told, so that the call must not be deduplicated. Taken before the call, which may change the request.
 *
 * Counted are the identity, the session, every header that is not of the connection or of tracing, and what
 * the request asks: every field of a plain object; of a framework's request its method, URL, query and body, and
 * what middleware has found out of its user. A request without a URL and a body only says who asks, and shares nothing. The key is a
 * SHA-256: it holds no secret. Never throws; costs about 2 ms per MB, and gives up beyond 8 MB.
 */
export function fingerprint(req: unknown, identity: CallIdentity): string | undefined {
  try {
    if (typeof req !== 'object' || req === null) return undefined;
    const request = req as Fields;
    const content = contentOf(request);
    if (content === undefined) return undefined;
    const { provider, model, userId, sessionId } = identity;
    const headers = pickHeaders(request['headers'], name => !isIdle(name));
    const session = request['sessionId'] ?? null;
    const text = canonicalText([provider, model, userId, sessionId, session, headers, content]);
    return text === undefined ? undefined : digest(text);
  } catch {
    // The request threw when it was looked at, or is not made like one.
    return undefined;
  }
}

/** UTF-8 is hashed without a copy, but writes every lone surrogate as the same replacement character. */
function digest(text: string): string {
  return hash('sha256', LONE_SURROGATE.test(text) ? Buffer.from(text, 'utf16le') : text, 'base64');
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
  const content: Fields = {};
  for (const name of Object.keys(request)) {
    if (NOT_CONTENT.has(name)) continue;
    // Would become the prototype, and its content go uncounted.
    if (name === '__proto__') throw new TypeError('not a field of a request');
    const value = request[name];
    if (typeof value !== 'function') content[name] = value;
  }
  return content;
}

/** A framework's request is full of sockets and caches. Express cuts a router's mount path off `url`. */
function frameworkFields(request: Fields): Fields {
  const { method, url, originalUrl, query, body } = request;
  const identity = IDENTITY_FIELDS.map(name => {
    const value = request[name];
    // Passport and others add methods to what they found; a session of a class of its own is not shared at all.
    return typeof value === 'function' ? undefined : value;
  });
  return { method, url, originalUrl, query, body, identity };
}

function isIdle(header: string): boolean {
  return IDLE_HEADERS.has(header) || IDLE_PREFIXES.some(prefix => header.startsWith(prefix));
}

/**
 * True for a server's request whose body nobody has parsed: it would look like every other request to
 * its URL. Parsers leave undefined, null or `{}` where they did not feel responsible.
 */
function hasUnreadBody(request: Fields, body: unknown): boolean {
  const isEmpty = body === undefined || body === null || (typeof body === 'object' && isEmptyRecord(body));
  if (!isEmpty) return false;
  const size = pickHeaders(request['headers'], name => SIZE_HEADERS.has(name));
  if (size['transfer-encoding'] !== undefined || Number(size['content-length']) > '{}'.length) return true;
  const { method } = request;
  // HTTP/2 need not announce a body.
  return typeof request['pipe'] === 'function' && body === undefined && method !== 'GET' && method !== 'HEAD';
}

function isEmptyRecord(value: object): boolean {
  return Object.getPrototypeOf(value) === Object.prototype && Object.keys(value).length === 0;
}

/** The wanted ones of a Headers object, a plain object, a map or a list of pairs, by their names in lower case. */
function pickHeaders(headers: unknown, isWanted: (name: string) => boolean): Fields {
  const picked: Fields = {};
  if (headers === undefined || headers === null) return picked;
  if (typeof headers !== 'object') throw new TypeError('not a container of headers');
  const pick = (name: string, value: unknown) => {
    const folded = name.toLowerCase();
    if (value === undefined || !isWanted(folded)) return;
    picked[folded] = folded in picked ? [picked[folded], value] : value;
  };
  if (!(Symbol.iterator in headers)) {
    for (const name of Object.keys(headers)) pick(name, (headers as Fields)[name]);
    return picked;
  }
  for (const pair of headers as Iterable<unknown>) {
    if (!Array.isArray(pair) || pair.length !== 2) throw new TypeError('not a pair of name and value');
    pick(String(pair[0]), pair[1]);
  }
  return picked;
}
