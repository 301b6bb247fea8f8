import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createGuardedFetch } from '../../src/fetch/index.ts';
import { startScripted } from '../support/loopback/index.ts';
import { settle } from '../support/manual-clock.ts';
import {
  delta,
  event,
  failureOf,
  inFlight,
  KEY_A,
  KEY_B,
  opened,
  reportsOf,
  scriptedWorld,
  setUp,
  statesOf,
} from './support.ts';

const BAD_KEY = { status: 401, body: { error: { code: 'invalid_api_key', message: 'no' } } };
const OVERLOADED = { status: 503, body: 'come back' };
const CHAT = { method: 'POST', body: '{"model":"gpt-4o"}', headers: { 'content-type': 'application/json' } };

/** What the fetch below is called with. */
function spied(): { calls: unknown[][]; base: typeof fetch } {
  const calls: unknown[][] = [];
  const base: typeof fetch = (...parameters) => {
    calls.push(parameters);
    return Promise.resolve(new Response('below'));
  };
  return { calls, base };
}

describe('what is not the guard\'s business goes out as it is', () => {
  test.each([
    ['a data URL', 'data:,'],
    ['an address that is none', '/v1/models'],
    ['a host that nobody has described', 'https://example.com/?key=mine'],
    ['a known host without a pool', 'https://api.mistral.ai/v1/models'],
    ['a password in the address', 'https://me:secret@api.openai.com/v1/models'],
  ])('%s', async (_, address) => {
    const { calls, base } = spied();
    const { guard } = setUp({ keyManagement: { providers: { openai: { keys: [{ id: 'ann', key: KEY_A }] } } } });
    const init = { headers: { authorization: 'Bearer mine' } };
    expect(await (await createGuardedFetch(guard, { fetch: base })(address, init)).text()).toBe('below');
    expect(calls).toEqual([[address, init]]);
    expect(calls[0]?.[1]).toBe(init);
    expect(reportsOf(guard, 'openai')[0]?.requests).toBe(0);
  });

  test('a chain of providers: the request goes to the one it is for, and nowhere else', async () => {
    const world = await scriptedWorld([{ status: 429, headers: { 'retry-after': '60' }, body: 'busy' }], {
      config: { fallbacks: { openai: ['other', { model: 'gpt-4o-mini' }] } },
    });
    const response = await world.fetch(`${world.server.url}/v1/chat/completions`, CHAT);
    expect([response.status, await response.text()]).toEqual([429, 'busy']);
    expect(world.used()).toEqual(['ann', 'ben']);
  });

  test('a probe with a data URL, even where the provider is given', async () => {
    const { fetch, guard } = await scriptedWorld([{}]);
    expect(await (await fetch('data:,hello')).text()).toBe('hello');
    expect(reportsOf(guard, 'openai')[0]?.requests).toBe(0);
  });

  test.each([
    ['a signature of AWS', { authorization: 'AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=y' }, ''],
    ['a password', { authorization: 'Basic bWU6c2VjcmV0' }, ''],
    ['a signature of a broker', { 'api-key': 'mine', 'api-sign': 'signature' }, ''],
    ['a signed link', {}, '?X-Amz-Signature=0123'],
  ])('%s cannot be made again with another key', async (_, headers, query) => {
    const { calls, base } = spied();
    const { guard } = setUp({ keyManagement: { providers: { openai: { keys: [{ id: 'ann', key: KEY_A }] } } } });
    const url = `https://api.openai.com/v1/models${query}`;
    await createGuardedFetch(guard, { provider: 'openai', fetch: base })(url, { headers });
    expect(calls).toEqual([[url, { headers }]]);
  });

  test('a Request that was sent before is refused by fetch itself', async () => {
    const { fetch, server } = await scriptedWorld([{}]);
    const request = new Request(server.url, CHAT);
    await request.text();
    expect(await failureOf(fetch(request))).toBeInstanceOf(TypeError);
    expect(server.requests).toHaveLength(0);
  });
});

