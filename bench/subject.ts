import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'tsup';
import options from '../tsup.config.ts';

export type Subject = typeof import('./internals.ts');

/**
 * The source as it is now, built the way the package is. A loader that compiles on the fly marks every function with
 * its name at run time, which a hot path feels; a `dist` may be older than the source.
 */
export async function loadSubject(): Promise<Subject> {
  // Where ioredis is found, which is not built in.
  const cache = path.join(import.meta.dirname, '../node_modules/.cache');
  mkdirSync(cache, { recursive: true });
  const outDir = mkdtempSync(path.join(cache, 'execution-guard-bench-'));
  const entry = { internals: path.join(import.meta.dirname, 'internals.ts') };
  try {
    await build({
      ...options,
      config: false,
      entry,
      outDir,
      format: ['esm'],
      dts: false,
      clean: false,
      silent: true,
      // Outside of any package, tsx takes a .js file for CommonJS and rewrites it: calls then take twice as long.
      outExtension: () => ({ js: '.mjs' }),
    });
    // An import by a computed name has no type of its own.
    return (await import(pathToFileURL(path.join(outDir, 'internals.mjs')).href)) as Subject;
  } finally {
    rmSync(outDir, { recursive: true });
  }
}
