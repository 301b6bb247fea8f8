import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import { isFailureValue, readErrorInSuccess, readEvidence } from '../../src/faults/evidence.ts';
import type { Evidence } from '../../src/faults/fault.ts';
import { ManualClock } from './manual-clock.ts';
import { genaiError, json, openaiError, openaiStreamError, thrownBy } from './sdk-errors.ts';

const clock = new ManualClock();

async function ofError(error: unknown): Promise<Evidence> {
  return readEvidence({ error }, clock);
}

async function ofValue(value: unknown): Promise<Evidence> {
  return readEvidence({ value }, clock);
}

/** A Response made by hand has no URL. */
function from(url: string, response: Response): Response {
  return Object.defineProperty(response, 'url', { value: url });
}

const QUOTA_BODY = {
  error: {
    message: 'You exceeded your current quota, please check your plan and billing details.',
    type: 'insufficient_quota',
    param: null,
    code: 'insufficient_quota',
  },
};

describe('errors of real SDKs', () => {
  test('openai: status, headers and body', async () => {
    const error = await openaiError(() => Promise.resolve(json(429, QUOTA_BODY, { 'Retry-After': '7' })));
    const evidence = await ofError(error);
    expect(evidence).toMatchObject({ status: 429, body: QUOTA_BODY.error, timedOut: false, aborted: false });
    expect(evidence.header('retry-after')).toBe('7');
    expect(evidence.header('X-Nothing')).toBeUndefined();
    expect(evidence.text).toContain('You exceeded your current quota');
  });

  test('openai: a body that is no JSON', async () => {
    const answer = new Response('Bad gateway', { status: 502 });
    const evidence = await ofError(await openaiError(() => Promise.resolve(answer)));
    expect(evidence).toMatchObject({ status: 502, text: '502 Bad gateway' });
    expect(evidence.body).toBeUndefined();
  });

  test('openai: an error event in a stream has a body and no status', async () => {
    const event = { error: { message: 'The server had an error', type: 'server_error', param: null, code: null } };
    const evidence = await ofError(await openaiStreamError(event));
    expect(evidence.status).toBeUndefined();
    expect(evidence.body).toEqual(event.error);
  });

  test('openai: the network, a timeout, and the caller who hung up are told apart', async () => {
    const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
    const failed = await openaiError(() => Promise.reject(new TypeError('fetch failed', { cause: reset })));
    expect(failed).toBeInstanceOf(OpenAI.APIConnectionError);
    expect(await ofError(failed)).toMatchObject({ networkCode: 'ECONNRESET', timedOut: false, aborted: false });

    const late = await openaiError(() => Promise.reject(new DOMException('gone', 'AbortError')));
    expect(late).toBeInstanceOf(OpenAI.APIConnectionTimeoutError);
    expect(await ofError(late)).toMatchObject({ timedOut: true, aborted: false });

    const left = await openaiError(() => Promise.reject(new Error('x')), { signal: AbortSignal.abort() });
    expect(left).toBeInstanceOf(OpenAI.APIUserAbortError);
    expect(await ofError(left)).toMatchObject({ timedOut: false, aborted: true });
  });

  test('openai: a bundler that renames classes hides nothing', async () => {
    class A extends Error {}
    expect((await ofError(new A('Request timed out.'))).timedOut).toBe(true);
    expect((await ofError(new A('Request was aborted.'))).aborted).toBe(true);
  });

  test('openai: a connection error that gives no reason is still one', async () => {
    const error = await openaiError(() => Promise.reject(new Error('socket gone')));
    expect((await ofError(error)).networkCode).toBe('FETCH_FAILED');
  });

  const GOOGLE_BODY = {
    error: { code: 403, message: 'Your API key was reported as leaked.', status: 'PERMISSION_DENIED' },
  };

  test('genai: the body is the text of the message', async () => {
    const evidence = await ofError(await genaiError(() => Promise.resolve(json(403, GOOGLE_BODY))));
    expect(evidence).toMatchObject({ status: 403, body: GOOGLE_BODY });
  });

  test('genai: a body it took for plain text is inside an error of its own', async () => {
    const answer = (): Promise<Response> =>
      Promise.resolve(new Response(`${JSON.stringify(GOOGLE_BODY, undefined, 2)}\n`, { status: 403 }));
    const evidence = await ofError(await genaiError(answer));
    expect(evidence).toMatchObject({ status: 403, body: GOOGLE_BODY });
  });

  test('genai: an error in a stream follows a few words', async () => {
    const message = `got status: PERMISSION_DENIED. ${JSON.stringify(GOOGLE_BODY)}`;
    expect((await ofError(Object.assign(new Error(message), { status: 403 }))).body).toEqual(GOOGLE_BODY);
  });

  test('a connection that is refused', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const error = await thrownBy(fetch(`http://127.0.0.1:${port}/`));
    expect(await ofError(error)).toMatchObject({ networkCode: 'ECONNREFUSED', timedOut: false, aborted: false });
  });

  test("the platform's own aborts", async () => {
    expect(await ofError(AbortSignal.abort().reason)).toMatchObject({ aborted: true, timedOut: false });
    const timeout = new DOMException('The operation was aborted due to timeout', 'TimeoutError');
    expect(await ofError(timeout)).toMatchObject({ aborted: false, timedOut: true });
    expect(await ofError(new DOMException('', 'AbortError'))).not.toHaveProperty('status');
    expect(await ofError(Object.assign(new Error('stop', { cause: timeout }), { name: 'AbortError' }))).toMatchObject({
      aborted: false,
      timedOut: true,
    });
  });
});

