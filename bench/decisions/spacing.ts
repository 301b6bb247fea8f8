// Run: npx tsx bench/decisions/spacing.ts <folder in which bottleneck 2.19.5 is installed>
//
// The facts behind docs/decisions/0001-spacing-without-bottleneck.md. bottleneck is no dependency of this package:
// `npm install --prefix /tmp/bottleneck bottleneck@2.19.5`, then name /tmp/bottleneck.
import { createRequire } from 'node:module';
import path from 'node:path';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { median, timeInRounds } from '../rounds.ts';
import { toText } from '../report.ts';
import { loadSubject } from '../subject.ts';

/** As much of bottleneck as is used here. */
interface Limiter {
  schedule<T>(fn: () => Promise<T>): Promise<T>;
}
type Bottleneck = new (options?: { minTime?: number }) => Limiter;

const MIN_DELAY_MS = 100;
const ABORTED = 10;
const HOUR_MS = 3_600_000;
/** Long enough to tell a wait of a tenth of a second from one of an hour. */
const PATIENCE_MS = 1_000;

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('Name the folder in which bottleneck 2.19.5 is installed');
const Bottleneck = createRequire(path.resolve(folder, 'package.json'))('bottleneck') as Bottleneck;
const { ExecutionGuard } = await loadSubject();

const answer = (): Promise<string> => Promise.resolve('answer');

await perJob();
await abortedJobs();
await injectedClock();
await clockSetBack();
process.exit();

async function perJob(): Promise<void> {
  const limiter = new Bottleneck();
  const guard = new ExecutionGuard();
  const times = await timeInRounds(
    [
      { label: 'bottleneck, one after the other', run: count => oneByOne(count, () => limiter.schedule(answer)) },
      { label: 'bottleneck, all at once', run: count => atOnce(count, () => limiter.schedule(answer)) },
      { label: 'guard, one after the other', run: count => oneByOne(count, () => guard.execute(answer, 'provider')) },
      { label: 'guard, all at once', run: count => atOnce(count, () => guard.execute(answer, 'provider')) },
    ],
    { rounds: 7, roundMs: 200 },
  );
  const rows = [...times].map(([label, value]) => ({ label, value, unit: 'µs' }));
  console.log(toText({ name: 'per call that need not wait', rows }));
}

async function oneByOne(count: number, call: () => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i++) await call();
}

async function atOnce(count: number, call: () => Promise<unknown>): Promise<void> {
  await Promise.all(Array.from({ length: count }, call));
}

async function abortedJobs(): Promise<void> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < 5; round++) {
    ours.push(await guardAfterAborts());
    theirs.push(await bottleneckAfterAborts());
  }
  console.log(
    toText({
      name: `start of the next call, ${MIN_DELAY_MS} ms apart, behind one that runs and ${ABORTED} that were aborted`,
      rows: [
        { label: 'bottleneck', value: median(theirs), unit: 'ms' },
        { label: 'guard', value: median(ours), unit: 'ms' },
      ],
    }),
  );
}

async function bottleneckAfterAborts(): Promise<number> {
  const limiter = new Bottleneck({ minTime: MIN_DELAY_MS });
  const controller = new AbortController();
  await limiter.schedule(answer);
  const startedAt = performance.now();
  // There is no way to take a job back: the most one can do is let it end at once when its turn comes.
  for (let i = 0; i < ABORTED; i++) {
    void limiter.schedule(() => (controller.signal.aborted ? Promise.resolve('too late') : answer()));
  }
  controller.abort();
  return limiter.schedule(() => Promise.resolve(performance.now() - startedAt));
}

async function guardAfterAborts(): Promise<number> {
  const guard = new ExecutionGuard({ queue: { minDelayMs: MIN_DELAY_MS } });
  const controller = new AbortController();
  await guard.execute(answer, 'provider');
  const startedAt = performance.now();
  const { signal } = controller;
  const aborted = Array.from({ length: ABORTED }, () => guard.execute(answer, { providerName: 'provider', signal }));
  const settled = Promise.allSettled(aborted);
  controller.abort();
  const next = guard.execute(() => Promise.resolve(performance.now() - startedAt), 'provider');
  await settled;
  return next;
}

/**
 * Both are told to leave an hour between two calls. The first has been made and the second waits, when an hour passes
 * on the clock that a test would inject.
 */
async function injectedClock(): Promise<void> {
  let ours = false;
  let theirs = false;
  const clock = new ManualClock();
  const guard = new ExecutionGuard({ queue: { minDelayMs: HOUR_MS } }, { clock });
  await guard.execute(answer, 'provider');
  void guard.execute(() => Promise.resolve((ours = true)), 'provider');
  await clock.advance(HOUR_MS);

  // No option takes a clock; Date.now is the closest to one.
  const limiter = new Bottleneck({ minTime: HOUR_MS });
  await limiter.schedule(answer);
  void limiter.schedule(() => Promise.resolve((theirs = true)));
  await sleep(MIN_DELAY_MS);
  await withDateAt(HOUR_MS, () => sleep(PATIENCE_MS));
  report(`one call made, the next waits for an hour, and the hour passes on the clock: the next has`, ours, theirs);
}

/** The second of two calls that are 100 ms apart is made after the clock was set back by an hour. */
async function clockSetBack(): Promise<void> {
  const limiter = new Bottleneck({ minTime: MIN_DELAY_MS });
  const guard = new ExecutionGuard({ queue: { minDelayMs: MIN_DELAY_MS } });
  await Promise.all([limiter.schedule(answer), guard.execute(answer, 'provider')]);
  await sleep(2 * MIN_DELAY_MS);
  let theirs = false;
  let ours = false;
  await withDateAt(-HOUR_MS, async () => {
    void limiter.schedule(() => Promise.resolve((theirs = true)));
    void guard.execute(() => Promise.resolve((ours = true)), 'provider');
    await sleep(PATIENCE_MS);
  });
  report(`the clock is set back by an hour, and ${PATIENCE_MS} ms later a call that is free to go has`, ours, theirs);
}

function report(title: string, ours: boolean, theirs: boolean): void {
  const word = (hasStarted: boolean): string => (hasStarted ? 'started' : 'not started');
  console.log(`${title}\n  guard       ${word(ours)}\n  bottleneck  ${word(theirs)}`);
}

async function withDateAt(offsetMs: number, run: () => Promise<void>): Promise<void> {
  const { now } = Date;
  Date.now = () => now() + offsetMs;
  try {
    await run();
  } finally {
    Date.now = now;
  }
}

function sleep(delayMs: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, delayMs));
}
