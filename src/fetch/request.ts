import type { Envelope } from './credential.ts';

/** A request to a server, apart. */
export interface Target extends Envelope {
  /** All else that fetch was told, as its second argument. */
  readonly init: RequestInit;
  readonly body: unknown;
  readonly signal: AbortSignal | undefined;
  /** Stands for its address where it holds what nobody else can read: the dispatcher of newer Requests. */
  readonly request?: Request | undefined;
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
  const dispatcher = request && dispatcherOf(request);
  return {
    url,
    headers: new Headers(headers ?? request?.headers),
    body: body ?? request?.body,
    signal: (signal === undefined ? request?.signal : signal) ?? undefined,
    init: request ? { ...fieldsOf(request), ...dispatcher, ...defined(rest) } : rest,
    // A polyfill knows of no dispatcher, and its Request would be an address to nobody else.
    request: request && !dispatcher && 'duplex' in request ? request : undefined,
  };
}

/** By its tag: polyfills have a Request of their own. */
export function isRequest(input: unknown): input is Request {
  return Object.prototype.toString.call(input) === '[object Request]';
}

/** Older Requests of undici, such as those of Node 20, keep it behind a symbol; undefined for all others. */
function dispatcherOf(request: Request): RequestInit | undefined {
  const name = Object.getOwnPropertySymbols(request).find(symbol => symbol.description === 'dispatcher');
  if (name === undefined) return undefined;
  const dispatcher: unknown = Reflect.get(request, name);
  return dispatcher == null ? {} : Object.fromEntries([['dispatcher', dispatcher]]);
}

/** What is said to be undefined is not said: a Request has it then. */
function defined(init: RequestInit): RequestInit {
  return Object.fromEntries(Object.entries(init).filter(([, value]) => value !== undefined));
}

function fieldsOf(request: Request): RequestInit {
  return Object.fromEntries(FIELDS.flatMap(name => (name in request ? [[name, request[name]]] : [])));
}
