import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { redisBinary } from './binary.ts';

let binary: string | undefined;

/** A Redis server of the test's own, on a port of its own. */
export class RedisServer {
  readonly port: number;
  readonly url: string;
  private readonly directory = mkdtempSync(path.join(tmpdir(), 'execution-guard-redis-'));
  private readonly options: readonly string[];
  private child: ChildProcess | undefined;

  private constructor(port: number, options: readonly string[]) {
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
    this.options = options;
  }

  /** Resolves when it answers. `options` as on its command line. */
  static async start(options: readonly string[] = [], port?: number): Promise<RedisServer> {
    const server = new RedisServer(port ?? (await freePort()), options);
    await server.begin();
    return server;
  }

  /** A client of the test's own; ends with the test's `close`. */
  client(): Redis {
    const client = new Redis(this.url, { maxRetriesPerRequest: null });
    client.on('error', () => undefined);
    return client;
  }

  /** Holds the server still: it takes what it is sent, and answers nothing. */
  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  /** As a crash would. What it has written to its files is still there when it begins again. */
  async kill(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  /** Starts the server that was killed. */
  async begin(): Promise<void> {
    const files = ['--port', String(this.port), '--dir', this.directory, '--save', ''];
    this.child = spawn((binary ??= redisBinary()), [...files, ...this.options], { stdio: 'ignore' });
    const client = this.client();
    try {
      // Commands are kept until the server is there.
      await client.ping();
    } finally {
      client.disconnect();
    }
  }

  async close(): Promise<void> {
    this.resume();
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return port;
}
