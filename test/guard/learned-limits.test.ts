import { describe, expect, test } from 'vitest';
import { PoolExhaustedError } from '../../src/index.ts';
import type { CallContext } from '../../src/guard/options.ts';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';
import { benchOf, fateOf, held, httpError, rejectionOf, settle } from './support.ts';
import type { Bench } from './support.ts';

const KEYS = [
  { id: 'ann', key: 'secret-of-ann' },
  { id: 'ben', key: 'secret-of-ben' },
];

function pool(provider: string, keys: readonly object[] = KEYS, more: object = {}): Bench {
  return benchOf({ keyManagement: { maxWaitMs: 0, providers: { [provider]: { keys, ...more } } } });
}

/** What OpenAI and many others send. */
function figures(requests: number, more: Record<string, string> = {}): Record<string, string> {
  return {
    'x-ratelimit-limit-requests': '10',
    'x-ratelimit-remaining-requests': String(requests),
    'x-ratelimit-reset-requests': '20s',
    ...more,
  };
}

function answering(headers: Record<string, string>): () => Response {
  return () => new Response('fine', { headers });
}

/** The key of a call that is answered with these headers. */
async function ask({ guard }: Bench, headers: Record<string, string>, options: object = {}): Promise<string | undefined> {
  let used: string | undefined;
  await guard.execute(
    ({ keyId }) => {
      used = keyId;
      return new Response('fine', { headers });
    },
    { providerName: 'openai', model: 'gpt-4o', ...options },
  );
  return used;
}

function learnedOf({ guard }: Bench, keyId: string, provider = 'openai'): object[] {
  const key = guard.getStats().keys[provider]?.keys.find(({ id }) => id === keyId);
  return [...(key?.learned ?? [])];
}

