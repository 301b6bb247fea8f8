// Run: npx tsx bench/decisions/bundling.ts
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'tsup';
import options from '../../tsup.config.ts';
import { median } from '../rounds.ts';

const ROUNDS = 21;
const LIBRARIES = ['zod', 'lru-cache', 'opossum', 'p-queue'];

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');
const directory = mkdtempSync(path.join(tmpdir(), 'execution-guard-bench-'));

async function make(name: string, external: string[]): Promise<string> {
  const outDir = path.join(directory, name);
  await build({ ...options, config: false, outDir, external, dts: false, clean: false, silent: true });
  return path.join(outDir, 'index');
}

/** Milliseconds in a fresh process. */
async function loadTime(file: string): Promise<number> {
  const load = file.endsWith('.cjs') ? `require(${JSON.stringify(file)})` : `await import('${pathToFileURL(file).href}')`;
  const script = `const start = performance.now(); ${load}; process.stdout.write(String(performance.now() - start));`;
  const type = file.endsWith('.cjs') ? 'commonjs' : 'module';
  const { stdout } = await run(process.execPath, [`--input-type=${type}`, '--eval', script]);
  return Number(stdout);
}

try {
  symlinkSync(path.join(root, 'node_modules'), path.join(directory, 'node_modules'), 'junction');
  writeFileSync(path.join(directory, 'package.json'), '{ "type": "module" }');
  const empty = path.join(directory, 'empty');
  const stems = { empty, bundled: await make('bundled', []), dependencies: await make('dependencies', LIBRARIES) };
  for (const extension of ['.js', '.cjs']) {
    writeFileSync(empty + extension, '');
    const times = new Map(Object.keys(stems).map(label => [label, new Array<number>()]));
    // Taken in turns, so that a busy moment of the machine strikes all alike.
    for (let round = 0; round < ROUNDS; round++) {
      for (const [label, stem] of Object.entries(stems)) times.get(label)?.push(await loadTime(stem + extension));
    }
    const base = median(times.get('empty') ?? []);
    for (const label of ['bundled', 'dependencies']) {
      const addedMs = median(times.get(label) ?? []) - base;
      console.log(`${extension === '.js' ? 'import' : 'require'}, ${label}: ${addedMs.toFixed(1)} ms`);
    }
  }
} finally {
  rmSync(directory, { recursive: true });
}
