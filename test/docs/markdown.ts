/** A fenced code block. */
export interface CodeBlock {
  /** The first word of the info string: `ts`, `json`. */
  readonly language: string;
  /** The other words: `run`, `fragment`, `output`, `config`. */
  readonly flags: readonly string[];
  readonly text: string;
  /** The line of the first line of code, from 1. */
  readonly line: number;
}

export interface Link {
  /** As written: `./keys.md#states`, `https://...`. */
  readonly target: string;
  readonly line: number;
}

export interface Markdown {
  readonly blocks: readonly CodeBlock[];
  readonly links: readonly Link[];
  /** What `#...` may name: slugs of headings, and ids written as HTML. */
  readonly anchors: ReadonlySet<string>;
}

/** Reads what the checks need of a Markdown text; anchors follow GitHub's rules. */
export function parseMarkdown(text: string): Markdown {
  const blocks: CodeBlock[] = [];
  const links: Link[] = [];
  const anchors = new Set<string>();
  const lines = text.split('\n');
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    const fence = /^(\s*)(`{3,}|~{3,})\s*(.*)$/.exec(line);
    if (fence) {
      const [, indent = '', marks = '', info = ''] = fence;
      const start = index + 1;
      index = endOfBlock(lines, start, marks);
      const [language = '', ...flags] = info.trim().split(/\s+/);
      const code = lines.slice(start, index).map(each => each.startsWith(indent) ? each.slice(indent.length) : each);
      blocks.push({ language, flags, text: code.join('\n'), line: start + 1 });
      continue;
    }
    const heading = /^#{1,6}\s+(.+?)\s*#*$/.exec(line)?.[1];
    if (heading !== undefined) addAnchor(anchors, slug(heading));
    for (const [, id] of line.matchAll(/\b(?:id|name)="([^"]+)"/g)) if (id !== undefined) anchors.add(id);
    for (const target of targets(line)) links.push({ target, line: index + 1 });
  }
  return { blocks, links, anchors };
}

function endOfBlock(lines: readonly string[], start: number, marks: string): number {
  const end = lines.findIndex((line, index) => index >= start && line.trim().startsWith(marks) && /^\W+$/.test(line));
  if (end === -1) throw new Error(`The code block before line ${start + 1} has no end`);
  return end;
}

function* targets(line: string): Iterable<string> {
  const prose = line.replaceAll(/`[^`]*`/g, code => ' '.repeat(code.length));
  for (const [, target] of prose.matchAll(/\]\(\s*<?([^)\s>]+)/g)) if (target !== undefined) yield target;
  for (const [, target] of prose.matchAll(/^\s*\[[^\]]+\]:\s+(\S+)/g)) if (target !== undefined) yield target;
  for (const [, target] of prose.matchAll(/\b(?:href|src)="([^"]+)"/g)) if (target !== undefined) yield target;
}

function slug(heading: string): string {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M}\s_-]/gu, '')
    .replaceAll(' ', '-');
}

function addAnchor(anchors: Set<string>, wanted: string): void {
  let anchor = wanted;
  for (let n = 1; anchors.has(anchor); n += 1) anchor = `${wanted}-${n}`;
  anchors.add(anchor);
}
