import { describe, expect, test } from 'vitest';
import { benchOf, fateOf, heard, held, httpError, rejectionOf, settle } from './support.ts';
import type { Bench } from './support.ts';

const NAMES = ['ann', 'ben', 'cleo', 'dora'] as const;

function bench(keys: readonly object[] = [], more: object = {}, provider = 'anthropic'): Bench {
  const declared = NAMES.map((id, index) => ({ id, key: `secret-of-${id}`, ...keys[index] }));
  return benchOf({
    retry: { maxRetries: 0 },
    keyManagement: { maxWaitMs: 0, providers: { [provider]: { keys: declared, ...more } } },
  });
}

/** Ann and Ben work for one organization, Cleo and Dora for others. */
const ORGANIZATIONS: Record<string, string> = { ann: 'acme', ben: 'acme', cleo: 'cleos', dora: 'doras' };

function answer(keyId: string | undefined, status = 200): Response {
  const headers = { 'anthropic-organization-id': ORGANIZATIONS[keyId ?? ''] ?? '' };
  return new Response(null, { status, headers });
}

function groupsOf({ guard }: Bench, provider = 'anthropic'): (string | undefined)[] {
  return (guard.getStats().keys[provider]?.keys ?? []).map(({ group }) => group);
}

/** One call on each key, so that each has been answered. */
async function meetAll({ guard }: Bench): Promise<void> {
  for (const id of NAMES) await guard.execute(({ keyId }) => answer(keyId), { providerName: 'anthropic', keyId: id });
}

