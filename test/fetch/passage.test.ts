import { expect, test } from 'vitest';
import { passage } from '../../src/fetch/passage.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

function begun(head: string[], rest: string[]) {
  return { head: head.map(bytes), rest: ReadableStream.from(rest.map(bytes)).getReader() };
}

test('what was read already comes first, and is not shown again', async () => {
  const seen: string[] = [];
  const body = passage(begun(['a', 'b'], ['', 'c', 'd']), {
    saw: chunk => seen.push(Buffer.from(chunk).toString()),
    ended: () => seen.push('end'),
  });
  expect(await new Response(body).text()).toBe('abcd');
  expect(seen).toEqual(['c', 'd', 'end']);
});

test('it can be read into a buffer of one\'s own, to its end', async () => {
  const reader = passage(begun(['abc'], ['d'])).getReader({ mode: 'byob' });
  let text = '';
  for (let step = await reader.read(new Uint8Array(2)); !step.done; step = await reader.read(new Uint8Array(2))) {
    text += Buffer.from(step.value).toString();
  }
  expect(text).toBe('abcd');
});

test('memory that is shared with others is not taken away from them', async () => {
  const shared = Buffer.from('shared');
  const body = passage({ head: [shared], rest: ReadableStream.from([]).getReader() });
  expect(await new Response(body).text()).toBe('shared');
  expect(shared.toString()).toBe('shared');
});

test('it reads no further than it is read', async () => {
  let pulled = 0;
  const source = new ReadableStream<Uint8Array>(
    {
      pull: controller => {
        pulled++;
        controller.enqueue(bytes('x'));
      },
    },
    { highWaterMark: 0 },
  );
  const reader = passage({ head: [], rest: source.getReader() }).getReader();
  expect(pulled).toBe(0);
  await reader.read();
  expect(pulled).toBe(1);
});
