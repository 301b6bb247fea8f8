import { describe, expect, test } from 'vitest';
import { fetchBy } from '../../src/register/dispatch-fetch.ts';
import { failureOf } from '../integration/harness.ts';

interface Older {
  onConnect(abort: (reason: unknown) => void): void;
  onHeaders(status: number, headers: readonly unknown[], resume: () => void, statusText?: string): boolean;
  onData(chunk: Uint8Array): boolean;
  onComplete(): void;
  onError(error: unknown): void;
}

interface Newer {
  onRequestStart(controller: object): void;
  onResponseStart(controller: object, status: number, headers: object, statusText?: string): void;
  onResponseData(controller: object, chunk: Uint8Array): void;
  onResponseEnd(): void;
  onResponseError(controller: object, error: unknown): void;
}

/** A fetch by a dispatcher that does with its handler what the test says. */
function fetchWith(act: (handler: Older & Newer, options: Record<string, unknown>) => void): typeof fetch {
  return fetchBy(
    {
      dispatch: (options, handler) => {
        act(handler as Older & Newer, { ...options });
        return true;
      },
    },
    { origin: 'http://first', path: '/', query: { a: 1 }, bodyTimeout: 5 },
  );
}

const nothing = (): void => undefined;

test('sends where it is told, with the options of the request', async () => {
  let sent: Record<string, unknown> = {};
  const send = fetchWith((handler, options) => {
    sent = options;
    handler.onConnect(nothing);
    handler.onHeaders(204, [], nothing);
    handler.onComplete();
  });
  await send(new Request('http://second/v1?b=2'));
  expect(sent).toEqual({
    origin: 'http://second', path: '/v1?b=2', query: undefined, method: 'GET', body: null, bodyTimeout: 5,
    headers: ['accept-encoding', 'identity'],
  });
});

test('passes information over, and reads headers of every shape', async () => {
  const send = fetchWith(handler => {
    handler.onConnect(nothing);
    expect(handler.onHeaders(103, [], nothing)).toBe(true);
    const many = [Buffer.from('b'), [Buffer.from('2'), '3'], 'c', 'x'];
    handler.onHeaders(201, [Buffer.from('A'), Buffer.from('é', 'latin1'), ...many], nothing, 'Created');
    handler.onData(Buffer.alloc(0));
    handler.onData(Buffer.from('hello'));
    handler.onComplete();
  });
  const answer = await send('http://host/');
  expect([answer.status, answer.statusText, await answer.text()]).toEqual([201, 'Created', 'hello']);
  expect(Object.fromEntries(answer.headers)).toEqual({ a: 'é', b: '2, 3', c: 'x' });
});

test('pauses a newer dispatcher while nobody reads, and resumes it', async () => {
  const said: string[] = [];
  const controller = { pause: () => said.push('pause'), resume: () => said.push('resume'), abort: nothing };
  const send = fetchWith(handler => {
    handler.onRequestStart(controller);
    handler.onResponseStart(controller, 200, { 'set-cookie': ['a=1', 'b=2'] });
    handler.onResponseData(controller, Buffer.from('one'));
    handler.onResponseEnd();
  });
  const answer = await send('http://host/');
  expect(said).toEqual(['pause']);
  expect([await answer.text(), answer.headers.getSetCookie()]).toEqual(['one', ['a=1', 'b=2']]);
});

describe('an abort', () => {
  const reason = new Error('enough');

  test('that came before ends the request as it begins', async () => {
    const send = fetchWith(handler => {
      handler.onRequestStart({ abort: (why: unknown) => handler.onResponseError({}, why) });
    });
    expect(await failureOf(send('http://host/', { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });

  test('reaches the dispatcher, from the signal and from the body', async () => {
    const aborted: unknown[] = [];
    const send = fetchWith(handler => {
      handler.onConnect(why => aborted.push(why));
      handler.onHeaders(200, [], nothing);
    });
    const controller = new AbortController();
    const answer = await send('http://host/', { signal: controller.signal });
    controller.abort(reason);
    await answer.body?.cancel('no more');
    expect(aborted).toEqual([reason, 'no more']);
  });

  test('is not listened for once the answer is complete', async () => {
    const aborted: unknown[] = [];
    const controller = new AbortController();
    const send = fetchWith(handler => {
      handler.onConnect(why => aborted.push(why));
      handler.onHeaders(200, [], nothing);
      handler.onComplete();
    });
    await send('http://host/', { signal: controller.signal });
    controller.abort(reason);
    expect(aborted).toEqual([]);
  });
});

test('fails where the dispatcher throws, or the connection breaks in the middle', async () => {
  const broken = new Error('broken');
  const throwing = fetchWith(() => {
    throw broken;
  });
  expect(await failureOf(throwing('http://host/'))).toBe(broken);
  const breaking = fetchWith(handler => {
    handler.onConnect(nothing);
    handler.onHeaders(200, [], nothing);
    handler.onError(broken);
  });
  expect(await failureOf((await breaking('http://host/')).text())).toBe(broken);
});
