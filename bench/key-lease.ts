import { timeInRounds, type Contender } from './rounds.ts';
import type { Row, Section } from './section.ts';
import type { Subject } from './subject.ts';

type Pool = InstanceType<Subject['Pool']>;

const SIZES = [10, 1_000, 100_000];
const HOUR_MS = 3_600_000;

/** Enough rounds for a median; each has to come round a pool that does not fit the processor's caches. */
const ROUNDS = { rounds: 9, roundMs: 20 };

/** What taking a key and giving it back costs, without the call around it. */
export async function keyLease(subject: Subject): Promise<Section[]> {
  const note = 'Keys with limits of requests and tokens per minute. The ratio is over the pool of 10.';
  const ready: Row[] = [];
  const cooling: Row[] = [];
  for (const strategy of subject.strategyNames) {
    ready.push(...(await bySize(subject, strategy, 0)));
    cooling.push(...(await bySize(subject, strategy, 0.9)));
  }
  return [
    { name: 'key lease: taken and released', note, rows: ready },
    { name: 'key lease, 90 % of the keys cooling', note, rows: cooling },
    {
      name: 'key lease: taken, answered and released',
      note: 'Every key has answered before. The ratio is over the pool of 10.',
      rows: await answeredBySize(subject),
    },
  ];
}

async function bySize(subject: Subject, strategy: string, coolingShare: number): Promise<Row[]> {
  const contenders = SIZES.map((size): Contender => {
    const pool = poolOf(subject, strategy, size);
    cool(pool, coolingShare, subject.systemClock.now());
    // Keys found away are set aside, once.
    leases(subject, pool, 2 * size);
    return { label: labelOf(strategy, size), run: count => leases(subject, pool, count) };
  });
  return rowsOf(contenders);
}

async function answeredBySize(subject: Subject): Promise<Row[]> {
  const contenders = SIZES.map((size): Contender => {
    const pool = poolOf(subject, 'round-robin', size);
    answeredLeases(subject, pool, size);
    return { label: labelOf('round-robin', size), run: count => answeredLeases(subject, pool, count) };
  });
  return rowsOf(contenders);
}

async function rowsOf(contenders: readonly Contender[]): Promise<Row[]> {
  const times = await timeInRounds(contenders, ROUNDS);
  const [base = NaN] = times.values();
  return [...times].map(([label, value]) => ({ label, value, unit: 'µs', ratio: value / base }));
}

function labelOf(strategy: string, size: number): string {
  return `${strategy}, ${size.toLocaleString('en')} keys`;
}

function poolOf({ Pool, normalizeKeys, strategyFactory, systemClock }: Subject, strategy: string, size: number): Pool {
  const entries = Array.from({ length: size }, (_, i) => ({
    id: `key-${i}`,
    key: `bench-secret-${i}`,
    limits: { rpm: 1e9, tpm: 1e12 },
  }));
  return new Pool(
    {
      pattern: '*',
      keys: normalizeKeys({ keys: entries }, { pattern: '*', warn: ignore }),
      strategyName: strategy,
      strategy: strategyFactory(strategy),
      fallbackBehavior: 'fail',
      groups: {},
      cooldown: { initialMs: 30_000, maxMs: HOUR_MS },
      leaseMs: 600_000,
      maxWaitMs: 30_000,
      validate: undefined,
      validateTimeoutMs: 10_000,
      profile: undefined,
      dayReset: undefined,
    affinity: undefined,
    },
    { clock: systemClock, random: Math.random, onKeyChange: ignore },
  );
}

/** Evenly spread, so that a search from any place meets them. */
function cool(pool: Pool, share: number, now: number): void {
  let owed = 0;
  for (const key of pool.keys()) {
    owed += share;
    if (owed < 1 - 1e-9) continue;
    owed -= 1;
    key.gateOf(undefined).cool(now + HOUR_MS, 'bench', now);
  }
}

function leases({ systemClock }: Subject, pool: Pool, count: number): void {
  const demand = { model: 'gemini-pro', tokens: 100, now: 0 };
  for (let i = 0; i < count; i++) {
    demand.now = systemClock.now();
    pool.lease(demand, undefined)!.release(demand.now);
  }
}

function answeredLeases({ systemClock }: Subject, pool: Pool, count: number): void {
  const demand = { model: 'gemini-pro', tokens: 100, now: 0 };
  for (let i = 0; i < count; i++) {
    demand.now = systemClock.now();
    const lease = pool.lease(demand, undefined)!;
    lease.answered(250, demand.now);
    lease.release(demand.now);
  }
}

function ignore(): void {
  // Warnings and changes of keys are of no interest here.
}
