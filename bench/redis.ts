import Bottleneck from 'bottleneck';
import { Redis } from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import { RedisServer } from '../test/support/redis/server.ts';
import { timeInRounds, type Contender } from './rounds.ts';
import type { Row, Section } from './section.ts';
import type { Subject } from './subject.ts';

type Take = () => Promise<unknown>;

const BARE = 'a bare EVALSHA of the same size';

const IN_FLIGHT = 100;
const BLOCK = 50;
const ROUNDS = { rounds: 9, roundMs: 100 };
/** Of each, in turns. */
const LATENCY_TURNS = 20;
const LATENCIES_PER_TURN = 100;
const LIMITS = { rpm: 1e9, tpm: 1e12, rpd: 1e9, tpd: 1e12 };
/** Waits as long as it takes: what is late is measured, not avoided. */
const PATIENT_MS = 60_000;

/** What it costs to take a lease where several processes share the keys, against a real server on this machine. */
export async function redis(subject: Subject): Promise<Section[]> {
  const server = await RedisServer.start();
  const closers: (() => void)[] = [];
  try {
    const client = server.client();
    closers.push(() => client.disconnect());
    await client.ping();
    const shared = guardCalls(subject, client, 1, closers);
    const local = guardCalls(subject, client, BLOCK, closers);
    const takes = new Map<string, Take>([
      [BARE, await bareScript(subject, client, closers)],
      ['lease, four windows', storeLease(subject, client, 1, closers)],
      [`lease, four windows, blocks of ${BLOCK}`, storeLease(subject, client, BLOCK, closers)],
      ['guard, a whole call', shared],
      [`guard, a whole call, blocks of ${BLOCK}`, local],
      ['rate-limiter-flexible: one key, four windows', flexible(client)],
      ['bottleneck, clustering', await bottleneck(client, closers)],
    ]);
    const atOnce = await timeInRounds([...takes].map(([label, take]) => workers(label, take, IN_FLIGHT)), ROUNDS);
    const oneByOne = await timeInRounds([...takes].map(([label, take]) => workers(label, take, 1)), ROUNDS);
    const latencies = await latenciesOf(takes);
    const trips = await roundTrips(client, shared, local);
    return [
      {
        name: `Redis: leases per second, ${IN_FLIGHT} in flight`,
        note:
          'Redis runs on the same machine, and shares its cores. Leases asked for at once travel together; the bare EVALSHA, ' +
          'of `return 1`, has the size of a single lease and travels alone. The ratio is over it.',
        rows: ratesOf(atOnce),
      },
      {
        name: 'Redis: leases per second, one after the other',
        note: 'Nothing travels together. The ratio is over the bare EVALSHA.',
        rows: ratesOf(oneByOne),
      },
      { name: 'Redis: how long one takes, one after the other', rows: latencies },
      { name: 'Redis: round trips per 1,000 calls', rows: trips },
    ];
  } finally {
    for (const close of closers) close();
    await server.close();
  }
}

function workers(label: string, take: Take, inFlight: number): Contender {
  return {
    label,
    run: async count => {
      let left = count;
      const worker = async (): Promise<void> => {
        while (left-- > 0) await take();
      };
      await Promise.all(Array.from({ length: inFlight }, worker));
    },
  };
}

/** @param times microseconds, by label */
function ratesOf(times: ReadonlyMap<string, number>): Row[] {
  const base = times.get(BARE) ?? NaN;
  return [...times].map(([label, us]) => ({ label, value: 1e6 / us, unit: '/s', ratio: base / us }));
}

function storeOf({ redisStore }: Subject, client: Redis, blockSize: number) {
  return redisStore({ client, blockSize, storeTimeoutMs: PATIENT_MS, prefix: `bench-${blockSize}:` });
}

function guardCalls(subject: Subject, client: Redis, blockSize: number, closers: (() => void)[]): Take {
  const keys = [0, 1, 2, 3].map(i => ({ id: `key-${i}`, key: `bench-secret-${i}`, limits: LIMITS }));
  const guard = new subject.ExecutionGuard({
    deduplication: { enabled: false },
    keyManagement: { providers: { openai: { keys } } },
    store: storeOf(subject, client, blockSize),
  });
  closers.push(() => guard.close());
  return () => guard.execute(() => 'answer', { providerName: 'openai', tokens: 100 });
}

const DEAF = {
  gateChanged: () => undefined,
  freed: () => undefined,
  dividedBy: () => undefined,
  closedGates: () => [], noted: () => undefined, notes: () => [],
};

