import { describe, expect, test } from 'vitest';
import { findCredential, isSigned, withCredential, type Envelope } from '../../src/fetch/credential.ts';
import { placeholder } from '../../src/keys/placeholder.ts';

const SECRET = 'the-pool-key';

function envelope(query: string, headers: Record<string, string> = {}, host = 'proxy.test'): Envelope {
  return { url: new URL(`https://${host}/v1/path?${query}`), headers: new Headers(headers) };
}

/** What is left of a request's query and headers when the pool's key is in. */
function replaced(request: Envelope, profile: string): string {
  const { url, headers } = withCredential(request, findCredential(request, profile), SECRET, profile);
  const lines = [...headers].map(([name, value]) => `${name}: ${value}`);
  return [url.search, ...lines].filter(part => part !== '').join(' | ');
}

describe('the key goes where one was found', () => {
  test.each([
    ['openai', '', { authorization: 'Bearer x' }, `authorization: Bearer ${SECRET}`],
    ['fal', '', { authorization: 'Key x' }, `authorization: Key ${SECRET}`],
    ['vendor', '', { authorization: 'x' }, `authorization: ${SECRET}`],
    ['openai', '', { authorization: 'Bearer ' }, `authorization: Bearer ${SECRET}`],
    ['openai', '', { authorization: '' }, `authorization: Bearer ${SECRET}`],
    ['anthropic', '', { 'x-api-key': 'x' }, `x-api-key: ${SECRET}`],
    ['anthropic', '', { authorization: 'Bearer x' }, `authorization: Bearer ${SECRET}`],
    ['azure', '', { 'api-key': 'x' }, `api-key: ${SECRET}`],
    ['gemini', '', { 'x-goog-api-key': 'x' }, `x-goog-api-key: ${SECRET}`],
    ['gemini', '', { authorization: 'Bearer x' }, `authorization: Bearer ${SECRET}`],
    ['vendor', 'a=1&key=x', {}, `?a=1&key=${SECRET}`],
    ['alphavantage', 'apikey=x&symbol=IBM', {}, `?symbol=IBM&apikey=${SECRET}`],
    ['finnhub', 'token=x', {}, `?token=${SECRET}`],
    ['massive', 'apiKey=x', {}, `?apiKey=${SECRET}`],
    ['nasdaq', 'api_key=x', {}, `?api_key=${SECRET}`],
  ] as const)('%s %s %j', (profile, query, headers, expected) => {
    expect(replaced(envelope(query, headers), profile)).toBe(expected);
  });
});

describe('the key goes where its provider wants it when there was none', () => {
  test.each([
    ['openai', `authorization: Bearer ${SECRET}`],
    ['anthropic', `x-api-key: ${SECRET}`],
    ['azure', `api-key: ${SECRET}`],
    ['gemini', `x-goog-api-key: ${SECRET}`],
    ['alphavantage', `?apikey=${SECRET}`],
    ['generic', `authorization: Bearer ${SECRET}`],
  ])('%s', (profile, expected) => {
    expect(replaced(envelope(''), profile)).toBe(expected);
  });
});

test('Google\'s keys leave the query, wherever its API is reached', () => {
  expect(replaced(envelope('key=x&alt=sse'), 'gemini')).toBe(`?alt=sse | x-goog-api-key: ${SECRET}`);
  expect(replaced(envelope('key=x', {}, 'maps.googleapis.com'), 'generic')).toBe(`x-goog-api-key: ${SECRET}`);
});

test('every other credential of the request is taken out', () => {
  const headers = { authorization: 'Bearer x', 'x-api-key': 'y', 'x-goog-api-key': 'z' };
  expect(replaced(envelope('key=w', headers), 'gemini')).toBe(`x-goog-api-key: ${SECRET}`);
  expect(replaced(envelope('', headers), 'anthropic')).toBe(`x-api-key: ${SECRET}`);
});

test('a parameter named key is data where a header has the key', () => {
  const request = envelope('key=user-7', { authorization: 'Bearer x' });
  expect(replaced(request, 'vendor')).toBe(`?key=user-7 | authorization: Bearer ${SECRET}`);
});

