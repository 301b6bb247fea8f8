import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { redisBinary } from './binary.ts';
import { freePort, RedisServer } from './server.ts';

const HOST = '127.0.0.1';
const MASTER = 'state';

/** A master, a replica, and a Sentinel that may make one of the other. */
export class SentinelGroup {
  /** By position. The first one is the master at the beginning. */
  readonly servers: readonly RedisServer[];
  private readonly directory: string;
  private readonly process: ChildProcess;
  private readonly client: Redis;
  private readonly port: number;

  private constructor(servers: readonly RedisServer[], port: number) {
    this.servers = servers;
    this.port = port;
    this.directory = mkdtempSync(path.join(tmpdir(), 'execution-guard-sentinel-'));
    const file = path.join(this.directory, 'sentinel.conf');
    const lines = [
      `port ${port}`,
      `sentinel monitor ${MASTER} ${HOST} ${servers[0]!.port} 1`,
      `sentinel down-after-milliseconds ${MASTER} 1000`,
      `sentinel failover-timeout ${MASTER} 5000`,
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    this.process = spawn(redisBinary(), [file, '--sentinel'], { stdio: 'ignore', cwd: this.directory });
    this.client = new Redis(port, HOST, { maxRetriesPerRequest: null });
    this.client.on('error', () => undefined);
  }

  /** Resolves when the replica has all of the master, and the Sentinel knows both. */
  static async start(): Promise<SentinelGroup> {
    const master = await RedisServer.start(['--repl-diskless-sync-delay', '0']);
    const replica = await RedisServer.start(['--repl-diskless-sync-delay', '0', '--replicaof', HOST, String(master.port)]);
    const group = new SentinelGroup([master, replica], await freePort());
    await group.isSettled(0);
    return group;
  }

  /** As its clients are given it. */
  get address(): { readonly sentinels: { readonly host: string; readonly port: number }[]; readonly master: string } {
    return { sentinels: [{ host: HOST, port: this.port }], master: MASTER };
  }

  /** Resolves when the other server is the master, and what was written before is there. */
  async failOver(): Promise<void> {
    const from = await this.masterPosition();
    // What was answered before the fail-over is not to be lost by it.
    const client = this.servers[from]!.client();
    await client.wait(1, 0);
    client.disconnect();
    const switched = this.switched();
    await this.client.call('SENTINEL', 'FAILOVER', MASTER);
    await switched;
  }

  /** Resolves when the Sentinel has made another server the master. */
  async switched(): Promise<void> {
    const listener = this.client.duplicate();
    await listener.subscribe('+switch-master');
    await new Promise<void>(resolve => listener.once('message', () => resolve()));
    listener.disconnect();
  }

  /** Resolves when that server is the master, and the other one follows it. */
  async isSettled(position: number): Promise<void> {
    for (;;) {
      const [replica] = (await this.client.call('SENTINEL', 'REPLICAS', MASTER)) as string[][];
      const facts = new Map(replica?.flatMap((name, i) => (i % 2 === 0 ? [[name, replica[i + 1]] as const] : [])));
      if (facts.get('flags') === 'slave' && facts.get('master-link-status') === 'ok' && (await this.masterPosition()) === position) return;
      const master = this.servers[position]!.client();
      // The server holds this answer back for a moment, as long as nobody follows it.
      await master.wait(2, 50);
      master.disconnect();
    }
  }

  async close(): Promise<void> {
    this.client.disconnect();
    this.process.kill('SIGKILL');
    for (const server of this.servers) await server.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async masterPosition(): Promise<number> {
    const [, port] = (await this.client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', MASTER)) as string[];
    return this.servers.findIndex(server => server.port === Number(port));
  }
}
