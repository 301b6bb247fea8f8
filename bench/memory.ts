import type { Row, Section } from './section.ts';
import type { Subject } from './subject.ts';

type Guard = InstanceType<Subject['ExecutionGuard']>;

const KEYS = 100_000;
const SERVED = 10_000;
const PENDING = 10_000;

/** What the guard holds while it does nothing, and while it waits. Needs `--expose-gc`. */
export async function memory(subject: Subject): Promise<Section> {
  return {
    name: 'memory',
    note:
      'Of the heap and of what is outside it but owned by it, after a collection. A pending call is one whose ' +
      'callback has not come back, with what the program itself holds for it taken off.',
    rows: [
      { label: `per idle key with limits, of ${KEYS.toLocaleString('en')}`, value: await idleKey(subject), unit: 'B' },
      ...(await servedKey(subject)),
      ...(await pendingCalls(subject)),
      { label: 'timers while idle', value: await idleTimers(subject), unit: '' },
    ],
  };
}

interface Use {
  readonly heap: number;
  readonly resident: number;
}

async function use(): Promise<Use> {
  const { gc } = globalThis;
  if (!gc) throw new Error('Run with --expose-gc');
  // Finalizers run between two turns of the event loop, and free what a second collection finds.
  for (let i = 0; i < 4; i++) {
    gc();
    await new Promise(resolve => setImmediate(resolve));
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, resident: rss };
}

function guardOf({ ExecutionGuard }: Subject, size: number, full = false, concurrency = Infinity): Guard {
  const keys = Array.from({ length: size }, (_, i) => ({
    id: `key-${i}`,
    key: `bench-secret-${i}`,
    limits: { rpm: 1e9, tpm: 1e12 },
  }));
  return new ExecutionGuard({
    queue: { concurrency, maxQueueSize: PENDING },
    ...(full && { rateLimiting: { rules: { burst: 1e9, perMinute: 1e9, perHour: 1e9, perDay: 1e9 } } }),
    keyManagement: { providers: { '*gemini*': { keys } } },
  });
}

async function idleKey(subject: Subject): Promise<number> {
  guardOf(subject, 10).close();
  const before = await use();
  const guard = guardOf(subject, KEYS);
  const after = await use();
  guard.close();
  return (after.heap - before.heap) / KEYS;
}

async function servedKey(subject: Subject): Promise<Row[]> {
  const guard = guardOf(subject, SERVED);
  const before = await use();
  for (let i = 0; i < SERVED; i++) await guard.execute(() => Promise.resolve('answer'), 'gemini');
  const after = await use();
  guard.close();
  return [
    { label: 'more per key that has served once', value: (after.heap - before.heap) / SERVED, unit: 'B' },
    { label: 'the same, as resident memory', value: (after.resident - before.resident) / SERVED, unit: 'B' },
  ];
}

async function pendingCalls(subject: Subject): Promise<Row[]> {
  const bare = await pendingCall(fn => fn());
  const pool = guardOf(subject, 10);
  const full = guardOf(subject, 10, true);
  const slots = guardOf(subject, 10, true, 1);
  const fullCall = (guard: Guard, fn: () => Promise<void>, i: number): Promise<void> =>
    guard.execute(fn, { providerName: 'gemini', tokens: 100, deduplicationKey: `call-${i}` });
  const inPool = await pendingCall(fn => pool.execute(fn, 'gemini'));
  const inFull = await pendingCall((fn, i) => fullCall(full, fn, i));
  const inLine = await pendingCall((fn, i) => fullCall(slots, fn, i));
  const rows = [
    { label: 'per pending call, pool', value: inPool - bare, unit: 'B' },
    { label: 'per pending call, every stage', value: inFull - bare, unit: 'B' },
    { label: 'per call waiting for a slot', value: inLine - bare, unit: 'B' },
  ];
  for (const guard of [pool, full, slots]) guard.close();
  return rows;
}

async function pendingCall(call: (fn: () => Promise<void>, i: number) => Promise<void>): Promise<number> {
  const round = async (count: number): Promise<number> => {
    let finish: () => void = ignore;
    const answer = new Promise<void>(resolve => (finish = resolve));
    const fn = (): Promise<void> => answer;
    const before = await use();
    const calls = Array.from({ length: count }, (_, i) => call(fn, i));
    await new Promise(resolve => setImmediate(resolve));
    const after = await use();
    finish();
    await Promise.all(calls);
    return (after.heap - before.heap) / count;
  };
  // Code that is compiled meanwhile counts too: once for nothing.
  await round(PENDING);
  return round(PENDING);
}

async function idleTimers(subject: Subject): Promise<number> {
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length;
  const before = timers();
  const guard = guardOf(subject, 10, true, 2);
  const badKey = Object.assign(new Error('401'), { status: 401 });
  // Slots, waiting, a fail-over, a time limit: all that needs a timer or may need one.
  const calls = Array.from({ length: 20 }, (_, i) =>
    guard.execute(({ attempt }) => (i === 3 && attempt === 1 ? Promise.reject(badKey) : Promise.resolve('answer')), {
      providerName: 'gemini',
      attemptTimeoutMs: 60_000,
      deadlineMs: 60_000,
      deduplicationKey: `call-${i}`,
    }),
  );
  await Promise.all(calls);
  const after = timers();
  guard.close();
  return after - before;
}

function ignore(): void {
  // Replaced before it is called.
}
