import { isMainThread } from 'node:worker_threads';
import { nothingFound, readConfigFile } from './config-file.ts';
import { RegisterError } from './error.ts';
import { registerFile } from './register.ts';
import { say } from './say.ts';
import { slot } from './slot.ts';

/**
 * Registers what the configuration file says, once in a thread, however often the entry is loaded. Ends the process
 * where that cannot be done: a program must not run half guarded.
 */
export function preload(): void {
  const known = slot();
  if (known.hasRun) return;
  known.hasRun = true;
  const here = { cwd: process.cwd(), env: process.env };
  try {
    const file = readConfigFile(undefined, here);
    if (file) registerFile(file);
    else if (isMainThread && wasAskedFor()) sayNothingFound(nothingFound(here));
  } catch (error) {
    if (!(error instanceof RegisterError)) throw error;
    say(`execution-guard: ${error.message}`);
    process.exit(1);
  }
}

/** A program that imports the entry may bring its own configuration; whoever names it to node has none. */
function wasAskedFor(): boolean {
  return /execution-guard\S*register/.test([...process.execArgv, process.env['NODE_OPTIONS']].join(' '));
}

function sayNothingFound(line: string | undefined): void {
  if (line !== undefined) say(`execution-guard: ${line}`);
}
