import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ReadySet } from '../../src/keys/ready-set.ts';
import { keyAt } from '../strategies/key-at.ts';

describe('the set of ready keys', () => {
  test('agrees with a plain set, whatever is done to it', () => {
    const position = fc.oneof(fc.integer({ min: 0, max: 70 }), fc.constantFrom(1_023, 1_024, 5_000, 33_000, 99_999));
    const action = fc.record({ kind: fc.constantFrom('add', 'add', 'remove'), position, probe: position });
    fc.assert(fc.property(fc.array(action, { maxLength: 80, size: 'max' }), actions => {
      const ready = new ReadySet();
      const model = new Map<number, ReturnType<typeof keyAt>>();
      const keys = new Map<number, ReturnType<typeof keyAt>>();
      for (const { kind, position, probe } of actions) {
        const key = keys.get(position) ?? keyAt(position);
        keys.set(position, key);
        if (kind === 'add') {
          expect(ready.add(key)).toBe(!model.has(position));
          model.set(position, key);
        } else {
          expect(ready.remove(key)).toBe(model.delete(position));
        }
        const inOrder = [...model.values()].sort((a, b) => a.position - b.position);
        expect(ready.size).toBe(model.size);
        expect([...ready]).toEqual(inOrder);
        expect(ready.has(key)).toBe(model.has(position));
        expect(ready.at(probe)).toBe(model.get(probe));
        expect(ready.next(probe)).toBe(inOrder.find(key => key.position >= probe) ?? inOrder[0]);
      }
    }), { numRuns: 50 });
  });

  test('draws every key equally often', () => {
    const ready = new ReadySet();
    const keys = [3, 40, 41, 2_000].map(position => keyAt(position));
    const gone = keyAt(7);
    for (const key of [gone, ...keys]) ready.add(key);
    ready.remove(gone);
    const draws = new Map(keys.map(key => [key.id, 0]));
    for (let i = 0; i < 400; i++) {
      const { id } = ready.sample(() => i / 400)!;
      draws.set(id, draws.get(id)! + 1);
    }
    expect([...draws.values()]).toEqual([100, 100, 100, 100]);
  });

  test('draws a key even from a source that says 1, and none when empty', () => {
    const ready = new ReadySet();
    expect(ready.sample(() => 0.5)).toBeUndefined();
    expect(ready.next(0)).toBeUndefined();
    const key = keyAt(0);
    ready.add(key);
    expect(ready.sample(() => 1)).toBe(key);
  });

  test('finds the first key from a position beyond its end, before its start, or none at all', () => {
    const ready = new ReadySet();
    const [first, last] = [keyAt(2), keyAt(31)];
    ready.add(first);
    ready.add(last);
    for (const position of [32, 1e9, -1, NaN]) expect(ready.next(position)).toBe(first);
    expect(ready.next(3)).toBe(last);
  });

  test('knows the key that took the place of another', () => {
    const ready = new ReadySet();
    const [before, after] = [keyAt(5), keyAt(5)];
    ready.add(before);
    expect(ready.has(after)).toBe(false);
    expect(ready.remove(after)).toBe(false);
    expect(ready.add(after)).toBe(true);
    expect(ready.size).toBe(1);
    expect(ready.at(5)).toBe(after);
    expect(ready.has(before)).toBe(false);
  });

  test('may be changed while it is walked', () => {
    const ready = new ReadySet();
    const keys = Array.from({ length: 100 }, (_, position) => keyAt(position));
    for (const key of keys) ready.add(key);
    const visited: number[] = [];
    for (const key of ready) {
      visited.push(key.position);
      ready.remove(key);
      if (key.position % 2 === 0) ready.remove(keys[key.position + 1]!);
    }
    expect(visited).toEqual(Array.from({ length: 50 }, (_, i) => 2 * i));
    expect(ready.size).toBe(0);
  });
});
