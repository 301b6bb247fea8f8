import type { Clock, TimerHandle } from '../clock.ts';

const MAX_BYTES = 64 * 1024;
const MAX_WAIT_MS = 2000;

/** True for a fetch Response, of the platform or of a library such as node-fetch. */
export function isResponse(value: unknown): value is Response {
  if (typeof value !== 'object' || value === null) return false;
  try {
    const candidate = value as { [Symbol.toStringTag]?: unknown; status?: unknown };
    return candidate[Symbol.toStringTag] === 'Response' && typeof candidate.status === 'number';
  } catch {
    return false;
  }
}

/**
 * The first 64 KB of a Response's body, read from a clone, so that the caller can still read the
 * original. What has come after 2 s, or before the connection broke, is all; a body that was read
 * already gives ''. Never rejects.
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
    // Settles only when the original is read or cancelled too, which is the caller's affair.
    reader.cancel().catch(() => undefined);
  }
  return text;
}

function cloneReader(response: Response): ReadableStreamDefaultReader<Uint8Array> | undefined {
  try {
    return response.bodyUsed ? undefined : response.clone().body?.getReader();
  } catch {
    return undefined;
  }
}
