import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalText } from '../../../src/guard/deduplication/canonical.ts';

/** Few leaves and names that resemble each other, so that near misses are common. */
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<unknown>(
      undefined, null, true, false, 0, -0, 1, NaN, 1n, 10n, '1', '', '[1]',
      'u', ',', '"', '\\', '\ud800', '\ufffd', 'é',
      new Date(0), new Date(1), new Date(NaN), 'Thu, 01 Jan 1970 00:00:00 GMT',
      new Uint8Array([1]), new Uint8Array([1, 0]), new Uint16Array([1]), new Int8Array([1]),
    ),
    fc.string({ unit: fc.constantFrom('1', ',', '"', '\\', '}', ';'), maxLength: 3 }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', '1', '__proto__', 'a"b'), tie('value'), {
      maxKeys: 3,
      noNullPrototype: true,
    }),
    // One item at most: deep equality ignores the order of a set, which costs a comparison only a chance.
    fc.array(tie('value'), { maxLength: 1 }).map((items) => new Set(items)),
  ),
}));

describe('canonicalText', () => {
  test('two values share a text exactly if they are deeply equal', () => {
    fc.assert(fc.property(value, value, (a, b) => {
      expect(canonicalText(a) === canonicalText(b)).toBe(isDeepStrictEqual(a, b));
    }), { numRuns: 5000 });
  });

  test('two sequences of values do not run into each other', () => {
    const sequence = fc.array(value, { maxLength: 3 });
    fc.assert(fc.property(sequence, sequence, (a, b) => {
      expect(canonicalText(a) === canonicalText(b)).toBe(isDeepStrictEqual(a, b));
    }), { numRuns: 5000 });
  });

  test('a copy has the text of its original', () => {
    fc.assert(fc.property(value, (original) => {
      expect(canonicalText(structuredClone(original))).toBe(canonicalText(original));
    }));
  });

  test('the order of keys does not matter, that of items does', () => {
    expect(canonicalText({ a: 1, b: { c: 2, d: 3 } })).toBe(canonicalText({ b: { d: 3, c: 2 }, a: 1 }));
    expect(canonicalText([1, 2])).not.toBe(canonicalText([2, 1]));
  });

  test('values that JSON writes alike differ', () => {
    const date = new Date(0);
    const alike = [
      [1, '1', 1n, true, [1], new Set([1]), new Map([[1, 1]])],
      [undefined, null, NaN, 'null', 'undefined', ''],
      [{}, { a: undefined }, { a: null }, [], [undefined], [null], new Array(1), [[]]],
      [date, date.toISOString(), date.getTime(), String(date)],
      [[1, 2], '1,2', ['1,2'], ['1', '2'], { 0: 1, 1: 2 }],
      [new URL('https://a.b/'), 'https://a.b/'],
      [new URLSearchParams('a=1'), 'a=1', new URLSearchParams('a=2'), { a: '1' }],
      [new Map([['a', 1]]), new Map([['a', 2]]), { a: 1 }, new Map([['a', [1]]])],
      [Buffer.from('a'), 'a', [97], Buffer.from('b'), new DataView(new ArrayBuffer(1)), new ArrayBuffer(1)],
    ].flat();
    const texts = alike.map((item) => canonicalText(item));
    expect(texts).not.toContain(undefined);
    expect(new Set(texts).size).toBe(alike.length);
  });

  test('bytes count by content, not by the buffer they are a part of', () => {
    const pool = Buffer.from('xhellox');
    expect(canonicalText(pool.subarray(1, 6))).toBe(canonicalText(Buffer.from('hello')));
    expect(canonicalText(new Uint8Array([1, 2]).buffer)).toBe(canonicalText(new Uint8Array([1, 2]).buffer));
    expect(canonicalText(new Uint8Array([1, 2]).buffer)).not.toBe(canonicalText(new Uint8Array([1, 3]).buffer));
  });

  test('what cannot be compared by content has no text, and nothing throws', () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    const hostile = { get boom() { throw new Error('boom'); } };
    const incomparable: unknown[] = [
      () => 1, Symbol('a'), /a/, Promise.resolve(), new WeakMap(), new Error('a'), Object(1),
      Readable.from(['a']), new ReadableStream(), new Blob(['a']), new FormData(), new Headers(), new Response('a'),
      (function* () { yield 1; })(), [1].values(),
      { async *[Symbol.asyncIterator]() { yield await Promise.resolve(1); } },
      { toJSON: () => ({}) }, { [Symbol('a')]: 1 }, circular, hostile,
      Object.create({ inherited: 1 }), Object.create(Date.prototype), Object.create(Map.prototype),
      new (class Request { body = 'a'; })(), new (class extends Array {})(), new (class extends Date {})(),
      new Proxy({}, { ownKeys() { throw new Error('no'); } }), revokedProxy(),
    ];
    for (const item of incomparable) {
      expect(canonicalText(item)).toBeUndefined();
      expect(canonicalText({ nested: [item] })).toBeUndefined();
    }
  });

  test('a value too deep, too wide or too long has no text', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 1000; i += 1) deep = [deep];
    let doubling: unknown = 'x';
    for (let i = 0; i < 100; i += 1) doubling = [doubling, doubling];
    const huge = 'x'.repeat(9 * 2 ** 20);
    for (const item of [deep, doubling, new Array(1e9), huge, Buffer.from(huge), new Array(50_001).fill(1)]) {
      expect(canonicalText(item)).toBeUndefined();
    }
    expect(canonicalText('x'.repeat(4 * 2 ** 20))).toBeDefined();
  });
});

function revokedProxy(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}
