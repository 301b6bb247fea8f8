import type { Clock } from '../../src/clock.ts';
import { Refused, SimulatedFailure, type SimulatedAnswer, type Surroundings } from '../../src/simulate/policy.ts';
import type { AskedCall } from '../../src/simulate/traffic.ts';

/** Which keys one call tries, and when. */
export interface Course {
  /** The key of the next attempt; undefined where there is none to be had. */
  key(): string | undefined;
  /**
   * How many ms after the failure the next attempt begins; undefined where it was the last one.
   *
   * @param retries made so far
   */
  afterFailure(failure: SimulatedFailure, keyId: string, retries: number): number | undefined;
  answered?(keyId: string): void;
}

/**
 * Makes attempts until one is answered. No attempt begins when the caller has left, or would have by then: the last
 * failure is what he gets, and at once.
 *
 * @throws SimulatedFailure, the last
 * @throws Refused, where no key was left for it
 */
export async function untilAnswered(
  { attempt, clock }: Surroundings,
  call: AskedCall,
  signal: AbortSignal | undefined,
  course: Course,
): Promise<SimulatedAnswer> {
  let failure: SimulatedFailure | undefined;
  for (let retries = 0; ; retries++) {
    const keyId = course.key();
    if (keyId === undefined) throw failure ?? new Refused(`no key of ${call.provider} is in use`);
    try {
      const answer = await attempt(call, keyId, signal);
      course.answered?.(keyId);
      return answer;
    } catch (error) {
      if (!(error instanceof SimulatedFailure)) throw error;
      failure = error;
    }
    const delayMs = course.afterFailure(failure, keyId, retries);
    if (delayMs === undefined || clock.now() + delayMs >= call.at + call.patienceMs) throw failure;
    if (delayMs > 0) await sleep(clock, delayMs, signal);
    if (signal?.aborted) throw failure;
  }
}

/** Shorter where the signal is aborted. */
function sleep(clock: Clock, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise(resolve => {
    const wake = (): void => {
      clock.clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = clock.setTimeout(wake, delayMs);
    signal?.addEventListener('abort', wake, { once: true });
  });
}
