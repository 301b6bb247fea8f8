import { Redactor } from '../keys/redaction.ts';
import { passage, type BegunBody } from './passage.ts';
import type { Report } from './report.ts';
import { rebuilt } from './response.ts';
import { EventReader, type ServerEvent } from './server-events.ts';
import { statusOf, verdictOf, type Verdict } from './stream-error.ts';
import { StreamUsage } from './usage.ts';

/** Content that has not come after this much will not be waited for. */
const LONGEST_PRELUDE_BYTES = 256 * 1024;
const LONGEST_PRELUDE_EVENTS = 16;

/** They speak of the stream, not of the error taken out of it. */
const HEADERS_OF_A_STREAM = ['content-encoding', 'content-length', 'transfer-encoding'];

/**
 * Looks at a stream of events up to its first content. An error before that comes back as the error answer it
 * should have been, so that another key can be tried; nobody has seen anything yet. Any other stream comes back
 * whole, and what it used and made is reported.
 */
export async function pastFirstEvent(
  response: Response,
  body: ReadableStream<Uint8Array>,
  report: Report,
  secret: string | undefined,
): Promise<Response> {
  const begun: BegunBody = { head: [], rest: body.getReader() };
  const events = new EventReader();
  const usage = new StreamUsage(report);
  const hear = (heard: readonly ServerEvent[]): readonly ServerEvent[] => {
    usage.hear(heard);
    return heard;
  };

  const verdict = await firstVerdict(begun, chunk => hear(events.read(chunk)), () => hear(events.end()));
  if (typeof verdict === 'object') {
    begun.rest.cancel().catch(() => {
      // Broken off already.
    });
    return errorAnswer(response, verdict.error);
  }
  return rebuilt(
    response,
    passage(begun, {
      saw: chunk => void hear(events.read(chunk)),
      ended: () => {
        hear(events.end());
        usage.end();
      },
    }, secret === undefined ? undefined : chunk => withoutKey(chunk, secret)),
  );
}

/**
 * What goes wrong in mid-stream is told by an event, and some providers repeat the key. Events come whole, as a rule;
 * to hold text back until it is sure would slow down every stream.
 */
function withoutKey(chunk: Uint8Array, secret: string): Uint8Array {
  const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (!bytes.includes(secret)) return chunk;
  // Letters may be cut in two here, and a mask has one that is no single byte.
  return Buffer.from(new Redactor([secret]).headerText(bytes.toString('latin1')), 'latin1');
}

async function firstVerdict(
  { head, rest }: BegunBody,
  read: (chunk: Uint8Array) => readonly ServerEvent[],
  end: () => readonly ServerEvent[],
): Promise<Verdict> {
  let bytes = 0;
  let silent = 0;
  for (;;) {
    const { done, value } = await rest.read();
    if (!done) {
      if (value.byteLength > 0) head.push(value);
      bytes += value.byteLength;
    }
    for (const event of done ? end() : read(value)) {
      const verdict = verdictOf(event);
      if (verdict !== 'nothing') return verdict;
      silent++;
    }
    if (done || bytes > LONGEST_PRELUDE_BYTES || silent > LONGEST_PRELUDE_EVENTS) return 'content';
  }
}

function errorAnswer(response: Response, error: unknown): Response {
  const headers = new Headers(response.headers);
  for (const name of HEADERS_OF_A_STREAM) headers.delete(name);
  headers.set('content-type', 'application/json');
  return rebuilt(response, JSON.stringify(error), { status: statusOf(error), headers });
}
