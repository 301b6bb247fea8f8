import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { bulkhead, circuitBreaker, ConsecutiveBreaker, ExponentialBackoff, handleAll, retry, wrap } from 'cockatiel';
import CircuitBreaker from 'opossum';
import PQueue from 'p-queue';
import { timeInRounds, type Contender } from './rounds.ts';
import type { Section } from './section.ts';
import type { Subject } from './subject.ts';

type Call = () => Promise<unknown>;

const MOST_ATTEMPTS = 6;
const IN_FLIGHT = 100;
const SCARCE_SLOTS = 10;

const answer = { text: 'an answer' };

function upstream(): Promise<unknown> {
  return Promise.resolve(answer);
}

/** What guarding costs a call that needs no help. */
export async function callOverhead(subject: Subject): Promise<Section[]> {
  const calls = new Map<string, Call>([
    ['bare async call', upstream],
    ['cockatiel: retry, breaker, bulkhead', cockatiel(IN_FLIGHT)],
    ['by hand: p-queue, retry loop, opossum', byHand(IN_FLIGHT)],
    ['guard, no pool', guardWithoutPool(subject)],
    ['guard, pool of 10 keys', guardWithPool(subject)],
    ['guard, pool of 10 keys, persistence', persistentGuard(subject)],
    ['guard, every stage', fullGuard(subject, Infinity)],
    ['guard, every stage, 100 slots', fullGuard(subject, IN_FLIGHT)],
  ]);
  const scarce = new Map<string, Call>([
    ['cockatiel: retry, breaker, bulkhead', cockatiel(SCARCE_SLOTS)],
    ['by hand: p-queue, retry loop, opossum', byHand(SCARCE_SLOTS)],
    ['guard, every stage', fullGuard(subject, SCARCE_SLOTS)],
  ]);
  const ratio = 'The ratio is over cockatiel.';
  return [
    {
      name: 'call overhead, one after the other',
      note: `Every stage: four inbound rules, deduplication with a key per call, breaker, retry, queue, pool. ${ratio}`,
      rows: await rowsOf(calls, oneByOne),
    },
    {
      name: `call overhead, ${IN_FLIGHT} in flight`,
      note: ratio,
      rows: await rowsOf(calls, concurrently),
    },
    {
      name: `call overhead, ${IN_FLIGHT} in flight through ${SCARCE_SLOTS} slots`,
      note: `Nine calls in ten wait for a slot. ${ratio}`,
      rows: await rowsOf(scarce, concurrently),
    },
  ];
}

async function rowsOf(calls: ReadonlyMap<string, Call>, way: (label: string, call: Call) => Contender) {
  const times = await timeInRounds([...calls].map(([label, call]) => way(label, call)));
  const peer = [...times].find(([label]) => label.startsWith('cockatiel'))?.[1] ?? NaN;
  return [...times].map(([label, value]) => ({ label, value, unit: 'µs', ratio: value / peer }));
}

function oneByOne(label: string, call: Call): Contender {
  return {
    label,
    run: async count => {
      for (let i = 0; i < count; i++) await call();
    },
  };
}

function concurrently(label: string, call: Call): Contender {
  return {
    label,
    run: async count => {
      let left = count;
      const worker = async (): Promise<void> => {
        while (left-- > 0) await call();
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
    },
  };
}

function cockatiel(slots: number): Call {
  const policy = wrap(
    retry(handleAll, { maxAttempts: MOST_ATTEMPTS, backoff: new ExponentialBackoff() }),
    circuitBreaker(handleAll, { halfOpenAfter: 60_000, breaker: new ConsecutiveBreaker(20) }),
    bulkhead(slots, IN_FLIGHT),
  );
  return () => policy.execute(upstream);
}

/** The usual three, glued the way one would. */
function byHand(slots: number): Call {
  const queue = new PQueue({ concurrency: slots });
  const breaker = new CircuitBreaker((fn: Call) => fn(), {
    timeout: false,
    rollingPercentilesEnabled: false,
    enableSnapshots: false,
    resetTimeout: 60_000,
  });
  const attempt = async (): Promise<unknown> => {
    for (let attempts = 1; ; attempts++) {
      try {
        return await breaker.fire(upstream);
      } catch (error) {
        if (attempts >= MOST_ATTEMPTS) throw error;
        await new Promise(resolve => setTimeout(resolve, 1000 * 2 ** attempts));
      }
    }
  };
  return () => queue.add(attempt);
}

function keys(): { key: string; limits: { rpm: number; tpm: number } }[] {
  return Array.from({ length: 10 }, (_, i) => ({ key: `bench-secret-${i}`, limits: { rpm: 1e9, tpm: 1e12 } }));
}

function guardWithoutPool({ ExecutionGuard }: Subject): Call {
  const guard = new ExecutionGuard();
  return () => guard.execute(upstream, 'google-gemini');
}

function guardWithPool({ ExecutionGuard }: Subject): Call {
  const guard = new ExecutionGuard({ keyManagement: { providers: { '*gemini*': { keys: keys() } } } });
  return () => guard.execute(upstream, 'google-gemini');
}

/** Each call uses quota, so that the file is written every second. */
function persistentGuard({ ExecutionGuard }: Subject): Call {
  const directory = mkdtempSync(path.join(tmpdir(), 'guard-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const guard = new ExecutionGuard({
    persistence: { enabled: true, dataFile: path.join(directory, 'state.json') },
    keyManagement: { providers: { '*gemini*': { keys: keys() } } },
  });
  return () => guard.execute(upstream, 'google-gemini');
}

function fullGuard({ ExecutionGuard }: Subject, concurrency: number): Call {
  const guard = new ExecutionGuard({
    queue: { concurrency },
    rateLimiting: { rules: { burst: 1e9, perMinute: 1e9, perHour: 1e9, perDay: 1e9 } },
    keyManagement: { providers: { '*gemini*': { keys: keys() } } },
  });
  let calls = 0;
  return () =>
    guard.execute(upstream, { providerName: 'google-gemini', tokens: 100, deduplicationKey: `call-${calls++}` });
}