function storeLease(subject: Subject, client: Redis, blockSize: number, closers: (() => void)[]): Take {
  const { systemClock } = subject;
  const connection = storeOf(subject, client, blockSize).open({ clock: systemClock, warn: () => undefined });
  closers.push(() => connection.close());
  const pool = connection.pool('bench', DEAF);
  const candidates = [0, 1, 2, 3].map(i => ({
    key: pool.member('key', `bench-secret-${i}`, LIMITS),
    group: pool.member('own group', `bench-secret-${i}`, undefined),
    probes: false,
  }));
  const request = { candidates, model: undefined, tokens: 100, leaseMs: 600_000, dayReset: undefined };
  return async () => {
    const { granted } = await pool.lease(request);
    if (granted === undefined) throw new Error('No lease');
  };
}

/** A script that does nothing, with the keys and arguments of a lease. */
async function bareScript(subject: Subject, client: Redis, closers: (() => void)[]): Promise<Take> {
  const seen: string[][] = [];
  const spied = client.duplicate();
  const duplicate = spied.duplicate.bind(spied);
  Reflect.set(spied, 'duplicate', (options: object) => {
    const copy = duplicate(options);
    const run: unknown = Reflect.get(copy, 'evalsha');
    Reflect.set(copy, 'evalsha', (...args: unknown[]): unknown => {
      seen.push(args.map(String));
      const result: unknown = typeof run === 'function' ? Reflect.apply(run, copy, args) : undefined;
      return result;
    });
    return copy;
  });
  const take = storeLease(subject, spied, 1, closers);
  await take();
  await take();
  const [, count, ...rest] = seen.findLast(args => args[1] === '10') ?? [];
  const own = client.duplicate();
  closers.push(
    () => spied.disconnect(),
    () => own.disconnect(),
  );
  const digest = String(await own.script('LOAD', 'return 1'));
  return () => own.evalsha(digest, Number(count), ...rest);
}

function flexible(client: Redis): Take {
  const windows = [['rpm', 60], ['tpm', 60], ['rpd', 86_400], ['tpd', 86_400]] as const;
  const limiters = windows.map(
    ([name, duration]) => new RateLimiterRedis({ storeClient: client, keyPrefix: name, points: 1e12, duration }),
  );
  return () => Promise.all(limiters.map(limiter => limiter.consume('key')));
}

async function bottleneck(client: Redis, closers: (() => void)[]): Promise<Take> {
  const connection = new Bottleneck.IORedisConnection({ client: client.duplicate({ protocol: 2 }) });
  const limiter = new Bottleneck({ id: 'bench', datastore: 'ioredis', connection, reservoir: 1e9 });
  limiter.on('error', () => undefined);
  await limiter.ready();
  closers.push(() => {
    void limiter.disconnect(false);
    void connection.disconnect(false);
  });
  return () => limiter.schedule(() => Promise.resolve(1));
}

async function latenciesOf(takes: ReadonlyMap<string, Take>): Promise<Row[]> {
  const times = new Map<string, number[]>();
  for (let turn = 0; turn < LATENCY_TURNS; turn++) {
    for (const [label, take] of takes) {
      const ofLabel = times.get(label) ?? [];
      times.set(label, ofLabel);
      for (let i = 0; i < LATENCIES_PER_TURN; i++) {
        const start = performance.now();
        await take();
        ofLabel.push(1000 * (performance.now() - start));
      }
    }
  }
  return [...times].flatMap(([label, all]) => {
    all.sort((a, b) => a - b);
    const at = (share: number): number => all[Math.floor(all.length * share)] ?? NaN;
    return [
      { label: `${label}, p50`, value: at(0.5), unit: 'µs' },
      { label: `${label}, p99`, value: at(0.99), unit: 'µs' },
    ];
  });
}

/** The ratio is that of the blocks over none. */
async function roundTrips(client: Redis, shared: Take, local: Take): Promise<Row[]> {
  const scripts = async (): Promise<number> =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0);
  const tripsOf = async (take: Take, inFlight: number): Promise<number> => {
    const before = await scripts();
    await workers('', take, inFlight).run(1000);
    return (await scripts()) - before;
  };
  const rows: Row[] = [];
  for (const [inFlight, how] of [[1, 'one after the other'], [IN_FLIGHT, `${IN_FLIGHT} in flight`]] as const) {
    const [alone, inBlocks] = [await tripsOf(shared, inFlight), await tripsOf(local, inFlight)];
    rows.push({ label: `guard, ${how}`, value: alone, unit: '' });
    rows.push({ label: `guard, blocks of ${BLOCK}, ${how}`, value: inBlocks, unit: '', ratio: inBlocks / alone });
  }
  return rows;
}