describe('keys', () => {
  test('a pool\'s key takes the place of the caller\'s, and another one takes over when it is refused', async () => {
    const { fetch, server, used, guard } = await scriptedWorld([BAD_KEY, { body: { ok: true } }]);
    const answer = await fetch(`${server.url}/v1/chat`, { ...CHAT, headers: { authorization: 'Bearer mine' } });
    expect(await answer.json()).toEqual({ ok: true });
    expect(used()).toEqual(['ann', 'ben']);
    expect(statesOf(guard, 'openai')).toEqual({ ann: 'disabled', ben: 'ready' });
  });

  test('without a pool the caller\'s own key goes out, and the request is still tried again', async () => {
    const { fetch, server, used, answer } = await scriptedWorld([OVERLOADED, {}], { provider: 'somebody else' });
    const response = await answer(fetch(server.url, { headers: { authorization: 'Bearer mine' } }));
    expect(response.status).toBe(200);
    expect(used()).toEqual(['Bearer mine', 'Bearer mine']);
  });

  test.each<[string, string, Record<string, string>, object]>([
    ['in a request that has a signature', 'https://api.openai.com/v1/files?signature=abc', { authorization: 'Bearer guard:openai' }, {}],
    ['in one with a storage link', 'https://api.openai.com/v1/x?sig=1', { authorization: 'Bearer guard' }, { provider: 'openai' }],
    ['in the header of another provider', 'https://llm.test', { 'xi-api-key': 'guard:openai' }, {}],
    ['behind a real key', 'https://llm.test', { authorization: 'Bearer real', 'x-api-key': 'guard:openai' }, {}],
    ['in the query', 'https://llm.test/x?apikey=guard:openai', {}, {}],
    ['in the query, as a token', 'https://llm.test/x?token=guard:openai', {}, {}],
    ['in capitals', 'https://llm.test', { authorization: 'Bearer Guard:openai' }, {}],
  ])('a placeholder %s is replaced', async (_, url, headers, options) => {
    const { calls, base } = spied();
    const { guard } = setUp({ keyManagement: { providers: { openai: { keys: [KEY_A] } } } });
    expect((await createGuardedFetch(guard, { fetch: base, ...options })(url, { headers })).status).toBe(200);
    const [[address, init] = []] = calls as [string, { headers: Headers }][];
    const sent = `${address} ${JSON.stringify([...(init?.headers ?? [])])}`;
    expect(sent).toContain(KEY_A);
    expect(sent).not.toMatch(/guard|real/i);
  });

  test('a text that looks like a placeholder sends no key to just anybody', async () => {
    const { calls, base } = spied();
    const { guard } = setUp({ keyManagement: { providers: { openai: { keys: [KEY_A] } } } });
    const fetch = createGuardedFetch(guard, { fetch: base });
    const response = await fetch('https://search.test/?q=guard:openai');
    expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('not known to hold keys')]);
    expect(calls).toEqual([]);
  });

  test.each([
    ['guard:opnai', 'https://llm.test', 'no pool for `opnai`; there are `openai`, `*gemini*`; did you mean `openai`?'],
    ['guard:sk-proj-0123456789abcdef', 'https://llm.test', 'no pool for `sk-proj-…`; there are `openai`, `*gemini*`'],
    [
      'guard',
      'http://127.0.0.1:1234/v1',
      "the host 127.0.0.1:1234 is not a known API: write `guard:<pool>` in the key's place, or set `provider`; " +
        'there are `openai`, `*gemini*`',
    ],
    ['guard', 'https://api.mistral.ai/v1', 'no pool for `mistral`; there are `openai`, `*gemini*`'],
  ])('the placeholder %s at %s stands for no pool: nothing goes out, and the answer says why', async (held, url, why) => {
    const { calls, base } = spied();
    const { guard } = setUp({ keyManagement: { providers: { openai: { keys: [KEY_A] }, '*gemini*': { keys: [KEY_B] } } } });
    const response = await createGuardedFetch(guard, { fetch: base })(url, { headers: { 'x-api-key': held } });
    expect([response.status, response.headers.get('x-should-retry')]).toEqual([503, 'false']);
    const message = `The request has a placeholder in place of its key, and was not sent: ${why}`;
    expect(await response.json()).toEqual({ error: { type: 'execution_guard', code: 'NO_POOL', message } });
    expect(calls).toEqual([]);
    expect(guard.getStats().providers).toEqual({});
  });

  test.each([
    ['without pools', {}],
    ['with key management switched off', { enabled: false, providers: { openai: { keys: [KEY_A] } } }],
  ])('%s no placeholder goes out', async (_, keyManagement) => {
    const { calls, base } = spied();
    const { guard } = setUp({ keyManagement });
    for (const options of [{ fetch: base }, { fetch: base, provider: 'openai' }]) {
      const response = await createGuardedFetch(guard, options)('https://llm.test', { headers: { 'api-key': 'guard:openai' } });
      expect(await response.text()).toContain('no pool for `openai`; there is none');
    }
    expect(calls).toEqual([]);
  });

  test('with the guard switched off no placeholder goes out, and every other key does', async () => {
    const { calls, base } = spied();
    const { guard } = setUp({ enabled: false, keyManagement: { providers: { openai: { keys: [KEY_A] } } } });
    const fetch = createGuardedFetch(guard, { fetch: base });
    const response = await fetch('https://llm.test', { headers: { 'api-key': 'guard:openai' } });
    expect([response.status, await response.json()]).toMatchObject([
      503,
      { error: { code: 'NO_POOL', message: expect.stringContaining('the guard is switched off') as string } },
    ]);
    expect(calls).toEqual([]);
    await fetch('https://api.openai.com', { headers: { 'api-key': 'mine' } });
    expect(calls).toHaveLength(1);
  });

  test('a pool that comes later under another name of its host is found', async () => {
    const { base } = spied();
    const { guard } = setUp({ keyManagement: { providers: { gemini: { keys: [KEY_A] } } } });
    const fetch = createGuardedFetch(guard, { fetch: base });
    const ask = async () => (await fetch('https://generativelanguage.googleapis.com', { headers: { 'x-goog-api-key': 'guard' } })).status;
    expect(await ask()).toBe(200);
    guard.updateConfig({ keyManagement: { providers: {} } });
    expect(await ask()).toBe(503);
    guard.updateConfig({ keyManagement: { providers: { 'google-gemini': { keys: [KEY_A] } } } });
    expect(await ask()).toBe(200);
  });

  test('a pool that is removed later leaves the requests of its host alone again', async () => {
    const { guard } = setUp({ keyManagement: { providers: { openai: { keys: [{ id: 'ann', key: KEY_A }] } } } });
    const sent: (string | null)[] = [];
    const fetch = createGuardedFetch(guard, {
      fetch: (_, init) => {
        sent.push(new Headers(init?.headers).get('authorization'));
        return Promise.resolve(new Response());
      },
    });
    const ask = () => fetch('https://api.openai.com/v1/models', { headers: { authorization: 'Bearer mine' } });
    await ask();
    guard.updateConfig({ keyManagement: { providers: {} } });
    await ask();
    await ask();
    expect(sent).toEqual([`Bearer ${KEY_A}`, 'Bearer mine', 'Bearer mine']);
    expect(guard.getStats().providers['openai']?.totalRequests).toBe(1);
  });

  test('a guarded fetch around a guarded fetch guards once', async () => {
    const { fetch, guard, server } = await scriptedWorld([{}]);
    await createGuardedFetch(guard, { provider: 'openai', fetch })(server.url);
    expect(reportsOf(guard, 'openai').map(({ requests }) => requests)).toEqual([1, 0]);
    const other = setUp({ keyManagement: { providers: { openai: { keys: [{ id: 'cleo', key: KEY_B }] } } } });
    await createGuardedFetch(other.guard, { provider: 'openai', fetch })(server.url);
    expect(reportsOf(guard, 'openai').map(({ requests }) => requests)).toEqual([1, 1]);
  });

  test('cool-downs know the model, from the body as from the address', async () => {
    const { fetch, server, used } = await scriptedWorld([{ status: 429, headers: { 'retry-after': '60' } }, {}]);
    const ask = (model: string) => fetch(`${server.url}/v1/chat`, { method: 'POST', body: JSON.stringify({ model }) });
    await ask('gpt-4o');
    await ask('gpt-4o-mini');
    await ask('gpt-4o-mini');
    await ask('gpt-4o');
    expect(used()).toEqual(['ann', 'ben', 'ben', 'ann', 'ben']);
  });

  test('estimated tokens are reserved where they are asked for, and corrected by the answer', async () => {
    const usage = { prompt_tokens: 1, completion_tokens: 2 };
    const keys = [{ id: 'ann', key: KEY_A, limits: { tpm: 100 } }];
    const { fetch, server, guard } = await scriptedWorld([{}, { body: { usage } }], { keys, estimateTokens: true });
    const quota = () => reportsOf(guard, 'openai')[0]?.quota['tpm']?.used;
    await fetch(server.url, { method: 'POST', body: '{"max_tokens":20}  ' });
    expect(quota()).toBe(25);
    await (await fetch(server.url, { method: 'POST', body: '{"max_tokens":20}  ' })).text();
    expect(quota()).toBe(28);
  });

  test('equal requests are joined where that is asked for, and each has an answer of its own', async () => {
    const { fetch, server } = await scriptedWorld([{ body: 'once' }], {
      call: { skipDeduplication: false, deduplicationKey: 'the same' },
    });
    const answers = await Promise.all([fetch(server.url), fetch(server.url)]);
    expect(await Promise.all(answers.map(answer => answer.text()))).toEqual(['once', 'once']);
  });
});

