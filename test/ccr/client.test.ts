import { tracingChannel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer, request, type ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { clientSignal, watchClients } from '../../src/ccr/client.ts';
import { opened } from '../integration/harness.ts';

const channel = tracingChannel<unknown, object>('fastify.request.handler');

let unwatch: () => void;

beforeEach(() => {
  unwatch = watchClients();
});
afterEach(() => unwatch());

/** Serves as Fastify does: the handler runs once the request has been announced. */
async function serve(handler: (response: ServerResponse) => void): Promise<number> {
  const server = createServer((_, response) => {
    channel.start.runStores({ reply: { raw: response } }, () => handler(response));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened({
    close: () =>
      new Promise<void>(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}

/** A promise, and what settles it. */
function arrival<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: ((value: T) => void) | undefined;
  const promise = new Promise<T>(settle => {
    resolve = settle;
  });
  return { promise, resolve: value => resolve?.(value) };
}

test('is aborted when the client leaves, also after a wait of the handler', async () => {
  const { promise, resolve } = arrival<AbortSignal | undefined>();
  const port = await serve(() => {
    void Promise.resolve().then(() => resolve(clientSignal()));
  });
  const client = request({ port }).on('error', () => undefined);
  client.end();
  const signal = await promise;
  if (!signal) throw new Error('no client is known');
  expect(signal.aborted).toBe(false);
  const aborted = once(signal, 'abort');
  client.destroy();
  await aborted;
  expect(signal.reason).toMatchObject({ name: 'AbortError' });
});

test('is not aborted by a client that has its answer', async () => {
  const signals: (AbortSignal | undefined)[] = [];
  const { promise: closed, resolve } = arrival<undefined>();
  const port = await serve(response => {
    signals.push(clientSignal());
    response.once('close', () => resolve(undefined)).end('hello');
  });
  await (await fetch(`http://127.0.0.1:${port}`)).text();
  await closed;
  expect(signals).toEqual([expect.objectContaining({ aborted: false })]);
});

test('is the same for all that is done for one answer, which is listened to once', async () => {
  const { promise, resolve } = arrival<readonly [number, number]>();
  const port = await serve(response => {
    const before = response.listenerCount('close');
    const signals = Array.from({ length: 15 }, clientSignal);
    resolve([new Set(signals).size, response.listenerCount('close') - before]);
    response.end();
  });
  await fetch(`http://127.0.0.1:${port}`);
  expect(await promise).toEqual([1, 1]);
});

test('is known as long as somebody watches', async () => {
  const other = watchClients();
  unwatch();
  unwatch();
  const signals: (AbortSignal | undefined)[] = [];
  const port = await serve(response => {
    signals.push(clientSignal());
    response.end();
  });
  await fetch(`http://127.0.0.1:${port}`);
  other();
  await fetch(`http://127.0.0.1:${port}`);
  expect(signals).toEqual([expect.any(AbortSignal), undefined]);
});

test('is aborted at once where the client has left already', async () => {
  const { promise, resolve } = arrival<AbortSignal | undefined>();
  const port = await serve(response => {
    response.once('close', () => {
      channel.start.runStores({ reply: { raw: response } }, () => resolve(clientSignal()));
    });
    client.destroy();
  });
  const client = request({ port }).on('error', () => undefined);
  client.end();
  expect(await promise).toMatchObject({ aborted: true });
});

test.each([{}, { reply: null }, { reply: { raw: 'something else' } }])('is unknown where %j was announced', message => {
  channel.start.runStores(message, () => {
    expect(clientSignal()).toBeUndefined();
  });
});

test('is unknown outside a request, and when nobody watches', async () => {
  expect(clientSignal()).toBeUndefined();
  unwatch();
  const { promise, resolve } = arrival<AbortSignal | undefined>();
  const port = await serve(response => {
    resolve(clientSignal());
    response.end();
  });
  await fetch(`http://127.0.0.1:${port}`);
  expect(await promise).toBeUndefined();
});
