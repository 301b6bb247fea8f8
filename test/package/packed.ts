import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import * as z from 'zod';

const root = path.resolve(import.meta.dirname, '../..');

const packReport = z.tuple([z.object({ filename: z.string(), files: z.array(z.object({ path: z.string() })) })]);

/** A program that has installed the package, as it would be published, and nothing else. */
export interface PackedApp {
  readonly directory: string;
  /** The installed package's own directory. */
  readonly packageDirectory: string;
  /** Paths in the published archive, relative to the package. */
  readonly files: readonly string[];
  remove(): void;
}

/** Needs `dist`, which `npm test` builds first. */
export function packedApp(): PackedApp {
  const directory = mkdtempSync(path.join(tmpdir(), 'execution-guard-app-'));
  const packageDirectory = path.join(directory, 'node_modules/execution-guard');
  mkdirSync(packageDirectory, { recursive: true });
  const [{ filename, files }] = packReport.parse(JSON.parse(
    execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', directory], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ));
  execFileSync('tar', ['-xzf', filename, '--strip-components=1', '-C', packageDirectory], { cwd: directory });
  return {
    directory,
    packageDirectory,
    files: files.map(file => file.path),
    remove: () => rmSync(directory, { recursive: true }),
  };
}

/** One for all tests of a file; there from the first of them to the last. */
export function usePackedApp(): () => PackedApp {
  let app: PackedApp;
  beforeAll(() => {
    app = packedApp();
  });
  afterAll(() => app.remove());
  return () => app;
}

/** Runs a script of the app, after the module `preload`, in an empty working, home and temporary directory. */
export function runScript(
  app: PackedApp,
  name: string,
  source: string,
  { preload = '', env = {} }: { preload?: string; env?: Record<string, string> } = {},
): { output: string; places: string[] } {
  const script = path.join(app.directory, name);
  const preloaded = path.join(app.directory, 'preload.mjs');
  writeFileSync(script, source);
  writeFileSync(preloaded, preload);
  const places = ['cwd', 'home', 'tmp'].map(place => mkdtempSync(path.join(app.directory, `${place}-`)));
  const [cwd, home, tmp] = places;
  const output = execFileSync(process.execPath, ['--import', preloaded, script], {
    cwd,
    env: { ...env, HOME: home, USERPROFILE: home, TMPDIR: tmp },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  });
  return { output, places };
}
