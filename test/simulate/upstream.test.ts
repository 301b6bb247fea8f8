import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { QuotaScope, SimulatedProvider, SimulatedQuota, Trouble } from '../../src/simulate/scenario.ts';
import { isOfKeys, Upstream } from '../../src/simulate/upstream.ts';
import { callOf, MINUTE_MS, providerOf, quotaOf, START_AT } from './support.ts';

const upstreamOf = (more: Partial<SimulatedProvider>): Upstream => new Upstream('api', providerOf(more), START_AT);

/** Whether a request of the key's is served `atMs` after the beginning. */
const serves = (upstream: Upstream, keyId: string, atMs: number, tokens = 0): boolean =>
  upstream.admit(keyId, callOf(atMs, { tokens }), START_AT + atMs) === undefined;

describe('a trouble', () => {
  const kinds: Trouble['kind'][] = ['revoked', 'suspended', 'billing', 'overloaded', 'outage'];

  test.each(kinds)('%s strikes its keys in its time, and no others', kind => {
    const upstream = upstreamOf({ troubles: [{ kind, keys: ['a'], fromMs: 1000, untilMs: 2000 }] });
    expect([999, 1000, 1999, 2000].map(atMs => serves(upstream, 'a', atMs))).toEqual([true, false, false, true]);
    expect([999, 1000, 1999, 2000].map(atMs => serves(upstream, 'b', atMs))).toEqual([true, true, true, true]);
  });

  test('strikes all keys and lasts to the end where nothing else is said', () => {
    const upstream = upstreamOf({ troubles: [{ kind: 'outage', fromMs: 0 }] });
    const served = [0, 1e12].flatMap(atMs => ['a', 'b'].map(keyId => serves(upstream, keyId, atMs)));
    expect(served).toEqual([false, false, false, false]);
  });

  test('that so many attempts end is over then, whoever made them', () => {
    const upstream = upstreamOf({ troubles: [{ kind: 'overloaded', fromMs: 0, attempts: 3 }] });
    const served = ['a', 'b', 'a', 'b', 'a'].map(keyId => serves(upstream, keyId, 10));
    expect(served).toEqual([false, false, false, true, true]);
  });

  test('is one cause for all it strikes where it is the provider\'s, and one for each key where it is theirs', () => {
    const causes = (kind: Trouble['kind']): (string | undefined)[] => {
      const upstream = upstreamOf({ troubles: [{ kind, fromMs: 0 }] });
      return ['a', 'b', 'a'].map(keyId => upstream.admit(keyId, callOf(0), START_AT)?.id);
    };
    expect(new Set(causes('overloaded')).size).toBe(1);
    expect(new Set(causes('outage')).size).toBe(1);
    for (const kind of kinds.slice(0, 3)) {
      const [first, second, third] = causes(kind);
      expect(first).not.toBe(second);
      expect(third).toBe(first);
    }
    expect(kinds.filter(kind => isOfKeys({ kind, fromMs: 0 }))).toEqual(['revoked', 'suspended', 'billing']);
  });

  test('names itself: its kind, and the trouble itself', () => {
    const trouble: Trouble = { kind: 'billing', fromMs: 0 };
    const cause = upstreamOf({ troubles: [trouble] }).admit('a', callOf(0), START_AT);
    expect(cause).toMatchObject({ kind: 'billing', trouble });
  });

  test('the first of several is the one that strikes', () => {
    const troubles: Trouble[] = [{ kind: 'revoked', keys: ['a'], fromMs: 0 }, { kind: 'outage', fromMs: 0 }];
    const upstream = upstreamOf({ troubles });
    expect(['a', 'b'].map(keyId => upstream.admit(keyId, callOf(0), START_AT)?.kind)).toEqual(['revoked', 'outage']);
  });

  test('is not counted against a quota', () => {
    const upstream = upstreamOf({ quotas: [quotaOf()], troubles: [{ kind: 'overloaded', fromMs: 0, untilMs: 10 }] });
    expect([0, 5, 10].map(atMs => serves(upstream, 'a', atMs))).toEqual([false, false, true]);
  });

  test('slow answers take so many times longer, in its time, and are answers', () => {
    const slow = upstreamOf({ troubles: [{ kind: 'slow', keys: ['a'], fromMs: 10, untilMs: 20, factor: 7 }] });
    expect([9, 10, 19, 20].map(atMs => slow.slownessOf('a', START_AT + atMs))).toEqual([1, 7, 7, 1]);
    expect(slow.slownessOf('b', START_AT + 10)).toBe(1);
    expect(serves(slow, 'a', 15)).toBe(true);
    expect(upstreamOf({ troubles: [{ kind: 'slow', fromMs: 0 }] }).slownessOf('a', START_AT)).toBe(1);
    expect(upstreamOf({ troubles: [{ kind: 'outage', fromMs: 0, factor: 7 }] }).slownessOf('a', START_AT)).toBe(1);
  });
});

