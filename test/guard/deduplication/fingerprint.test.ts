import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { fingerprint } from '../../../src/guard/deduplication/fingerprint.ts';

const identity = { provider: 'gemini' };
const of = (req: unknown) => fingerprint(req, identity);
const post = (fields: object = {}) => ({ method: 'POST', url: '/v1/chat', body: { prompt: 'hi' }, ...fields });

describe('fingerprint', () => {
  test('equal requests share it, whatever the order of their keys', () => {
    expect(of(post())).toBeDefined();
    expect(of(post())).toBe(of({ body: { prompt: 'hi' }, url: '/v1/chat', method: 'post' }));
  });

  test.each([
    ['method', post({ method: 'PUT' })],
    ['url', post({ url: '/v1/chat?a=1' })],
    ['body', post({ body: { prompt: 'ho' } })],
    ['session', post({ sessionId: 's' })],
    ['a session named like nobody', post({ sessionId: 'anonymous' })],
    ['params', post({ params: { page: 2 } })],
    ['data', post({ data: 'x' })],
    ['a field of the body named __proto__', post({ body: JSON.parse('{"prompt":"hi","__proto__":1}') as unknown })],
    ['authorization', post({ headers: { authorization: 'Bearer a' } })],
    ['x-api-key', post({ headers: { 'x-api-key': 'a' } })],
    ['x-goog-api-key', post({ headers: { 'x-goog-api-key': 'a' } })],
    ['api-key', post({ headers: { 'api-key': 'a' } })],
    ['cookie', post({ headers: { cookie: 'a=b' } })],
    ['accept', post({ headers: { accept: 'text/event-stream' } })],
  ])('requests that differ in %s do not', (_, other) => {
    expect(of(other)).toBeDefined();
    expect(of(other)).not.toBe(of(post()));
  });

  test.each([
    ['provider', { provider: 'openai' }],
    ['model', { provider: 'gemini', model: 'pro' }],
    ['user', { provider: 'gemini', userId: 'u' }],
    ['session', { provider: 'gemini', sessionId: 'u' }],
  ])('calls that differ in %s do not', (_, other) => {
    expect(fingerprint(post(), other)).not.toBe(of(post()));
  });

  test('one value in another field is another call', () => {
    const calls = [{ model: 'x' }, { userId: 'x' }, { sessionId: 'x' }];
    expect(new Set(calls.map((call) => fingerprint(post(), { provider: 'p', ...call }))).size).toBe(3);
  });

  test('two callers with different credentials do not share, however the headers are kept', () => {
    const containers = (key: string) => [
      { Authorization: key },
      { AUTHORIZATION: key },
      new Headers({ authorization: key }),
      new Map([['Authorization', key]]),
      [['authorization', key]],
    ];
    const prints = (key: string) => new Set(containers(key).map((headers) => of(post({ headers }))));
    expect(prints('Bearer a').size).toBe(1);
    expect(prints('Bearer a')).not.toEqual(prints('Bearer b'));
    expect(prints('Bearer a')).not.toContain(undefined);
  });

  test('headers that say nothing about the answer do not count', () => {
    const headers = { 'x-request-id': '1', date: 'now', 'content-length': '15', authorization: undefined };
    expect(of(post({ headers }))).toBe(of(post()));
    expect(of(post({ headers: undefined }))).toBe(of(post()));
  });

  test('the order and case of headers do not count', () => {
    const having = (headers: object) => of(post({ headers }));
    expect(having({ accept: 'a', cookie: 'c' })).toBe(having({ Cookie: 'c', Accept: 'a' }));
    expect(having({ cookie: 'c', Cookie: 'd' })).not.toBe(having({ cookie: 'd', Cookie: 'c' }));
  });

  test.each([[['authorization', 'a']], ['authorization: a'], [[['a', 'b', 'c']]]])(
    'headers that cannot be read, %j, leave the call alone',
    (headers) => {
      expect(of(post({ headers }))).toBeUndefined();
    },
  );

  test('signals, addresses and methods of the request do not count', () => {
    const { signal } = new AbortController();
    expect(of(post({ signal, ip: '1.2.3.4', ips: [], get: () => 1, sessionId: undefined }))).toBe(of(post()));
  });

  test('a URL object counts as its text', () => {
    expect(of({ url: new URL('https://a.b/c') })).toBe(of({ url: 'https://a.b/c' }));
    expect(of({ url: new URL('https://a.b/c') })).not.toBe(of({ url: new URL('https://a.b/d') }));
  });

  test('query parameters keep their order', () => {
    expect(of({ url: '/?a=1&b=2' })).not.toBe(of({ url: '/?b=2&a=1' }));
  });

  test('URLSearchParams bodies count by content', () => {
    expect(of(post({ body: new URLSearchParams('a=1') }))).toBe(of(post({ body: new URLSearchParams('a=1') })));
    expect(of(post({ body: new URLSearchParams('a=1') }))).not.toBe(of(post({ body: new URLSearchParams('a=2') })));
  });

  test.each([
    ['a stream', () => Readable.from(['a'])],
    ['a web stream', () => new ReadableStream()],
    ['an iterator', () => ['a'].values()],
    ['a form', () => new FormData()],
    ['a blob', () => new Blob(['a'])],
  ])('%s as body leaves the call alone', (_, body) => {
    expect(of(post({ body: body() }))).toBeUndefined();
  });

  test('a circular body leaves the call alone', () => {
    const body: Record<string, unknown> = {};
    body['self'] = body;
    expect(of(post({ body }))).toBeUndefined();
  });

  test.each([
    [undefined], [null], ['/v1/chat'], [7], [() => 1], [{}], [[]],
    [{ sessionId: 's' }], [{ sessionId: 's', ip: '::1', userId: 'u' }], [{ headers: { cookie: 'c' } }],
    [{ method: 'POST' }],
    [new Map()], [Object.create({})],
  ])('%j does not say what is asked: the call is left alone', (req) => {
    expect(of(req)).toBeUndefined();
  });

  test('a hostile request is left alone', () => {
    expect(of(JSON.parse('{"url":"/v1/chat","body":1,"__proto__":{"ask":"more"}}'))).toBeUndefined();
    expect(of({ get url() { throw new Error('boom'); } })).toBeUndefined();
    expect(of(new Proxy({}, { getPrototypeOf() { throw new Error('boom'); } }))).toBeUndefined();
    expect(of(new (class { get body() { throw new Error('boom'); } })())).toBeUndefined();
  });

  test('halves of a surrogate pair differ, though UTF-8 writes them alike', () => {
    const prints = ['\ud800', '\ud801', '\udc00', '\ufffd', '\ud800\udc00'].map((body) => of({ url: '/', body }));
    expect(new Set(prints).size).toBe(5);
  });

  test('holds no secret', () => {
    const print = of(post({ headers: { authorization: 'Bearer sk-secret' } }));
    expect(print).toMatch(/^[A-Za-z0-9+/]{43}=$/);
  });

  describe('of a request to a server', () => {
    class FrameworkRequest {
      method = 'POST';
      url = '/chat';
      headers: Record<string, string> = { 'content-length': '15' };
      socket = { remote: 'a socket cannot be compared', self: () => this };
      body: unknown;
      originalUrl: string | undefined;
      constructor(fields: Partial<FrameworkRequest>) {
        Object.assign(this, fields);
      }
      pipe(): void {
        // What marks a stream.
      }
    }

    test('method, URL, body and session count, its sockets do not', () => {
      const a = new FrameworkRequest({ body: { prompt: 'a' } });
      expect(of(a)).toBeDefined();
      expect(of(a)).toBe(of(new FrameworkRequest({ body: { prompt: 'a' } })));
      expect(of(a)).not.toBe(of(new FrameworkRequest({ body: { prompt: 'b' } })));
      expect(of(a)).not.toBe(of(Object.assign(new FrameworkRequest({ body: { prompt: 'a' } }), { sessionId: 's' })));
    });

    test('two routers mounted apart do not share', () => {
      const at = (originalUrl: string) => of(new FrameworkRequest({ body: { a: 1 }, url: '/', originalUrl }));
      expect(at('/cats/')).not.toBe(at('/dogs/'));
    });

    test.each([[undefined], [null], [{}]])('a body left unread as %j leaves the call alone', (body) => {
      expect(of(new FrameworkRequest({ body }))).toBeUndefined();
      expect(of(new FrameworkRequest({ body, headers: { 'Transfer-Encoding': 'chunked' } }))).toBeUndefined();
    });

    test('an empty JSON body is a body', () => {
      expect(of(new FrameworkRequest({ body: {}, headers: { 'content-length': '2' } }))).toBeDefined();
    });

    test('a POST without any word of its body is left alone, a GET is not', () => {
      expect(of(new FrameworkRequest({ headers: {} }))).toBeUndefined();
      expect(of(new FrameworkRequest({ headers: {}, method: 'GET' }))).toBeDefined();
      expect(of(new FrameworkRequest({ headers: {}, method: 'HEAD' }))).toBeDefined();
    });

    test('a fetch Request without a body counts by URL and headers', () => {
      const request = (key: string) => new Request('https://a.b/c', { headers: { Authorization: key } });
      expect(of(request('a'))).toBeDefined();
      expect(of(request('a'))).toBe(of(request('a')));
      expect(of(request('a'))).not.toBe(of(request('b')));
      expect(of(new Request('https://a.b/c', { method: 'POST', body: 'x' }))).toBeUndefined();
    });

    test('two people who ask for the same never share, whatever tells them apart', async () => {
      const prints: (string | undefined)[] = [];
      let found: Record<string, unknown> = {};
      const server = createServer((request: IncomingMessage, response) => {
        prints.push(of(Object.assign(request, found)));
        response.end();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/me`;
      try {
        for (const header of ['x-auth-token', 'proxy-authorization', 'x-tenant-id', 'x-forwarded-user', 'x-of-our-own']) {
          for (const who of ['alice', 'bob']) await (await fetch(url, { headers: { [header]: who } })).text();
        }
        for (const field of ['user', 'auth', 'session', 'userId', 'sessionID', 'tenant']) {
          for (const who of ['alice', 'bob']) {
            found = { [field]: field === 'user' ? { id: who } : who };
            await (await fetch(url)).text();
          }
        }
      } finally {
        server.close();
      }
      expect(prints).not.toContain(undefined);
      expect(new Set(prints).size).toBe(prints.length);
    });

    test('a trace, a request id and the make of the client tell nobody apart', () => {
      const asked = (headers: Record<string, string>) => of({ method: 'GET', url: '/me', headers });
      const noise = { 'user-agent': 'curl', traceparent: '00-1', 'x-request-id': '7', 'sec-fetch-mode': 'cors' };
      expect(asked({ ...noise, cookie: 'a=1' })).toBe(asked({ 'x-stainless-retry-count': '2', cookie: 'a=1' }));
    });

    test('a real one: GETs are compared, an unparsed POST is left alone', async () => {
      const prints: (string | undefined)[] = [];
      const server = createServer((request: IncomingMessage, response) => {
        prints.push(of(request));
        response.end();
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      try {
        for (const path of ['/a', '/a', '/b']) await (await fetch(base + path)).text();
        await (await fetch(`${base}/a`, { method: 'POST', body: 'x' })).text();
      } finally {
        server.close();
      }
      const [a, again, b, posted] = prints;
      expect(a).toBeDefined();
      expect(again).toBe(a);
      expect(b).not.toBe(a);
      expect(posted).toBeUndefined();
    });
  });
});
