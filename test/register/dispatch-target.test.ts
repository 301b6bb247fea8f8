import { describe, expect, test } from 'vitest';
import { targetOf, type DispatchOptions } from '../../src/register/dispatch-target.ts';

const options: DispatchOptions = { origin: 'https://api.openai.com', path: '/v1/models', method: 'GET' };

function headersOf(headers: unknown): Record<string, string> {
  return Object.fromEntries(targetOf({ ...options, headers })!.headers);
}

test.each<[string, DispatchOptions, string]>([
  ['an address', {}, 'https://api.openai.com/v1/models'],
  ['an address as a URL', { origin: new URL('http://localhost:1/ignored') }, 'http://localhost:1/v1/models'],
  ['a path that looks like a host', { path: '//evil.example/v1' }, 'https://api.openai.com//evil.example/v1'],
  ['a query in the path', { path: '/v1?a=1' }, 'https://api.openai.com/v1?a=1'],
  ['a query beside it', { query: { a: 'b c', d: [1, 2], e: true } }, 'https://api.openai.com/v1/models?a=b%20c&d=1&d=2&e=true'],
  ['an empty query', { path: '/v1?a=1', query: {} }, 'https://api.openai.com/v1?a=1'],
])('reads %s', (_, more, url) => {
  const target = targetOf({ ...options, ...more });
  expect([target?.url.href, target?.init.method]).toEqual([url, 'GET']);
});

test('leaves the method out where none is said', () => {
  expect(targetOf({ ...options, method: undefined })?.init).toEqual({ redirect: 'follow' });
});

test.each<[string, DispatchOptions]>([
  ['an upgrade', { upgrade: 'websocket' }],
  ['a tunnel', { method: 'CONNECT' }],
  ['no path', { path: undefined }],
  ['a whole address as the path', { path: 'http://other/' }],
  ['no origin', { origin: undefined }],
  ['an origin that is none', { origin: 'nowhere' }],
  ['another protocol', { origin: 'ftp://files' }],
  ['a password in the address', { origin: 'https://name:word@host' }],
  ['two queries', { path: '/v1?a=1', query: { b: 2 } }],
  ['a header that is none', { headers: { 'a b': '1' } }],
])('is none for %s', (_, more) => {
  expect(targetOf({ ...options, ...more })).toBeUndefined();
});

describe('headers', () => {
  test.each<[string, unknown, Record<string, string>]>([
    ['none', null, {}],
    ['a flat list', ['A', '1', Buffer.from('B'), Buffer.from('é', 'latin1')], { a: '1', b: 'é' }],
    ['an object', { A: '1', B: ['2', '3'], C: undefined }, { a: '1', b: '2, 3' }],
    ['pairs', new Map<string, unknown>([['A', '1'], ['B', ['2', '3']]]), { a: '1', b: '2, 3' }],
    ['Headers', new Headers({ A: '1' }), { a: '1' }],
  ])('are read from %s', (_, headers, expected) => {
    expect(headersOf(headers)).toEqual(expected);
  });
});

test('a generator becomes a stream, anything else stays', async () => {
  function* words(): Generator<string> {
    yield 'one';
  }
  const body = targetOf({ ...options, body: words() })?.body;
  const chunks: unknown[] = [];
  for await (const chunk of body as AsyncIterable<unknown>) chunks.push(chunk);
  expect(chunks).toEqual(['one']);
  const list = ['one'];
  expect(targetOf({ ...options, body: list })?.body).toBe(list);
});
