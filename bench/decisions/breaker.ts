// Run: npx tsx --expose-gc bench/decisions/breaker.ts
//
// The facts behind docs/decisions/0002-opossum-only-when-tripped.md.
import CircuitBreaker from 'opossum';
import { ProviderBreaker } from '../../src/guard/provider-breaker.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { toText } from '../report.ts';
import { timeInRounds } from '../rounds.ts';

type Action = () => Promise<unknown>;

const BREAKERS = 5_000;
const THRESHOLD = 3;
const RECOVERY_MS = 50;

const lean: CircuitBreaker.Options = { timeout: false, rollingPercentilesEnabled: false, enableSnapshots: false };

const answer = (): Promise<string> => Promise.resolve('answer');
const failure = (): Promise<never> => Promise.reject(new Error('503'));

await perCall();
await bytes();
await lateSuccess(0);
await lateSuccess(2 * RECOVERY_MS);
await afterClose();
process.exit();

async function perCall(): Promise<void> {
  const opossum = new CircuitBreaker((action: Action) => action(), lean);
  const standard = new CircuitBreaker((action: Action) => action());
  const breaker = ourBreaker(new ManualClock());
  const times = await timeInRounds([
    { label: 'bare call', run: count => repeat(count, answer) },
    { label: 'opossum fire, default', run: count => repeat(count, () => standard.fire(answer)) },
    { label: 'opossum fire, lean', run: count => repeat(count, () => opossum.fire(answer)) },
    { label: 'ProviderBreaker, epoch and vote', run: count => repeat(count, () => voting(breaker)) },
  ]);
  const rows = [...times].map(([label, value]) => ({ label, value, unit: 'µs' }));
  console.log(toText({ name: 'a call through a closed breaker', rows }));
}

async function repeat(count: number, call: Action): Promise<void> {
  for (let i = 0; i < count; i++) await call();
}

async function voting(breaker: ProviderBreaker): Promise<unknown> {
  const epoch = breaker.currentEpoch;
  const value = await answer();
  breaker.vote('success', epoch);
  return value;
}

async function bytes(): Promise<void> {
  const clock = new ManualClock();
  const rows = [
    { label: 'opossum, default', value: await bytesOf(() => new CircuitBreaker(answer)), unit: 'B' },
    { label: 'opossum, lean', value: await bytesOf(() => new CircuitBreaker(answer, lean)), unit: 'B' },
    { label: 'ProviderBreaker', value: await bytesOf(() => ourBreaker(clock)), unit: 'B' },
  ];
  console.log(toText({ name: 'per closed breaker', rows }));
}

async function bytesOf(make: () => object): Promise<number> {
  // The code is compiled and the array grown before anything is counted.
  const held = Array.from({ length: BREAKERS }, make);
  const before = await heap();
  const more = Array.from({ length: BREAKERS }, make);
  const used = ((await heap()) - before) / BREAKERS;
  for (const each of [...held, ...more]) if (each instanceof CircuitBreaker) each.shutdown();
  return used;
}

async function heap(): Promise<number> {
  const { gc } = globalThis;
  if (!gc) throw new Error('Run with --expose-gc');
  for (let i = 0; i < 3; i++) {
    gc();
    await new Promise(resolve => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
}

/**
 * A call begins, others fail until the breaker trips, then the first one is answered: while the breaker is open, or
 * once it is half-open and no probe has been sent.
 */
async function lateSuccess(waitMs: number): Promise<void> {
  const opossum = new CircuitBreaker((action: Action) => action(), { ...lean, ...trips(), resetTimeout: RECOVERY_MS });
  let finish: (value: string) => void = ignore;
  const slow = new Promise<string>(resolve => (finish = resolve));
  const late = opossum.fire(() => slow);
  await failTimes(THRESHOLD, () => opossum.fire(failure));
  if (waitMs > 0) await new Promise(resolve => setTimeout(resolve, waitMs));
  const theirsBefore = stateOf(opossum);
  finish('answer');
  await late;
  const theirs = `${theirsBefore} before, ${stateOf(opossum)} after`;
  opossum.shutdown();

  const clock = new ManualClock();
  const breaker = ourBreaker(clock);
  const epoch = breaker.currentEpoch;
  for (let i = 0; i < THRESHOLD; i++) breaker.vote('failure', breaker.currentEpoch);
  await clock.advance(waitMs);
  const oursBefore = breaker.state;
  breaker.vote('success', epoch);
  const ours = `${oursBefore} before, ${breaker.state} after`;
  report('a call that began before the trip is answered after it', theirs, ours);
}

/** The breaker trips, its probe succeeds and closes it, then one call fails. */
async function afterClose(): Promise<void> {
  const opossum = new CircuitBreaker((action: Action) => action(), { ...lean, ...trips(), resetTimeout: RECOVERY_MS });
  await failTimes(THRESHOLD, () => opossum.fire(failure));
  await new Promise(resolve => setTimeout(resolve, 2 * RECOVERY_MS));
  await opossum.fire(answer);
  const probedTheirs = stateOf(opossum);
  await failTimes(1, () => opossum.fire(failure));
  const theirs = `${probedTheirs} after the probe, ${stateOf(opossum)} after one failure`;
  opossum.shutdown();

  const clock = new ManualClock();
  const breaker = ourBreaker(clock);
  for (let i = 0; i < THRESHOLD; i++) breaker.vote('failure', breaker.currentEpoch);
  await clock.advance(RECOVERY_MS);
  await breaker.tryProbe(() => Promise.resolve('success'));
  const probed = breaker.state;
  breaker.vote('failure', breaker.currentEpoch);
  report(
    `it trips at ${THRESHOLD} failures, is closed by a probe, and one more call fails`,
    theirs,
    `${probed} after the probe, ${breaker.state} after one failure`,
  );
}

function stateOf(opossum: CircuitBreaker): string {
  if (opossum.opened) return 'OPEN';
  return opossum.halfOpen ? 'HALF_OPEN' : 'CLOSED';
}

function report(title: string, theirs: string, ours: string): void {
  console.log(`${title}\n  opossum          ${theirs}\n  ProviderBreaker  ${ours}`);
}

/** opossum counts shares of a window where ours counts failures in a row. */
function trips(): CircuitBreaker.Options {
  return { volumeThreshold: THRESHOLD, errorThresholdPercentage: 50 };
}

async function failTimes(times: number, call: Action): Promise<void> {
  for (let i = 0; i < times; i++) await call().catch(ignore);
}

function ourBreaker(clock: ManualClock): ProviderBreaker {
  return new ProviderBreaker({ failureThreshold: THRESHOLD, recoveryTimeMs: RECOVERY_MS, onOpen: 'reject', maxWaitMs: 0 }, clock, ignore);
}

function ignore(): void {
  // A failure that was asked for.
}
