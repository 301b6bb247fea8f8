import { getEventListeners, once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { Stream } from 'openai/core/streaming.mjs';
import { describe, expect, test } from 'vitest';
import type { Bench } from './support.ts';
import { benchOf, rejectionOf, settle } from './support.ts';

const KEY = { id: 'k', key: 'secret-k', limits: { concurrency: 1 } };
const KEYS = { keyManagement: { providers: { llm: { keys: [KEY] } } } };

/** How many attempts hold the only key. */
function inFlight({ guard }: Bench): number | undefined {
  return guard.keys.get('llm', 'k').inFlight;
}

function webStream(...chunks: string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift();
      if (chunk === undefined) controller.close();
      else controller.enqueue(encoder.encode(chunk));
    },
  });
}

function failingStream(): ReadableStream<Uint8Array> {
  let pulls = 0;
  return new ReadableStream({
    pull(controller) {
      if (pulls++ === 0) controller.enqueue(new Uint8Array(1));
      else controller.error(new Error('connection lost'));
    },
  });
}

async function* counting(log: string[] = []): AsyncGenerator<number> {
  try {
    yield 1;
    await Promise.resolve();
    yield 2;
  } finally {
    log.push('closed');
  }
}

/** Runs a call whose callback answers with `value`, and checks that the key is held for it. */
async function answered<T>(value: T): Promise<{ bench: Bench; value: T }> {
  const bench = benchOf(KEYS);
  const result = await bench.guard.execute(() => Promise.resolve(value), 'llm');
  expect(result).toBe(value);
  await settle();
  expect(inFlight(bench)).toBe(1);
  return { bench, value: result };
}

async function expectReleased(bench: Bench): Promise<void> {
  await settle();
  expect(inFlight(bench)).toBe(0);
  // Exactly once: a second release would leave -1 after the next call.
  await bench.guard.execute(() => 'plain', 'llm');
  expect(inFlight(bench)).toBe(0);
}

describe('a Response keeps its key until its body ends', () => {
  const json = (): Response => new Response(webStream('{"a"', ':1}'));

  test.each([
    ['text()', (response: Response) => response.text(), '{"a":1}'],
    ['json()', (response: Response) => response.json(), { a: 1 }],
    ['arrayBuffer()', async (response: Response) => (await response.arrayBuffer()).byteLength, 7],
    ['blob()', async (response: Response) => (await response.blob()).size, 7],
    ['clone(), which alone is read', (response: Response) => response.clone().text(), '{"a":1}'],
    ['clone(), both read', readTwice, '{"a":1}{"a":1}'],
    ['body.getReader()', readAll, '{"a":1}'],
    ['for await over the body', iterateAll, '{"a":1}'],
    ['body.pipeTo()', pipeAll, '{"a":1}'],
    ['body.pipeThrough()', pipeThroughAll, '{"a":1}'],
    ['body.tee()', async (response: Response) => new Response(response.body!.tee()[1]).text(), '{"a":1}'],
  ])('%s', async (_name, read: (response: Response) => Promise<unknown>, expected) => {
    const { bench, value } = await answered(json());
    expect(await read(value)).toEqual(expected);
    await expectReleased(bench);
  });

  test('that is cancelled', async () => {
    const { bench, value } = await answered(json());
    await value.body!.cancel();
    await expectReleased(bench);
  });

  test('of which the reader takes one chunk and leaves', async () => {
    const { bench, value } = await answered(json());
    for await (const chunk of value.body!) {
      expect(chunk).toBeDefined();
      break;
    }
    await expectReleased(bench);
  });

  test('that breaks off', async () => {
    const { bench, value } = await answered(new Response(failingStream()));
    expect(await rejectionOf(value.text())).toMatchObject({ message: 'connection lost' });
    await expectReleased(bench);
  });

  test('but a Response without a body holds nothing', async () => {
    const bench = benchOf(KEYS);
    await bench.guard.execute(() => new Response(null, { status: 204 }), 'llm');
    await expectReleased(bench);
  });

  test('and one that the callback has read already holds nothing', async () => {
    const bench = benchOf(KEYS);
    const response = json();
    await response.text();
    await bench.guard.execute(() => response, 'llm');
    await expectReleased(bench);
  });

  test('of node-fetch, whose body is a Node stream', async () => {
    const body = Readable.from(['a', 'b']);
    const { bench } = await answered({ [Symbol.toStringTag]: 'Response', status: 200, body });
    for await (const chunk of body) expect(chunk).toBeDefined();
    await expectReleased(bench);
  });
});

