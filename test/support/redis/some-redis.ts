import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { findRedis } from './binary.ts';
import { RedisServer } from './server.ts';

/** A Redis for tests that neither pause nor end it: a server of its own, or names of its own on that of REDIS_URL. */
export class SomeRedis {
  readonly url: string;
  /** What its names begin with. */
  readonly prefix = `t${randomBytes(4).toString('hex')}:`;
  private readonly server: RedisServer | undefined;

  private constructor(url: string, server: RedisServer | undefined) {
    this.url = url;
    this.server = server;
  }

  static async start(): Promise<SomeRedis> {
    const { REDIS_URL: url } = process.env;
    if (url && findRedis() === undefined) return new SomeRedis(url, undefined);
    const server = await RedisServer.start();
    return new SomeRedis(server.url, server);
  }

  /** Where guards share state. */
  get store(): { readonly url: string; readonly prefix: string } {
    return { url: this.url, prefix: this.prefix };
  }

  /** A client of the test's own. */
  client(): Redis {
    const client = new Redis(this.url, { maxRetriesPerRequest: null });
    client.on('error', () => undefined);
    return client;
  }

  async clear(): Promise<void> {
    const client = this.client();
    const names = await client.keys(`${this.prefix}*`);
    if (names.length > 0) await client.del(...names);
    client.disconnect();
  }

  async close(): Promise<void> {
    if (this.server) await this.server.close();
    else await this.clear();
  }
}
