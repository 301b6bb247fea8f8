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
  const line = fc.constantFrom('data: a', 'data', 'data: ü', 'event: x', ': c', '', '');
  const end = fc.constantFrom('\n', '\r\n', '\r');
  const text = fc.array(fc.tuple(line, end)).map(lines => lines.flat().join(''));
  fc.assert(
    fc.property(text, fc.array(fc.nat(5)), (stream, sizes) => {
      expect(read(stream, sizes)).toEqual(read(stream));
    }),
  );
});

test.each([
  ['line', Buffer.alloc(2 * 1024 * 1024, 'x')],
  ['event', Buffer.from(`data: ${'x'.repeat(1000)}\n`.repeat(2000))],
])('an endless %s is passed over, and what comes after it is heard', (_, bytes) => {
  const reader = new EventReader();
  const heard = [
    ...reader.read(Buffer.from('event: image\ndata: ')),
    ...reader.read(bytes.subarray(0, 700_000)),
    ...reader.read(bytes.subarray(700_000)),
    ...reader.read(Buffer.from('\n\ndata: next\n\n')),
  ];
  expect(heard).toEqual([{ name: '', data: 'next' }]);
});

test('a line in many pieces is put together once', () => {
  // Joined anew for each piece, this would copy some 60 GB.
  const reader = new EventReader();
  const piece = Buffer.from('xxxxxxxx');
  expect(reader.read(Buffer.from('data: '))).toEqual([]);
  for (let count = 0; count < 125_000; count++) reader.read(piece);
  expect(reader.read(Buffer.from('\n\n'))[0]?.data).toHaveLength(1_000_000);
});
