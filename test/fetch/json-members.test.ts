import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jsonMembers } from '../../src/fetch/json-members.ts';

const NAMES = ['model', 'max_tokens'];

test('finds what JSON.parse would', () => {
  const member = fc.tuple(
    fc.oneof(fc.constantFrom(...NAMES, 'messages'), fc.string()),
    fc.oneof(fc.string({ maxLength: 20 }), fc.integer(), fc.jsonValue()),
  );
  fc.assert(
    fc.property(fc.array(member), fc.nat(2), (members, indent) => {
      const text = JSON.stringify(Object.fromEntries(members.filter(([name]) => name !== '__proto__')), null, indent);
      const object = JSON.parse(text) as object;
      const simple = Object.entries(object).filter(
        ([name, value]) => NAMES.includes(name) && (typeof value === 'string' || typeof value === 'number'),
      );
      expect(Object.fromEntries(jsonMembers(text, NAMES))).toEqual(Object.fromEntries(simple));
    }),
  );
});

describe('does not take for a member', () => {
  test.each([
    ['one of an inner object', '{"a":{"model":"x"},"b":[{"model":"y"}]}'],
    ['text that looks like one', String.raw`{"a":"\"model\":\"x\"","b":"model"}`],
    ['what follows a broken string', '{"a":"no end, "model":"x"'],
    ['anything of a list', '[{"model":"x"}]'],
    ['anything of no JSON at all', 'model=x'],
    ['an escape that is none', String.raw`{"model":"\x"}`],
  ])('%s', (_, text) => {
    expect([...jsonMembers(text, NAMES)]).toEqual([]);
  });
});

test('finds one behind megabytes', () => {
  const text = `{"messages":"${'x'.repeat(2 ** 21)}","model":"x"}`;
  expect([...jsonMembers(text, NAMES)]).toEqual([['model', 'x']]);
});

test('reads a body that was cut off', () => {
  expect([...jsonMembers('{"messages":["hello', NAMES)]).toEqual([]);
  expect([...jsonMembers(String.raw`{"model":"gpt\u002d4o","mess`, NAMES)]).toEqual([['model', 'gpt-4o']]);
});
