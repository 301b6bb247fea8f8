import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const self = path.relative(root, import.meta.filename).replaceAll('\\', '/');

const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter(file => file !== '' && file !== self && existsSync(path.join(root, file)))
  .map(file => ({ file, text: readFileSync(path.join(root, file), 'utf8') }))
  .filter(({ text }) => !text.includes('\0'));

test.each([
  ['a path of somebody\'s machine', /(?<![\w.-])\/(work|root|home\/[\w-]+|Users\/[\w-]+)\/\w/, /./],
  ['a registry host', /registry\.(npmjs|yarnpkg|npmmirror)|"resolved": "https?:/, /./],
  ['a left-over', /\b(TODO|FIXME|HACK|XXX)\b/, /^src\//],
  ['a test that is alone or left out', /\b(describe|test|it)(\.\w+)*\.(only|skip|todo)\b/, /^test\//],
])('no file holds %s', (_, pattern, where) => {
  const searched = files.filter(({ file }) => where.test(file));
  expect(searched.length).toBeGreaterThan(0);
  const found = searched.flatMap(({ file, text }) =>
    text.split('\n').flatMap((line, index) => pattern.test(line) ? [`${file}:${index + 1}: ${line.trim()}`] : []),
  );
  expect(found).toEqual([]);
});
