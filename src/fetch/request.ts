import type { Envelope } from './credential.ts';

/** A request to a server, apart. */
export interface Target extends Envelope {
  /** All else that fetch was told, as its second argument. */
  readonly init: RequestInit;
  readonly body: unknown;
  readonly signal: AbortSignal | undefined;
}

/** What a Request says that fetch takes as options; body, headers and signal stand elsewhere. */
const FIELDS = [
  'method',
  'mode',
  'cache',
  'credentials',
  'redirect',
  'referrer',
  'referrerPolicy',
  'integrity',
  'keepalive',
] as const;

/**
 * Takes apart what fetch was called with. Undefined for what is no request to a server, or none that fetch would
 * send: a data URL, an address that is none, a Request that was sent before.
 */
export function readTarget(input: string | URL | Request, init: RequestInit | undefined): Target | undefined {
  const request = isRequest(input) ? input : undefined;
  if (request?.bodyUsed && init?.body == null) return undefined;
  const address = String(request?.url ?? (input as string | URL));
  if (!URL.canParse(address)) return undefined;
  const url = new URL(address);
  // Names and passwords in addresses are refused by fetch itself.
  if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') return undefined;
  const { body, headers, signal, ...rest } = init ?? {};
  return {
    url,
    headers: new Headers(headers ?? request?.headers),
    body: body ?? request?.body,
    signal: (signal === undefined ? request?.signal : signal) ?? undefined,
    init: request ? { ...fieldsOf(request), ...rest } : rest,
  };
}

/** By its tag: polyfills have a Request of their own. */
function isRequest(input: unknown): input is Request {
  return Object.prototype.toString.call(input) === '[object Request]';
}

function fieldsOf(request: Request): RequestInit {
  return Object.fromEntries(FIELDS.flatMap(name => (name in request ? [[name, request[name]]] : [])));
}
