import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

/** A process of its own takes time on a busy machine. */
export const PROCESS_MS = 60_000;

const ARGUMENTS = ['--import', 'tsx', '--input-type=module', '--eval'];

/** A program that says `ready`, and more, line by line. */
export interface Program {
  readonly process: ChildProcess;
  /** Resolves when it says so. */
  readonly says: (line: string) => Promise<void>;
  /** How it has ended. */
  readonly end: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** What it has said on stderr so far. */
  readonly complaints: () => string;
}

export function start(code: string): Program {
  const child = spawn(process.execPath, [...ARGUMENTS, code], { stdio: ['pipe', 'pipe', 'pipe'] });
  const said: string[] = [];
  let complaints = '';
  let listener: (() => void) | undefined;
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
  createInterface({ input: child.stdout }).on('line', line => {
    said.push(line);
    listener?.();
  });
  const end = once(child, 'close').then(([exitCode, signal]) => ({
    code: exitCode as number | null,
    signal: signal as NodeJS.Signals | null,
  }));
  return {
    process: child,
    end,
    complaints: () => complaints,
    says: line =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (said.includes(line)) resolve();
        };
        listener = check;
        check();
        void end.then(() => reject(new Error(`It has ended, and said ${said.join(', ')}; ${complaints}`)));
      }),
  };
}

/** Runs a program to its end; rejects where that is no good one. */
export async function run(code: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [...ARGUMENTS, code], { timeout: PROCESS_MS });
  return stdout.trim();
}