describe('a key with nothing left, by the headers of an answer', () => {
  test('is not chosen until the reset', async () => {
    const bench = pool('openai');
    expect(await ask(bench, figures(0))).toBe('ann');
    expect(await ask(bench, figures(5))).toBe('ben');
    expect(await ask(bench, figures(5))).toBe('ben');
    await bench.clock.advance(19_999);
    expect(await ask(bench, figures(5))).toBe('ben');
    await bench.clock.advance(1);
    expect(await ask(bench, figures(5))).toBe('ann');
  });

  test('shows in the stats, for the model it is about', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    const refused = httpError(429, { 'retry-after': '6' });
    await rejectionOf(bench.guard.execute(() => Promise.reject(refused), { providerName: 'openai', model: 'gpt-4o' }));
    const report = bench.guard.getStats().keys['openai']?.keys[0];
    const until = bench.clock.now() + 6000;
    expect(report?.modelsAway).toEqual([{ model: 'gpt-4o', state: 'cooling', reason: 'rate_limit', until }]);
    expect(await rejectionOf(ask(bench, {}))).toMatchObject({
      message: expect.stringContaining('No key of provider "openai" is ready for model "gpt-4o" (1 cooling)') as string,
    });
    await bench.clock.advance(6000);
    expect(bench.guard.getStats().keys['openai']?.keys[0]?.modelsAway).toEqual([]);
  });

  test('stays away from no other model', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    await ask(bench, figures(0));
    expect(await rejectionOf(ask(bench, figures(0)))).toBeInstanceOf(PoolExhaustedError);
    expect(await ask(bench, figures(5), { model: 'gpt-4o-mini' })).toBe('ann');
  });

  test('stays away from all models where the provider counts them together', async () => {
    const bench = benchOf({ keyManagement: { maxWaitMs: 0, providers: { mistral: { keys: [KEYS[0]!] } } } });
    const headers = { 'x-ratelimit-limit-req-minute': '10', 'x-ratelimit-remaining-req-minute': '0' };
    const options = { providerName: 'mistral', model: 'small' };
    await bench.guard.execute(answering(headers), options);
    const error = await rejectionOf(bench.guard.execute(answering(headers), { ...options, model: 'large' }));
    // No header says when: the limit is one per minute.
    expect(error).toMatchObject({ retryAfterMs: 60_000 });
  });

  test('takes the keys of its group along, and says why', async () => {
    const keys = KEYS.map(key => ({ ...key, group: 'research' }));
    const bench = pool('openai', keys);
    await ask(bench, figures(0));
    const error = await rejectionOf(ask(bench, figures(0)));
    expect(error).toMatchObject({
      retryAfterMs: 20_000,
      keys: ['ann', 'ben'].map(id => ({
        id,
        state: 'exhausted',
        reason: "the provider's requests are used up (group research, model gpt-4o)",
      })),
    });
  });

  test('is waited for by a call that may wait', async () => {
    const bench = pool('openai', [KEYS[0]!], { maxWaitMs: 30_000 });
    await ask(bench, figures(0));
    const fate = fateOf(ask(bench, figures(9)));
    await bench.clock.advance(19_999);
    expect(fate.state).toBe('pending');
    await bench.clock.advance(1);
    expect(fate).toEqual({ state: 'resolved', value: 'ann' });
  });

  test('is as good as any other once a person has reset it', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    await ask(bench, figures(0));
    bench.guard.keys.resetCooldown('openai', 'ann');
    expect(await ask(bench, figures(0))).toBe('ann');
  });

  test('is one by the headers of a refusal too, until the time that tells, not the reset', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    const refused = httpError(429, { ...figures(0), 'retry-after': '6' });
    await rejectionOf(bench.guard.execute(() => Promise.reject(refused), { providerName: 'openai', model: 'gpt-4o' }));
    expect(learnedOf(bench, 'ann')).toMatchObject([{ left: 0 }]);
    await bench.clock.advance(5999);
    expect(await rejectionOf(ask(bench, figures(1)))).toBeInstanceOf(PoolExhaustedError);
    await bench.clock.advance(1);
    expect(await ask(bench, figures(1))).toBe('ann');
  });

  test('may be told by what an SDK or a client resolves to', async () => {
    for (const value of [
      { data: 'fine', response: new Response('fine', { headers: figures(0) }) },
      { data: 'fine', status: 200, headers: figures(0) },
    ]) {
      const bench = pool('openai', [KEYS[0]!]);
      await bench.guard.execute(() => value, { providerName: 'openai', model: 'gpt-4o' });
      expect(await rejectionOf(ask(bench, {}))).toBeInstanceOf(PoolExhaustedError);
    }
  });

  test('is not believed of Azure, whose zeros after an answer mean nothing', async () => {
    const bench = benchOf({ keyManagement: { maxWaitMs: 0, providers: { azure: { keys: [KEYS[0]!] } } } });
    for (let call = 0; call < 2; call++) {
      const headers = { ...figures(0), 'x-ratelimit-reset-requests': '20' };
      await bench.guard.execute(answering(headers), { providerName: 'azure', model: 'gpt-4o' });
    }
    expect(learnedOf(bench, 'ann', 'azure')).toMatchObject([{ limit: 10, left: undefined }]);
  });
});