describe('every kind of body is sent again, whole', () => {
  const form = (): FormData => {
    const data = new FormData();
    data.set('file', new File(['content'], 'a.txt'));
    return data;
  };
  const stream = (): ReadableStream => ReadableStream.from([Buffer.from('con'), new Uint8Array(), 'tent']);

  test.each([
    ['a string', () => 'content'],
    ['a Buffer', () => Buffer.from('content')],
    ['a typed array', () => new Uint8Array(Buffer.from('content'))],
    ['an ArrayBuffer', () => new Uint8Array(Buffer.from('content')).buffer],
    ['URL parameters', () => new URLSearchParams({ name: 'content' })],
    ['a form', form],
    ['a blob', () => new Blob(['content'])],
    ['a web stream', stream],
    ['a Node stream', () => Readable.from(['con', 'tent'])],
    ['a generator', async function* () { yield await Promise.resolve(Buffer.from('content')); }],
  ])('%s', async (_, make) => {
    const { fetch, server, used } = await scriptedWorld([BAD_KEY, {}]);
    const body = (typeof make === 'function' ? make() : make) as NonNullable<RequestInit['body']>;
    const response = await fetch(server.url, { method: 'POST', body, duplex: 'half' });
    expect(response.status).toBe(200);
    expect(used()).toEqual(['ann', 'ben']);
    for (const { body: received } of server.requests) expect(received.toString()).toContain('content');
  });

  test('a Request, with all that it says', async () => {
    const { fetch, server, used } = await scriptedWorld([BAD_KEY, {}]);
    const request = new Request(`${server.url}/v1/chat`, {
      ...CHAT,
      method: 'PUT',
      headers: { authorization: 'Bearer guard', 'x-mine': 'yes' },
    });
    expect((await fetch(request)).status).toBe(200);
    expect(used()).toEqual(['ann', 'ben']);
    for (const { method, body, path, headers } of server.requests) {
      expect([method, path, headers['x-mine'], body.toString()]).toEqual(['PUT', '/v1/chat', 'yes', CHAT.body]);
    }
  });

  test('the Request of a polyfill, as far as it goes', async () => {
    const { fetch, server, used } = await scriptedWorld([{}]);
    const said = { url: server.url, method: 'DELETE', headers: { 'x-mine': 'yes' } };
    const polyfill = { [Symbol.toStringTag]: 'Request', ...said };
    await fetch(polyfill as unknown as Request);
    const [sent] = server.requests;
    expect([sent?.method, sent?.headers['x-mine'], used()]).toEqual(['DELETE', 'yes', ['ann']]);
  });

  test('a stream of neither text nor bytes is refused, as by fetch', async () => {
    const { fetch, server } = await scriptedWorld([{}]);
    const body = Readable.from([{ not: 'bytes' }]);
    expect(await failureOf(fetch(server.url, { method: 'POST', body, duplex: 'half' }))).toBeInstanceOf(TypeError);
    expect(server.requests).toHaveLength(0);
  });

  test('options override what a Request says, as with fetch', async () => {
    const { fetch, server } = await scriptedWorld([{}]);
    const request = new Request(server.url, { method: 'PUT', body: 'old', headers: { 'x-old': '1' } });
    await fetch(request, { method: 'POST', body: 'new', headers: { 'x-new': '1' } });
    const [sent] = server.requests;
    expect([sent?.method, sent?.body.toString(), sent?.headers['x-new'], sent?.headers['x-old']])
      .toEqual(['POST', 'new', '1', undefined]);
  });

  describe('but for a stream that is too long to keep', () => {
    const long = (): RequestInit => ({ method: 'POST', body: Readable.from(['0123', '4567', '89']), duplex: 'half' });

    test('it is sent once, whole', async () => {
      const { fetch, server } = await scriptedWorld([{ body: 'good' }], { maxReplayBytes: 5 });
      const response = await fetch(server.url, long());
      expect(await response.text()).toBe('good');
      expect(server.requests.map(({ body }) => body.toString())).toEqual(['0123456789']);
    });

    test('what it was answered with comes back, though another key is there', async () => {
      const { fetch, server, guard } = await scriptedWorld([BAD_KEY, {}], { maxReplayBytes: 5 });
      const response = await fetch(server.url, long());
      expect(response.status).toBe(401);
      expect(await response.json()).toEqual(BAD_KEY.body);
      expect(server.requests).toHaveLength(1);
      expect(inFlight(guard, 'openai')).toBe(0);
    });

    test('a failure that is nobody\'s is handed on without a second try', async () => {
      const { fetch, server } = await scriptedWorld([{ status: 400, body: 'what?' }], { maxReplayBytes: 5 });
      expect(await (await fetch(server.url, long())).text()).toBe('what?');
      expect(server.requests).toHaveLength(1);
    });

    test('a broken connection rejects, as fetch does', async () => {
      const { fetch, server, answer } = await scriptedWorld(['reset', {}], { maxReplayBytes: 5 });
      expect(await failureOf(answer(fetch(server.url, long())))).toBeInstanceOf(TypeError);
      expect(server.requests).toHaveLength(1);
    });
  });

  test('a stream that fails while it is read fails the request, before a key is spent', async () => {
    const { fetch, server, guard } = await scriptedWorld([{}]);
    const broken = new Error('the disk is gone');
    const body = new ReadableStream({ pull: controller => controller.error(broken) });
    expect(await failureOf(fetch(server.url, { method: 'POST', body, duplex: 'half' }))).toBe(broken);
    expect(reportsOf(guard, 'openai')[0]?.requests).toBe(0);
  });
});

