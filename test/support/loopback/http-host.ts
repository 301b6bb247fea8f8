import { createServer } from 'node:http';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../../src/clock.ts';

export interface IncomingRequest {
  readonly method: string;
  /** Without the query, which may hold a key. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A string is sent as it is, anything else as JSON. */
  readonly body?: unknown;
  /** Sent one by one in place of a body. */
  readonly chunks?: readonly string[];
  /** `cut` breaks the connection half-way, `stall` stops there and never ends. */
  readonly ending?: 'complete' | 'cut' | 'stall';
}

/** An answer, or none: `hang` keeps the connection open for ever, `reset` breaks it at once. */
export type Outcome = Reply | 'hang' | 'reset';

/** What the host writes down of each request. */
export interface WireEntry {
  /** When the request arrived, epoch ms of the server's clock. */
  readonly at: number;
  readonly method: string;
  readonly path: string;
  /** The status sent; undefined while unanswered. */
  status: number | undefined;
  /** True once the client went away before the answer was complete. */
  aborted: boolean;
}

export interface HostOptions<Entry extends WireEntry> {
  readonly clock: Clock;
  /** Time from a request to its answer, and between the chunks of a stream. */
  readonly latencyMs: number | (() => number);
  readonly chunkDelayMs: number;
  /** Turns the bare facts into the entry that is logged. */
  readonly log: (bare: WireEntry) => Entry;
  readonly answer: (request: IncomingRequest, entry: Entry) => Outcome | Promise<Outcome>;
}

export interface Host<Entry extends WireEntry> {
  /** `http://127.0.0.1:port`, without a trailing slash. */
  readonly url: string;
  /** In the order of arrival. */
  readonly requests: readonly Entry[];
  /** Resolves once `count` requests have arrived since the start. */
  arrived(count: number): Promise<void>;
  /** Resolves once no request is under way: answered, broken off, or abandoned by its client. */
  idle(): Promise<void>;
  /** Breaks all connections, hung ones too, and frees the port. */
  close(): Promise<void>;
}

/** An HTTP server on a free port of 127.0.0.1. */
export async function startHost<Entry extends WireEntry>(options: HostOptions<Entry>): Promise<Host<Entry>> {
  const { clock } = options;
  const requests: Entry[] = [];
  const waiting = new Set<{ readonly met: () => boolean; readonly resolve: () => void }>();
  let underWay = 0;
  let closing = false;

  function changed(): void {
    for (const waiter of waiting) {
      if (!waiter.met()) continue;
      waiting.delete(waiter);
      waiter.resolve();
    }
  }

  function until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve) => {
      waiting.add({ met, resolve });
    });
  }

  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', 'http://loopback');
    const entry = options.log({
      at: clock.now(),
      method: incoming.method ?? 'GET',
      path: url.pathname,
      status: undefined,
      aborted: false,
    });
    let dropped = false;
    underWay += 1;
    requests.push(entry);
    response.once('close', () => {
      entry.aborted = !response.writableFinished && !dropped && !closing;
      underWay -= 1;
      changed();
    });
    changed();

    const body = await readBody(incoming);
    if (body === undefined) return;
    const request: IncomingRequest = {
      method: entry.method,
      path: entry.path,
      query: url.searchParams,
      headers: incoming.headers,
      body,
    };
    const outcome = await options.answer(request, entry);
    await pause(clock, typeof options.latencyMs === 'number' ? options.latencyMs : options.latencyMs(), response);
    if (response.destroyed || outcome === 'hang') return;
    if (outcome === 'reset') {
      dropped = true;
      incoming.socket.resetAndDestroy();
      return;
    }
    entry.status = outcome.status;
    await send(outcome, response, () => pause(clock, options.chunkDelayMs, response));
    if (outcome.ending === 'cut') {
      dropped = true;
      incoming.socket.destroy();
    }
  }

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      // A mistake in a server's own code must fail the test that met it, not hang it.
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(`loopback server: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    });
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('the server has no port'));
      else resolve(address.port);
    });
  });

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    arrived: (count) => until(() => requests.length >= count),
    idle: () => until(() => underWay === 0),
    close: () =>
      new Promise((resolve) => {
        closing = true;
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Undefined where the client went away half-way. */
async function readBody(incoming: IncomingMessage): Promise<Buffer | undefined> {
  try {
    const parts: Buffer[] = [];
    for await (const part of incoming as AsyncIterable<Buffer>) parts.push(part);
    return Buffer.concat(parts);
  } catch {
    return undefined;
  }
}

/** Ends early when the client goes away. */
function pause(clock: Clock, delayMs: number, response: ServerResponse): Promise<void> {
  if (delayMs <= 0 || response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = clock.setTimeout(done, delayMs);
    response.once('close', done);
    function done(): void {
      clock.clearTimeout(timer);
      response.off('close', done);
      resolve();
    }
  });
}

async function send(reply: Reply, response: ServerResponse, betweenChunks: () => Promise<void>): Promise<void> {
  const whole = reply.ending === undefined || reply.ending === 'complete';
  const text = typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body ?? {});
  const chunks = reply.chunks ?? (whole ? [text] : [text.slice(0, Math.ceil(text.length / 2))]);
  const sent = whole || reply.chunks === undefined ? chunks : chunks.slice(0, Math.max(1, chunks.length >> 1));
  const type = reply.chunks ? 'text/event-stream' : typeof reply.body === 'string' ? 'text/plain' : 'application/json';
  const length = reply.chunks ? {} : { 'content-length': String(Buffer.byteLength(text)) };
  response.writeHead(reply.status, { 'content-type': type, ...length, ...reply.headers });
  for (const [index, chunk] of sent.entries()) {
    if (index > 0) await betweenChunks();
    if (response.destroyed) return;
    response.write(chunk);
    // Each chunk leaves on its own, so that a client meets a stream in pieces.
    await nextTurn();
  }
  if (whole) response.end();
}
