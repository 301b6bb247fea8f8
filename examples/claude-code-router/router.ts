import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface RunningRouter {
  /** `http://127.0.0.1:port`, without a trailing slash. */
  readonly url: string;
  /** All that it has written so far: to its log, and to the terminal. */
  log(): string;
  /** Resolves once its log has the text; rejects when it ends before. */
  logged(text: string): Promise<void>;
  /** Ends the process, and removes its home directory. */
  close(): Promise<void>;
}

export interface RouterOptions {
  /** The router's `dist/cli.js`. */
  readonly cli: string;
  /** Its config.json; the port is added. */
  readonly config: object;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the router as `ccr start` does, in a home directory of its own. Resolves once it listens. */
export async function startRouter({ cli, config, env }: RouterOptions): Promise<RunningRouter> {
  const home = mkdtempSync(path.join(tmpdir(), 'claude-code-router-'));
  const logs = path.join(home, '.claude-code-router/logs');
  const port = await freePort();
  mkdirSync(logs, { recursive: true });
  writeFileSync(path.join(home, '.claude-code-router/config.json'), JSON.stringify({ PORT: port, ...config }));

  const child = spawn(process.execPath, [cli, 'start'], {
    cwd: home,
    env: { PATH: process.env['PATH'], HOME: home, USERPROFILE: home, TMPDIR: home, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exit = once(child, 'exit');
  const log = (): string =>
    readdirSync(logs).map(file => readFileSync(path.join(logs, file), 'utf8')).join('') + output;
  const close = async (): Promise<void> => {
    // Asked politely, version 2 waits for its clients to let go of their connections.
    child.kill('SIGKILL');
    await exit;
    rmSync(home, { recursive: true, force: true });
  };

  const logged = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!log().includes(text)) return;
        watcher.close();
        resolve();
      };
      const watcher = watch(logs, look);
      const ended = (): void => {
        watcher.close();
        reject(new Error(`the router has ended without a word of "${text}":\n${log()}`));
      };
      exit.then(ended, ended);
      look();
    });

  try {
    // The terminal hears nothing of it.
    await logged('Server listening');
  } catch (error) {
    await close();
    throw error;
  }
  return { url: `http://127.0.0.1:${port}`, log, logged, close };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('there is no free port');
  server.close();
  await once(server, 'close');
  return address.port;
}