describe('other streams keep their key until they end', () => {
  test('a ReadableStream', async () => {
    const { bench, value } = await answered(webStream('a', 'b'));
    expect(await new Response(value).text()).toBe('ab');
    await expectReleased(bench);
  });

  test('a Node stream that is read to its end', async () => {
    const { bench, value } = await answered(Readable.from(['a', 'b']));
    const chunks: unknown[] = [];
    for await (const chunk of value) chunks.push(chunk);
    expect(chunks).toEqual(['a', 'b']);
    await expectReleased(bench);
  });

  test('a Node stream that is destroyed', async () => {
    const { bench, value } = await answered(Readable.from(['a', 'b']));
    value.destroy();
    await expectReleased(bench);
  });

  test('a Node stream that fails', async () => {
    const { bench, value } = await answered(new PassThrough());
    const errors: unknown[] = [];
    value.on('error', error => errors.push(error));
    value.destroy(new Error('socket hang up'));
    await expectReleased(bench);
    expect(errors).toMatchObject([{ message: 'socket hang up' }]);
  });

  test('the readable side of a duplex stream, whatever its other side does', async () => {
    const { bench, value } = await answered(new PassThrough({ allowHalfOpen: true }));
    value.push('a');
    value.push(null);
    value.resume();
    await expectReleased(bench);
  });

  test('an async generator that is read to its end', async () => {
    const { bench, value } = await answered(counting());
    const seen: number[] = [];
    for await (const item of value) seen.push(item);
    expect(seen).toEqual([1, 2]);
    await expectReleased(bench);
  });

  test('an async generator that is left early still runs its finally block', async () => {
    const log: string[] = [];
    const { bench, value } = await answered(counting(log));
    for await (const item of value) if (item === 1) break;
    expect(log).toEqual(['closed']);
    await expectReleased(bench);
  });

  test('an async generator that is told to throw', async () => {
    const log: string[] = [];
    const { bench, value } = await answered(counting(log));
    await value.next();
    expect(await rejectionOf(value.throw(new Error('no more')))).toMatchObject({ message: 'no more' });
    expect(log).toEqual(['closed']);
    await expectReleased(bench);
  });

  test('an async generator that throws', async () => {
    const { bench, value } = await answered(failing());
    expect(await rejectionOf(value.next())).toMatchObject({ message: 'bad event' });
    await expectReleased(bench);
  });

  test('an async iterable whose iterator is taken first', async () => {
    const { bench, value } = await answered({ [Symbol.asyncIterator]: () => counting() });
    const iterator: AsyncIterator<number> & AsyncIterable<number> = value[Symbol.asyncIterator]();
    expect(await iterator.next()).toEqual({ done: false, value: 1 });
    const rest: number[] = [];
    for await (const item of iterator) rest.push(item);
    expect(rest).toEqual([2]);
    await expectReleased(bench);
  });

  test('an async iterable without return and throw', async () => {
    const items = [1, 2];
    const iterable = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: items.length === 0, value: items.shift() }),
      }),
    };
    const { bench, value } = await answered(iterable);
    for await (const item of value) if (item === 1) break;
    await expectReleased(bench);
    const iterator: AsyncIterator<unknown> = value[Symbol.asyncIterator]();
    expect(await iterator.return?.('last')).toEqual({ done: true, value: 'last' });
    expect(await rejectionOf(iterator.throw!(new Error('mine')))).toMatchObject({ message: 'mine' });
  });

  test('a frozen async iterable cannot be watched, so it holds nothing', async () => {
    const bench = benchOf(KEYS);
    await bench.guard.execute(() => Object.freeze({ [Symbol.asyncIterator]: () => counting() }), 'llm');
    await expectReleased(bench);
  });
});

