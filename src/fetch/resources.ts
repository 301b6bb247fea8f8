import { property } from '../faults/safe-read.ts';
import { bytesOf } from './body.ts';
import type { Target } from './request.ts';

/**
 * What answers call the things that stay at the provider and belong to who made them: OpenAI and its relatives in
 * `object`, Anthropic in `type`.
 */
const KINDS = new Set([
  'agent',
  'assistant',
  'batch',
  'container',
  'conversation',
  'environment',
  'eval',
  'eval.run',
  'file',
  'fine_tuning.job',
  'interaction',
  'job',
  'memory_store',
  'message_batch',
  'response',
  'session',
  'skill',
  'thread',
  'upload',
  'vault',
  'vector_store',
  'video',
]);

/** What Google's names of such things begin with. Operations may stand under the model that they are of. */
const COLLECTIONS = ['files', 'cachedContents', 'batches', 'tunedModels', 'fileSearchStores', 'operations'];

const KIND = [...KINDS].map(kind => kind.replace('.', '\\.')).join('|');
const COLLECTION = COLLECTIONS.join('|');

const GOOGLE_NAME = new RegExp(`^(?:[\\w-]+/[\\w.-]+/)?((?:${COLLECTION})/[\\w-]+)$`);

const MAY_NAME_RESOURCE = new RegExp(
  `"(?:object|type)"\\s*:\\s*"(?:${KIND})"|"name"\\s*:\\s*"(?:[\\w-]+/[\\w.-]+/)?(?:${COLLECTION})/`,
);

/** Google's name at the end of a path or an address; what is to be done with it may follow. */
const GOOGLE_ADDRESS = new RegExp(`(?:^|/)((?:${COLLECTION})/[\\w-]+)(?::\\w+)?$`);

/** In characters; addresses are no longer either. */
const SHORTEST_NAME = 4;
const LONGEST_NAME = 300;

/** False for texts that need not be parsed to know that they name none. */
export function mayNameResource(text: string): boolean {
  return MAY_NAME_RESOURCE.test(text);
}

const WRAPPERS = ['file', 'response', 'interaction'];

/** The name of what an answer, or an event of a stream, says was made; undefined where it says no such thing. */
export function resourceIn(answer: unknown): string | undefined {
  // Gemini's uploads come wrapped, and so do the response and the interaction in an event.
  for (const each of [answer, ...WRAPPERS.map(name => property(answer, name))]) {
    const id = property(each, 'id');
    const kind = property(each, 'object') ?? property(each, 'type');
    if (typeof id === 'string' && typeof kind === 'string' && KINDS.has(kind)) {
      return id.length <= LONGEST_NAME ? id : undefined;
    }
    const name = property(each, 'name');
    const [, found] = typeof name === 'string' ? (GOOGLE_NAME.exec(name) ?? []) : [];
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Google has the second part of an upload sent to an address of its own, which belongs to who began it. */
export function uploadIn({ headers }: Response): string | undefined {
  const address = headers.get('x-goog-upload-url');
  if (address === null || !URL.canParse(address)) return undefined;
  return new URL(address).searchParams.get('upload_id') ?? undefined;
}

/**
 * Of the names that a request uses, those that are known: in its path, its query, its form, or as strings of its
 * JSON. Nothing is parsed, and nothing is too far behind.
 */
export function resourcesUsed(
  { url }: Pick<Target, 'url'>,
  body: unknown,
  known: { has(name: string): boolean },
): string[] {
  const found = new Set<string>();
  const see = (text: string): void => {
    if (known.has(text)) found.add(text);
    const name = text.includes('/') ? GOOGLE_ADDRESS.exec(text)?.[1] : undefined;
    if (name !== undefined && known.has(name)) found.add(name);
  };
  let before = '';
  for (const part of url.pathname.split('/')) {
    see(part.split(':', 1)[0]!);
    see(`${before}/${part}`);
    before = part;
  }
  for (const [, value] of url.searchParams) see(value);
  if (body instanceof FormData || body instanceof URLSearchParams) {
    for (const [, value] of body as Iterable<[string, unknown]>) if (typeof value === 'string') see(value);
    return [...found];
  }
  // Names are ASCII.
  const text = typeof body === 'string' ? body : bytesOf(body)?.toString('latin1');
  if (text !== undefined) forEachShortString(text, see);
  return [...found];
}

/**
 * Calls `see` with what stands between two quotes of JSON. That may as well be what stands between two strings, which
 * is no name. Within a text quotes are escaped: who speaks of a name there does not use it.
 */
function forEachShortString(json: string, see: (text: string) => void): void {
  let open = json.indexOf('"');
  for (let close = json.indexOf('"', open + 1); close !== -1; close = json.indexOf('"', open + 1)) {
    const length = close - open - 1;
    const isShort = length >= SHORTEST_NAME && length <= LONGEST_NAME;
    if (isShort && json[open - 1] !== '\\' && json[close - 1] !== '\\' && json[close + 1] !== ':') {
      const text = json.slice(open + 1, close);
      // Some encoders escape slashes, too.
      see(text.includes('\\/') ? text.replaceAll('\\/', '/') : text);
    }
    open = close;
  }
}