describe('where errors keep things', () => {
  test.each([
    ['status', { status: 429 }],
    ['status as text', { status: '429' }],
    ['statusCode', { statusCode: 429 }],
    ['response.status', { response: { status: 429 } }],
    ['response.statusCode', { response: { statusCode: 429 } }],
    ['a numeric code', { code: 429 }],
    ["AWS's metadata", { $metadata: { httpStatusCode: 429 } }],
    ['the cause', { cause: { cause: { status: 429 } } }],
    ['the last error of several', { lastError: { statusCode: 429 } }],
    ['past a status that is none', { status: 'RESOURCE_EXHAUSTED', statusCode: 200, code: 429 }],
  ])('the status: %s', async (_, fields) => {
    expect((await ofError(Object.assign(new Error('failed'), fields))).status).toBe(429);
  });

  test.each([
    ['an exit code', { status: 127 }],
    ['a gRPC code', { code: 8 }],
    ['a code of digits as text', { code: '42901' }],
    ['no whole number', { status: 429.5 }],
    ['no number', { status: Number.NaN, statusCode: 999n }],
    ['a success', { statusCode: 200 }],
    ['an id', { requestID: '403', id: 403 }],
  ])('no status: %s', async (_, fields) => {
    expect((await ofError(Object.assign(new Error('403 401 429'), fields))).status).toBeUndefined();
  });

  test.each([
    ['headers', { headers: new Headers({ 'Retry-After': '3' }) }],
    ['responseHeaders', { responseHeaders: { 'retry-after': '3' } }],
    ['response.headers', { response: { headers: { 'Retry-After': '3' } } }],
    ['a Map', { headers: new Map([['Retry-After', '3']]) }],
    ['values in an array', { headers: { 'RETRY-AFTER': ['3'] } }],
    ['a number', { headers: { 'retry-after': 3 } }],
    ['the cause', { cause: { headers: { 'retry-after': '3' } } }],
    ["AWS's response", { $response: { headers: { 'retry-after': '3' } } }],
  ])('headers: %s', async (_, fields) => {
    const { header } = await ofError(Object.assign(new Error('failed'), fields));
    expect(header('retry-after')).toBe('3');
    expect(header('Retry-After')).toBe('3');
    expect(header('date')).toBeUndefined();
  });

  test('headers that are something else say nothing', async () => {
    for (const headers of ['retry-after: 3', ['retry-after', '3'], { 'retry-after': { of: 3 } }, null]) {
      expect((await ofError({ headers })).header('retry-after')).toBeUndefined();
    }
    expect((await ofError({ headers: { 'set-cookie': ['a', 'b'] } })).header('set-cookie')).toBe('a, b');
  });

  test.each([
    ['error', { error: QUOTA_BODY }],
    ['body', { body: JSON.stringify(QUOTA_BODY) }],
    ['responseBody', { responseBody: JSON.stringify(QUOTA_BODY) }],
    ['data', { data: QUOTA_BODY }],
    ['response.data', { response: { data: QUOTA_BODY } }],
    ['response.body', { response: { body: JSON.stringify(QUOTA_BODY) } }],
    ["Google's array", { data: [QUOTA_BODY] }],
    ['past a body that is none', { error: new Error('inner'), body: 'Too many', data: QUOTA_BODY }],
    ['the cause', { cause: { data: QUOTA_BODY } }],
  ])('the body: %s', async (_, fields) => {
    const evidence = await ofError(Object.assign(new Error('Request failed with status code 429'), fields));
    expect(evidence.body).toEqual(QUOTA_BODY);
    expect(evidence.text).toMatch(/^Request failed.*exceeded your current quota/s);
  });

  test('a body of plain text is text', async () => {
    const evidence = await ofError(Object.assign(new Error('failed'), { body: '<h1>Busy</h1>' }));
    expect(evidence).toMatchObject({ text: 'failed\n<h1>Busy</h1>' });
    expect(evidence.body).toBeUndefined();
  });

  test('streams and class instances are no bodies', async () => {
    class Reply {
      message = 'no';
    }
    for (const body of [new ReadableStream(), Buffer.from('{}'), new Reply(), new Map(), () => 1]) {
      expect((await ofError({ status: 500, body })).body).toBeUndefined();
    }
  });

  test("the details that Google's older SDK keeps", async () => {
    const errorDetails = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }];
    const evidence = await ofError(Object.assign(new Error('[400 Bad Request] no'), { status: 400, errorDetails }));
    expect(evidence.body).toEqual({ error: { details: errorDetails, message: '[400 Bad Request] no' } });
  });

  test('of an error of AWS the name and the message are the body', async () => {
    const aws = Object.assign(new Error('Too many'), { name: 'ThrottlingException', $metadata: {} });
    expect((await ofError(aws)).body).toEqual({ __type: 'ThrottlingException', message: 'Too many' });
    expect((await ofError(Object.assign(new Error('x'), { name: 'Odd' }))).body).toBeUndefined();
  });

  test.each([
    ['fetch', json(500, {}), undefined],
    ['fetch of a URL', from('https://x.test/v1/a?key=secret', json(500, {})), '/v1/a'],
    ['axios', { response: { status: 500 }, config: { url: '/v1/a?key=secret' } }, '/v1/a'],
    ['a Response in an error', { response: from('https://x.test/a', json(500, {})) }, '/a'],
    ['something that is no URL', { config: { url: 'http://[' } }, undefined],
    ['something that is no text', { config: { url: 5 } }, undefined],
  ])('the path of the request, without the query: %s', async (_, error, path) => {
    expect((await ofError(error)).path).toBe(path);
  });

  test('text is bounded', async () => {
    const evidence = await ofError({ message: 'm'.repeat(1e6), body: 'b'.repeat(1e6) });
    expect(evidence.text.length).toBeLessThanOrEqual(64 * 1024);
  });

  test.each([
    'ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EPIPE',
    'UND_ERR_SOCKET', 'UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT',
    'CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_SSL_WRONG_VERSION_NUMBER',
  ])('%s is the network', async (code) => {
    const cause = Object.assign(new Error('down'), { code });
    expect((await ofError(cause)).networkCode).toBe(code);
    expect((await ofError(new TypeError('fetch failed', { cause }))).networkCode).toBe(code);
    expect((await ofError(Object.assign(new Error('HTTP'), { status: 500, cause }))).networkCode).toBeUndefined();
  });

  test.each(['ERR_INVALID_URL', 'UND_ERR_INVALID_ARG', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'ENOENT'])(
    '%s is a mistake on this side',
    async (code) => {
      const cause = Object.assign(new Error('mistake'), { code });
      expect((await ofError(new TypeError('fetch failed', { cause }))).networkCode).toBeUndefined();
    },
  );

  test('a fetch that failed without saying why is the network; a TypeError of the program is not', async () => {
    expect((await ofError(new TypeError('fetch failed'))).networkCode).toBe('FETCH_FAILED');
    expect((await ofError(new TypeError('terminated'))).networkCode).toBe('FETCH_FAILED');
    expect((await ofError(new TypeError('x is not a function'))).networkCode).toBeUndefined();
  });

  test.each([
    { name: 'CanceledError', code: 'ERR_CANCELED' },
    { name: 'Error', code: 'ABORT_ERR' },
  ])('an abort by any name: $code', async (fields) => {
    expect(await ofError(Object.assign(new Error('canceled'), fields))).toMatchObject({ aborted: true });
  });
});