describe('a quota', () => {
  const keys = [
    { id: 'a', project: 'p', organization: 'o' },
    { id: 'b', project: 'p', organization: 'o' },
    { id: 'c', project: 'q', organization: 'o' },
    { id: 'd' },
    { id: 'e' },
  ];

  test.each<[QuotaScope, string]>([
    ['key', 'abcde'],
    ['project', 'acde'],
    ['organization', 'ade'],
    ['address', 'a'],
  ])('of a %s is shared by all of it, and by nobody else', (of, served) => {
    const upstream = upstreamOf({ keys, quotas: [quotaOf({ of })] });
    expect(keys.map(({ id }) => id).filter(id => serves(upstream, id, 0)).join('')).toBe(served);
  });

  test('names the one that refused, and when it has room; another key of the same owner has the same cause', () => {
    const upstream = upstreamOf({ keys, quotas: [quotaOf({ of: 'project' })] });
    serves(upstream, 'a', 0);
    const cause = upstream.admit('a', callOf(5), START_AT + 5);
    expect(cause).toMatchObject({ kind: 'quota', retryAt: START_AT + MINUTE_MS, meter: { limit: 1 } });
    expect(upstream.admit('b', callOf(6), START_AT + 6)?.id).toBe(cause?.id);
    serves(upstream, 'c', 7);
    expect(upstream.admit('c', callOf(8), START_AT + 8)?.id).not.toBe(cause?.id);
  });

  test('of a key is as many times larger as the key says; others are not', () => {
    const scaled = [{ id: 'a', scale: 3 }, { id: 'b', project: 'p', scale: 3 }];
    const own = upstreamOf({ keys: scaled, quotas: [quotaOf()] });
    expect([0, 1, 2, 3].map(atMs => serves(own, 'a', atMs))).toEqual([true, true, true, false]);
    const shared = upstreamOf({ keys: scaled, quotas: [quotaOf({ of: 'project' })] });
    expect([0, 1].map(atMs => serves(shared, 'b', atMs))).toEqual([true, false]);
  });

  test('of tokens counts them, one of requests counts one, and a refusal counts nothing', () => {
    const upstream = upstreamOf({ quotas: [quotaOf({ counts: 'tokens', limit: 100 }), quotaOf({ limit: 3 })] });
    expect(serves(upstream, 'a', 0, 60)).toBe(true);
    expect(serves(upstream, 'a', 1, 60)).toBe(false);
    expect(serves(upstream, 'a', 2, 40)).toBe(true);
    expect(serves(upstream, 'a', 3, 0)).toBe(true);
    expect(serves(upstream, 'a', 4, 0)).toBe(false);
    expect(upstream.metersOf('a', { model: undefined }).map(meter => meter.used(START_AT + 4))).toEqual([100, 3]);
    expect(upstream.admit('b', callOf(4, { tokens: 101 }), START_AT + 4)).toMatchObject({ retryAt: Infinity });
  });

  test('of each model is its own, where the provider has it so', () => {
    const upstream = upstreamOf({ quotas: [quotaOf({ limit: 3 }), quotaOf({ perModel: true })] });
    const admits = (model: string | undefined, atMs: number): boolean =>
      upstream.admit('a', callOf(atMs, { model }), START_AT + atMs) === undefined;
    expect([admits('pro', 0), admits('pro', 1), admits('flash', 2), admits(undefined, 3), admits('else', 4)]).toEqual([
      true, false, true, true, false,
    ]);
  });

  test('a key that is not there is a mistake', () => {
    expect(() => upstreamOf({}).keyOf('x')).toThrow(new RangeError('api has no key "x"'));
    expect(() => upstreamOf({}).admit('x', callOf(0), START_AT)).toThrow(RangeError);
  });
});

