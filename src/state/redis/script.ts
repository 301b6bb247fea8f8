import { createHash } from 'node:crypto';
import type { Cluster, Redis } from 'ioredis';

/** What is used of a client; that of one server, of Sentinels and of a cluster have it alike. */
export type Client = Redis | Cluster;

/** Whichever copy of ioredis has made it. */
export function isCluster(client: Client): client is Cluster {
  return client.isCluster;
}

/** A script the server knows by its digest, once it has seen it. */
export class Script {
  private readonly text: string;
  private readonly digest: string;

  constructor(text: string) {
    this.text = text;
    this.digest = createHash('sha1').update(text).digest('hex');
  }

  run(client: Client, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return client.evalsha(this.digest, keys.length, ...keys, ...args).catch((error: unknown) => {
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
      return client.eval(this.text, keys.length, ...keys, ...args);
    });
  }
}
