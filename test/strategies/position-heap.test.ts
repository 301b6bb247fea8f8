import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PositionHeap } from '../../src/strategies/position-heap.ts';

test('a position heap agrees with a sorted list, whatever is done to it', () => {
  const action = fc.record({
    position: fc.integer({ min: 0, max: 60 }),
    order: fc.integer({ min: -5, max: 20 }),
  });
  fc.assert(fc.property(fc.array(action, { maxLength: 120, size: 'max' }), actions => {
    const heap = new PositionHeap();
    const model = new Map<number, number>();
    const sorted = (): number[] => [...model].sort((a, b) => a[1] - b[1] || a[0] - b[0]).map(([position]) => position);
    for (const { position, order } of actions) {
      expect(heap.remove(position)).toBe(model.delete(position));
      if (order >= 0) {
        heap.push(position, order);
        model.set(position, order);
      }
      expect(heap.has(position)).toBe(model.has(position));
      expect(heap.size).toBe(model.size);
      expect(heap.peek()).toBe(sorted()[0]);
    }
    expect(heap.positions().sort((a, b) => a - b)).toEqual([...model.keys()].sort((a, b) => a - b));
    for (const position of sorted()) {
      expect(heap.peek()).toBe(position);
      heap.remove(position);
    }
    expect(heap.peek()).toBeUndefined();
  }), { numRuns: 30 });
});