describe('a stream of the OpenAI SDK keeps its key until it ends', () => {
  const sse = 'data: {"n":1}\n\ndata: {"n":2}\n\ndata: [DONE]\n\n';
  const open = (): Stream<{ n: number }> => Stream.fromSSEResponse(new Response(sse), new AbortController());

  async function collect(stream: AsyncIterable<{ n: number }>): Promise<number[]> {
    const seen: number[] = [];
    for await (const { n } of stream) seen.push(n);
    return seen;
  }

  test('and is read to its end', async () => {
    const { bench, value } = await answered(open());
    expect(value).toBeInstanceOf(Stream);
    expect(await collect(value)).toEqual([1, 2]);
    await expectReleased(bench);
  });

  test('and is left early, which aborts the request as ever', async () => {
    const { bench, value } = await answered(open());
    for await (const { n } of value) if (n === 1) break;
    expect(value.controller.signal.aborted).toBe(true);
    await expectReleased(bench);
  });

  test('and is split by tee()', async () => {
    const { bench, value } = await answered(open());
    const [left, right] = value.tee();
    expect(await collect(left)).toEqual([1, 2]);
    expect(await collect(right)).toEqual([1, 2]);
    await expectReleased(bench);
  });

  test('and is passed on by toReadableStream()', async () => {
    const { bench, value } = await answered(open());
    expect(await new Response(value.toReadableStream()).text()).toBe('{"n":1}\n{"n":2}\n');
    await expectReleased(bench);
  });

  test('and is aborted by its controller, though nobody reads it', async () => {
    const { bench, value } = await answered(open());
    value.controller.abort();
    await expectReleased(bench);
  });
});

test('a stream whose key is removed meanwhile still ends well', async () => {
  const { bench, value } = await answered(new Response(webStream('a')));
  bench.guard.keys.remove('llm', 'k');
  expect(bench.guard.keys.list()[0]?.keys[0]).toMatchObject({ state: 'draining', inFlight: 1 });
  await value.text();
  await settle();
  expect(bench.guard.keys.list()[0]?.keys).toEqual([]);
});

test('the answer counts when the stream begins, not when it ends', async () => {
  const { bench } = await answered(new Response(webStream('a')));
  expect(bench.guard.keys.get('llm', 'k')).toMatchObject({ successes: 1, inFlight: 1 });
});

describe('the signal of a callback and the stream it returned', () => {
  test('its caller can still abort the stream', async () => {
    const { guard } = benchOf();
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const response = await guard.execute(
      ({ signal }) => {
        seen = signal;
        return new Response(webStream('a', 'b'));
      },
      { providerName: 'llm', signal: controller.signal },
    );
    controller.abort(new Error('enough'));
    expect(seen?.aborted).toBe(true);
    expect(seen?.reason).toMatchObject({ message: 'enough' });
    await response.body!.cancel();
  });

  test('a stream that has ended is not aborted afterwards', async () => {
    const { guard } = benchOf();
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const response = await guard.execute(
      ({ signal }) => {
        seen = signal;
        return new Response(webStream('a', 'b'));
      },
      { providerName: 'llm', signal: controller.signal },
    );
    await response.text();
    await settle();
    controller.abort();
    expect(seen?.aborted).toBe(false);
  });

  test('a generator may ask for it only while it is read', async () => {
    const { guard } = benchOf();
    const controller = new AbortController();
    const stream = await guard.execute(
      async function* (context) {
        yield context.signal.aborted;
        await Promise.resolve();
        yield context.signal.aborted;
      },
      { signal: controller.signal },
    );
    expect(await stream.next()).toEqual({ done: false, value: false });
    controller.abort();
    expect(await stream.next()).toEqual({ done: false, value: true });
  });
});

async function* failing(): AsyncGenerator<number> {
  await Promise.resolve();
  throw new Error('bad event');
  yield 1;
}

async function readAll({ body }: Response): Promise<string> {
  const reader: ReadableStreamDefaultReader<Uint8Array> = body!.getReader();
  const decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value);
  }
}

async function iterateAll({ body }: Response): Promise<string> {
  let text = '';
  for await (const chunk of body!) text += Buffer.from(chunk).toString();
  return text;
}

async function pipeAll({ body }: Response): Promise<string> {
  let text = '';
  await body!.pipeTo(
    new WritableStream({
      write(chunk: Uint8Array) {
        text += Buffer.from(chunk).toString();
      },
    }),
  );
  return text;
}

