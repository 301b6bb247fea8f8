import { Flow, type Audience } from './audience.ts';

/** Plays an answer to whoever has asked a dispatcher for it. */
export async function play(ask: (signal: AbortSignal) => Promise<Response>, audience: Audience): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const flow = new Flow();
  let response: Response | undefined;
  try {
    audience.connected(reason => {
      controller.abort(reason ?? undefined);
      // It waits for nothing any more.
      flow.resume();
    }, flow);
    signal.throwIfAborted();
    response = await ask(signal);
    audience.headers(response);
    const reader: ReadableStreamDefaultReader<Uint8Array> | undefined = response.body?.getReader();
    for (;;) {
      await flow.open();
      signal.throwIfAborted();
      const chunk = await reader?.read();
      if (!chunk || chunk.done) break;
      const { buffer, byteOffset, byteLength } = chunk.value;
      audience.data(Buffer.from(buffer, byteOffset, byteLength));
    }
    audience.ended();
  } catch (error) {
    // What a handler throws ends its request.
    if (!signal.aborted) controller.abort(error);
    audience.failed(error);
  }
}
