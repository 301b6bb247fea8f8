import { placeholder } from '../keys/placeholder.ts';

/** Where a request has its key. */
export type Place =
  /** `authorization: <scheme> <key>`; no scheme: the key alone. */
  | { readonly in: 'authorization'; readonly scheme: string | undefined }
  | { readonly in: 'header'; readonly name: string; readonly scheme?: string | undefined }
  | { readonly in: 'query'; readonly name: string };

/** The address and the headers of a request: all that a key can stand in. */
export interface Envelope {
  readonly url: URL;
  readonly headers: Headers;
}

export interface Credential {
  readonly places: readonly Place[];
  /** What stood in the first of them. Where there are placeholders, they come first. */
  readonly value: string | undefined;
  /** How many of the places have a placeholder; the key goes to one of those. */
  readonly placeholders: number;
  /** The only placeholder is in the query under a name that no key is known by: it may be anybody's words. */
  readonly isDoubtful: boolean;
}

const BEARER: Place = { in: 'authorization', scheme: 'Bearer' };

/** Where providers want their key who do not want a bearer token; by the name of their fault profile. */
const OWN_PLACES: Readonly<Record<string, Place>> = {
  alphavantage: { in: 'query', name: 'apikey' },
  anthropic: { in: 'header', name: 'x-api-key' },
  azure: { in: 'header', name: 'api-key' },
  binance: { in: 'header', name: 'x-mbx-apikey' },
  finnhub: { in: 'header', name: 'x-finnhub-token' },
  gemini: { in: 'header', name: 'x-goog-api-key' },
  nasdaq: { in: 'header', name: 'x-api-token' },
};

/** Names under which some providers take the key in the query. `key` is known of all. */
const QUERY_NAMES: Readonly<Record<string, readonly string[]>> = {
  alphavantage: ['apikey'],
  finnhub: ['token'],
  massive: ['apiKey', 'apikey'],
  nasdaq: ['api_key'],
};

const HEADERS = ['x-api-key', 'api-key', 'x-goog-api-key', 'x-mbx-apikey', 'x-finnhub-token', 'x-api-token'];

/** Where a bare `guard` stands for a key; elsewhere it is a word. */
const PLACEHOLDER_HEADERS = new Set(['authorization', 'ocp-apim-subscription-key', 'xi-api-key', ...HEADERS]);
const PLACEHOLDER_PARAMETERS = new Set(['access_token', 'api-key', 'api_key', 'apikey', 'key', 'subscription-key', 'token']);

/** Schemes of `authorization` that are followed by a key as it is. */
const SCHEMES = new Set(['bearer', 'token', 'key', 'api-key', 'apikey']);

/** A signature covers the request and was made with one key: another key cannot take its place. */
const SIGNATURE_HEADERS = ['api-sign', 'cb-access-sign'];
const SIGNATURE_PARAMETERS = ['signature', 'sig', 'x-amz-signature', 'x-goog-signature'];

/** True for a request signed for one key, by AWS, a broker or a storage link, or with a password. */
export function isSigned({ url, headers }: Envelope): boolean {
  const authorization = headers.get('authorization');
  if (authorization !== null && authorizationIn(authorization) === undefined) return true;
  if (SIGNATURE_HEADERS.some(name => headers.has(name))) return true;
  return [...url.searchParams.keys()].some(name => SIGNATURE_PARAMETERS.includes(name.toLowerCase()));
}

/**
 * The places where a request has a key now. The query is asked where no header has one: outside Google,
 * `key` may mean anything.
 *
 * @param profile the name of the provider's fault profile
 */
export function findCredential({ url, headers }: Envelope, profile: string): Credential {
  const held = placeholdersIn({ url, headers });
  const places = held.map(({ place }) => place);
  const placeholders = held.length;
  let value = held[0]?.value;
  const found = (place: Place, content: string): void => {
    if (held.some(each => isSame(each.place, place))) return;
    places.push(place);
    value ??= content;
  };
  const header = headers.get('authorization');
  const authorization = header === null ? undefined : authorizationIn(header);
  if (authorization) found({ in: 'authorization', scheme: authorization.scheme }, authorization.key);
  for (const name of HEADERS) {
    const content = headers.get(name);
    if (content !== null) found({ in: 'header', name }, content);
  }
  for (const name of ['key', ...(QUERY_NAMES[profile] ?? [])]) {
    const content = url.searchParams.get(name);
    if (content !== null && (places.length === 0 || isGoogle(url, profile))) found({ in: 'query', name }, content);
  }
  if (places.length > 0) return { places, value, placeholders, isDoubtful: false };
  // Nothing else can be meant for a key.
  const [doubtful] = [...url.searchParams].filter(([, content]) => isPlaceholder(content, false));
  if (!doubtful) return { places, value, placeholders, isDoubtful: false };
  const [name, content] = doubtful;
  return { places: [{ in: 'query', name }], value: content, placeholders: 1, isDoubtful: true };
}