describe('between two answers', () => {
  test('every attempt takes one of what was left', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    await ask(bench, figures(2));
    const calls = [held<Response>(), held<Response>(), held<Response>()];
    const options = { providerName: 'openai', model: 'gpt-4o' };
    const fates = calls.map(({ fn }) => fateOf(bench.guard.execute(fn, options)));
    await settle();
    expect(calls.map(({ runs }) => runs())).toEqual([1, 1, 0]);
    expect(fates[2]).toMatchObject({ state: 'rejected' });
    expect(learnedOf(bench, 'ann')).toMatchObject([{ counts: 'requests', model: 'gpt-4o', limit: 10, left: 0 }]);
  });

  test('an answer does not hide what was asked after its request', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    const first = held<Response>();
    const second = held<Response>();
    const options = { providerName: 'openai', model: 'gpt-4o' };
    const calls = [bench.guard.execute(first.fn, options)];
    await bench.clock.advance(ON_THE_WAY_MS);
    calls.push(bench.guard.execute(second.fn, options));
    await settle();
    // The provider has seen one request when it says that one more may come: that one is on its way.
    first.finish(new Response('fine', { headers: figures(1) }));
    await calls[0];
    expect(await rejectionOf(ask(bench, {}))).toBeInstanceOf(PoolExhaustedError);
    second.finish(new Response('fine', { headers: figures(4) }));
    await calls[1];
    expect(await ask(bench, {})).toBe('ann');
  });

  test('who waits for what is on its way is woken by its answer', async () => {
    const bench = pool('openai', [KEYS[0]!], { maxWaitMs: 10_000 });
    const first = held<Response>();
    const second = held<Response>();
    const options = { providerName: 'openai', model: 'gpt-4o' };
    const calls = [bench.guard.execute(first.fn, options)];
    await bench.clock.advance(ON_THE_WAY_MS);
    calls.push(bench.guard.execute(second.fn, options));
    await settle();
    first.finish(new Response('fine', { headers: figures(1) }));
    await calls[0];
    // The reset is further away than the call may wait; the answer under way may come any moment.
    const fate = fateOf(ask(bench, {}));
    await settle();
    expect(fate.state).toBe('pending');
    second.finish(new Response('fine', { headers: figures(4) }));
    await settle();
    expect(fate).toEqual({ state: 'resolved', value: 'ann' });
  });

  test('an answer to an older request does not bring back what a younger one has used', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    const first = held<Response>();
    const second = held<Response>();
    const options = { providerName: 'openai', model: 'gpt-4o' };
    const calls = [first, second].map(({ fn }) => bench.guard.execute(fn, options));
    await settle();
    second.finish(new Response('fine', { headers: figures(0) }));
    await calls[1];
    first.finish(new Response('fine', { headers: figures(1) }));
    await calls[0];
    expect(await rejectionOf(ask(bench, {}))).toBeInstanceOf(PoolExhaustedError);
  });

  test('a stream that has begun has been counted: the answer to an older request does not take it off again', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    const slow = held<Response>();
    const options = { providerName: 'openai', model: 'gpt-4o' };
    const first = bench.guard.execute(slow.fn, options);
    const streams = [];
    for (let left = 8; left >= 6; left--) {
      streams.push(await bench.guard.execute(() => new Response('a stream', { headers: figures(left) }), options));
    }
    slow.finish(new Response(null, { headers: figures(5) }));
    await first;
    expect(learnedOf(bench, 'ann')).toMatchObject([{ left: 5 }]);
    await Promise.all(streams.map(stream => stream.text()));
  });

  test('a late answer that speaks of a window that is over takes nothing away', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    const late = held<Response>();
    const options = { providerName: 'openai', model: 'gpt-4o' };
    const first = bench.guard.execute(late.fn, options);
    await ask(bench, figures(9, { 'x-ratelimit-reset-requests': '6h0m0s' }));
    late.finish(new Response(null, { headers: figures(0, { 'x-ratelimit-reset-requests': '10s' }) }));
    await first;
    expect(await ask(bench, {})).toBe('ann');
  });

  test('when all that was under way has ended without a word, one call finds out', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    const calls = [held<Response>(), held<Response>(), held<Response>()];
    const options = { providerName: 'openai', model: 'gpt-4o', attemptTimeoutMs: 1000 };
    const first = bench.guard.execute(calls[0]!.fn, options);
    const others = calls.slice(1).map(({ fn }) => fateOf(bench.guard.execute(fn, { ...options, idempotent: false })));
    await settle();
    calls[0]!.finish(new Response(null, { headers: figures(1) }));
    await first;
    expect(await rejectionOf(ask(bench, {}))).toBeInstanceOf(PoolExhaustedError);
    await bench.clock.advance(1000);
    expect(others.map(({ state }) => state)).toEqual(['rejected', 'rejected']);
    // The provider had one left, and two requests were abandoned.
    const probe = held<Response>();
    const probing = bench.guard.execute(probe.fn, options);
    await settle();
    expect(await rejectionOf(ask(bench, {}))).toBeInstanceOf(PoolExhaustedError);
    probe.finish(new Response(null, { headers: figures(7) }));
    await probing;
    expect(await ask(bench, {})).toBe('ann');
  });

  test('a provider that tells its limit in refusals alone is not held to it for longer than it said', async () => {
    const bench = benchOf({ keyManagement: { maxWaitMs: 10_000, providers: { vendor: { keys: [KEYS[0]!] } } } });
    const told = { 'x-ratelimit-limit': '5', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1' };
    await rejectionOf(bench.guard.execute(() => Promise.reject(httpError(429, told)), { providerName: 'vendor', deadlineMs: 1 }));
    await bench.clock.advance(1000);
    for (let second = 0; second < 10; second++) {
      for (let call = 0; call < 2; call++) expect(await bench.guard.execute(() => 'fine', 'vendor')).toBe('fine');
      await bench.clock.advance(1000);
    }
  });

  test('after the reset there is no more than the limit', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    await ask(bench, { ...figures(0), 'x-ratelimit-limit-requests': '2' });
    await bench.clock.advance(20_000);
    const call = held<Response>();
    const options = { providerName: 'openai', model: 'gpt-4o' };
    for (let i = 0; i < 3; i++) fateOf(bench.guard.execute(call.fn, options));
    await settle();
    expect(call.runs()).toBe(2);
  });

  test('a request that was never sent is given back', async () => {
    const bench = pool('openai', [KEYS[0]!], { cooldown: { initialMs: 1 } });
    await ask(bench, figures(1));
    const unsent = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const options = { providerName: 'openai', model: 'gpt-4o', idempotent: false };
    bench.guard.updateConfig({ retry: { enabled: false } });
    await rejectionOf(bench.guard.execute(() => Promise.reject(unsent), options));
    expect(await ask(bench, figures(1))).toBe('ann');
  });
});