describe('whatever can be thrown', () => {
  test.each([[null], [undefined], [429], [429n], [true], [Symbol('429')]])('%s says nothing', (error) => {
    expect(readEvidence({ error }, clock)).toMatchObject({ text: '', timedOut: false, aborted: false });
    expect(readEvidence({ error }, clock)).not.toHaveProperty('status');
  });

  test('a string is its text', async () => {
    expect(await ofError('{"error":{"code":"insufficient_quota"}}')).toEqual({
      header: expect.any(Function) as unknown,
      text: '{"error":{"code":"insufficient_quota"}}',
      timedOut: false,
      aborted: false,
    });
  });

  test('causes that go round or never end', async () => {
    const loop: Record<string, unknown> = { message: 'a' };
    loop.cause = { cause: loop, message: 'b' };
    expect((await ofError(loop)).text).toBe('a\nb');
    loop.error = loop;
    expect((await ofError(loop)).body).toMatchObject({ message: 'a', error: { message: 'a' } });
    let reads = 0;
    const endless = (): object => ({ get cause() { reads++; return endless(); } });
    await ofError(endless());
    expect(reads).toBeLessThan(20);
  });

  const thrower = new Proxy({}, {
    get() { throw new Error('hostile'); },
    has() { throw new Error('hostile'); },
    ownKeys() { throw new Error('hostile'); },
    getPrototypeOf() { throw new Error('hostile'); },
  });
  const revoked = (() => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  })();
  const hostile = [
    thrower,
    revoked,
    { headers: thrower, error: thrower, response: thrower, cause: thrower, status: 500 },
    { headers: revoked, error: revoked, data: [revoked], cause: revoked },
    { headers: { get() { throw new Error('hostile'); } } },
    { headers: { get: () => 5n } },
    { error: { get code() { throw new Error('hostile'); }, nested: { deep: thrower } } },
    { [Symbol.toStringTag]: 'Response', status: 500 },
    { [Symbol.toStringTag]: 'Response', status: 500, clone() { throw new Error('hostile'); } },
    { constructor: null, name: 5, message: {}, code: {} },
    { data: Array.from({ length: 1e6 }, () => 0) },
    Object.create(null),
  ];

  test('errors that fight back', async () => {
    for (const error of hostile) {
      const evidence = await ofError(error);
      expect(evidence.text).toBeTypeOf('string');
      expect(evidence.header('retry-after')).toBeUndefined();
      expect(isFailureValue(error)).toBe(isFailureValue(error));
    }
  });

  test('what getters gave once is not asked for again', async () => {
    let reads = 0;
    const evidence = await ofError({ error: { get code() { reads++; return 'x'; } } });
    expect(evidence.body).toEqual({ code: 'x' });
    expect(JSON.stringify(evidence.body)).toBe('{"code":"x"}');
    expect(reads).toBe(1);
  });

  test('never throws, for anything', async () => {
    const fields = fc.constantFrom(
      'status', 'statusCode', 'code', 'message', 'name', 'cause', 'headers', 'responseHeaders', 'response', 'error',
      'body', 'responseBody', 'data', 'errorDetails', 'lastError', 'constructor', '__proto__',
    );
    const errorLike = fc.dictionary(fields, fc.anything());
    const nested = fc.dictionary(fields, errorLike);
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.anything(), errorLike, nested), async (thing) => {
        const evidence = await ofError(thing);
        expect(evidence.text).toBeTypeOf('string');
        expect(isFailureValue(thing)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});

describe('Responses', () => {
  test('a Response of 400 or more is a failure, and nothing else is', () => {
    for (const status of [400, 404, 429, 500, 599]) expect(isFailureValue(new Response(null, { status }))).toBe(true);
    for (const status of [200, 204, 301, 304]) expect(isFailureValue(new Response(null, { status }))).toBe(false);
    for (const value of [undefined, null, 429, '429', { status: 429 }, new Error('429'), Response]) {
      expect(isFailureValue(value)).toBe(false);
    }
    expect(isFailureValue({ status: 503, [Symbol.toStringTag]: 'Response' })).toBe(true);
  });

  test('gives status, headers and body, and the caller can still read it', async () => {
    const response = json(429, QUOTA_BODY, { 'retry-after': '9' });
    const evidence = await ofValue(response);
    expect(evidence).toMatchObject({ status: 429, body: QUOTA_BODY, timedOut: false, aborted: false });
    expect(evidence.header('Retry-After')).toBe('9');
    expect(await response.json()).toEqual(QUOTA_BODY);
  });

  test('thrown, or in the `response` of an error, it is read as well', async () => {
    expect(await ofError(json(429, QUOTA_BODY))).toMatchObject({ status: 429, body: QUOTA_BODY });
    const response = json(429, QUOTA_BODY, { 'retry-after': '9' });
    const evidence = await ofError(Object.assign(new Error('Request failed'), { response }));
    expect(evidence).toMatchObject({ status: 429, body: QUOTA_BODY });
    expect(evidence.text).toMatch(/^Request failed\n/);
    expect(evidence.header('retry-after')).toBe('9');
    expect(await response.json()).toEqual(QUOTA_BODY);
    expect(await ofError({ cause: json(429, QUOTA_BODY) })).toMatchObject({ status: 429, body: QUOTA_BODY });
  });

  test('of a success nothing is read', () => {
    const response = new Response('fine');
    for (const value of [response, undefined, { error: 'no' }]) {
      expect(readEvidence({ value }, clock)).toEqual({
        header: expect.any(Function) as unknown,
        text: '',
        timedOut: false,
        aborted: false,
      });
    }
    expect(response.bodyUsed).toBe(false);
  });

  test('whose body is used or locked gives status and headers', async () => {
    const used = json(429, QUOTA_BODY, { 'retry-after': '9' });
    await used.text();
    const locked = json(429, QUOTA_BODY, { 'retry-after': '9' });
    locked.body?.getReader();
    for (const response of [used, locked, new Response(null, { status: 429, headers: { 'retry-after': '9' } })]) {
      const evidence = await ofValue(response);
      expect(evidence).toMatchObject({ status: 429, text: '' });
      expect(evidence.header('retry-after')).toBe('9');
      expect(evidence.body).toBeUndefined();
    }
  });

  test('is read no further than 64 KB', async () => {
    const long = 'x'.repeat(300_000);
    const response = new Response(long, { status: 500 });
    expect((await ofValue(response)).text.length).toBe(64 * 1024);
    expect(await response.text()).toBe(long);
  });

  test('whose body never ends is given up after two seconds', async () => {
    const manual = new ManualClock();
    let source: ReadableStreamDefaultController<Uint8Array> | undefined;
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        source = controller;
        controller.enqueue(new TextEncoder().encode('half a '));
      },
    });
    const response = new Response(stream, { status: 503 });
    const reading = Promise.resolve(readEvidence({ value: response }, manual));
    await new Promise((resolve) => setImmediate(resolve));
    expect(manual.pending).toBe(1);
    manual.advance(2000);
    expect(await reading).toMatchObject({ status: 503, text: 'half a ' });
    source?.enqueue(new TextEncoder().encode('sentence'));
    source?.close();
    expect(await response.text()).toBe('half a sentence');
  });

  test('leaves no timer behind', async () => {
    const manual = new ManualClock();
    await readEvidence({ value: json(500, {}) }, manual);
    expect(manual.pending).toBe(0);
  });

  test('whose body is an endless string of nothing does not stop the world', async () => {
    const stream = new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(0)) });
    expect((await ofValue(new Response(stream, { status: 500 }))).text).toBe('');
  });

  test('whose body breaks off says what it said so far', async () => {
    let pulls = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (pulls++ === 0) controller.enqueue(new TextEncoder().encode('so far'));
        else controller.error(new Error('reset'));
      },
    });
    expect((await ofValue(new Response(stream, { status: 500 }))).text).toBe('so far');
  });
});