/** `guard:<name>` in any header, and either kind where a key may stand. */
function placeholdersIn({ url, headers }: Envelope): { place: Place; value: string }[] {
  const found: { place: Place; value: string }[] = [];
  for (const [name, content] of headers) {
    const { key: value, scheme } = /guard/i.test(content) ? (authorizationIn(content) ?? {}) : {};
    if (value === undefined || !isPlaceholder(value, PLACEHOLDER_HEADERS.has(name))) continue;
    found.push({ place: name === 'authorization' ? { in: name, scheme } : { in: 'header', name, scheme }, value });
  }
  for (const [name, value] of url.searchParams) {
    const isHeld = PLACEHOLDER_PARAMETERS.has(name.toLowerCase()) && isPlaceholder(value, true);
    if (isHeld) found.push({ place: { in: 'query', name }, value });
  }
  return found;
}

function isPlaceholder(value: string, isKeyPlace: boolean): boolean {
  const name = placeholder(value);
  return name === '' ? isKeyPlace : name !== undefined;
}

function isSame(one: Place, other: Place): boolean {
  return nameOf(one) === nameOf(other) && (one.in === 'query') === (other.in === 'query');
}

function nameOf(place: Place): string {
  return place.in === 'authorization' ? place.in : place.name;
}

/** The request with `secret` in place of the credential it had; where it had none, where its provider wants it. */
export function withCredential(
  { url, headers }: Envelope,
  { places, placeholders }: Credential,
  secret: string,
  profile: string,
): Envelope & { readonly place: Place } {
  const newHeaders = new Headers(headers);
  const newUrl = new URL(url);
  for (const place of places) {
    if (place.in === 'query') newUrl.searchParams.delete(place.name);
    else newHeaders.delete(nameOf(place));
  }
  const place = placeFor(placeholders > 0 ? places.slice(0, placeholders) : places, url, profile);
  if (place.in === 'query') newUrl.searchParams.set(place.name, secret);
  else newHeaders.set(nameOf(place), place.scheme === undefined ? secret : `${place.scheme} ${secret}`);
  return { url: newUrl, headers: newHeaders, place };
}

/** What may go to a host the key was not meant for. */
export function withoutCredentials(headers: Headers, secret: string): Headers {
  const rest = new Headers(headers);
  for (const name of ['authorization', 'cookie', 'proxy-authorization', ...HEADERS]) rest.delete(name);
  for (const [name, value] of headers) if (value.includes(secret)) rest.delete(name);
  return rest;
}

function placeFor(places: readonly Place[], url: URL, profile: string): Place {
  const own = OWN_PLACES[profile] ?? BEARER;
  const place = places.find(each => each.in === 'header' && own.in === 'header' && each.name === own.name) ?? places[0];
  if (!place) return own;
  // Google's newer keys are not reliably read from the query.
  return place.in === 'query' && isGoogle(url, profile) ? { in: 'header', name: 'x-goog-api-key' } : place;
}

function isGoogle({ hostname }: URL, profile: string): boolean {
  return profile === 'gemini' || profile === 'vertex' || hostname.endsWith('.googleapis.com');
}

/** Undefined where what follows the scheme is no key as it is: a signature, a password. */
function authorizationIn(header: string): { scheme: string | undefined; key: string } | undefined {
  const text = header.trim();
  // A client that was given an empty key.
  if (text === '' || SCHEMES.has(text.toLowerCase())) return { scheme: text || 'Bearer', key: '' };
  const [, scheme, key] = /^(?:(\S+)\s+)?(\S+)$/.exec(text) ?? [];
  if (key === undefined) return undefined;
  return scheme === undefined || SCHEMES.has(scheme.toLowerCase()) ? { scheme, key } : undefined;
}
