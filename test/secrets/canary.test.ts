import { describe, expect, test } from 'vitest';
import { expectNoTrace, plant } from './canary.ts';

const MARKER = 'canary0000000selftest';

describe('the search for planted secrets', () => {
  const secret = plant(MARKER);
  test.each([
    ['as it is', secret],
    ['in an error', new Error('outer', { cause: new Error(`bad key ${secret}`) })],
    ['in a URL', `https://example.com/?key=${encodeURIComponent(secret)}`],
    ['in base64', Buffer.from(`user:${secret}`).toString('base64')],
    ['in base64, shifted by one', Buffer.from(`user1:${secret}`).toString('base64')],
    ['in base64, shifted by two', Buffer.from(`user12:${secret}`).toString('base64url')],
    ['in hex', Buffer.from(secret).toString('hex')],
    ['deep in an object', { a: { b: { c: { d: { e: new Map([['key', [secret]]]) } } } } }],
    ['in a property that is not enumerable', Object.defineProperty({}, 'key', { value: secret })],
    ['cut short', secret.slice(0, 16)],
  ])('finds one %s', (_where, value) => {
    expect(() => expectNoTrace(value, [MARKER])).toThrow();
  });

  test('finds nothing where there is nothing', () => {
    expectNoTrace({ mask: 'AIza…', id: 'key-1f2e3d4c5b6a' }, [MARKER]);
  });
});
