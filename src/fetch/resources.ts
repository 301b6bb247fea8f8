import { property } from '../faults/safe-read.ts';
import { SEARCHED } from './json-members.ts';
import type { Target } from './request.ts';

/** Of more names in a request the rest is not looked for. Most of them are ordinary words, and stand for nothing. */
const MOST_NAMES = 1000;

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

/** How the ids of those begin. Mistral's are UUIDs, but for its agents. */
const PREFIXES = [
  'ag',
  'agent',
  'assistant',
  'asst',
  'batch',
  'cntr',
  'container',
  'conv',
  'env',
  'eval',
  'evalrun',
  'file',
  'ft',
  'ftjob',
  'memstore',
  'msgbatch',
  'resp',
  'sesn',
  'skill',
  'thread',
  'upload',
  'v1',
  'video',
  'vlt',
  'vs',
];

/** What Google's names of such things begin with. Operations may stand under the model that they are of. */
const COLLECTIONS = ['files', 'cachedContents', 'batches', 'tunedModels', 'fileSearchStores', 'operations'];

const KIND = [...KINDS].map(kind => kind.replace('.', '\\.')).join('|');
const COLLECTION = COLLECTIONS.join('|');

const GOOGLE_NAME = new RegExp(`^(?:[\\w-]+/[\\w.-]+/)?((?:${COLLECTION})/[\\w-]+)$`);

const MAY_NAME_RESOURCE = new RegExp(
  `"(?:object|type)"\\s*:\\s*"(?:${KIND})"|"name"\\s*:\\s*"(?:[\\w-]+/[\\w.-]+/)?(?:${COLLECTION})/`,
);

/** What may be the name of one, in an address or a body. */
const NAMES = [
  new RegExp(`\\b(?:${PREFIXES.join('|')})[-_][\\w-]{1,120}`, 'g'),
  new RegExp(`\\b(?:${COLLECTION})/[\\w-]{1,64}`, 'g'),
  /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g,
];

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
    if (typeof id === 'string' && typeof kind === 'string' && KINDS.has(kind)) return id;
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

/** Names in a request that may be those of things one key has made. */
export function resourcesUsed({ url }: Pick<Target, 'url'>, body: unknown): string[] {
  const upload = url.searchParams.get('upload_id');
  const found = new Set<string>(upload === null ? [] : [upload]);
  for (const text of [url.pathname, textOf(body)]) {
    for (const pattern of NAMES) {
      for (const [name] of text.matchAll(pattern)) {
        if (found.size >= MOST_NAMES) return [...found];
        found.add(name);
      }
    }
  }
  return [...found];
}

function textOf(body: unknown): string {
  if (typeof body === 'string') return body.slice(0, SEARCHED);
  return body instanceof Uint8Array ? Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8', 0, SEARCHED) : '';
}