describe('errors inside a success', () => {
  const errorInSuccess = (body: unknown): unknown =>
    typeof body === 'object' && body !== null && 'bad' in body ? body.bad : undefined;
  const read = (value: unknown, test = errorInSuccess): Promise<Evidence | undefined> =>
    Promise.resolve(readErrorInSuccess(value, test, clock));
  const BAD = { bad: { error: { code: 429, message: 'Slow' }, request_id: '403' } };

  test('in a parsed body, at once', () => {
    expect(readErrorInSuccess(BAD, errorInSuccess, clock)).toEqual({
      status: 429,
      header: expect.any(Function) as unknown,
      body: BAD.bad,
      text: 'Slow',
      timedOut: false,
      aborted: false,
    });
  });

  test('in the data of a client, with its headers', async () => {
    const evidence = await read({ status: 200, headers: { 'retry-after': '3' }, data: BAD });
    expect(evidence).toMatchObject({ status: 429, body: BAD.bad });
    expect(evidence?.header('Retry-After')).toBe('3');
  });

  test('in a Response, which the caller can still read', async () => {
    const response = from('https://x.test/a?k=1', json(200, BAD, { 'retry-after': '3' }));
    const evidence = await read(response);
    expect(evidence).toMatchObject({ status: 429, body: BAD.bad, path: '/a' });
    expect(evidence?.header('retry-after')).toBe('3');
    expect(await response.json()).toEqual(BAD);
  });

  test('a status is a number of an error, or there is none', async () => {
    for (const code of ['429', 200, 42, -1003, null]) {
      expect(await read({ bad: { error: { code } } })).not.toHaveProperty('status');
    }
    expect(await read({ bad: { code: 429 } })).not.toHaveProperty('status');
  });

  test('any other success is none, and costs no promise', () => {
    for (const value of [undefined, null, 5, '{"bad":{}}', [], [BAD], { good: 1 }, new Map([['bad', 1]])]) {
      expect(readErrorInSuccess(value, errorInSuccess, clock)).toBeUndefined();
    }
  });

  test('a success in a Response is none, and readable', async () => {
    for (const text of ['{"good":1}', 'plain', '', '{"bad"', '[{"bad":1}]']) {
      const response = new Response(text);
      expect(await read(response)).toBeUndefined();
      expect(await response.text()).toBe(text);
    }
  });

  test('an event stream is not touched, nor a body known to be long', () => {
    const headers = { 'content-type': 'text/event-stream; charset=utf-8' };
    const stream = new Response('data: {"bad":1}\n\n', { headers });
    const long = json(200, BAD, { 'content-length': '70000' });
    for (const response of [stream, long]) {
      expect(readErrorInSuccess(response, errorInSuccess, clock)).toBeUndefined();
      expect(response.bodyUsed).toBe(false);
    }
  });

  test('a body that does not come in two seconds is taken for a success', async () => {
    const manual = new ManualClock();
    const stream = new ReadableStream<Uint8Array>({ start: (source) => source.enqueue(new TextEncoder().encode(' ')) });
    const reading = Promise.resolve(readErrorInSuccess(new Response(stream), errorInSuccess, manual));
    await new Promise((resolve) => setImmediate(resolve));
    expect(manual.pending).toBe(1);
    manual.advance(2000);
    expect(await reading).toBeUndefined();
    expect(manual.pending).toBe(0);
  });

  test('a test that throws has found nothing', async () => {
    const thrower = (): never => {
      throw new Error('mistake');
    };
    expect(await read(BAD, thrower)).toBeUndefined();
    expect(await read(json(200, BAD), thrower)).toBeUndefined();
  });

  test('never throws, for anything that fights back', async () => {
    await fc.assert(
      fc.asyncProperty(fc.anything(), async (thing) => {
        expect((await read({ bad: thing }))?.text ?? '').toBeTypeOf('string');
        await read(thing);
      }),
    );
    const hostile = new Proxy({}, { get() { throw new Error('hostile'); } });
    expect(await read(hostile)).toBeUndefined();
  });
});