describe('streams of events', () => {
  test('come byte for byte, in the Response they came in', async () => {
    const chunks = [event('', 'ping'), delta('one'), ': a comment\n\n', delta('twö'), 'data: [DONE]\n\n'];
    const { fetch, server } = await scriptedWorld([{ chunks, headers: { 'x-request-id': 'req_1' } }]);
    const response = await fetch(`${server.url}/v1/chat`);
    expect(response.url).toBe(`${server.url}/v1/chat`);
    expect(response).toMatchObject({ status: 200, ok: true, redirected: false, type: 'basic' });
    expect(response.headers.get('x-request-id')).toBe('req_1');
    expect(response.headers.has('x-should-retry')).toBe(false);
    const copy = response.clone();
    expect(copy.url).toBe(response.url);
    expect(await response.text()).toBe(chunks.join(''));
    expect(await copy.text()).toBe(chunks.join(''));
  });

  test('are handed on with the first content, not with the last', async () => {
    const { fetch, server } = await scriptedWorld([{ chunks: [delta('one'), delta('two')], ending: 'stall' }]);
    const reader = (await fetch(server.url)).body!.getReader();
    expect(Buffer.from((await reader.read()).value as Uint8Array).toString()).toBe(delta('one'));
    await reader.cancel();
    await server.idle();
    expect(server.requests[0]?.aborted).toBe(true);
  });

  test('hold their key until they are cancelled', async () => {
    const { fetch, server, guard } = await scriptedWorld([{ chunks: [delta('one'), delta('two')], ending: 'stall' }]);
    const response = await fetch(server.url);
    await settle();
    expect(inFlight(guard, 'openai')).toBe(1);
    await response.body?.cancel();
    await settle();
    expect(inFlight(guard, 'openai')).toBe(0);
    await server.idle();
  });

  test('break off with the caller\'s reason when it aborts', async () => {
    const { fetch, server, guard } = await scriptedWorld([{ chunks: [delta('one'), delta('two')], ending: 'stall' }]);
    const controller = new AbortController();
    const response = await fetch(server.url, { signal: controller.signal });
    const reading = failureOf(response.text());
    controller.abort(new Error('enough'));
    expect(await reading).toEqual(new Error('enough'));
    await server.idle();
    await settle();
    expect(inFlight(guard, 'openai')).toBe(0);
  });

  test.each([
    ['OpenAI', event({ error: { type: 'server_error', message: 'sorry' } })],
    ['OpenAI, after a role', event({ choices: [{ delta: { role: 'assistant', content: '' } }] }) +
      event({ error: { code: 'rate_limit_exceeded', message: 'sorry' } })],
    ['OpenAI\'s Responses', event({ type: 'response.created', response: {} }) +
      event({ type: 'response.failed', response: { error: { code: 'server_error', message: 'sorry' } } })],
    ['Anthropic', event({ type: 'message_start', message: {} }, 'message_start') + event({ type: 'ping' }, 'ping') +
      event({ type: 'error', error: { type: 'overloaded_error', message: 'sorry' } }, 'error')],
    ['Gemini', event([{ error: { code: 503, status: 'UNAVAILABLE', message: 'sorry' } }])],
    ['OpenRouter', ': OPENROUTER PROCESSING\n\n' + event({ error: { code: 429, message: 'sorry' } })],
  ])('an error of %s before the content is one more attempt', async (_, failed) => {
    const { fetch, server, answer } = await scriptedWorld([{ chunks: [failed] }, { chunks: [delta('good')] }], {
      config: { retry: { maxRetries: 1, retryableStatusCodes: [429, 500, 503, 529] } },
    });
    expect(await (await answer(fetch(server.url))).text()).toBe(delta('good'));
    expect(server.requests).toHaveLength(2);
  });

  test('the error is an answer of its own when no attempt is left', async () => {
    const failed = { error: { type: 'overloaded_error', message: 'sorry' } };
    const { fetch, server, answer } = await scriptedWorld(
      [{ chunks: [event(failed, 'error')], headers: { 'request-id': 'req_1' } }],
      { config: { retry: { enabled: false } } },
    );
    const response = await answer(fetch(server.url));
    expect(response.status).toBe(529);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('request-id')).toBe('req_1');
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(await response.json()).toEqual(failed);
  });

  test('a refused key is convicted by a stream as by an answer', async () => {
    const failed = event({ error: { code: 'invalid_api_key', type: 'invalid_request_error', message: 'no' } });
    const { fetch, server, guard } = await scriptedWorld([{ chunks: [failed] }, { chunks: [delta('good')] }]);
    await fetch(server.url);
    expect(statesOf(guard, 'openai')).toEqual({ ann: 'disabled', ben: 'ready' });
  });

  test('an error after the content is the caller\'s', async () => {
    const chunks = [delta('one'), event({ error: { message: 'sorry' } })];
    const { fetch, server } = await scriptedWorld([{ chunks }]);
    expect(await (await fetch(server.url)).text()).toBe(chunks.join(''));
    expect(server.requests).toHaveLength(1);
  });

  test('an error after the content shows no key, though the provider repeats it', async () => {
    const chunks = [delta('eins, zwei, drüber'), event({ error: { message: `The key ${KEY_A} is süspended` } })];
    const { fetch, server } = await scriptedWorld([{ chunks }]);
    const text = await (await fetch(server.url)).text();
    expect(text).not.toContain(KEY_A);
    expect(text).toContain('drüber');
    expect(text).toMatch(/The key sk-\S*\.\.\. is süspended/);
  });

  test('one that breaks off before the content is one more attempt', async () => {
    const cut = { chunks: [event('', 'ping'), event('', 'ping')], ending: 'cut' } as const;
    const { fetch, server, answer } = await scriptedWorld([cut, { chunks: [delta('good')] }]);
    expect(await (await answer(fetch(server.url))).text()).toBe(delta('good'));
    expect(server.requests).toHaveLength(2);
  });

  test('one without any content is handed on', async () => {
    const { fetch, server } = await scriptedWorld([{ chunks: [': nothing to say\n\n'] }]);
    expect(await (await fetch(server.url)).text()).toBe(': nothing to say\n\n');
  });

  test('one that has nothing to say for long is not held back', async () => {
    const chunks = [...Array.from({ length: 40 }, () => event({ type: 'ping' }, 'ping')), delta('x')];
    const { fetch, server } = await scriptedWorld([{ chunks, ending: 'stall' }]);
    const response = await fetch(server.url);
    await response.body?.cancel();
    await server.idle();
    expect(response.status).toBe(200);
  });

  test('what was used is booked, however the stream tells it', async () => {
    const chunks = [
      event({ type: 'message_start', message: { usage: { input_tokens: 5, cache_read_input_tokens: 2 } } }),
      event({ type: 'content_block_delta', delta: { text: 'hi' } }),
      event({ type: 'message_delta', usage: { output_tokens: 9 } }),
    ];
    const { fetch, server, guard } = await scriptedWorld([{ chunks }]);
    await (await fetch(server.url)).text();
    expect(reportsOf(guard, 'openai')[0]).toMatchObject({ inputTokens: 7, outputTokens: 9 });
  });

  test('one that breaks off has used what was told so far', async () => {
    const start = { type: 'message_start', message: { usage: { input_tokens: 5 } } };
    const chunks = [event(start), event({ type: 'content' })];
    const { fetch, server, guard } = await scriptedWorld([{ chunks: [...chunks, ...chunks], ending: 'cut' }]);
    expect(await failureOf((await fetch(server.url)).text())).toBeInstanceOf(TypeError);
    expect(reportsOf(guard, 'openai')[0]).toMatchObject({ inputTokens: 5 });
  });

  test('a caller that stops reading has used what was told so far', async () => {
    const start = { type: 'message_start', message: { usage: { input_tokens: 5 } } };
    const chunks = [event(start), event({ type: 'content' })];
    const { fetch, server, guard } = await scriptedWorld([{ chunks: [...chunks, ...chunks], ending: 'stall' }]);
    const response = await fetch(server.url);
    await response.body?.cancel();
    expect(reportsOf(guard, 'openai')[0]).toMatchObject({ inputTokens: 5 });
    await server.idle();
  });
});

