import { GuardProcess } from '../test/support/redis/process.ts';
import { RedisServer } from '../test/support/redis/server.ts';
import type { Row, Section } from './section.ts';

const OTHERS = 3;
const ROUNDS = 200;
/** Calls at once that each of the other processes makes over and over. */
const AT_ONCE = 10;
const PATIENT = { storeTimeoutMs: 60_000 };
const ANSWERED = { id: 'good', key: 'bench-secret-of-good', limits: { rpm: 1e9 } };

/** How long it takes until what one process has found out holds in the others. */
export async function redisNews(): Promise<Section> {
  const server = await RedisServer.start();
  try {
    return {
      name: `Redis: how soon ${OTHERS} other processes leave a key alone after a 401`,
      note:
        `From the 401 in one process to the verdict in each other one, ${ROUNDS} keys one after the other. In between another ` +
        'key answers the same call. Redis and all processes share the cores of this machine.',
      rows: [...(await measure(server, 'at rest')), ...(await measure(server, 'at work'))],
    };
  } finally {
    await server.close();
  }
}

async function measure(server: RedisServer, others: 'at rest' | 'at work'): Promise<Row[]> {
  const bad = Array.from({ length: ROUNDS }, (_, i) => ({ id: `bad-${i}`, key: `bench-secret-${others}-${i}`, priority: 1 }));
  const config = {
    deduplication: { enabled: false },
    keyManagement: { providers: { [others]: { keys: [ANSWERED, ...bad] } } },
  };
  const processes = await Promise.all(
    Array.from({ length: OTHERS + 1 }, () => GuardProcess.start(server.url, config, PATIENT)),
  );
  try {
    const [first, ...rest] = processes as [GuardProcess, ...GuardProcess[]];
    for (const each of processes) await each.call(1, { providerName: others });
    const rounds = new AbortController();
    const work = rest.map(async each => {
      while (others === 'at work' && !rounds.signal.aborted) await each.call(AT_ONCE, { providerName: others });
    });
    const times: number[] = [];
    for (const { id } of bad) times.push(...(await timesOf(first, rest, others, id)));
    rounds.abort();
    await Promise.all(work);
    return rowsOf(times, others);
  } finally {
    await Promise.all(processes.map(each => each.kill()));
  }
}

async function timesOf(first: GuardProcess, others: readonly GuardProcess[], provider: string, id: string): Promise<number[]> {
  const refused = first.event(event => event['refused'] === id);
  const verdicts = others.map(each => each.event(({ keyId, to }) => keyId === id && to === 'disabled'));
  await first.call(1, { providerName: provider, keyId: id }, { status: { [id]: 401 } });
  const since = Number((await refused)['at']);
  return (await Promise.all(verdicts)).map(({ at }) => Number(at) - since);
}

function rowsOf(times: readonly number[], others: string): Row[] {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN;
  const row = (name: string, share: number): Row => ({ label: `${name}, the others ${others}`, value: at(share), unit: 'ms' });
  return [row('median', 0.5), row('99th', 0.99), row('worst', 1)];
}
