import { describe, expect, test } from 'vitest';
import { footprint } from '../../../src/guard/deduplication/footprint.ts';

describe('footprint', () => {
  test('grows with what is held', () => {
    const text = 'text';
    const sizes = [1, text, text.repeat(10), [text.repeat(100)], { a: text.repeat(1000) }, Buffer.alloc(10_000)];
    const estimates = sizes.map((value) => footprint(value, 100));
    expect(estimates).toEqual(estimates.toSorted((a, b) => a - b));
    expect(estimates[0]).toBeGreaterThan(0);
  });

  test.each<[string, unknown, number]>([
    ['a string', 'x'.repeat(10_000), 20_000],
    ['bytes', Buffer.alloc(10_000), 10_000],
    ['a raw buffer', new ArrayBuffer(10_000), 10_000],
    ['numbers', new Array(10_000).fill(1.5), 80_000],
    ['a map', new Map([['a', 'x'.repeat(10_000)]]), 20_000],
    ['a set', new Set(['x'.repeat(10_000)]), 20_000],
  ])('is about right for %s', (_, value, bytes) => {
    expect(footprint(value, 1000)).toBeGreaterThanOrEqual(bytes);
    expect(footprint(value, 1000)).toBeLessThan(bytes * 1.5);
  });

  test('what is held twice, or holds itself, counts once', () => {
    const shared = 'x'.repeat(1000).split('');
    const circular: unknown[] = [shared, shared];
    circular.push(circular);
    expect(footprint(circular, 10_000)).toBeLessThan(footprint([shared], 10_000) + 100);
  });

  test('looks at no more values than it may', () => {
    let looked = 0;
    const watched = () => Object.defineProperty({}, 'a', { enumerable: true, get: () => (looked += 1) });
    for (const many of [
      Array.from({ length: 1000 }, watched),
      new Map(Array.from({ length: 1000 }, (_, i) => [i, watched()])),
      new Set(Array.from({ length: 1000 }, watched)),
    ]) {
      looked = 0;
      expect(footprint(many, 10)).toBeGreaterThan(0);
      expect(looked).toBeLessThanOrEqual(10);
    }
  });
});
