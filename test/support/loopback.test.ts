import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { isRecord } from './loopback/json.ts';
import {
  fakeAnthropicKey,
  fakeGeminiAuthKey,
  fakeGeminiKey,
  fakeOpenAIKey,
  startGemini,
  startOpenAI,
  startScripted,
} from './loopback/index.ts';
import { FixedWindow, Meter, RefillingWindow } from './loopback/quota.ts';
import { goDuration, nextPacificMidnight } from './loopback/time.ts';

const NOON_UTC = Date.UTC(2026, 6, 1, 12);
const CONTENTS = { contents: [{ role: 'user', parts: [{ text: 'hello there' }] }] };

const open: { close(): Promise<void> }[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
});

function started<S extends { close(): Promise<void> }>(server: S): S {
  open.push(server);
  return server;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  readonly error: Record<string, unknown>;
  /** The details of a Google error by the last word of their type. */
  readonly details: Record<string, Record<string, unknown>>;
}

async function ask(url: string, init: RequestInit & { json?: unknown } = {}): Promise<Answer> {
  const { json, ...rest } = init;
  const sent = json === undefined ? rest : { method: 'POST', body: JSON.stringify(json), ...rest };
  const response = await fetch(url, sent);
  const body = await response.text();
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    parsed = undefined;
  }
  const error = isRecord(parsed) && isRecord(parsed.error) ? parsed.error : {};
  const details = Array.isArray(error.details) ? error.details.filter(isRecord) : [];
  return {
    status: response.status,
    headers: response.headers,
    body,
    error,
    details: Object.fromEntries(details.map((each) => [String(each['@type']).split('.').at(-1)!, each] as const)),
  };
}