describe('foresight', () => {
  test('tells the earliest time at which a request is served, and no later one', () => {
    const troubles = fc.array(
      fc.record({
        kind: fc.constantFrom<Trouble['kind'][]>('revoked', 'overloaded', 'slow'),
        fromMs: fc.integer({ min: 0, max: 100_000 }),
        untilMs: fc.integer({ min: 0, max: 200_000 }),
      }),
      { maxLength: 3 },
    );
    const quotas = fc.array(
      fc.record({
        limit: fc.integer({ min: 1, max: 3 }),
        form: fc.constantFrom<SimulatedQuota['form'][]>('sliding', 'fixed', 'refill'),
      }),
      { minLength: 1, maxLength: 2 },
    );
    fc.assert(
      fc.property(troubles, quotas, fc.array(fc.nat(30_000), { maxLength: 8 }), (all, limits, gapsMs) => {
        const upstream = upstreamOf({ troubles: all, quotas: limits.map(quotaOf) });
        let atMs = 0;
        for (const gapMs of gapsMs) serves(upstream, 'a', (atMs += gapMs));
        const now = START_AT + atMs;
        const call = callOf(atMs);
        const at = upstream.servesAt('a', call, now);
        expect(upstream.isGood('a', call, now)).toBe(at <= now);
        // What was not to be served would not have been counted: any time before may be asked.
        const before = [now, at - 1, now + (at - now) / 2].map(Math.floor).filter(time => time >= now && time < at);
        for (const time of before) expect(upstream.admit('a', call, time)).toBeDefined();
        expect(upstream.admit('a', call, at)).toBeUndefined();
      }),
    );
  });

  test('does not see when attempts end a trouble: somebody has to be hit', () => {
    const upstream = upstreamOf({ troubles: [{ kind: 'overloaded', fromMs: 0, attempts: 1 }] });
    expect(upstream.servesAt('a', callOf(0), START_AT)).toBe(START_AT);
  });

  test('tells never for what does not fit, or is refused for good', () => {
    const troubles: Trouble[] = [{ kind: 'revoked', keys: ['b'], fromMs: 0 }];
    const upstream = upstreamOf({ quotas: [quotaOf({ counts: 'tokens', limit: 5 })], troubles });
    expect(upstream.servesAt('a', callOf(0, { tokens: 6 }), START_AT)).toBe(Infinity);
    expect(upstream.servesAt('b', callOf(0), START_AT)).toBe(Infinity);
    expect(upstream.isGood('b', callOf(0), START_AT)).toBe(false);
  });
});

describe('a prompt', () => {
  const keys = [{ id: 'a', project: 'p' }, { id: 'b', project: 'p' }, { id: 'c' }];
  const talk = (atMs: number, session: string | undefined = 's') => callOf(atMs, { session, tokens: 95 });

  test('is remembered for the keys of a project, from the last request on', () => {
    const upstream = upstreamOf({ keys, promptCacheMs: 1000 });
    expect(upstream.isCached('a', 's', START_AT)).toBe(false);
    upstream.admit('a', talk(0), START_AT);
    expect(['a', 'b', 'c'].map(keyId => upstream.isCached(keyId, 's', START_AT + 999))).toEqual([true, true, false]);
    expect(upstream.isCached('a', 'other', START_AT + 1)).toBe(false);
    expect(upstream.isCached('a', undefined, START_AT + 1)).toBe(false);
    upstream.admit('b', talk(999), START_AT + 999);
    expect(upstream.isCached('a', 's', START_AT + 1998)).toBe(true);
    expect(upstream.isCached('a', 's', START_AT + 1999)).toBe(false);
  });

  test('costs a tenth of its tokens', () => {
    const quota = quotaOf({ counts: 'tokens', limit: 1000, of: 'project' });
    const upstream = upstreamOf({ keys, promptCacheMs: 1000, quotas: [quota] });
    const used = (): number[] => upstream.metersOf('a', { model: undefined }).map(meter => meter.used(START_AT + 1));
    upstream.admit('a', talk(0), START_AT);
    expect(used()).toEqual([95]);
    upstream.admit('b', talk(1), START_AT + 1);
    expect(used()).toEqual([95 + 10]);
  });

  test('is not remembered where the provider does not, nor of calls without a session, nor of refused ones', () => {
    const forgets = upstreamOf({ keys });
    forgets.admit('a', talk(0), START_AT);
    expect(forgets.isCached('a', 's', START_AT)).toBe(false);
    const refuses = upstreamOf({ keys, promptCacheMs: 1000, troubles: [{ kind: 'overloaded', fromMs: 0 }] });
    refuses.admit('a', talk(0), START_AT);
    expect(refuses.isCached('a', 's', START_AT)).toBe(false);
    const silent = upstreamOf({ keys, promptCacheMs: 1000 });
    silent.admit('a', callOf(0), START_AT);
    expect(silent.isCached('a', 's', START_AT)).toBe(false);
  });
});