describe('the organization of a key, as the answers tell', () => {
  test('is its group: a limit of one key holds for the others at once', async () => {
    const it = bench();
    await meetAll(it);
    expect(groupsOf(it)).toEqual(['acme', 'acme', 'cleos', 'doras']);
    const asked: (string | undefined)[] = [];
    const response = await it.guard.execute(({ keyId }) => {
      asked.push(keyId);
      return answer(keyId, keyId === 'ann' ? 429 : 200);
    }, 'anthropic');
    expect(response.status).toBe(200);
    expect(asked).toEqual(['ann', 'cleo']);
    expect(it.guard.explain('anthropic').keys.find(({ id }) => id === 'ben')).toMatchObject({
      state: 'cooling',
      why: 'cooling: rate_limit (group acme)',
    });
  });

  test('is told by the refusal itself, in time for it', async () => {
    const it = bench();
    const changes = heard(it.guard, 'key');
    await it.guard.execute(({ keyId }) => answer(keyId), { providerName: 'anthropic', keyId: 'ben' });
    const asked: (string | undefined)[] = [];
    await it.guard.execute(({ keyId }) => {
      asked.push(keyId);
      return answer(keyId, keyId === 'cleo' || keyId === 'dora' ? 200 : 429);
    }, { providerName: 'anthropic', keyId: 'ann' });
    expect(asked).toEqual(['ann', 'cleo']);
    expect(changes).toEqual([expect.objectContaining({ keyId: 'ann', to: 'cooling', group: 'acme' })]);
  });

  /** What Anthropic says of one key's limit. */
  function told(keyId: string | undefined, limit: number, remaining: number, reset: number): Response {
    return new Response(null, {
      headers: {
        'anthropic-organization-id': ORGANIZATIONS[keyId ?? ''] ?? '',
        'anthropic-ratelimit-requests-limit': String(limit),
        'anthropic-ratelimit-requests-remaining': String(remaining),
        'anthropic-ratelimit-requests-reset': new Date(reset).toISOString(),
      },
    });
  }

  test.each([
    ['another size', 50, 49],
    ['far more left of it', 1000, 990],
  ])('is no group where the keys have limits of their own: %s', async (_, limit, remaining) => {
    const it = bench();
    const reset = it.clock.now() + 30_000;
    const use = (id: string, size: number, left: number): Promise<unknown> =>
      it.guard.execute(({ keyId }) => told(keyId, size, left, reset), { providerName: 'anthropic', keyId: id, model: 'm' });
    await use('ann', 1000, 3);
    expect(groupsOf(it)[0]).toBe('acme');
    await use('ben', 1000, 2);
    expect(groupsOf(it).slice(0, 2)).toEqual(['acme', 'acme']);
    await use('ben', limit, remaining);
    await use('ann', 1000, 1);
    await use('ben', limit, remaining - 1);
    expect(groupsOf(it).slice(0, 2).filter(group => group === undefined)).toHaveLength(1);
    const refused = httpError(429, { 'retry-after': '20', 'anthropic-organization-id': 'acme' });
    const asked: (string | undefined)[] = [];
    await it.guard.execute(({ keyId }) => {
      asked.push(keyId);
      return keyId === 'ann' ? Promise.reject(refused) : told(keyId, limit, remaining - 2, reset);
    }, { providerName: 'anthropic', keyId: 'ann', model: 'm' });
    expect(it.guard.explain('anthropic', { model: 'm' }).keys.map(({ state }) => state).slice(0, 2)).toEqual(['cooling', 'ready']);
    expect(asked).toHaveLength(2);
  });

  test('stays one where a limit comes back bit by bit, or was renewed', async () => {
    const it = bench();
    const use = (id: string, left: number, resetInMs: number): Promise<unknown> =>
      it.guard.execute(({ keyId }) => told(keyId, 1000, left, it.clock.now() + resetInMs), {
        providerName: 'anthropic',
        keyId: id,
        model: 'm',
      });
    await use('ann', 100, 60_000);
    await use('ben', 99, 60_000);
    await it.clock.advance(45_000);
    await use('ann', 770, 14_000);
    await use('ben', 999, 60_000);
    await use('ann', 998, 60_000);
    expect(groupsOf(it).slice(0, 2)).toEqual(['acme', 'acme']);
  });

  test('that is called like the key is not shown', async () => {
    const it = bench();
    await it.guard.execute(({ apiKey }) => new Response(null, { headers: { 'anthropic-organization-id': apiKey ?? '' } }), 'anthropic');
    expect(groupsOf(it)[0]).toBeUndefined();
  });

  test('may have two names', async () => {
    const it = bench();
    await it.guard.execute(({ keyId }) => answer(keyId), { providerName: 'anthropic', keyId: 'ann' });
    const message = 'Rate limit reached for claude in organization org-1. Please try again in 1s.';
    for (const id of ['ann', 'ben']) {
      const refused = Object.assign(httpError(429), { error: { message } });
      const options = { providerName: 'anthropic', keyId: id };
      await it.guard.execute(({ keyId }) => (keyId === id ? Promise.reject(refused) : 'fine'), options);
      await it.clock.advance(1000);
      expect(groupsOf(it)).toEqual(['acme', id === 'ben' ? 'acme' : undefined, undefined, undefined]);
    }
  });

  test('stays, when the configuration is given anew', async () => {
    const it = bench();
    await meetAll(it);
    it.guard.updateConfig({
      keyManagement: { providers: { anthropic: { keys: NAMES.map(id => ({ id, key: `secret-of-${id}`, weight: 2 })) } } },
    });
    expect(groupsOf(it)).toEqual(['acme', 'acme', 'cleos', 'doras']);
  });

  test('yields to a group that is declared, then and later', async () => {
    const it = bench([{ group: 'mine' }]);
    await meetAll(it);
    expect(groupsOf(it)).toEqual(['mine', 'acme', 'cleos', 'doras']);
    const keys = NAMES.map(id => ({ id, key: `secret-of-${id}`, ...(id === 'ben' && { group: 'bens' }) }));
    it.guard.updateConfig({ keyManagement: { providers: { anthropic: { keys } } } });
    expect(groupsOf(it)).toEqual([undefined, 'bens', 'cleos', 'doras']);
  });

  test('joins a declared group of that name, and its limits', async () => {
    const it = bench([{ group: 'acme' }], { groups: { acme: { limits: { concurrency: 1 } } } });
    await meetAll(it);
    const call = held<Response>();
    fateOf(it.guard.execute(call.fn, { providerName: 'anthropic', keyId: 'ann' }));
    await settle();
    expect(it.guard.explain('anthropic').keys.find(({ id }) => id === 'ben')?.state).toBe('busy');
  });

  test('takes along what is under way and what was learned', async () => {
    const it = bench([], { groups: { acme: { limits: { concurrency: 2 } } } });
    const calls = [held<Response>(), held<Response>()];
    const results = calls.map(({ fn }, index) =>
      it.guard.execute(fn, { providerName: 'anthropic', keyId: NAMES[index] }),
    );
    await settle();
    await it.guard.execute(({ keyId }) => answer(keyId), { providerName: 'anthropic', keyId: 'ann' });
    await it.guard.execute(({ keyId }) => answer(keyId), { providerName: 'anthropic', keyId: 'ben' });
    const busy = (): string[] =>
      it.guard.explain('anthropic').keys.filter(({ state }) => state === 'busy').map(({ id }) => id);
    expect(busy()).toEqual(['ann', 'ben']);
    calls[0]!.finish(answer('ann'));
    await results[0];
    expect(busy()).toEqual([]);
    calls[1]!.finish(answer('ben'));
    await results[1];
    expect(it.guard.getStats().keys['anthropic']?.keys.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0, 0]);
  });

  test('takes a cool-down along', async () => {
    const it = bench();
    const refused = httpError(429, { 'retry-after': '60' });
    // This refusal does not say whose limit it is.
    await it.guard.execute(({ keyId }) => {
      if (keyId === 'ann') throw refused;
      return 'fine';
    }, { providerName: 'anthropic', keyId: 'ann' });
    await it.guard.execute(({ keyId }) => answer(keyId), { providerName: 'anthropic', keyId: 'ben' });
    expect(it.guard.explain('anthropic').keys.map(({ state }) => state)).toEqual(['cooling', 'ready', 'ready', 'ready']);
    await it.clock.advance(60_000);
    await it.guard.execute(({ keyId }) => answer(keyId), { providerName: 'anthropic', keyId: 'ann' });
    expect(groupsOf(it).slice(0, 2)).toEqual(['acme', 'acme']);
    expect(it.guard.explain('anthropic').keys[0]?.state).toBe('ready');
  });
});