describe('tokens', () => {
  const tokens = (left: number): Record<string, string> => ({
    'x-ratelimit-limit-tokens': '1000',
    'x-ratelimit-remaining-tokens': String(left),
    'x-ratelimit-reset-tokens': '30s',
  });

  test('a call goes where there is room for it', async () => {
    const bench = pool('openai');
    expect(await ask(bench, tokens(100), { tokens: 50 })).toBe('ann');
    expect(await ask(bench, tokens(900), { tokens: 50 })).toBe('ben');
    for (let i = 0; i < 3; i++) expect(await ask(bench, tokens(900), { tokens: 200 })).toBe('ben');
    expect(await ask(bench, tokens(100), { tokens: 50 })).toBe('ann');
  });

  test('a call larger than the whole limit is left to the provider to refuse', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    await ask(bench, tokens(1000));
    expect(await ask(bench, tokens(1000), { tokens: 5000 })).toBe('ann');
  });

  test('an estimate counts until the provider says what it really was', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    await ask(bench, tokens(1000));
    const call = held<Response>();
    const answer = bench.guard.execute(call.fn, { providerName: 'openai', model: 'gpt-4o', tokens: 900 });
    await settle();
    expect(await rejectionOf(ask(bench, {}, { tokens: 200 }))).toMatchObject({
      keys: [{ reason: 'the provider has no room for 200 tokens (model gpt-4o)' }],
    });
    call.finish(new Response('fine', { headers: tokens(700) }));
    await answer;
    expect(await ask(bench, {}, { tokens: 200 })).toBe('ann');
  });

  test('what a call reports counts where no header does', async () => {
    const bench = pool('openai', [KEYS[0]!]);
    await ask(bench, tokens(1000));
    const spend = ({ reportUsage }: CallContext): string => {
      reportUsage({ inputTokens: 950 });
      return 'fine';
    };
    await bench.guard.execute(spend, { providerName: 'openai', model: 'gpt-4o', tokens: 10 });
    expect(await rejectionOf(ask(bench, {}, { tokens: 100 }))).toBeInstanceOf(PoolExhaustedError);
    expect(await ask(bench, {}, { tokens: 50 })).toBe('ann');
  });

  test('of one kind only are waited for when none is left', async () => {
    const headers = { 'anthropic-ratelimit-input-tokens-remaining': '0', 'anthropic-ratelimit-input-tokens-limit': '500' };
    const bench = benchOf({ keyManagement: { maxWaitMs: 0, providers: { anthropic: { keys: [KEYS[0]!] } } } });
    const reset = new Date(bench.clock.now() + 4000).toISOString();
    const options = { providerName: 'anthropic', model: 'claude', tokens: 10 };
    await bench.guard.execute(answering({ ...headers, 'anthropic-ratelimit-input-tokens-reset': reset }), options);
    const error = await rejectionOf(bench.guard.execute(answering({}), options));
    expect(error).toMatchObject({ retryAfterMs: 4000 });
  });
});

