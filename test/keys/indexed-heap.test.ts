import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IndexedHeap } from '../../src/keys/indexed-heap.ts';

interface Item {
  readonly position: number;
  order: number;
}

const byOrder = (a: Item, b: Item): number => a.order - b.order || a.position - b.position;

describe('an indexed heap', () => {
  test('agrees with a sorted list, whatever is done to it', () => {
    const action = fc.record({
      kind: fc.constantFrom('push', 'remove', 'update', 'pop'),
      position: fc.integer({ min: 0, max: 40 }),
      order: fc.integer({ min: -5, max: 20 }),
    });
    fc.assert(fc.property(fc.array(action, { maxLength: 100, size: 'max' }), actions => {
      const heap = new IndexedHeap<Item>(byOrder);
      const items = Array.from({ length: 41 }, (_, position) => ({ position, order: 0 }));
      const model = new Set<Item>();
      const least = (): Item | undefined => [...model].sort(byOrder)[0];
      for (const { kind, position, order } of actions) {
        const item = items[position]!;
        if (kind === 'push') {
          item.order = order;
          heap.push(item);
          model.add(item);
        } else if (kind === 'update') {
          item.order = order;
          expect(heap.update(item)).toBe(model.has(item));
        } else if (kind === 'remove') {
          expect(heap.remove(item)).toBe(model.delete(item));
        } else {
          const first = least();
          expect(heap.pop()).toBe(first);
          if (first) model.delete(first);
        }
        expect(heap.size).toBe(model.size);
        expect(heap.peek()).toBe(least());
        expect(heap.has(item)).toBe(model.has(item));
      }
      expect(new Set(heap)).toEqual(model);
      const sorted = [...model].sort(byOrder);
      for (const item of sorted) expect(heap.pop()).toBe(item);
      expect(heap.pop()).toBeUndefined();
    }));
  });

  test('does not take one item for another at the same position', () => {
    const heap = new IndexedHeap<Item>(byOrder);
    heap.push({ position: 3, order: 1 });
    const stranger = { position: 3, order: 1 };
    expect(heap.has(stranger)).toBe(false);
    expect(heap.remove(stranger)).toBe(false);
    expect(heap.size).toBe(1);
  });
});