describe('OpenAI', () => {
  const limited = (organization: string): Error =>
    Object.assign(httpError(429), {
      error: {
        message: `Rate limit reached for gpt-4o in organization ${organization} on requests per min. Please try again in 20s.`,
        type: 'requests',
        code: 'rate_limit_exceeded',
      },
    });

  test('names the organization where its limit is reached: its keys stand together from then on', async () => {
    const it = bench([], {}, 'openai');
    const options = { providerName: 'openai', model: 'gpt-4o' };
    const ask = (): Promise<unknown> =>
      it.guard.execute(({ keyId }) => {
        if (keyId === 'cleo' || keyId === 'dora') return 'fine';
        throw limited('org-Acme');
      }, options);
    await ask();
    expect(groupsOf(it, 'openai')).toEqual(['org-Acme', 'org-Acme', undefined, undefined]);
    await it.clock.advance(20_000);
    const attempts = heard(it.guard, 'attempt');
    for (let i = 0; i < 4; i++) await ask();
    // One of the two finds out for both.
    expect(attempts.filter(({ ok }) => !ok)).toHaveLength(1);
  });

  test('does not speak of limits in the organization header of every answer', async () => {
    const it = bench([], {}, 'openai');
    const headers = { 'openai-organization': 'acme' };
    for (let i = 0; i < 4; i++) await it.guard.execute(() => new Response('{}', { headers }), 'openai');
    expect(groupsOf(it, 'openai')).toEqual([undefined, undefined, undefined, undefined]);
  });

  test('is not believed where a message says so that is none about a limit', async () => {
    const it = bench([], {}, 'openai');
    const error = Object.assign(httpError(400), { error: { message: 'What is organization org-1 of yours?' } });
    await rejectionOf(it.guard.execute(() => Promise.reject(error), 'openai'));
    expect(groupsOf(it, 'openai')).toEqual([undefined, undefined, undefined, undefined]);
  });
});