describe('a declared limit', () => {
  test('holds beside the figures of the provider', async () => {
    const bench = pool('openai', [{ ...KEYS[0]!, limits: { rpm: 2 } }]);
    for (let i = 0; i < 2; i++) await ask(bench, figures(9 - i));
    expect(await rejectionOf(ask(bench, figures(7)))).toBeInstanceOf(PoolExhaustedError);
  });

  test.each([
    ['of a key', { limits: { tpm: 1000 } }, {}],
    ['of a group', { group: 'research' }, { groups: { research: { limits: { tpm: 1000 } } } }],
  ])('%s counts what the provider counts, where that is the same limit and less', async (_, key, more) => {
    const bench = pool('openai', [{ ...KEYS[0]!, ...key }], more);
    const headers = { 'x-ratelimit-limit-tokens': '1000', 'x-ratelimit-remaining-tokens': '900' };
    // Cached input, which the provider does not count against the limit.
    await ask(bench, {}, { tokens: 950 });
    expect(await rejectionOf(ask(bench, {}, { tokens: 100 }))).toBeInstanceOf(PoolExhaustedError);
    await ask(bench, headers, { tokens: 50 });
    expect(await ask(bench, {}, { tokens: 800 })).toBe('ann');
  });

  test('of a day is not touched by a figure that names no window', async () => {
    const bench = pool('openai', [{ ...KEYS[0]!, limits: { rpd: 3 } }]);
    const headers = { 'x-ratelimit-limit-requests': '3', 'x-ratelimit-remaining-requests': '2', 'x-ratelimit-reset-requests': '1s' };
    for (let call = 0; call < 3; call++) await ask(bench, headers);
    expect(await rejectionOf(ask(bench, headers))).toBeInstanceOf(PoolExhaustedError);
  });

  test('of several models together is not touched by the figure of one', async () => {
    const bench = pool('openai', [{ ...KEYS[0]!, limits: { rpm: 3 } }]);
    const headers = { 'x-ratelimit-limit-requests': '3', 'x-ratelimit-remaining-requests': '2', 'x-ratelimit-reset-requests': '1s' };
    for (const model of ['a', 'b', 'c']) await ask(bench, headers, { model });
    expect(await rejectionOf(ask(bench, headers, { model: 'd' }))).toBeInstanceOf(PoolExhaustedError);
  });

  test('is not touched by figures of another one', async () => {
    const bench = pool('openai', [{ ...KEYS[0]!, limits: { tpm: 1000 } }]);
    await ask(bench, {}, { tokens: 950 });
    await ask(bench, { 'x-ratelimit-limit-tokens': '5000', 'x-ratelimit-remaining-tokens': '4900' }, { tokens: 50 });
    expect(await rejectionOf(ask(bench, {}, { tokens: 100 }))).toBeInstanceOf(PoolExhaustedError);
  });
});

