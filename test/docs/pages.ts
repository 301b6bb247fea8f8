import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseMarkdown } from './markdown.ts';
import type { Markdown } from './markdown.ts';

export const root = path.resolve(import.meta.dirname, '../..');

export interface Page extends Markdown {
  /** Relative to the repository, with forward slashes. */
  readonly file: string;
}

/** README.md, CHANGELOG.md and everything under docs, as far as they exist. */
export function pages(): Page[] {
  const docs = readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .map(file => `docs/${file.replaceAll('\\', '/')}`)
    .sort();
  return ['README.md', 'CHANGELOG.md', ...docs]
    .filter(file => file.endsWith('.md') && existsSync(path.join(root, file)))
    .map(page);
}

export function page(file: string): Page {
  return { file, ...parseMarkdown(readFileSync(path.join(root, file), 'utf8')) };
}