describe('answers', () => {
  test('JSON is handed on as it came, and what it used is booked', async () => {
    const body = { choices: [], usage: { prompt_tokens: 3, completion_tokens: 4, cost: 0.5 } };
    const { fetch, server, guard } = await scriptedWorld([{ body }]);
    const response = await fetch(`${server.url}/v1/chat`);
    expect(response).toMatchObject({ url: `${server.url}/v1/chat`, ok: true, type: 'basic' });
    expect(await response.json()).toEqual(body);
    expect(reportsOf(guard, 'openai')[0]).toMatchObject({ inputTokens: 3, outputTokens: 4, cost: 0.5 });
  });

  test('a long one is not looked at', async () => {
    const body = { usage: { prompt_tokens: 3 }, text: 'x'.repeat(300_000) };
    const { fetch, server, guard } = await scriptedWorld([{ body }]);
    expect(await (await fetch(server.url)).json()).toEqual(body);
    const unmeasured: typeof globalThis.fetch = () => Promise.resolve(Response.json(body));
    const other = createGuardedFetch(guard, { provider: 'openai', fetch: unmeasured });
    expect(await (await other(server.url)).json()).toEqual(body);
    expect(reportsOf(guard, 'openai').map(({ inputTokens }) => inputTokens)).toEqual([0, 0]);
  });

  const OTHERS: [Record<string, string>][] = [[{ 'content-type': 'audio/mpeg' }], [{}]];

  test.each(OTHERS)('others are the very Response that fetch gave', async headers => {
    const given = new Response(Buffer.from('bytes'), { headers });
    const { fetch, server } = await scriptedWorld([{}], { fetch: () => Promise.resolve(given) });
    expect(await fetch(server.url)).toBe(given);
  });

  test('the last refusal comes back whole, with word to the SDKs not to try again', async () => {
    const headers = { 'retry-after': '7', 'set-cookie': 'a=1' };
    const last = { status: 429, body: { error: { message: 'slow' } }, headers };
    const { fetch, server } = await scriptedWorld([last]);
    const response = await fetch(`${server.url}/v1/chat`);
    expect(server.requests).toHaveLength(2);
    expect(response).toMatchObject({ status: 429, statusText: 'Too Many Requests', url: `${server.url}/v1/chat` });
    expect(response.headers.get('retry-after')).toBe('7');
    expect(response.headers.getSetCookie()).toEqual(['a=1']);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(await response.json()).toEqual(last.body);
  });

  test('a failure without a body comes back without one', async () => {
    const { fetch } = await scriptedWorld([{}], { fetch: () => Promise.resolve(new Response(null, { status: 404 })) });
    const response = await fetch('http://127.0.0.1/');
    expect([response.status, response.body]).toEqual([404, null]);
  });

  test('a body that is no stream of the platform is handed on all the same', async () => {
    const body = { value: Readable.from(['no']) };
    const foreign = Object.defineProperty(new Response('no', { status: 400 }), 'body', body);
    const { fetch } = await scriptedWorld([{}], { fetch: () => Promise.resolve(foreign) });
    expect(await (await fetch('http://127.0.0.1/')).text()).toBe('no');
  });
});

