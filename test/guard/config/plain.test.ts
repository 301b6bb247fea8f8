import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { isOptions, ownMember } from '../../../src/guard/config/plain.ts';

class Settings {
  readonly minDelayMs = 5;
}

describe('isOptions', () => {
  test.each([[{}], [Object.create(null)], [new Settings()], [runInNewContext('({})')]])('%o is', value => {
    expect(isOptions(value)).toBe(true);
  });

  test.each([[null], [undefined], [[]], [new Map()], [new Date(0)], [/x/], [() => 1], ['x'], [5]])('%o is not', value => {
    expect(isOptions(value)).toBe(false);
  });
});

describe('ownMember', () => {
  test('knows nothing of what every object inherits', () => {
    expect(ownMember({}, 'constructor')).toBeUndefined();
    expect(ownMember({}, '__proto__')).toBeUndefined();
    expect(ownMember(JSON.parse('{"__proto__": 5}'), '__proto__')).toBe(5);
  });

  test('of anything but an object is undefined', () => {
    for (const value of [null, undefined, 'text', 5]) expect(ownMember(value, 'length')).toBeUndefined();
    expect(ownMember(['a'], 0)).toBe('a');
  });
});
