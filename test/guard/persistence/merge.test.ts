import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { mergeEntries } from '../../../src/guard/persistence/merge.ts';
import { schemas, type Entry } from '../../../src/guard/persistence/state-data.ts';
import type { KeyData } from '../../../src/keys/snapshot.ts';

type Keys = Record<string, KeyData>;

const WEEK_AGO = 1000;

function entriesOf(keys: Keys, seen = WEEK_AGO): Map<string, Entry<KeyData>> {
  return new Map(Object.entries(keys).map(([name, data]) => [name, { seen, data }]));
}

function merged(base: Keys, mine: Keys, theirs: Keys): Keys {
  const all = mergeEntries(entriesOf(base), entriesOf(mine), entriesOf(theirs), schemas().key, WEEK_AGO);
  return Object.fromEntries([...all].map(([name, { data }]) => [name, data]));
}

const cooling = (until: number, reason = 'rate_limit') =>
  ({ state: 'cooling', until, since: 1, strikes: 1, reason, lastInLine: false }) as const;
const limit = (resetAt: number, left = 0) => ({ counts: 'requests', limit: 9, remaining: left, left, resetAt });

describe('of two who go on from one file', () => {
  test('whoever has something new has the word', () => {
    const base = { a: { gate: cooling(5) }, b: {} };
    expect(merged(base, { a: {}, b: {} }, { a: { gate: cooling(5) }, b: { held: true } })).toEqual({ a: {}, b: { held: true } });
    expect(merged(base, { a: { gate: cooling(5) }, b: {} }, { a: {}, b: {} })).toEqual({ a: {}, b: {} });
  });

  test('each has a word on what concerns another part', () => {
    const mine = { a: { gate: cooling(5), models: { small: cooling(7) }, quota: { rpd: [1, 2] } } };
    const theirs = { a: { models: { large: cooling(8) }, ramp: 2, own: { learned: { all: { requests: limit(9) } } } } };
    expect(merged({ a: {} }, mine, theirs)).toEqual({
      a: {
        gate: cooling(5),
        models: { small: cooling(7), large: cooling(8) },
        quota: { rpd: [1, 2] },
        ramp: 2,
        own: { learned: { all: { requests: limit(9) } } },
      },
    });
  });

  test('the graver one counts where both speak of the same', () => {
    const mine: KeyData = {
      gate: cooling(50, 'mine'),
      quota: { rpd: [1, 2, 3, 4], tpd: [1, 10] },
      ramp: 3,
      group: 'acme',
      own: { learned: { all: { requests: limit(90) } }, names: ['acme'] },
    };
    const theirs: KeyData = {
      gate: cooling(60, 'theirs'),
      quota: { rpd: [1, 5], tpd: [9, 20] },
      ramp: 2,
      group: 'globex',
      own: { learned: { all: { requests: limit(80) } }, names: ['acme', 'acme inc'] },
    };
    expect(merged({ a: {} }, { a: mine }, { a: theirs })).toEqual({
      a: {
        gate: cooling(60, 'theirs'),
        quota: { rpd: [1, 2, 3, 4], tpd: [9, 20] },
        ramp: 3,
        group: 'acme',
        own: { learned: { all: { requests: limit(90) } }, names: ['acme', 'acme inc'] },
      },
    });
  });

  test('a verdict stands where one has changed it, and the other lifted it', () => {
    expect(merged({ a: { gate: cooling(5) } }, { a: {} }, { a: { gate: cooling(9) } })).toEqual({ a: { gate: cooling(9) } });
    expect(merged({ a: { gate: cooling(5) } }, { a: { gate: cooling(9) } }, { a: {} })).toEqual({ a: { gate: cooling(9) } });
  });

  test('who does not know a key says nothing of it', () => {
    expect(merged({ a: { held: true } }, { a: { held: true } }, {})).toEqual({ a: { held: true } });
    expect(merged({ a: { held: true } }, {}, { a: { held: true } })).toEqual({ a: { held: true } });
  });

  test('models that are named like what gates consist of are models', () => {
    const mine = { a: { models: { state: cooling(1), counts: cooling(2), constructor: cooling(3) } } };
    const theirs = { a: { models: { state: cooling(4), failureCount: cooling(5) } } };
    expect(merged({ a: {} }, mine, theirs)).toEqual({
      a: { models: { state: cooling(4), counts: cooling(2), constructor: cooling(3), failureCount: cooling(5) } },
    });
  });
});

test('of a provider, the later failure counts', () => {
  const provider = (lastFailureAt: number) => ({ seen: 0, data: { failureCount: 1, lastFailureAt, errorRate: 0.1 } });
  const map = (at: number) => new Map([['p', provider(at)]]);
  for (const [mine, theirs] of [[2, 3], [3, 2]] as const) {
    expect(mergeEntries(new Map(), map(mine), map(theirs), schemas().provider, 0)).toEqual(map(3));
  }
});

test('what nobody has had in use for long is left out, unless it is in use here', () => {
  const old = entriesOf({ a: { held: true }, b: { held: true } }, WEEK_AGO - 1);
  const mine = entriesOf({ a: { held: true } }, WEEK_AGO - 1);
  expect([...mergeEntries(old, mine, old, schemas().key, WEEK_AGO).keys()]).toEqual(['a']);
});

test('whatever two have found out, it is the same whoever comes first, and nothing is lost that both agree on', () => {
  const data = fc.record(
    { gate: fc.integer({ min: 2, max: 9 }).map(until => cooling(until)), ramp: fc.integer({ min: 1, max: 9 }), held: fc.constant(true as const) },
    { requiredKeys: [] },
  );
  const keys = fc.dictionary(fc.constantFrom('a', 'b'), data, { noNullPrototype: true });
  fc.assert(
    fc.property(keys, keys, keys, (base, mine, theirs) => {
      expect(merged(base, mine, theirs)).toEqual(merged(base, theirs, mine));
      expect(merged(base, mine, mine)).toEqual(mine);
      expect(merged(base, mine, base)).toEqual({ ...base, ...mine });
    }),
  );
});
