import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Generations, type Member } from '../../../src/guard/deduplication/generations.ts';

interface Item extends Member {
  isHeld: boolean;
}

const item = (isHeld = false): Item => ({ generation: 0, isHeld });

function tableOf(max: number, ...keys: string[]): Generations<Item> {
  const table = new Generations<Item>(max);
  for (const key of keys) table.put(key, item());
  return table;
}

const keysOf = (table: Generations<Item>) => [...table].map(([key]) => key).sort();

describe('a table in two generations', () => {
  test('gives back what was put', () => {
    const table = tableOf(4);
    const [a, b] = [item(), item()];
    table.put('a', a);
    table.put('b', b);
    expect(table.get('a')).toBe(a);
    expect(table.get('b')).toBe(b);
    expect(table.get('c')).toBeUndefined();
  });

  test('forgets on demand, in whichever generation it is', () => {
    const table = tableOf(4, 'a', 'b', 'c');
    const held = item(true);
    table.put('held', held);
    for (const key of ['d', 'e', 'f', 'g', 'h']) table.put(key, item());
    expect(table.get('held')).toBe(held);
    for (const key of ['f', 'h', 'held']) expect(table.delete(key)).toBe(true);
    for (const key of ['f', 'h', 'held', 'unknown']) expect(table.delete(key)).toBe(false);
    expect(keysOf(table)).toEqual(['g']);
  });

  test('is empty after clear, and as good as new', () => {
    const table = tableOf(4, 'a', 'b', 'c');
    const member = item();
    table.put('d', member);
    table.clear();
    expect(keysOf(table)).toEqual([]);
    table.put('d', member);
    expect(table.get('d')).toBe(member);
  });

  test('lists the oldest first', () => {
    const table = tableOf(4, 'a', 'b', 'c');
    table.put('a', table.get('a')!);
    expect([...table].map(([key]) => key)).toEqual(['b', 'c', 'a']);
  });

  test('lets members be deleted while it is read', () => {
    const table = tableOf(10, 'a', 'b', 'c', 'd', 'e', 'f', 'g');
    for (const [key] of table) table.delete(key);
    expect(keysOf(table)).toEqual([]);
  });

  test('of no limit forgets nothing', () => {
    const table = tableOf(Infinity);
    for (let i = 0; i < 5000; i++) table.put(`${i}`, item());
    expect(keysOf(table)).toHaveLength(5000);
  });

  test.each([[10, 3, 3], [3, 10, 6], [5, 1, 1]])('resized from %i to %i keeps the youngest', (from, to, left) => {
    const table = tableOf(from, 'a', 'b', 'c', 'd', 'e', 'f');
    table.resize(to);
    const keys = keysOf(table);
    expect(keys.length).toBeLessThanOrEqual(left);
    expect(keys).toContain('f');
    table.put('g', item());
    expect(table.get('g')).toBeDefined();
    expect(keysOf(table).length).toBeLessThanOrEqual(to);
  });

  test('is bounded, keeps what was put lately, and never loses what is held', () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'),
      what: fc.constantFrom('put', 'hold', 'delete'),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.array(step, { maxLength: 80 }), (max, steps) => {
        const table = tableOf(max);
        const members = new Map<string, Item>();
        /** Keys by when they were last put, the latest first. */
        let latest: string[] = [];
        for (const { key, what } of steps) {
          if (what === 'delete') {
            expect(table.delete(key)).toBe(members.delete(key));
            latest = latest.filter(other => other !== key);
          } else {
            const member = table.get(key) ?? item();
            // As a call does when it is answered: no longer held, it is put anew.
            member.isHeld = what === 'hold';
            table.put(key, member);
            members.set(key, member);
            latest = [key, ...latest.filter(other => other !== key)];
          }
          for (const [other, member] of members) {
            if (table.get(other) === undefined) {
              expect(member.isHeld).toBe(false);
              members.delete(other);
              const others = latest.indexOf(other);
              expect(others).toBeGreaterThanOrEqual(Math.max(1, Math.floor(max / 2)));
            } else {
              expect(table.get(other)).toBe(member);
            }
          }
          latest = latest.filter(other => members.has(other));
          expect([...members.values()].filter(({ isHeld }) => !isHeld).length).toBeLessThanOrEqual(max);
          expect(keysOf(table)).toEqual([...members.keys()].sort());
        }
      }),
      { numRuns: 500 },
    );
  });
});
