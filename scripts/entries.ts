import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';

const root = new URL('../', import.meta.url);

const conditions = z.object({ import: z.object({ default: z.string() }) });
const manifest = z.object({ exports: z.record(z.string(), z.union([z.string(), conditions])) });

/**
 * The source file behind every public entry, by the name of its output file.
 *
 * The `exports` of package.json are the list. `./fetch` at `./dist/fetch.js` is built from `src/fetch.ts` or
 * `src/fetch/index.ts`.
 */
export function entries(): Record<string, string> {
  const { exports } = manifest.parse(JSON.parse(readFileSync(new URL('package.json', root), 'utf8')));
  const found: Record<string, string> = {};
  for (const target of Object.values(exports)) {
    if (typeof target === 'string') continue;
    const name = /^\.\/dist\/(.+)\.js$/.exec(target.import.default)?.[1];
    if (name === undefined) throw new Error(`${target.import.default} is not ./dist/<name>.js`);
    found[name] = sourceOf(name);
  }
  return found;
}

/** The import specifier of every public entry and the absolute path of its source. */
export function specifiers(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(entries()).map(([name, source]) => [
      name === 'index' ? 'execution-guard' : `execution-guard/${name}`,
      fileURLToPath(new URL(source, root)),
    ]),
  );
}

function sourceOf(name: string): string {
  const source = [`src/${name}.ts`, `src/${name}/index.ts`].find(path => existsSync(new URL(path, root)));
  if (source === undefined) throw new Error(`No source for the entry ${name}`);
  return source;
}