describe('what the guard itself refuses', () => {
  const RESTING = { status: 429, body: {}, headers: { 'retry-after-ms': '2500' } };

  test('is a 429 with the time to come back when the pool is exhausted', async () => {
    const { fetch, server } = await scriptedWorld([RESTING]);
    await fetch(server.url);
    const response = await fetch(server.url);
    expect(server.requests).toHaveLength(2);
    expect(response.status).toBe(429);
    expect(response.headers.get('retry-after')).toBe('3');
    expect(response.headers.get('x-should-retry')).toBe('false');
    const { error } = (await response.json()) as { error: Record<string, string> };
    expect(error).toMatchObject({ type: 'execution_guard', code: 'POOL_EXHAUSTED' });
    expect(error['message']).toContain('2 cooling');
    expect(JSON.stringify(error)).not.toContain(KEY_A);
  });

  test('is a 429 when a session has used up its rate', async () => {
    const rateLimiting = { rules: { burst: { requests: 1, windowMs: 10_000 } } };
    const { fetch, server } = await scriptedWorld([{}], { config: { rateLimiting }, call: { sessionId: 'me' } });
    await fetch(server.url);
    const response = await fetch(server.url);
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '10']);
    expect(await response.json()).toMatchObject({ error: { code: 'RATE_LIMITED' } });
  });

  test('is a 503 while the breaker is open', async () => {
    const { fetch, server, answer } = await scriptedWorld([OVERLOADED], {
      config: { circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 60_000 }, retry: { enabled: false } },
    });
    await answer(fetch(server.url));
    const response = await fetch(server.url);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '60']);
    expect(await response.json()).toMatchObject({ error: { code: 'CIRCUIT_OPEN' } });
  });

  test('is a 503 when the queue is full, the deadline has passed, or the guard is closed', async () => {
    const { fetch, server, guard, clock } = await scriptedWorld(['hang'], {
      config: { queue: { concurrency: 1, maxQueueSize: 1 } },
      call: { deadlineMs: 1000 },
    });
    const first = fetch(server.url);
    await server.arrived(1);
    const second = fetch(server.url);
    await settle();
    const codeOf = async (answer: Promise<Response>): Promise<unknown> => {
      const response = await answer;
      expect(response.status).toBe(503);
      return ((await response.json()) as { error: { code: unknown } }).error.code;
    };
    expect(await codeOf(fetch(server.url))).toBe('QUEUE_FULL');
    await clock.advance(1000);
    expect(await codeOf(first)).toBe('DEADLINE_EXCEEDED');
    expect(await codeOf(second)).toBe('DEADLINE_EXCEEDED');
    guard.close();
    expect(await codeOf(fetch(server.url))).toBe('CLOSED');
  });

  test('an option that is wrong is an error of the program', async () => {
    const { fetch, server } = await scriptedWorld([{}], { call: { deadlineMs: NaN } });
    expect(await failureOf(fetch(server.url))).toMatchObject({ code: 'CONFIG_INVALID' });
  });
});

