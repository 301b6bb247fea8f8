import { property } from '../faults/safe-read.ts';
import { SEARCHED } from './json-members.ts';
import type { Target } from './request.ts';

/** A request with more names than this is about something else. */
const MOST_NAMES = 100;

/**
 * What answers call the things that stay at the provider and belong to who made them: OpenAI and its relatives in
 * `object`, Anthropic in `type`.
 */
const KINDS = new Set([
  'assistant',
  'batch',
  'container',
  'conversation',
  'file',
  'fine_tuning.job',
  'message_batch',
  'response',
  'thread',
  'upload',
  'vector_store',
]);

/** Google's names of such things. */
const GOOGLE_NAME = /^(?:files|cachedContents|batches|tunedModels|fileSearchStores)\/[\w-]+$/;

const MAY_NAME_RESOURCE =
  /"(?:object|type)"\s*:\s*"(?:assistant|batch|container|conversation|file|fine_tuning\.job|message_batch|response|thread|upload|vector_store)"|"name"\s*:\s*"(?:files|cachedContents|batches|tunedModels|fileSearchStores)\//;

/** What may be the name of one, in an address or a body. Mistral's are UUIDs. */
const NAMES = [
  /\b(?:asst|batch|cntr|container|conv|file|ft(?:job)?|msgbatch|resp|thread|upload|vs)[-_][\w-]{4,120}/g,
  /\b(?:files|cachedContents|batches|tunedModels|fileSearchStores)\/[\w-]{1,64}/g,
  /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g,
];

/** False for texts that need not be parsed to know that they name none. */
export function mayNameResource(text: string): boolean {
  return MAY_NAME_RESOURCE.test(text);
}

/** The name of what an answer, or an event of a stream, says was made; undefined where it says no such thing. */
export function resourceIn(answer: unknown): string | undefined {
  // Gemini's uploads come wrapped, and so does the response in an event.
  for (const each of [answer, property(answer, 'file'), property(answer, 'response')]) {
    const id = property(each, 'id');
    const kind = property(each, 'object') ?? property(each, 'type');
    if (typeof id === 'string' && typeof kind === 'string' && KINDS.has(kind)) return id;
    const name = property(each, 'name');
    if (typeof name === 'string' && GOOGLE_NAME.test(name)) return name;
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
