import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { packedApp, type PackedApp } from '../package/packed.ts';

const modules = path.resolve(import.meta.dirname, '../../node_modules');

/** A program that has installed the package and real clients. */
export function appWithClients(): PackedApp {
  const app = packedApp();
  mkdirSync(path.join(app.directory, 'node_modules/@google'), { recursive: true });
  for (const name of ['openai', '@google/genai', 'undici']) {
    symlinkSync(path.join(modules, name), path.join(app.directory, 'node_modules', name));
  }
  return app;
}

export interface Run {
  /** The program, an ES module unless `name` says otherwise. */
  readonly script: string;
  readonly name?: string;
  /** Further files in the current directory, by name. */
  readonly files?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of node; default: the preloader. */
  readonly preload?: readonly string[];
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in a directory of its own, while the servers of this process go on answering. */
export async function run(
  app: PackedApp,
  { script, name = 'app.mjs', files = {}, env = {}, preload = ['--import', 'execution-guard/register'] }: Run,
): Promise<Outcome> {
  const cwd = mkdtempSync(path.join(app.directory, 'cwd-'));
  for (const [file, text] of Object.entries({ ...files, [name]: script })) writeFileSync(path.join(cwd, file), text);
  const child = spawn(process.execPath, [...preload, name], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, stdout, stderr };
}