describe('a limit named in a refusal', () => {
  const refusal = (quotaId: string, quotaMetric: string, quotaValue: string): Response => {
    const violations = [{ quotaId, quotaMetric, quotaValue }];
    const details = [
      { '@type': 'type.googleapis.com/google.rpc.QuotaFailure', violations },
      { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '10s' },
    ];
    const error = { code: 429, status: 'RESOURCE_EXHAUSTED', message: 'You exceeded your current quota.', details };
    return new Response(JSON.stringify({ error }), { status: 429, headers: { 'content-type': 'application/json' } });
  };
  const options = { providerName: 'gemini', model: 'flash' };
  const gemini = (): Bench =>
    benchOf({ keyManagement: { maxWaitMs: 0, providers: { gemini: { keys: [KEYS[0]!] } } } });

  test('is kept to by our own count from then on', async () => {
    const bench = gemini();
    const id = 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier';
    await bench.guard.execute(() => refusal(id, 'generate_content_free_tier_requests', '2'), options);
    await bench.clock.advance(10_000);
    await bench.guard.execute(() => 'fine', options);
    // When the other one was used, nobody has counted.
    await bench.clock.advance(50_000 + ON_THE_WAY_MS);
    await bench.guard.execute(() => 'fine', options);
    expect(learnedOf(bench, 'ann', 'gemini')).toMatchObject([{ counts: 'requests', limit: 2, left: 0 }]);
    const error = await rejectionOf(bench.guard.execute(() => 'fine', options));
    expect(error).toMatchObject({ retryAfterMs: 10_000 });
    await bench.clock.advance(10_000);
    expect(await bench.guard.execute(() => 'fine', options)).toBe('fine');
  });

  test('is believed for two days, and then found out again: it may have been raised', async () => {
    const bench = gemini();
    const id = 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier';
    const ask = (): Promise<unknown> => bench.guard.execute(() => 'fine', options);
    await bench.guard.execute(() => refusal(id, 'generate_content_free_tier_requests', '1'), options);
    await bench.clock.advance(2 * 86_400_000 - 1000);
    expect(await ask()).toBe('fine');
    expect(await rejectionOf(ask())).toBeInstanceOf(PoolExhaustedError);
    await bench.clock.advance(60_000 + ON_THE_WAY_MS);
    for (let call = 0; call < 5; call++) expect(await ask()).toBe('fine');
    await bench.guard.execute(() => refusal(id, 'generate_content_free_tier_requests', '1'), options);
    expect(await rejectionOf(ask())).toBeInstanceOf(PoolExhaustedError);
  });

  test('of a day ends at the midnight of the provider', async () => {
    const bench = gemini();
    const id = 'GenerateRequestsPerDayPerProjectPerModel-FreeTier';
    await bench.guard.execute(() => refusal(id, 'generate_content_free_tier_requests', '1'), options);
    // Noon in London; 20 hours to midnight in California.
    await bench.clock.advance(20 * 3_600_000 + 1_800_000);
    await bench.guard.execute(() => 'fine', options);
    const error = await rejectionOf(bench.guard.execute(() => 'fine', options));
    expect(error).toMatchObject({ retryAtMs: Date.UTC(2026, 10, 22, 8) });
  });

  test('may be one of tokens', async () => {
    const bench = gemini();
    const id = 'GenerateContentInputTokensPerModelPerMinute-FreeTier';
    await bench.guard.execute(() => refusal(id, 'generate_content_free_tier_input_token_count', '1000'), options);
    await bench.clock.advance(60_000 + ON_THE_WAY_MS);
    await bench.guard.execute(() => 'fine', { ...options, tokens: 900 });
    expect(await rejectionOf(bench.guard.execute(() => 'fine', { ...options, tokens: 200 }))).toMatchObject({
      retryAfterMs: 60_000 + ON_THE_WAY_MS,
    });
    expect(await bench.guard.execute(() => 'fine', { ...options, tokens: 100 })).toBe('fine');
  });
});

