import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const root = path.resolve(import.meta.dirname, '..');
const rounds = 15;
const run = promisify(execFile);

const subjects = {
  empty: 'data:text/javascript,',
  guard: pathToFileURL(path.join(root, 'dist/index.js')).href,
  zod: import.meta.resolve('zod'),
};

/** What `import 'execution-guard'` adds to a program's start, in ms, beside the import of zod alone. Needs `dist`. */
export async function importBench(): Promise<{
  name: string;
  rows: { label: string; value: number; unit: string; ratio?: number }[];
}> {
  if (!existsSync(path.join(root, 'dist/index.js'))) throw new Error('dist is missing: run npm run build first');
  const times: Record<keyof typeof subjects, number[]> = { empty: [], guard: [], zod: [] };
  // Taken in turns, so that a busy moment of the machine strikes all alike.
  for (let round = 0; round < rounds; round += 1) {
    times.empty.push(await importTime(subjects.empty));
    times.guard.push(await importTime(subjects.guard));
    times.zod.push(await importTime(subjects.zod));
  }
  const empty = median(times.empty);
  const guard = median(times.guard) - empty;
  const zod = median(times.zod) - empty;
  return {
    name: 'import',
    rows: [
      { label: 'execution-guard', value: guard, unit: 'ms', ratio: guard / zod },
      { label: 'zod', value: zod, unit: 'ms', ratio: 1 },
    ],
  };
}

/** Milliseconds in a fresh process. */
async function importTime(specifier: string): Promise<number> {
  const script = `
    const start = performance.now();
    await import(${JSON.stringify(specifier)});
    process.stdout.write(String(performance.now() - start));
  `;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script]);
  return Number(stdout);
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

if (process.argv[1] === import.meta.filename) console.table((await importBench()).rows);
