import { discard } from '../guard/discard.ts';
import { markElsewhere } from '../guard/elsewhere.ts';
import { withoutCredentials } from './credential.ts';
import { isRequest } from './request.ts';
import { afterRedirect } from './response.ts';

/** As many as the platform's own fetch follows. */
const MOST_REDIRECTS = 20;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** What describes a body that is not sent on. */
const BODY_HEADERS = ['content-encoding', 'content-language', 'content-location', 'content-type', 'content-length'];

/** A request as fetch takes it. */
export interface Outgoing {
  readonly url: URL;
  readonly headers: Headers;
  readonly init: RequestInit;
  /** What stands for the address, as long as it is the same. */
  readonly request?: Request | undefined;
}

/** Sends a request once. */
export function sendOnce(base: typeof fetch, { url, headers, init, request }: Outgoing): Promise<Response> {
  if (request?.url !== url.href) return base(url.href, { ...init, headers });
  // Its body was read, and whoever stands behind may make a Request of it. One of its own kind has all that it has.
  const made: unknown = Reflect.construct(request.constructor, [request, { ...init, headers }]);
  if (!isRequest(made)) return base(url.href, { ...init, headers });
  const rest = { ...init, headers };
  delete rest.body;
  return base(made, rest);
}

/**
 * Sends a request and follows its redirects as fetch would, but sends no credential on to another origin: fetch
 * itself withholds `authorization` and cookies there, and knows of no other header that holds a key. What comes of it
 * where `secret` was not sent is marked as nobody's.
 *
 * @param isReplayable whether the body can be sent more than once
 * @throws TypeError where fetch would: too many redirects, an address that is none, a body that cannot be sent again
 */
export async function sendFollowing(
  base: typeof fetch,
  first: Outgoing,
  secret: string,
  isReplayable: boolean,
): Promise<Response> {
  const journey = { isElsewhere: false };
  try {
    const response = await follow(base, first, secret, isReplayable, journey);
    if (journey.isElsewhere) markElsewhere(response);
    return response;
  } catch (error) {
    // The reason of an abort is its caller's.
    if (journey.isElsewhere && !first.init.signal?.aborted) markElsewhere(error);
    throw error;
  }
}

async function follow(
  base: typeof fetch,
  first: Outgoing,
  secret: string,
  isReplayable: boolean,
  journey: { isElsewhere: boolean },
): Promise<Response> {
  let { url, headers } = first;
  let init: RequestInit = { ...first.init, redirect: 'manual' };
  for (let redirects = 0; ; redirects++) {
    const response = await sendOnce(base, { url, headers, init, request: first.request });
    const location = REDIRECTS.has(response.status) ? response.headers.get('location') : null;
    if (location === null) return redirects === 0 ? response : afterRedirect(response);
    discard(response);
    if (redirects === MOST_REDIRECTS) throw new TypeError('fetch failed: too many redirects');
    const next = URL.canParse(location, url.href) ? new URL(location, url) : undefined;
    if (!next || !/^https?:$/.test(next.protocol)) throw new TypeError('fetch failed: a redirect to no web address');
    if (next.hash === '') next.hash = url.hash;
    if (next.origin !== url.origin) {
      headers = withoutCredentials(headers, secret);
      journey.isElsewhere = !holds(next, secret);
    }
    if (dropsBody(response.status, init.method)) {
      init = { ...init, method: 'GET' };
      delete init.body;
      headers = new Headers(headers);
      for (const name of BODY_HEADERS) headers.delete(name);
    } else if (init.body != null && !isReplayable) {
      throw new TypeError('fetch failed: a redirect asks for a body that can be sent only once');
    }
    url = next;
  }
}

/** A provider may send a request on to another of its hosts with the key in the address. */
function holds({ pathname, searchParams }: URL, secret: string): boolean {
  return [...searchParams.values()].includes(secret) || pathname.includes(encodeURIComponent(secret));
}

function dropsBody(status: number, method = 'GET'): boolean {
  const name = method.toUpperCase();
  if (status === 303) return name !== 'GET' && name !== 'HEAD';
  return (status === 301 || status === 302) && name === 'POST';
}
