import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../../src/guard/config/parse.ts';
import type { CodeBlock } from './markdown.ts';
import { pages, root } from './pages.ts';
import { syntaxProblems, Workbench } from './workbench.ts';

/*
 * How code in the pages is checked, by the words after its opening fence:
 *   ts, js         type-checked against the source, as it stands; the reader's own code is declared in it
 *   ts fragment    parsed only, for pieces that do not stand alone
 *   ts run         executed as well, without keys or network; a `text output` block after it is its exact output
 *   json           parsed
 *   json config    accepted by the configuration's own check
 * A file in examples/ whose first line starts with `// Run:` is executed as well.
 */

const timeout = 60_000;

interface Example extends CodeBlock {
  /** `docs/keys.md:12`. */
  readonly place: string;
  readonly name: string;
  readonly output: string | undefined;
}

const examples = pages().flatMap(({ file, blocks }) => blocks.map((block, index): Example => {
  const next = blocks[index + 1];
  return {
    ...block,
    place: `${file}:${block.line}`,
    name: `${file.replaceAll('/', '__')}_${block.line}.${extension(block)}`,
    output: claimsOutput(next) ? next?.text : undefined,
  };
}));
const code = examples.filter(({ language }) => language === 'ts' || language === 'js');
const programs = code.filter(({ flags }) => !flags.includes('fragment'));
const json = examples.filter(({ language }) => language === 'json');

const runnable = readdirSync(path.join(root, 'examples'))
  .filter(file => file.endsWith('.ts'))
  .filter(file => readFileSync(path.join(root, 'examples', file), 'utf8').startsWith('// Run:'));

let workbench: Workbench;
let problems: Map<string, string[]>;

beforeAll(() => {
  workbench = new Workbench();
  for (const { name, text, line } of programs) workbench.add(name, text, line);
  problems = workbench.check();
});

afterAll(() => {
  workbench.remove();
});

test('code blocks are called ts, js and json, and no flag is misspelt', () => {
  const known: Record<string, string[]> = { ts: ['fragment', 'run'], js: ['fragment', 'run'], json: ['config'] };
  const unchecked = /^(typescript|javascript|[mc]?[jt]sx?|json[5c]?)$/;
  const odd = examples
    .filter(({ language, flags }) => {
      const allowed = known[language];
      return allowed ? flags.some(flag => !allowed.includes(flag)) : unchecked.test(language);
    })
    .map(({ place, language, flags }) => `${place}: ${[language, ...flags].join(' ')}`);
  expect(odd).toEqual([]);
});

test('output is claimed of a block that runs', () => {
  const idle = examples.filter((example, index) => {
    const previous = examples[index - 1];
    return claimsOutput(example) && !(previous && runs(previous) && previous.output === example.text);
  });
  expect(idle.map(({ place }) => place)).toEqual([]);
});

test.for(byPlace(code))('%s compiles', ([, { name, flags, text }]) => {
  expect(flags.includes('fragment') ? syntaxProblems(text) : problems.get(name)).toEqual([]);
});

test.for(byPlace(programs.filter(runs)))('%s runs', { timeout }, async ([, { name, output }]) => {
  const printed = await workbench.run(name);
  if (output !== undefined) expect(printed.trimEnd()).toBe(output.trimEnd());
});

test.for(byPlace(json))('%s is JSON', ([, { text, flags }]) => {
  const value: unknown = JSON.parse(text);
  if (flags.includes('config')) expect(() => parseConfig(value)).not.toThrow();
});

test.for(runnable)('examples/%s runs', { timeout }, async file => {
  await workbench.run(path.join(root, 'examples', file));
});

function byPlace(list: readonly Example[]): (readonly [place: string, example: Example])[] {
  return list.map(example => [example.place, example]);
}

function runs({ flags }: CodeBlock): boolean {
  return flags.includes('run');
}

function claimsOutput(block: CodeBlock | undefined): boolean {
  return block?.language === 'text' && block.flags.includes('output');
}

function extension({ language, text }: CodeBlock): string {
  return language === 'js' && /\brequire\(/.test(text) ? 'cjs' : language;
}
