import type { DispatchOptions } from './dispatch-target.ts';

/** All that is needed of a dispatcher of undici, in any of its versions. */
export interface Sender {
  dispatch(options: object, handler: object): boolean;
}

/** What newer versions give a handler to steer its request with. */
export interface DispatchController {
  abort(reason: unknown): void;
  pause(): void;
  resume(): void;
}

const NULL_BODY_STATUSES = new Set([204, 205, 304]);

/**
 * A `fetch` of one attempt through `dispatcher`, with the options the request came with. It follows no redirect and
 * decodes nothing.
 */
export function fetchBy(dispatcher: Sender, options: DispatchOptions): typeof fetch {
  return (input, { method, headers, body, signal } = {}) =>
    new Promise((resolve, reject) => {
      const { origin, pathname, search } = new URL(input instanceof Request ? input.url : input);
      const fields = new Headers(headers);
      // A coded answer cannot be looked into: neither its errors nor its usage.
      fields.set('accept-encoding', 'identity');
      dispatcher.dispatch(
        {
          ...options,
          origin,
          path: pathname + search,
          query: undefined,
          method: method ?? 'GET',
          headers: [...fields].flat(),
          body: body ?? null,
        },
        new Reception(resolve, reject, signal ?? undefined),
      );
    });
}

/** Makes a Response of what a dispatcher hands to it. Its methods are those of both kinds of handlers. */
class Reception {
  private readonly resolve: (response: Response) => void;
  private readonly reject: (reason: unknown) => void;
  private readonly signal: AbortSignal | undefined;
  private stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  private abort: (reason: unknown) => void = () => undefined;
  private resume: () => void = () => undefined;

  constructor(
    resolve: (response: Response) => void,
    reject: (reason: unknown) => void,
    signal: AbortSignal | undefined,
  ) {
    this.resolve = resolve;
    this.reject = reject;
    this.signal = signal;
  }

  onConnect(abort: (reason: unknown) => void): void {
    this.abort = abort;
    if (this.signal?.aborted) abort(this.signal.reason);
    else this.signal?.addEventListener('abort', this.onAbort, { once: true });
  }

  onHeaders(status: number, rawHeaders: readonly unknown[], resume: () => void, statusText?: string): boolean {
    if (status < 200) return true;
    const headers = new Headers();
    for (let at = 0; at < rawHeaders.length; at += 2) {
      const name = asText(rawHeaders[at]);
      const value = rawHeaders[at + 1];
      for (const each of Array.isArray(value) ? value : [value]) headers.append(name, asText(each));
    }
    this.resume = resume;
    const body = new ReadableStream<Uint8Array>({
      start: controller => {
        this.stream = controller;
      },
      pull: () => this.resume(),
      cancel: reason => this.abort(reason),
    });
    this.resolve(new Response(NULL_BODY_STATUSES.has(status) ? null : body, { status, statusText: statusText ?? '', headers }));
    return true;
  }

  onData(chunk: Uint8Array): boolean {
    // A copy: the memory is the parser's, and used again. Resumed, it may begin with a chunk of nothing, which would
    // ask for the next before the network has its turn.
    if (chunk.byteLength > 0) this.stream?.enqueue(new Uint8Array(chunk));
    return (this.stream?.desiredSize ?? 0) > 0;
  }

  onComplete(): void {
    this.leave();
    this.stream?.close();
  }

  onError(error: unknown): void {
    this.leave();
    this.reject(error);
    this.stream?.error(error);
  }

  onRequestStart(controller: DispatchController): void {
    this.onConnect(reason => controller.abort(reason));
  }

  onResponseStart(
    controller: DispatchController,
    status: number,
    headers: Readonly<Record<string, unknown>>,
    statusText?: string,
  ): void {
    this.onHeaders(status, Object.entries(headers).flat(1), () => controller.resume(), statusText);
  }

  onResponseData(controller: DispatchController, chunk: Uint8Array): void {
    if (!this.onData(chunk)) controller.pause();
  }

  onResponseEnd(): void {
    this.onComplete();
  }

  onResponseError(_controller: DispatchController, error: unknown): void {
    this.onError(error);
  }

  private readonly onAbort = (): void => this.abort(this.signal?.reason);

  private leave(): void {
    this.signal?.removeEventListener('abort', this.onAbort);
  }
}

function asText(value: unknown): string {
  return Buffer.isBuffer(value) ? value.toString('latin1') : String(value);
}
