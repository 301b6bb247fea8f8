import { Cluster, type Redis } from 'ioredis';
import { countedIn } from './counts.ts';
import { freePort, RedisServer } from './server.ts';

const SLOTS = 16_384;
const HOST = '127.0.0.1';

interface Node {
  readonly server: RedisServer;
  readonly client: Redis;
  readonly id: string;
}

/** Several Redis servers that share the slots. */
export class RedisCluster {
  private readonly nodes: readonly Node[];

  private constructor(nodes: readonly Node[]) {
    this.nodes = nodes;
  }

  /** Resolves when every node knows the others, and takes commands. */
  static async start(count = 3): Promise<RedisCluster> {
    const nodes = await Promise.all(Array.from({ length: count }, (_, index) => startNode(index, count)));
    const [first, ...others] = nodes;
    for (const { client, busPort, server } of others) {
      await client.cluster('MEET', HOST, first!.server.port, first!.busPort);
      await first!.client.cluster('MEET', HOST, server.port, busPort);
    }
    const cluster = new RedisCluster(nodes);
    await cluster.agree();
    return cluster;
  }

  /** As its clients are given it. */
  get addresses(): { readonly host: string; readonly port: number }[] {
    return this.nodes.map(({ server }) => ({ host: HOST, port: server.port }));
  }

  /** A client of the test's own. */
  client(): Cluster {
    const cluster = new Cluster(this.addresses);
    cluster.on('error', () => undefined);
    return cluster;
  }

  /** All names on all nodes, with the position of the node that has each. */
  async names(): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for (const [position, { client }] of this.nodes.entries()) {
      for (const name of await client.keys('*')) found.set(name, position);
    }
    return found;
  }

  /** As {@link countedIn}, over all nodes. */
  async counted(prefix: string): Promise<number[]> {
    return (await Promise.all(this.nodes.map(({ client }) => countedIn(client, prefix)))).flat();
  }

  async slotOf(name: string): Promise<number> {
    return this.nodes[0]!.client.cluster('KEYSLOT', name);
  }

  /** Moves a slot with all that is in it, as a person who balances a cluster does. */
  async move(slot: number, from: number, to: number): Promise<void> {
    const [source, target] = [this.nodes[from]!, this.nodes[to]!];
    await target.client.cluster('SETSLOT', slot, 'IMPORTING', source.id);
    await source.client.cluster('SETSLOT', slot, 'MIGRATING', target.id);
    for (;;) {
      const names = await source.client.cluster('GETKEYSINSLOT', slot, 100);
      if (names.length === 0) break;
      await source.client.migrate(HOST, target.server.port, '', 0, 5000, 'KEYS', ...names);
    }
    for (const { client } of [target, source]) await client.cluster('SETSLOT', slot, 'NODE', target.id);
    await this.agree();
  }

  /** Every client loses its connections, and with them the answers that are on their way. */
  async cut(): Promise<void> {
    await Promise.all(this.nodes.map(({ client }) => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')));
  }

  /** A node ends as by a crash. */
  async kill(position: number): Promise<void> {
    await this.nodes[position]!.server.kill();
  }

  /** A node that was killed begins again, with what it knew of the others. */
  async begin(position: number): Promise<void> {
    await this.nodes[position]!.server.begin();
    await this.agree();
  }

  async close(): Promise<void> {
    for (const { client, server } of this.nodes) {
      client.disconnect();
      await server.close();
    }
  }

  /** Resolves when all nodes take commands, and know alike who has which slots. */
  private async agree(): Promise<void> {
    for (;;) {
      const views = await Promise.all(this.nodes.map(({ client }) => viewOf(client)));
      if (views.every(view => view.isWhole && view.owners === views[0]!.owners && view.known === this.nodes.length)) return;
      // The server holds this answer back for a moment: nobody follows it, so nobody acknowledges.
      await this.nodes[0]!.client.wait(1, 20);
    }
  }
}

async function startNode(index: number, count: number): Promise<Node & { readonly busPort: number }> {
  const busPort = await freePort();
  const settings = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-node-timeout', '1000'];
  const server = await RedisServer.start(settings);
  const client = server.client();
  const share = (part: number): number => Math.round((SLOTS * part) / count);
  await client.cluster('ADDSLOTSRANGE', share(index), share(index + 1) - 1);
  return { server, client, busPort, id: await client.cluster('MYID') };
}

async function viewOf(client: Redis): Promise<{ isWhole: boolean; known: number; owners: string }> {
  const info = await client.cluster('INFO');
  const ranges: unknown[] = await client.cluster('SLOTS');
  const owners = ranges.map(range => JSON.stringify(range)).sort();
  return {
    isWhole: info.includes('cluster_state:ok') && info.includes(`cluster_slots_ok:${SLOTS}`),
    known: Number(/cluster_known_nodes:(\d+)/.exec(info)?.[1]),
    owners: owners.join(),
  };
}
