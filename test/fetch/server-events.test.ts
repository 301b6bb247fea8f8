import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EventReader, type ServerEvent } from '../../src/fetch/server-events.ts';

function read(text: string, sizes: readonly number[] = []): ServerEvent[] {
  const reader = new EventReader();
  const bytes = Buffer.from(text);
  const events: ServerEvent[] = [];
  let from = 0;
  for (const size of sizes) events.push(...reader.read(bytes.subarray(from, (from += size))));
  return [...events, ...reader.read(bytes.subarray(from)), ...reader.end()];
}

test.each([
  ['data: one\n\ndata: two\n\n', ['one', 'two']],
  ['data:one\r\n\r\ndata:  two\r\r', ['one', ' two']],
  ['data: one\ndata: two\n\n', ['one\ntwo']],
  [': comment\nid: 7\nretry: 1\ndata\n\n', ['']],
  ['event: ping\n\ndata: one\n\n', ['one']],
  ['data: no end', ['no end']],
])('%j', (text, data) => {
  expect(read(text).map(event => event.data)).toEqual(data);
});

test('an event has the name of its own event line', () => {
  expect(read('event: a\ndata: 1\n\ndata: 2\n\n')).toEqual([{ name: 'a', data: '1' }, { name: '', data: '2' }]);
});

test('events are the same however the bytes are cut', () => {
  const line = fc.constantFrom('data: a', 'data: ü', 'event: x', ': c', '', '');
  const end = fc.constantFrom('\n', '\r\n', '\r');
  const text = fc.array(fc.tuple(line, end)).map(lines => lines.flat().join(''));
  fc.assert(
    fc.property(text, fc.array(fc.nat(5)), (stream, sizes) => {
      expect(read(stream, sizes)).toEqual(read(stream));
    }),
  );
});

test('an endless line is passed over, and what comes after it is heard', () => {
  const reader = new EventReader();
  const megabyte = Buffer.alloc(1024 * 1024, 'x');
  const heard = [
    ...reader.read(Buffer.from('data: ')),
    ...reader.read(megabyte),
    ...reader.read(megabyte),
    ...reader.read(Buffer.from('\n\ndata: next\n\n')),
  ];
  expect(heard).toEqual([{ name: '', data: 'next' }]);
});
