import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

const built = path.resolve(import.meta.dirname, '../dist/index.js');
const rounds = 15;
const run = promisify(execFile);

/** What `import 'execution-guard'` adds to a program's start, in ms, beside the import of zod alone. Needs `dist`. */
export async function importBench(): Promise<{
  name: string;
  rows: { label: string; value: number; unit: string; ratio?: number }[];
}> {
  if (!existsSync(built)) throw new Error('dist is missing: run npm run build first');
  const directory = mkdtempSync(path.join(tmpdir(), 'execution-guard-bench-'));
  const emptyModule = path.join(directory, 'empty.mjs');
  writeFileSync(emptyModule, '');
  const times: Record<'empty' | 'guard' | 'zod', number[]> = { empty: [], guard: [], zod: [] };
  // Taken in turns, so that a busy moment of the machine strikes all alike.
  for (let round = 0; round < rounds; round += 1) {
    times.empty.push(await importTime(pathToFileURL(emptyModule).href));
    times.guard.push(await importTime(pathToFileURL(built).href));
    times.zod.push(await importTime(import.meta.resolve('zod')));
  }
  rmSync(directory, { recursive: true });
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