function pipeThroughAll({ body }: Response): Promise<string> {
  return new Response(body!.pipeThrough(new TransformStream())).text();
}

async function readTwice(response: Response): Promise<string> {
  return (await response.clone().text()) + (await response.text());
}

describe('who has read a body to its end finds the key free again at once', () => {
  const reading: Record<string, (response: Response) => Promise<unknown>> = {
    'by text()': response => response.text(),
    'by json()': response => response.json(),
    'by arrayBuffer()': response => response.arrayBuffer(),
    'by blob()': response => response.blob(),
    'with a reader': async response => {
      const reader = response.body!.getReader();
      while (!(await reader.read()).done);
    },
    'in a loop': async response => {
      for await (const chunk of response.body!) expect(chunk).toBeInstanceOf(Uint8Array);
    },
  };

  test.each(Object.entries(reading))('%s', async (_name, read) => {
    const bench = benchOf(KEYS);
    const response = await bench.guard.execute(() => new Response(webStream('[1,', '2]')), 'llm');
    expect(inFlight(bench)).toBe(1);
    await read(response);
    expect(inFlight(bench)).toBe(0);
  });

  test('from a real server, so that one call after the other leaves the spare key alone', async () => {
    const server = createServer((_request, response) => response.end('hello'));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const bench = benchOf({
      keyManagement: { providers: { llm: { keys: [KEY, { id: 'spare', key: 'secret-spare', priority: 1 }] } } },
    });
    const used: (string | undefined)[] = [];
    try {
      for (let i = 0; i < 5; i++) {
        const call = bench.guard.execute(({ keyId }) => (used.push(keyId), fetch(url)), 'llm');
        await (await call).text();
      }
    } finally {
      server.close();
    }
    expect(used).toEqual(['k', 'k', 'k', 'k', 'k']);
  });
});

function fail(): never {
  throw new Error('no');
}

test.each([
  ['a getter', { get pipe() { throw new Error('no'); } }],
  // Whoever waits for it looks for a `then`.
  ['a lock on what it holds', new Proxy({}, { get(_, name) { return name === 'then' ? undefined : fail(); } })],
  ['a Proxy', new Proxy({}, { has() { throw new Error('no'); }, getPrototypeOf() { throw new Error('no'); } })],
])('an answer that cannot be looked into is handed over, and holds nothing: %s', async (_name, answer) => {
  const bench = benchOf({ ...KEYS, queue: { concurrency: 1 } });
  const { signal } = new AbortController();
  for (let i = 0; i < 2; i++) {
    expect(await bench.guard.execute(() => answer, { providerName: 'llm', signal }) === answer).toBe(true);
    expect(inFlight(bench)).toBe(0);
    expect(bench.guard.getStats().queue.processing).toBe(false);
  }
});

describe('the signal asked for while a stream is read', () => {
  const asking = (signal: AbortSignal): Promise<AsyncGenerator<AbortSignal>> =>
    benchOf().guard.execute(
      context => (async function* () {
        await Promise.resolve();
        yield context.signal;
      })(),
      { signal },
    );

  test('follows the caller, who is let go with the stream', async () => {
    const controller = new AbortController();
    const stream = await asking(controller.signal);
    expect((await stream.next()).value).toHaveProperty('aborted', false);
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1);
    await stream.next();
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
  });

  test('is aborted where the caller has aborted before', async () => {
    const controller = new AbortController();
    const stream = await asking(controller.signal);
    controller.abort(new Error('enough'));
    expect((await stream.next()).value).toMatchObject({ aborted: true, reason: { message: 'enough' } });
  });

  test('listens to nobody once all is over', async () => {
    const { signal } = new AbortController();
    const context = await benchOf().guard.execute(ctx => [ctx], { signal });
    expect(context[0]?.signal.aborted).toBe(false);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

test('the callback can neither abort nor end its own attempt', async () => {
  const context: object = await benchOf().guard.execute(ctx => ctx);
  expect(Object.getOwnPropertyNames(Object.getPrototypeOf(context)).sort()).toEqual([
    'bind',
    'constructor',
    'reportUsage',
    'signal',
    'toJSON',
  ]);
});
