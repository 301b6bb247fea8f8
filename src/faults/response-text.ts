import type { Clock, TimerHandle } from '../clock.ts';
import { safely } from './safe-read.ts';

const MAX_BYTES = 64 * 1024;
const MAX_WAIT_MS = 2000;

/** True for a fetch Response, the platform's own or another implementation's. */
export function isResponse(value: unknown): value is Response {
  return responseStatus(value) !== undefined;
}

/** The status of a fetch Response; undefined for any other value. */
export function responseStatus(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  try {
    const candidate = value as { [Symbol.toStringTag]?: unknown; status?: unknown };
    // The tag first: a `status` of the caller's own objects may be a getter that does things.
    if (candidate[Symbol.toStringTag] !== 'Response') return undefined;
    const { status } = candidate;
    return typeof status === 'number' ? status : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The first 64 KB of a Response's body, read from a clone, so that the caller can still read the
 * original. What has come after 2 s, or before the connection broke, is all; a body that was read
 * already, or is no web stream, gives ''. Never rejects.
 */
export async function responseText(response: Response, clock: Clock): Promise<string> {
  const reader = cloneReader(response);
  if (!reader) return '';
  let timer: TimerHandle;
  const deadline = new Promise<undefined>((resolve) => {
    timer = clock.setTimeout(() => resolve(undefined), MAX_WAIT_MS);
  });
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (let left = MAX_BYTES; left > 0; ) {
      const chunk = await Promise.race([reader.read(), deadline]);
      if (!chunk || chunk.done) break;
      const bytes = chunk.value.subarray(0, left);
      text += decoder.decode(bytes, { stream: true });
      // An empty chunk costs a byte too, or a source of nothing else would keep the timer from ever running.
      left -= Math.max(1, bytes.length);
    }
  } catch {
    // A body that breaks off still says what it said.
  } finally {
    clock.clearTimeout(timer);
    // Not waited for: it settles only when the original is read or cancelled too, the caller's affair.
    safely(() => void reader.cancel().catch(() => undefined));
  }
  return text;
}

function cloneReader(response: Response): ReadableStreamDefaultReader<Uint8Array> | undefined {
  return safely(() => (response.bodyUsed ? undefined : response.clone().body?.getReader()));
}
