import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'tsup';

const directory = mkdtempSync(path.join(tmpdir(), 'execution-guard-program-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

let built: Promise<string> | undefined;

/** The program of guard-process.ts, built from the source as it is now: started often, it is to start quickly. */
export function guardProgram(): Promise<string> {
  return (built ??= make());
}

async function make(): Promise<string> {
  await build({
    config: false,
    entry: { program: path.join(import.meta.dirname, 'guard-process.ts') },
    outDir: directory,
    format: ['cjs'],
    noExternal: [/./],
    dts: false,
    silent: true,
    outExtension: () => ({ js: '.cjs' }),
  });
  return path.join(directory, 'program.cjs');
}
