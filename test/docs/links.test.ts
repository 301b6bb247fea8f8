import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { page, pages, root } from './pages.ts';

describe.each(pages().map(each => [each.file, each] as const))('%s', (file, { links, anchors }) => {
  test('links to files and headings that exist', () => {
    const broken = links
      .filter(({ target }) => !/^[a-z][a-z+.-]*:/i.test(target))
      .filter(({ target }) => !resolves(file, anchors, target))
      .map(({ target, line }) => `${file}:${line}: ${target}`);
    expect(broken).toEqual([]);
  });
});

function resolves(from: string, ownAnchors: ReadonlySet<string>, target: string): boolean {
  const [name = '', anchor] = target.split('#');
  if (name === '') return anchor !== undefined && ownAnchors.has(anchor);
  const file = path.posix.join(path.posix.dirname(from), decodeURIComponent(name));
  if (!existsSync(path.join(root, file))) return false;
  return anchor === undefined || !file.endsWith('.md') || page(file).anchors.has(anchor);
}