describe('what rejects', () => {
  test('an abort before the request, with the signal\'s reason and without touching anything', async () => {
    const { fetch, server } = await scriptedWorld([{}]);
    const signal = AbortSignal.abort();
    expect(await failureOf(fetch(server.url, { signal }))).toBe(signal.reason);
    expect(server.requests).toHaveLength(0);
  });

  test('an abort on the way, as a DOMException named AbortError', async () => {
    const { fetch, server, guard } = await scriptedWorld(['hang']);
    const controller = new AbortController();
    const call = failureOf(fetch(new Request(server.url, { signal: controller.signal })));
    await server.arrived(1);
    controller.abort();
    const reason = await call;
    expect(reason).toBeInstanceOf(DOMException);
    expect(reason).toMatchObject({ name: 'AbortError' });
    await server.idle();
    expect(inFlight(guard, 'openai')).toBe(0);
    expect(statesOf(guard, 'openai')).toEqual({ ann: 'ready', ben: 'ready' });
  });

  test('an abort while the body is still read', async () => {
    const { fetch, server } = await scriptedWorld([{}]);
    const controller = new AbortController();
    let cancelled: unknown;
    const body = new ReadableStream({
      pull: () => new Promise(() => undefined),
      cancel: reason => void (cancelled = reason),
    });
    const call = failureOf(fetch(server.url, { method: 'POST', body, duplex: 'half', signal: controller.signal }));
    await settle();
    controller.abort('never mind');
    expect(await call).toBe('never mind');
    await settle();
    expect(cancelled).toBe('never mind');
    expect(server.requests).toHaveLength(0);
  });

  test('a broken network, with fetch\'s own error', async () => {
    const { fetch, server, answer } = await scriptedWorld(['reset']);
    const error = await failureOf(answer(fetch(server.url)));
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ message: 'fetch failed', cause: { code: 'ECONNRESET' } });
    expect(server.requests).toHaveLength(2);
  });

  test('a route that throws', async () => {
    const broken = new Error('no route');
    const { fetch, server } = await scriptedWorld([{}], {
      provider: undefined,
      route: () => {
        throw broken;
      },
    });
    expect(await failureOf(fetch(server.url))).toBe(broken);
  });
});

