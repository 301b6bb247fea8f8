import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Chain, type Link } from '../../src/keys/chain.ts';

interface Item extends Link<Item> {
  readonly id: number;
}

const item = (id: number): Item => ({ id, before: undefined, after: undefined });

describe('a chain', () => {
  test('holds what a Set would, whoever comes and goes', () => {
    const step = fc.record({ id: fc.nat({ max: 9 }), comes: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const items = Array.from({ length: 10 }, (_, id) => item(id));
        const chain = new Chain<Item>();
        const set = new Set<Item>();
        for (const { id, comes } of steps) {
          const each = items[id]!;
          if (!comes) {
            expect(chain.delete(each)).toBe(set.delete(each));
          } else if (!set.has(each)) {
            chain.add(each);
            set.add(each);
          }
          expect([...chain]).toEqual([...set]);
          expect(chain.size).toBe(set.size);
        }
      }),
    );
  });

  test('lets go of what has left, both ways', () => {
    const chain = new Chain<Item>();
    const [a, b, c] = [item(1), item(2), item(3)];
    for (const each of [a, b, c]) chain.add(each);
    chain.delete(b);
    expect(b).toEqual(item(2));
    expect([a.after, c.before]).toEqual([c, a]);
  });
});