describe('figures that cannot be right', () => {
  test.each<[string, Record<string, string>]>([
    ['a window of no time', { ratelimit: '"requests";r=5;t=10', 'ratelimit-policy': '"requests";q=100;w=0', 'x-ratelimit-limit-requests': '100' }],
    ['a limit of nothing', { 'x-ratelimit-limit-requests': '0' }],
    ['figures that are none', { ...figures(5), 'x-ratelimit-remaining-requests': 'NaN', 'x-ratelimit-limit-requests': '1e999' }],
    ['a reset long gone', figures(0, { 'x-ratelimit-reset-requests': '2001-01-01T00:00:00Z' })],
  ])('%s holds nobody up', async (_, headers) => {
    for (const provider of ['openai', 'groq', 'vendor']) {
      const bench = benchOf({ keyManagement: { maxWaitMs: 0, providers: { [provider]: { keys: [KEYS[0]!] } } } });
      for (let call = 0; call < 3; call++) {
        const answer = await bench.guard.execute(answering(headers), { providerName: provider, model: 'm' });
        expect(answer.status).toBe(200);
      }
    }
  });

  test('a key is not away for a month, nor for a day where not even the limit is told', async () => {
    const bench = benchOf({ keyManagement: { maxWaitMs: 0, providers: { vendor: { keys: [KEYS[0]!] } } } });
    await bench.guard.execute(answering({ 'ratelimit-remaining': '0', 'ratelimit-reset': '9999999' }), 'vendor');
    expect(await rejectionOf(bench.guard.execute(() => 1, 'vendor'))).toMatchObject({ retryAfterMs: 3_600_000 });
    const limited = pool('openai', [KEYS[0]!]);
    await ask(limited, figures(0, { 'x-ratelimit-reset-requests': '700h0m0s' }));
    expect(await rejectionOf(ask(limited, {}))).toMatchObject({ retryAfterMs: 86_400_000 });
  });

  test('a policy that goes by the name of the key is not shown', async () => {
    const bench = benchOf({ keyManagement: { providers: { vendor: { keys: [KEYS[0]!] } } } });
    await bench.guard.execute(answering({ ratelimit: '"secret-of-ann";r=1;t=7' }), 'vendor');
    expect(learnedOf(bench, 'ann', 'vendor')).toEqual([]);
  });
});

test('a call that names no model is told of no model in particular', async () => {
  const bench = pool('openai', [KEYS[0]!]);
  await ask(bench, figures(0), { model: undefined });
  expect(await ask(bench, {})).toBe('ann');
  expect(await rejectionOf(ask(bench, {}, { model: undefined }))).toBeInstanceOf(PoolExhaustedError);
});

test('figures without a time of reset say nothing about later', async () => {
  const bench = pool('openai', [KEYS[0]!]);
  await ask(bench, { 'x-ratelimit-remaining-requests': '0' });
  expect(await ask(bench, {})).toBe('ann');
});

test('a clock that is set back by an hour does not make a reset of seconds last an hour', async () => {
  const bench = pool('openai', [KEYS[0]!]);
  await ask(bench, figures(0));
  bench.clock.set(bench.clock.now() - 3_600_000);
  expect(await rejectionOf(ask(bench, {}))).toBeInstanceOf(PoolExhaustedError);
  await bench.clock.advance(20_000);
  expect(await ask(bench, {})).toBe('ann');
});

test('a policy of the IETF draft is a limit by its name', async () => {
  const bench = benchOf({ keyManagement: { maxWaitMs: 0, providers: { vendor: { keys: [KEYS[0]!] } } } });
  const headers = { 'ratelimit-policy': '"burst";q=100;w=60', ratelimit: '"burst";r=0;t=7' };
  await bench.guard.execute(answering(headers), 'vendor');
  expect(learnedOf(bench, 'ann', 'vendor')).toEqual([
    { counts: 'burst', model: '', limit: 100, left: 0, resetAt: bench.clock.now() + 7000 },
  ]);
  expect(await rejectionOf(bench.guard.execute(() => 'fine', 'vendor'))).toMatchObject({ retryAfterMs: 7000 });
});