describe('no key comes back', () => {
  const echo = (secret: string): string =>
    `bad key ${secret}, ${encodeURIComponent(secret)}, ${Buffer.from(`user:${secret}`).toString('base64')}`;

  test('in a refusal that repeats it', async () => {
    const { fetch, server } = await scriptedWorld([
      { status: 403, body: echo(KEY_A), headers: { 'x-echo': KEY_A } },
      { status: 403, body: { error: { message: echo(KEY_B), other: KEY_A } }, headers: { 'x-echo': KEY_B } },
    ]);
    const response = await fetch(server.url);
    expect(response.status).toBe(403);
    expect(response.headers.get('x-echo')).toBe('sk-proj-...');
    const text = await response.text();
    expect(text).toContain('bad key sk-proj-…');
    for (const secret of [KEY_A, KEY_B]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(Buffer.from(secret).toString('base64').slice(4, -4));
    }
    expect(JSON.parse(text)).toHaveProperty('error.other', 'sk-proj-…');
  });

  test('in the address, where it had to stand there', async () => {
    const keys = [{ id: 'ann', key: KEY_A }];
    const { fetch, server } = await scriptedWorld([{ body: 'good' }], { keys, pattern: 'alphavantage' });
    const response = await fetch(`${server.url}/query?symbol=IBM&apikey=demo`);
    expect(server.requests[0]?.query.get('apikey')).toBe(KEY_A);
    expect(response.url).toBe(`${server.url}/query?symbol=IBM&apikey=sk-proj-...`);
    expect(await response.text()).toBe('good');
  });

  test('in a success that means an error', async () => {
    const keys = [{ id: 'ann', key: KEY_A }];
    const body = { Information: `Your API key ${KEY_A} has reached 25 requests per day.` };
    const { fetch, server } = await scriptedWorld([{ body }], { keys, pattern: 'alphavantage' });
    const text = await (await fetch(`${server.url}/query?apikey=demo`)).text();
    expect(text).toContain('API key sk-proj-… has reached');
  });

  test('in the place a redirect points to', async () => {
    const { fetch, server } = await scriptedWorld([{ status: 302, headers: { location: `/next?key=${KEY_A}` } }]);
    const response = await fetch(server.url, { redirect: 'manual' });
    expect(response.headers.get('location')).toBe('/next?key=sk-proj-...');
  });
});

test('the fetch below is the one there was when the guarded one was made', async () => {
  const server = opened(await startScripted([{ body: 'real' }]));
  const { guard } = setUp({});
  const original = globalThis.fetch;
  try {
    globalThis.fetch = createGuardedFetch(guard, { provider: 'anybody' });
    expect(await (await fetch(server.url)).text()).toBe('real');
  } finally {
    globalThis.fetch = original;
  }
});

describe('an answer that no Response can be made of goes to the caller as it came', () => {
  test.each([
    ['HTTP/1.1 999 Request denied', 999, 'Request denied'],
    ['HTTP/1.1 600 x', 600, 'x'],
    ['HTTP/1.1 429 Zu viele \u2013 Anfragen', 429, 'Zu viele \u2013 Anfragen'],
    ['HTTP/1.1 200 Gut \u2013 so\r\ncontent-type: application/json', 200, 'Gut \u2013 so'],
  ])('%s', async (head, status, statusText) => {
    const server = opened(
      createServer(socket => {
        socket.on('error', () => undefined).once('data', () => socket.end(`${head}\r\ncontent-length: 2\r\n\r\n{}`));
      }),
    );
    await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const { guard } = setUp({ retry: { enabled: false }, keyManagement: { providers: { openai: { keys: [KEY_A] } } } });
    const response = await createGuardedFetch(guard, { provider: 'openai' })(`http://127.0.0.1:${port}`);
    const native = await fetch(`http://127.0.0.1:${port}`);
    for (const each of [native, response, response.clone()]) {
      expect([each.status, each.statusText, each.ok, await each.text()]).toEqual([status, statusText, status === 200, '{}']);
    }
  });
});