describe('gemini quotas', () => {
  let now = NOON_UTC;

  async function gemini(limits: { rpm?: number; rpd?: number; tpm?: number }) {
    now = NOON_UTC;
    const server = started(
      await startGemini({
        clock: () => now,
        projects: { 'proj-a': limits, 'proj-b': { rpm: 100 } },
        keys: {
          [fakeGeminiKey('a1')]: { project: 'proj-a' },
          [fakeGeminiKey('a2')]: { project: 'proj-a', id: 'second' },
          [fakeGeminiKey('b1')]: { project: 'proj-b' },
        },
      }),
    );
    const generate = (key: string, model = 'gemini-2.5-flash') =>
      ask(`${server.url}/v1beta/models/${model}:generateContent`, {
        json: CONTENTS,
        headers: { 'x-goog-api-key': fakeGeminiKey(key) },
      });
    return { server, generate };
  }

  test('two keys of a project share its minute; another project and another model have their own', async () => {
    const { server, generate } = await gemini({ rpm: 2 });
    expect((await generate('a1')).status).toBe(200);
    expect((await generate('a2')).status).toBe(200);
    expect((await generate('a1')).status).toBe(429);
    expect((await generate('a2')).status).toBe(429);
    expect((await generate('b1')).status).toBe(200);
    expect((await generate('a1', 'gemini-2.5-pro')).status).toBe(200);
    expect(server.requests.map(({ keyId, kind }) => `${keyId} ${kind}`)).toEqual([
      'key-1 ok',
      'second ok',
      'key-1 rpm',
      'second rpm',
      'key-3 ok',
      'key-1 ok',
    ]);
  });

  test('a minute that is used up says when it ends, and then ends', async () => {
    const { generate } = await gemini({ rpm: 1 });
    await generate('a1');
    now += 22_000;
    const refused = await generate('a1');
    expect(refused.error).toMatchObject({ code: 429, status: 'RESOURCE_EXHAUSTED' });
    expect(refused.details).toMatchObject({
      RetryInfo: { retryDelay: '38s' },
      QuotaFailure: {
        violations: [{ quotaId: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier', quotaValue: '1' }],
      },
    });
    expect(Object.keys(refused.details)).toContain('Help');
    expect([...refused.headers.keys()].filter((name) => /ratelimit|retry-after/.test(name))).toEqual([]);
    now += 38_000;
    expect((await generate('a1')).status).toBe(200);
  });

  test('a day that is used up names the day, a short delay all the same, and ends at Pacific midnight', async () => {
    const { server, generate } = await gemini({ rpd: 100 });
    server.exhaustDay('proj-a');
    const refused = await generate('a1');
    expect(refused.details).toMatchObject({
      RetryInfo: { retryDelay: '60s' },
      QuotaFailure: { violations: [{ quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' }] },
    });
    now = Date.UTC(2026, 6, 2, 7) - 1;
    expect((await generate('a2')).status).toBe(429);
    now += 1;
    expect((await generate('a2')).status).toBe(200);
  });

  test('a minute and a day hit at once are both named', async () => {
    const { server, generate } = await gemini({ rpd: 100, rpm: 1 });
    await generate('a1');
    server.exhaustDay('proj-a', 'gemini-2.5-flash');
    const { details } = await generate('a1');
    expect(details.QuotaFailure).toMatchObject({
      violations: [
        { quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier' },
        { quotaId: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier' },
      ],
    });
  });

  test('tokens count, and a refused request uses no quota', async () => {
    const { generate } = await gemini({ rpm: 2, tpm: 4 });
    expect((await generate('a1')).status).toBe(200);
    const refused = await generate('a1');
    expect(refused.details.QuotaFailure).toMatchObject({
      violations: [{ quotaId: 'GenerateContentInputTokensPerModelPerMinute-FreeTier' }],
    });
    now += 60_000;
    expect((await generate('a1')).status).toBe(200);
  });

  test('a model that is not in the plan says limit: 0', async () => {
    const { generate } = await gemini({ rpm: 0 });
    expect((await generate('a1')).error.message).toContain('limit: 0,');
  });

  test('a project without a daily limit cannot be exhausted', async () => {
    const { server } = await gemini({ rpm: 1 });
    expect(() => server.exhaustDay('proj-a')).toThrow('give it an rpd');
  });

  test('a key may come in the query, and stays out of the log', async () => {
    const { server } = await gemini({});
    const url = `${server.url}/v1beta/models?key=${fakeGeminiKey('a2')}`;
    expect((await ask(url)).status).toBe(200);
    expect(server.requests[0]).toMatchObject({ path: '/v1beta/models', keyId: 'second' });
    expect(JSON.stringify(server.requests)).not.toContain(fakeGeminiKey('a2'));
  });
});

describe('openai quotas', () => {
  async function openAI(limits: { rpm?: number; rpd?: number; tpm?: number }) {
    const time = { now: NOON_UTC };
    const server = started(
      await startOpenAI({
        clock: () => time.now,
        organisations: { 'org-a': limits },
        keys: { [fakeOpenAIKey('a1')]: { organisation: 'org-a' } },
      }),
    );
    const chat = (options: object = {}) =>
      ask(`${server.url}/v1/chat/completions`, {
        json: { model: 'gpt-4o', messages: [{ role: 'user', content: 'hello' }], ...options },
        headers: { authorization: `Bearer ${fakeOpenAIKey('a1')}` },
      });
    return { server, time, chat };
  }

  test('the headers count down and say when all is back', async () => {
    const { chat } = await openAI({ rpm: 10, tpm: 1000 });
    await chat();
    const { headers } = await chat({ max_tokens: 100 });
    expect(Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-ratelimit')))).toEqual({
      'x-ratelimit-limit-requests': '10',
      'x-ratelimit-remaining-requests': '8',
      'x-ratelimit-reset-requests': '12s',
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '898',
      'x-ratelimit-reset-tokens': '6.12s',
    });
    expect(headers.get('openai-organization')).toBe('org-a');
    expect(headers.get('x-request-id')).toBe('req_00000002');
  });

  test('of ten requests a minute, one comes back every six seconds', async () => {
    const { chat, time } = await openAI({ rpm: 10 });
    for (let count = 0; count < 10; count += 1) expect((await chat()).status).toBe(200);
    const refused = await chat();
    expect(refused.status).toBe(429);
    expect(refused.error).toMatchObject({ code: 'rate_limit_exceeded', type: 'requests' });
    expect(refused.error.message).toContain('Limit 10, Used 10, Requested 1. Please try again in 6s.');
    expect(refused.headers.get('retry-after-ms')).toBe('6000');
    expect(refused.headers.get('retry-after')).toBe('6');
    time.now += 5999;
    expect((await chat()).status).toBe(429);
    time.now += 1;
    expect((await chat()).status).toBe(200);
    expect((await chat()).status).toBe(429);
  });

  test('a request larger than the limit is told that waiting does not help', async () => {
    const { chat } = await openAI({ tpm: 100 });
    const { error, headers } = await chat({ max_completion_tokens: 101 });
    expect(error.message).toContain('Request too large');
    expect(error.message).toContain('Limit 100, Requested 101.');
    expect(headers.has('retry-after')).toBe(false);
  });

  test('a day used up comes back slowly', async () => {
    const { chat, server } = await openAI({ rpd: 200 });
    server.exhaustDay('org-a');
    const { error } = await chat();
    expect(error.message).toContain('on requests per day (RPD): Limit 200, Used 200, Requested 1.');
    expect(error.message).toContain('Please try again in 7m12s.');
  });

  test('a file is found with the keys of its organisation only', async () => {
    const server = started(
      await startOpenAI({
        organisations: { 'org-a': {}, 'org-b': {} },
        keys: {
          [fakeOpenAIKey('a1')]: { organisation: 'org-a' },
          [fakeOpenAIKey('b1')]: { organisation: 'org-b' },
        },
      }),
    );
    const as = (label: string) => ({ headers: { authorization: `Bearer ${fakeOpenAIKey(label)}` } });
    const form = new FormData();
    form.set('purpose', 'batch');
    form.set('file', new Blob(['{"é":1}\r\n']), 'lines.jsonl');
    const uploaded = await ask(`${server.url}/v1/files`, { ...as('a1'), method: 'POST', body: form });
    expect(JSON.parse(uploaded.body)).toMatchObject({ id: 'file-00000001', filename: 'lines.jsonl', bytes: 10 });
    expect((await ask(`${server.url}/v1/files/file-00000001`, as('a1'))).status).toBe(200);
    expect((await ask(`${server.url}/v1/files/file-00000001`, as('b1'))).status).toBe(404);
    const empty = await ask(`${server.url}/v1/files`, { ...as('a1'), method: 'POST', body: 'no form' });
    expect(empty.status).toBe(400);
  });
});

describe('disturbances', () => {
  async function gemini(now: () => number = () => NOON_UTC) {
    const server = started(
      await startGemini({
        clock: now,
        projects: { p: {} },
        keys: {
          [fakeGeminiKey('good')]: { project: 'p' },
          [fakeGeminiKey('dead')]: { project: 'p', state: 'revoked' },
        },
      }),
    );
    const generate = (key = 'good', init: RequestInit = {}) =>
      ask(`${server.url}/v1beta/models/gemini-2.5-flash:generateContent`, {
        json: CONTENTS,
        headers: { 'x-goog-api-key': fakeGeminiKey(key) },
        ...init,
      });
    return { server, generate };
  }

  test('an outage lasts as long as it was said to, and a dead key hears that it is dead', async () => {
    let now = NOON_UTC;
    const { server, generate } = await gemini(() => now);
    server.setOutage('overloaded', 3000);
    expect((await generate()).status).toBe(503);
    expect((await generate('dead')).details.ErrorInfo).toMatchObject({ reason: 'API_KEY_INVALID' });
    now += 3000;
    expect((await generate()).status).toBe(200);
  });

  test('planned failures line up and then are over', async () => {
    const { server, generate } = await gemini();
    server.failNext(2, 'internal');
    server.failNext(1, 'rpm');
    const statuses = [];
    for (let count = 0; count < 4; count += 1) statuses.push((await generate()).status);
    expect(statuses).toEqual([500, 500, 429, 200]);
  });

  test('a reset breaks the connection before any answer', async () => {
    const { server, generate } = await gemini();
    server.setOutage('reset');
    await expect(generate()).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
    await server.idle();
    expect(server.requests[0]).toMatchObject({ status: undefined, kind: 'reset', aborted: false });
    server.setOutage(undefined);
    expect((await generate()).status).toBe(200);
  });

  test('a cut breaks the connection in the middle of an answer', async () => {
    const { server, generate } = await gemini();
    server.failNext(1, 'cut');
    await expect(generate()).rejects.toThrow();
    await server.idle();
    expect(server.requests[0]).toMatchObject({ status: 200, kind: 'cut', aborted: false });
  });

  test('a client that goes away from a hung request is noticed', async () => {
    const { server, generate } = await gemini();
    server.failNext(1, 'hang');
    const controller = new AbortController();
    const hung = generate('good', { signal: controller.signal });
    await server.arrived(1);
    controller.abort();
    await expect(hung).rejects.toMatchObject({ name: 'AbortError' });
    await server.idle();
    expect(server.requests[0]).toMatchObject({ status: undefined, kind: 'hang', aborted: true });
  });

  test('closing the server ends a hung request without calling it aborted', async () => {
    const { server, generate } = await gemini();
    server.setOutage('hang');
    const hung = expect(generate()).rejects.toThrow();
    await server.arrived(1);
    await server.close();
    await hung;
    expect(server.requests[0]).toMatchObject({ aborted: false });
  });

  test('a key can die and come back', async () => {
    const { server, generate } = await gemini();
    server.setKeyState(fakeGeminiKey('good'), 'leaked');
    expect((await generate()).error.message).toContain('reported as leaked');
    server.setKeyState(fakeGeminiKey('good'), 'ok');
    expect((await generate()).status).toBe(200);
    expect(() => server.setKeyState(fakeGeminiKey('nobody'), 'ok')).toThrow('no such key');
  });

  test('latency and the gaps of a stream pass on the given clock', async () => {
    const delays: number[] = [];
    const clock = {
      now: () => NOON_UTC,
      setTimeout: (callback: () => void, delayMs: number) => {
        delays.push(delayMs);
        return setImmediate(callback);
      },
      clearTimeout: () => undefined,
    };
    const server = started(
      await startScripted([{ chunks: ['a', 'b', 'c'] }], { clock, latencyMs: () => 70, chunkDelayMs: 5 }),
    );
    expect((await ask(server.url)).body).toBe('abc');
    expect(delays).toEqual([70, 5, 5]);
  });

  test('a request without a key, with an unknown one, or to nowhere is refused and logged', async () => {
    const { server, generate } = await gemini();
    const bare = await ask(`${server.url}/v1beta/models`);
    expect(bare.error.message).toContain('unregistered callers');
    expect((await generate('nobody')).details.ErrorInfo).toMatchObject({ reason: 'API_KEY_INVALID' });
    const lost = await ask(`${server.url}/v1beta/nowhere`, { headers: { 'x-goog-api-key': fakeGeminiKey('good') } });
    expect(lost.status).toBe(404);
    const empty = await generate('good', { body: '{' });
    expect(empty.error).toMatchObject({ status: 'INVALID_ARGUMENT', message: 'Invalid JSON payload received.' });
    expect(server.requests.map(({ keyId, kind }) => `${keyId} ${kind}`)).toEqual([
      'none missing_key',
      'unknown invalid_key',
      'key-1 not_found',
      'key-1 bad_request',
    ]);
  });

  test('a key of a group that is not described is a mistake', async () => {
    const description = { projects: {}, keys: { [fakeGeminiKey('a')]: { project: 'nowhere' } } };
    await expect(startGemini(description)).rejects.toThrow('"nowhere"');
  });
});

describe('a scripted server', () => {
  test('answers in order and keeps what it was asked', async () => {
    const server = started(
      await startScripted([
        { status: 429, headers: { 'retry-after': '7' }, body: { error: 'slow down' } },
        { body: 'fine' },
        'reset',
        { chunks: ['one ', 'two'] },
      ]),
    );
    const refused = await ask(`${server.url}/a?x=1`, { method: 'POST', body: 'question', headers: { 'x-me': 'yes' } });
    expect(refused).toMatchObject({ status: 429, body: '{"error":"slow down"}' });
    expect(refused.headers.get('retry-after')).toBe('7');
    expect((await ask(server.url)).body).toBe('fine');
    await expect(ask(server.url)).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
    expect((await ask(server.url)).body).toBe('one two');
    expect(await ask(server.url)).toMatchObject({ status: 500, body: 'the script has no answer to request 5' });
    expect(server.requests[0]).toMatchObject({ method: 'POST', path: '/a', headers: { 'x-me': 'yes' } });
    expect(server.requests[0]?.query.get('x')).toBe('1');
    expect(server.requests[0]?.body.toString()).toBe('question');
  });

  test('may repeat its last answer', async () => {
    const server = started(await startScripted([{ status: 503 }, { status: 204, body: '' }], { repeatLast: true }));
    const statuses = [];
    for (let count = 0; count < 4; count += 1) statuses.push((await ask(server.url)).status);
    expect(statuses).toEqual([503, 204, 204, 204]);
  });

  test('a stream that stalls gives its beginning and no end', async () => {
    const server = started(await startScripted([{ chunks: ['first', 'second'], ending: 'stall' }]));
    const controller = new AbortController();
    const response = await fetch(server.url, { signal: controller.signal });
    const reader = response.body!.getReader();
    expect(await reader.read()).toEqual({ done: false, value: new TextEncoder().encode('first') });
    controller.abort();
    await expect(reader.read()).rejects.toMatchObject({ name: 'AbortError' });
    await server.idle();
    expect(server.requests[0]).toMatchObject({ status: 200, aborted: true });
  });
});

describe('windows', () => {
  test('a fixed window never admits more than its limit from its first use to its end', () => {
    const steps = fc.array(fc.record({ waitMs: fc.nat(30_000), amount: fc.integer({ min: 1, max: 5 }) }));
    fc.assert(
      fc.property(steps, fc.integer({ min: 5, max: 20 }), (requests, limit) => {
        const window = new FixedWindow(limit, (startedAt) => startedAt + 60_000);
        let now = 0;
        let startedAt = Number.NEGATIVE_INFINITY;
        let admitted = 0;
        for (const { waitMs, amount } of requests) {
          now += waitMs;
          if (window.fitsInMs(amount, now) > 0) {
            expect(admitted + amount).toBeGreaterThan(limit);
            expect(now + window.fitsInMs(amount, now)).toBe(startedAt + 60_000);
            continue;
          }
          if (now >= startedAt + 60_000) [startedAt, admitted] = [now, 0];
          window.add(amount, now);
          admitted += amount;
          expect(admitted).toBeLessThanOrEqual(limit);
        }
      }),
    );
  });

  test('what does not fit a refilling window fits after the wait it names, and not a millisecond before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.nat(100_000), (limit, startAt) => {
        const window = new RefillingWindow(limit, 60_000);
        window.add(limit, startAt);
        const waitMs = window.fitsInMs(1, startAt);
        expect(waitMs).toBeCloseTo(60_000 / limit, 2);
        expect(window.fitsInMs(1, startAt + Math.ceil(waitMs))).toBe(0);
        expect(window.fitsInMs(1, startAt + waitMs - 1)).toBeGreaterThan(0);
      }),
    );
  });

  test('what one limit refuses takes nothing from the others', () => {
    const meter = new Meter({ rpm: 5, tpm: 10 }, (_, limit) => new RefillingWindow(limit, 60_000));
    expect(meter.admit(11, 0)).toMatchObject([{ dimension: 'tpm', requested: 11 }]);
    expect(meter.window('rpm')?.used(0)).toBe(0);
    expect(meter.admit(10, 0)).toEqual([]);
    expect(meter.window('rpm')?.used(0)).toBe(1);
  });
});

test('Pacific midnight is found in summer, in winter and on the days the clocks change', () => {
  const cases = [
    [Date.UTC(2026, 6, 1, 12), Date.UTC(2026, 6, 2, 7)],
    [Date.UTC(2026, 0, 31, 12), Date.UTC(2026, 1, 1, 8)],
    [Date.UTC(2026, 2, 8, 9), Date.UTC(2026, 2, 9, 7)],
    [Date.UTC(2026, 10, 1, 12), Date.UTC(2026, 10, 2, 8)],
    [Date.UTC(2026, 6, 2, 7), Date.UTC(2026, 6, 3, 7)],
    [Date.UTC(2026, 6, 2, 7) - 1, Date.UTC(2026, 6, 2, 7)],
  ];
  for (const [now, midnight] of cases) expect(nextPacificMidnight(now!)).toBe(midnight);
});

test('durations print as Go prints them', () => {
  const printed = [0, 12, 1000, 1500, 59_700, 360_000, 432_000, 3_600_000].map(goDuration);
  expect(printed).toEqual(['0s', '12ms', '1s', '1.5s', '59.7s', '6m0s', '7m12s', '1h0m0s']);
});

test('fake keys have the real shapes, differ by label and say that they are fake', () => {
  expect(fakeGeminiKey('a')).toMatch(/^AIza[0-9A-Za-z_-]{35}$/);
  expect(fakeGeminiAuthKey('a')).toMatch(/^AQ\.[0-9A-Za-z_-]{50}$/);
  expect(fakeOpenAIKey('a')).toMatch(/^sk-proj-[0-9A-Za-z_-]{56}$/);
  expect(fakeAnthropicKey('a')).toMatch(/^sk-ant-api03-[0-9A-Za-z_-]{95}$/);
  for (const make of [fakeGeminiKey, fakeGeminiAuthKey, fakeOpenAIKey, fakeAnthropicKey]) {
    expect(make('a')).toContain('FAKEFAKE');
    expect(make('a')).not.toBe(make('b'));
  }
  expect(() => fakeGeminiKey('no spaces')).toThrow(RangeError);
});
