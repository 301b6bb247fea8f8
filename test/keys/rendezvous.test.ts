import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rendezvous, seedOf, type Candidate } from '../../src/keys/rendezvous.ts';

function preferenceOf<C extends Candidate>(subject: string, candidates: Iterable<C>, most: number): C[] {
  return new Rendezvous(candidates).preferenceOf(seedOf(subject), most);
}

function keysOf(count: number, more: Partial<Candidate> = {}): Candidate[] {
  return Array.from({ length: count }, (_, index) => ({ id: `key-${index}`, weight: 1, priority: 0, ...more }));
}

const subjects = Array.from({ length: 4000 }, (_, index) => `session-${index}`);

function sharesOf(candidates: readonly Candidate[]): Map<string, number> {
  const shares = new Map<string, number>();
  const rendezvous = new Rendezvous(candidates);
  for (const subject of subjects) {
    const id = rendezvous.preferenceOf(seedOf(subject), 1)[0]?.id ?? '';
    shares.set(id, (shares.get(id) ?? 0) + 1);
  }
  return shares;
}

describe('the key a subject prefers', () => {
  test('is the same whatever the order the keys come in', () => {
    const ids = fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(fc.string(), ids, (subject, names) => {
        const keys = names.map(id => ({ id, weight: 1, priority: 0 }));
        expect(preferenceOf(subject, [...keys].reverse(), 4)).toEqual(preferenceOf(subject, keys, 4));
      }),
    );
  });

  test('changes, when a key is added, for those alone who prefer that one', () => {
    const before = keysOf(9);
    const after = keysOf(10);
    let moved = 0;
    for (const subject of subjects) {
      const [was] = preferenceOf(subject, before, 1);
      const [is] = preferenceOf(subject, after, 1);
      if (is === after[9]) moved++;
      else expect(is).toEqual(was);
    }
    expect(moved).toBeGreaterThan(subjects.length / 20);
    expect(moved).toBeLessThan(subjects.length / 5);
  });

  test('changes, when a key goes, for its own subjects alone, and each goes to its second choice', () => {
    const keys = keysOf(10);
    for (const subject of subjects.slice(0, 500)) {
      const [first, second] = preferenceOf(subject, keys, 2);
      const rest = keys.filter(key => key !== first);
      expect(preferenceOf(subject, rest, 1)).toEqual([second]);
    }
  });

  test('is any of them as often as any other', () => {
    for (const [, share] of sharesOf(keysOf(8))) expect(Math.abs(share - 500)).toBeLessThan(100);
  });

  test('follows the weights', () => {
    const shares = sharesOf(keysOf(4).map((key, index) => ({ ...key, weight: index === 0 ? 5 : 1 })));
    expect(shares.get('key-0')! / subjects.length).toBeGreaterThan(0.56);
    expect(shares.get('key-0')! / subjects.length).toBeLessThan(0.69);
  });

  test('is no backup, however heavy, and no reserve of weight 0, while there is another', () => {
    const keys: Candidate[] = [
      { id: 'backup', weight: 1000, priority: 1 },
      { id: 'reserve', weight: 0, priority: 0 },
      { id: 'plain', weight: 1, priority: 0 },
    ];
    for (const subject of subjects.slice(0, 200)) {
      expect(preferenceOf(subject, keys, 3).map(({ id }) => id)).toEqual(['plain', 'reserve', 'backup']);
    }
  });

  test('is one of so many at most', () => {
    expect(preferenceOf('session', keysOf(10), 4)).toHaveLength(4);
    expect(preferenceOf('session', keysOf(2), 4)).toHaveLength(2);
    expect(preferenceOf('session', [], 4)).toEqual([]);
  });

  test('tells subjects apart by their beginning and their length', () => {
    const long = 'x'.repeat(5000);
    expect(seedOf(long)).toBe(seedOf(`${long.slice(0, -1)}y`));
    expect(seedOf(long)).not.toBe(seedOf(`${long}x`));
    expect(seedOf('one')).not.toBe(seedOf('two'));
  });
});