test('a placeholder in the query is taken out beside a header', () => {
  const request = envelope('key=guard', { authorization: 'Bearer guard:vendor' });
  expect(replaced(request, 'vendor')).toBe(`authorization: Bearer ${SECRET}`);
});

describe('a placeholder is where the key goes', () => {
  test.each([
    ['in a header nobody knows', '', { 'x-gateway': 'guard:vendor' }, `x-gateway: ${SECRET}`],
    ['with its scheme', '', { 'x-gateway': 'Bearer guard:vendor' }, `x-gateway: Bearer ${SECRET}`],
    ['in one that some know', '', { 'xi-api-key': 'guard' }, `xi-api-key: ${SECRET}`],
    ['in one of a gateway', '', { 'ocp-apim-subscription-key': 'guard' }, `ocp-apim-subscription-key: ${SECRET}`],
    ['in a parameter that some know', 'token=guard&a=1', {}, `?a=1&token=${SECRET}`],
    ['in several at once', 'apikey=guard:a&apikey=guard', { 'x-api-key': 'Guard:a' }, `x-api-key: ${SECRET}`],
    ['behind a real one', '', { authorization: 'Bearer real', 'x-gateway': 'guard:vendor' }, `x-gateway: ${SECRET}`],
    ['beside a password', '', { authorization: 'Basic dTpw', 'api-key': 'guard' }, `api-key: ${SECRET} | authorization: Basic dTpw`],
    ['in a parameter nobody knows, where there is no other key', 'q=guard:vendor', {}, `?q=${SECRET}`],
  ] as const)('%s', (_, query, headers, expected) => {
    expect(replaced(envelope(query, headers), 'vendor')).toBe(expected);
  });

  test.each([
    ['the word alone', '', { 'x-mode': 'guard' }],
    ['the word in a parameter', 'q=guard', {}],
    ['a longer word', 'q=lifeguard:x', { 'x-mode': 'guardian:x' }],
  ] as const)('but %s is none', (_, query, headers) => {
    expect(findCredential(envelope(query, headers), 'vendor').placeholders).toBe(0);
  });

  test('but a text is none where there is another key', () => {
    const request = envelope('q=guard:vendor', { authorization: 'Bearer guard' });
    expect(replaced(request, 'vendor')).toBe(`?q=guard:vendor | authorization: Bearer ${SECRET}`);
  });
});

test('the request itself stays what it is', () => {
  const request = envelope('key=x', { 'x-goog-api-key': 'y' });
  replaced(request, 'gemini');
  expect([request.url.search, request.headers.get('x-goog-api-key')]).toEqual(['?key=x', 'y']);
});

test.each([
  ['guard', ''],
  ['guard:gemini', 'gemini'],
  ['guard:team/gemini', 'team/gemini'],
  ['GUARD:gemini', 'gemini'],
  ['guardian', undefined],
  ['sk-proj-x', undefined],
  [undefined, undefined],
])('placeholder %s', (value, provider) => {
  expect(placeholder(value)).toBe(provider);
});

describe('signed requests', () => {
  test.each([
    ['AWS', '', { authorization: 'AWS4-HMAC-SHA256 Credential=a/b, Signature=c' }],
    ['a password', '', { authorization: 'Basic dTpw' }],
    ['Kraken', '', { 'api-key': 'k', 'api-sign': 's' }],
    ['Binance', 'symbol=BTC&signature=0a', { 'x-mbx-apikey': 'k' }],
    ['a storage link', 'X-Amz-Signature=0a', {}],
    ['a storage link of Azure', 'sig=0a', {}],
  ])('%s', (_, query, headers) => {
    expect(isSigned(envelope(query, headers as Record<string, string>))).toBe(true);
  });

  test('are none of those with a key as it is', () => {
    for (const authorization of ['Bearer x', 'token x', 'x', 'Bearer ', '']) {
      expect(isSigned(envelope('key=x', { authorization }))).toBe(false);
    }
    expect(isSigned(envelope(''))).toBe(false);
  });
});
