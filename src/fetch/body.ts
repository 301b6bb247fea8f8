import { passage, type BegunBody } from './passage.ts';

/** A request's body, to be sent once for each attempt. */
export interface ReplayableBody {
  /** What fetch takes as a body; a stream that was short enough is bytes by now. */
  readonly content: unknown;
  /** False for a stream that was too long to keep: it can be sent once. */
  readonly isReplayable: boolean;
}

/** The same memory as a Buffer; undefined for a body that is no bytes. */
export function bytesOf(body: unknown): Buffer | undefined {
  if (ArrayBuffer.isView(body)) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return body instanceof ArrayBuffer ? Buffer.from(body) : undefined;
}

/**
 * Strings, bytes, forms and blobs can be sent again as they are. A stream is read first, up to `maxBytes`: only
 * then is it known whether it can be sent twice.
 *
 * @throws the signal's reason, where it aborts before that; whatever the stream fails with
 */
export async function replayable(
  body: unknown,
  maxBytes: number,
  signal: AbortSignal | undefined,
): Promise<ReplayableBody> {
  const stream = streamOf(body);
  if (!stream) return { content: body, isReplayable: true };
  const begun: BegunBody = { head: [], rest: stream.getReader() };
  const abandon = (): void => {
    begun.rest.cancel(signal?.reason).catch(() => {
      // It failed on its own, which is no news any more.
    });
  };
  signal?.addEventListener('abort', abandon, { once: true });
  try {
    const isComplete = await readUpTo(begun, maxBytes);
    signal?.throwIfAborted();
    return isComplete
      ? { content: new Uint8Array(Buffer.concat(begun.head)), isReplayable: true }
      : { content: passage(begun), isReplayable: false };
  } finally {
    signal?.removeEventListener('abort', abandon);
  }
}

/** False where there is more to come. */
async function readUpTo({ head, rest }: BegunBody, maxBytes: number): Promise<boolean> {
  for (let bytes = 0; bytes <= maxBytes; ) {
    const { done, value } = await rest.read();
    if (done) return true;
    head.push(value);
    bytes += value.byteLength;
  }
  return false;
}

function streamOf(body: unknown): ReadableStream<Uint8Array> | undefined {
  if (body instanceof ReadableStream) return body.pipeThrough(asBytes());
  // Node's own streams, and generators.
  if (typeof body !== 'object' || body === null || !(Symbol.asyncIterator in body)) return undefined;
  return ReadableStream.from(body as AsyncIterable<unknown>).pipeThrough(asBytes());
}

function asBytes(): TransformStream<unknown, Uint8Array> {
  return new TransformStream({
    transform(chunk, controller) {
      if (typeof chunk === 'string') controller.enqueue(Buffer.from(chunk));
      else if (chunk instanceof Uint8Array) controller.enqueue(chunk);
      else throw new TypeError('A chunk of the request body is neither text nor bytes');
    },
  });
}
