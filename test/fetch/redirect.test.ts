import { describe, expect, test } from 'vitest';
import { sendFollowing } from '../../src/fetch/redirect.ts';
import { failureOf, opened, scriptedWorld, statesOf } from './support.ts';
import { startScripted } from '../support/loopback/index.ts';

const KEY = 'secret-number-one-0123456789';
const keys = [{ id: 'one', key: KEY }];
const ok = { body: '{}', headers: { 'content-type': 'application/json' } };
const to = (location: string, status = 307) => ({ status, headers: { location } });
const post = { method: 'POST', headers: { 'x-api-key': 'guard', 'content-type': 'text/plain' }, body: 'a question' };

describe('a redirect', () => {
  test.each(['x-api-key', 'x-goog-api-key', 'api-key'])('takes no %s to another host', async name => {
    const other = opened(await startScripted([ok]));
    const { server, fetch } = await scriptedWorld([to(`${other.url}/elsewhere`)], { keys });
    const response = await fetch(server.url, { ...post, headers: { [name]: 'guard' } });
    expect(response).toMatchObject({ status: 200, redirected: true, url: `${other.url}/elsewhere` });
    expect(server.requests[0]!.headers[name]).toBe(KEY);
    expect(JSON.stringify(other.requests[0]!.headers)).not.toContain(KEY);
    expect(other.requests[0]!.body.toString()).toBe('a question');
  });

  test('within the host keeps the key', async () => {
    const { server, fetch } = await scriptedWorld([to('/v2'), ok], { keys });
    expect(await (await fetch(server.url, post)).text()).toBe('{}');
    expect(server.requests.map(({ headers }) => headers['x-api-key'])).toEqual([KEY, KEY]);
  });

  test.each([
    { status: 301, method: 'POST', then: 'GET' },
    { status: 303, method: 'PUT', then: 'GET' },
    { status: 302, method: 'PUT', then: 'PUT' },
    { status: 308, method: 'POST', then: 'POST' },
  ])('with $status makes $method $then', async ({ status, method, then }) => {
    const sent: (RequestInit & { url: string })[] = [];
    const base = ((url: string, init: RequestInit) => {
      sent.push({ ...init, url });
      return Promise.resolve(sent.length === 1 ? new Response('', to('/next', status)) : new Response('there'));
    }) as typeof fetch;
    const headers = new Headers({ 'x-api-key': KEY, 'content-type': 'text/plain' });
    const url = new URL('https://vendor.example/first#part');
    await sendFollowing(base, { url, headers, init: { method, body: 'a question' } }, KEY, true);
    expect(sent[1]).toMatchObject({ method: then, url: 'https://vendor.example/next#part' });
    expect(sent[1]!.body).toBe(then === 'GET' ? undefined : 'a question');
    expect((sent[1]!.headers as Headers).get('content-type')).toBe(then === 'GET' ? null : 'text/plain');
  });

  test.each([
    { why: 'in circles', location: '/', isReplayable: true, message: 'too many redirects' },
    { why: 'to no web address', location: 'file:///etc/hosts', isReplayable: true, message: 'no web address' },
    { why: 'of a body that is gone', location: '/', isReplayable: false, message: 'only once' },
  ])('$why is an error, as it is for fetch', async ({ location, isReplayable, message }) => {
    const base = (() => Promise.resolve(new Response('', to(location)))) as unknown as typeof fetch;
    const request = { url: new URL('https://vendor.example/'), headers: new Headers(), init: { method: 'POST', body: 'x' } };
    await expect(sendFollowing(base, request, KEY, isReplayable)).rejects.toThrow(message);
  });

  test('is not followed where the caller says so', async () => {
    const { server, fetch } = await scriptedWorld([to('/v2')], { keys });
    expect(await fetch(server.url, { ...post, redirect: 'manual' })).toMatchObject({ status: 307, redirected: false });
  });
});

describe('an answer of another host, which was sent no key, is nobody\'s', () => {
  const bearer = { headers: { authorization: 'Bearer guard' } };
  const limits = { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '24h', 'anthropic-organization-id': 'org' };

  test.each([
    { status: 200, headers: limits, body: 'a file' },
    { status: 401, body: 'who are you' },
    { status: 403, body: 'no' },
    { status: 429, body: 'slow down', headers: { 'retry-after': '3600' } },
    { status: 503, body: 'down' },
  ])('$status', async answer => {
    const storage = opened(await startScripted([answer]));
    const { server, fetch, guard, used } = await scriptedWorld([to(`${storage.url}/blob`), ok]);
    const response = await fetch(server.url, bearer);
    expect([response.status, await response.text()]).toEqual([answer.status, answer.body]);
    expect(storage.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    expect(used()).toEqual(['ann']);
    const stats = guard.getStats();
    expect(stats.keys['openai']!.keys.map(({ state, failures, inFlight, group }) => ({ state, failures, inFlight, group }))).toEqual(
      ['ann', 'ben'].map(() => ({ state: 'ready', failures: {}, inFlight: 0, group: undefined })),
    );
    expect(guard.explain('openai').keys.map(({ state }) => state)).toEqual(['ready', 'ready']);
    await fetch(server.url, bearer);
    await fetch(server.url, bearer);
    expect(used()).toEqual(['ann', 'ben', 'ann']);
  });

  test('it convicts no other key', async () => {
    const storage = opened(await startScripted([ok]));
    const refused = { status: 401, body: { error: { message: 'no' } } };
    const { server, fetch, guard } = await scriptedWorld([refused, to(storage.url)]);
    expect((await fetch(server.url, bearer)).status).toBe(200);
    expect(statesOf(guard, 'openai')).toEqual({ ann: 'suspect', ben: 'ready' });
  });

  test('nor does a host that cannot be reached count against the provider', async () => {
    const { server, fetch, guard } = await scriptedWorld([to('http://127.0.0.1:1/')], { config: { circuitBreaker: { failureThreshold: 1 } } });
    const error = await failureOf(fetch(server.url, bearer));
    expect(error).toBeInstanceOf(TypeError);
    expect(server.requests).toHaveLength(1);
    expect(statesOf(guard, 'openai')).toEqual({ ann: 'ready', ben: 'ready' });
    expect(guard.getStats().providers['openai']!.circuitBreakerState).toBe('CLOSED');
  });

  test('unless the provider has put the key into the address', async () => {
    const other = opened(await startScripted([{ status: 429, headers: { 'retry-after': '60' } }]));
    const { server, fetch, guard } = await scriptedWorld([to(`${other.url}/?apikey=${KEY}`), ok], { keys });
    await fetch(server.url, bearer);
    expect(statesOf(guard, 'openai')).toEqual({ one: 'cooling' });
  });
});
