/** What a Response made by hand differs in from the one of fetch that it stands for. */
export interface ResponseChanges {
  readonly status?: number;
  readonly headers?: Headers;
  readonly url?: string;
}

interface Origin {
  readonly url: string;
  readonly redirected: boolean;
  readonly type: string;
  readonly status: number;
  readonly statusText: string;
}

/** What a Response can be made with; servers send others, too. */
const FIRST_STATUS = 200;
const LAST_STATUS = 599;

/** A Response around another body that says of itself what `source` says, but for the changes. */
export function rebuilt(
  source: Response,
  body: ReadableStream<Uint8Array> | ArrayBuffer | string | null,
  changes: ResponseChanges = {},
): Response {
  const { status = source.status, headers = source.headers, url = source.url } = changes;
  const statusText = status === source.status ? source.statusText : '';
  const { redirected, type } = source;
  const isMakeable = status >= FIRST_STATUS && status <= LAST_STATUS;
  const response = new Response(body, { status: isMakeable ? status : FIRST_STATUS, headers });
  return posing(response, { url, redirected, type, status, statusText });
}

/** A Response says where it comes from through getters of its class: own properties speak before them. */
function posing(response: Response, origin: Origin): Response {
  return Object.defineProperties(response, {
    url: { value: origin.url, configurable: true },
    redirected: { value: origin.redirected, configurable: true },
    type: { value: origin.type, configurable: true },
    status: { value: origin.status, configurable: true },
    statusText: { value: origin.statusText, configurable: true },
    ok: { value: origin.status >= 200 && origin.status <= 299, configurable: true },
    clone: { value: () => posing(Response.prototype.clone.call(response), origin), configurable: true, writable: true },
  });
}

/** Says of an answer that a redirect led to it. */
export function afterRedirect(response: Response): Response {
  return Object.defineProperty(response, 'redirected', { value: true, configurable: true });
}

/** The body, where it is a stream of the platform; other implementations of fetch have others. */
export function webBody(response: Response): ReadableStream<Uint8Array> | undefined {
  const body: unknown = response.body;
  return body instanceof ReadableStream ? body : undefined;
}

/** `application/json` of `application/json; charset=utf-8`; empty where nothing is said. */
export function mediaType({ headers }: Response): string {
  return (headers.get('content-type') ?? '').split(';', 1)[0]!.trim().toLowerCase();
}

export function isJson(type: string): boolean {
  return type === 'application/json' || type.endsWith('+json');
}
