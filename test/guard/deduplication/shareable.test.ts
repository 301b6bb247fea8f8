import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NOT_SHAREABLE, shareable } from '../../../src/guard/deduplication/shareable.ts';

function copyOf<T>(value: T): T {
  const copy = shareable(value);
  if (copy === NOT_SHAREABLE) throw new Error('not shareable');
  return copy;
}

describe('shareable', () => {
  test.each([[null], [true], [0], [NaN], [12n], ['text'], [Symbol.for('a')]])('%s is given as it is', (value) => {
    expect(shareable(value)).toBe(value);
  });

  test('plain data is copied to the last leaf', () => {
    const anything = fc.anything({
      withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true, withSparseArray: true,
      withNullPrototype: true,
    }).filter((value) => value !== undefined);
    fc.assert(fc.property(anything, (value) => {
      const copy = copyOf(value);
      expect(copy).toStrictEqual(value);
      for (const object of objectsIn(copy)) expect(objectsIn(value).has(object)).toBe(false);
    }));
  });

  test('dates, maps, sets and bytes stay what they are', () => {
    const original = {
      date: new Date(5),
      map: new Map([['a', { b: 1 }]]),
      set: new Set([1n]),
      buffer: Buffer.from('hello'),
      floats: new Float64Array([1.5]),
      raw: new Uint8Array([1, 2, 3]).buffer,
      view: new DataView(new Uint8Array([1, 2, 3]).buffer, 1, 1),
    };
    const copy = copyOf(original);
    expect(copy).toStrictEqual(original);
    original.date.setTime(6);
    original.map.get('a')!.b = 2;
    original.set.clear();
    original.buffer.fill(0);
    original.floats[0] = 0;
    new Uint8Array(original.raw).fill(0);
    original.view.setUint8(0, 9);
    expect(copy.date.getTime()).toBe(5);
    expect(copy.map.get('a')).toEqual({ b: 1 });
    expect(copy.set.has(1n)).toBe(true);
    expect(copy.buffer.toString()).toBe('hello');
    expect(Buffer.isBuffer(copy.buffer)).toBe(true);
    expect(copy.floats[0]).toBe(1.5);
    expect([...new Uint8Array(copy.raw)]).toEqual([1, 2, 3]);
    expect(copy.view.getUint8(0)).toBe(2);
    expect(copy.view.byteLength).toBe(1);
  });

  test('cycles and shared parts are kept', () => {
    const part = { n: 1 };
    const original: Record<string, unknown> = { a: part, b: part, list: [], map: new Map(), set: new Set() };
    original['self'] = original;
    (original['list'] as unknown[]).push(original);
    (original['map'] as Map<unknown, unknown>).set(original, original);
    (original['set'] as Set<unknown>).add(original);
    const copy = copyOf(original);
    expect(copy).not.toBe(original);
    expect(copy['self']).toBe(copy);
    expect(copy['a']).toBe(copy['b']);
    expect(copy['a']).not.toBe(part);
    expect((copy['list'] as unknown[])[0]).toBe(copy);
    expect((copy['map'] as Map<unknown, unknown>).get(copy)).toBe(copy);
    expect((copy['set'] as Set<unknown>).has(copy)).toBe(true);
  });

  test('holes, null prototypes and nested undefined are kept', () => {
    const sparse = new Array<unknown>(3);
    sparse[2] = undefined;
    const copy = copyOf(sparse);
    expect([0 in copy, 1 in copy, 2 in copy, copy.length]).toEqual([false, false, true, 3]);
    expect(Object.getPrototypeOf(copyOf(Object.create(null)))).toBeNull();
    expect(Object.keys(copyOf({ a: undefined }))).toEqual(['a']);
  });

  test('a property named __proto__ is data and changes no prototype', () => {
    const copy = copyOf(JSON.parse('{"a":1,"__proto__":{"polluted":true}}') as { polluted?: boolean });
    expect(copy.polluted).toBeUndefined();
    expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
    expect(Object.keys(copy)).toEqual(['a', '__proto__']);
  });

  test('hidden and symbol properties come along', () => {
    const tag = Symbol('tag');
    const original = { a: { b: 1 }, [tag]: 2 };
    Object.defineProperty(original, '_request_id', { value: 'req_1', enumerable: false });
    const copy = copyOf(original) as typeof original & { _request_id: string };
    expect(copy._request_id).toBe('req_1');
    expect(Object.keys(copy)).toEqual(['a']);
    expect(copy[tag]).toBe(2);
    expect(copy.a).not.toBe(original.a);
  });

  test.each<[string, () => unknown]>([
    ['undefined', () => undefined],
    ['a function', () => () => 1],
    ['a Response', () => new Response('a')],
    ['a stream', () => Readable.from(['a'])],
    ['a web stream', () => new ReadableStream()],
    ['an iterator', () => [1].values()],
    ['a generator', () => (function* () { yield 1; })()],
    ['a promise', () => Promise.resolve()],
    ['an error', () => new Error('a')],
    ['an instance', () => new (class Answer { a = 1; })()],
    ['a subclass of Array', () => new (class extends Array {})()],
    ['a subclass of Uint8Array', () => new (class extends Uint8Array {})(1)],
    ['a subclass of Map', () => new (class extends Map {})()],
    ['a boxed number', () => Object(1) as unknown],
    ['a shared buffer', () => new SharedArrayBuffer(1)],
    ['a regular expression', () => /a/g],
    ['a blob', () => new Blob([])],
    ['a weak map', () => new WeakMap()],
    ['a throwing getter', () => ({ get a() { throw new Error('boom'); } })],
    ['a hidden getter', () => Object.defineProperty({}, 'a', { get: () => 1 })],
    ['a revoked proxy', () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; }],
    ['a list too long to copy', () => new Array<unknown>(1_000_001)],
    ['too many values', () => Array.from({ length: 1100 }, () => new Array<number>(1000).fill(1))],
  ])('%s is not shared, on its own or inside', (_, make) => {
    expect(shareable(make())).toBe(NOT_SHAREABLE);
    if (make() !== undefined) expect(shareable({ nested: [new Map([[1, make()]])] })).toBe(NOT_SHAREABLE);
  });

  test('a value too deep for the stack is not shared', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 200_000; i += 1) deep = { deep };
    expect(shareable(deep)).toBe(NOT_SHAREABLE);
  });
});

function objectsIn(value: unknown, found = new Set<object>()): Set<object> {
  if (typeof value !== 'object' || value === null || found.has(value)) return found;
  found.add(value);
  if (value instanceof Map) for (const entry of value) objectsIn([...(entry as unknown[])], found);
  else if (value instanceof Set) for (const item of value) objectsIn(item, found);
  else if (!ArrayBuffer.isView(value)) for (const item of Object.values(value)) objectsIn(item, found);
  return found;
}
