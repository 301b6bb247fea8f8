import { expect, test } from 'vitest';
import { parseMarkdown } from './markdown.ts';

test('code blocks come with language, flags, text and place', () => {
  const { blocks } = parseMarkdown('# A\n\n```ts run\nconst a = 1;\n\n```\n- item\n  ```json config\n  {}\n  ```\n');
  expect(blocks).toEqual([
    { language: 'ts', flags: ['run'], text: 'const a = 1;\n', line: 4 },
    { language: 'json', flags: ['config'], text: '{}', line: 9 },
  ]);
});

test('a fence inside a longer fence is text', () => {
  const { blocks } = parseMarkdown('````md\n```ts\nx\n```\n````\n');
  expect(blocks.map(({ text }) => text)).toEqual(['```ts\nx\n```']);
});

test('a code block without an end is an error', () => {
  expect(() => parseMarkdown('```ts\nx\n')).toThrow('no end');
});

test('headings give the anchors GitHub gives', () => {
  const { anchors } = parseMarkdown('# The `getStats()` call\n## Keys & pools\n## Set up\n## Set up\n<a id="mark"></a>\n');
  expect([...anchors]).toEqual(['the-getstats-call', 'keys--pools', 'set-up', 'set-up-1', 'mark']);
});

test('links are found in prose and as references, not in code', () => {
  const { links } = parseMarkdown('See [a](./a.md#b "t"), `[no](no.md)` and [c][c].\n\n[c]: c.md\n<img src="d.png">\n```\n[n](n)\n```\n');
  expect(links).toEqual([
    { target: './a.md#b', line: 1 },
    { target: 'c.md', line: 3 },
    { target: 'd.png', line: 4 },
  ]);
});
