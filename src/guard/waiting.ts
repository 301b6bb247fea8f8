import type { Blocked } from '../keys/lineup.ts';
import type { Place, WaitEnd } from '../keys/wait-line.ts';
import type { Call } from './call.ts';
import type { Runtime } from './runtime.ts';

/**
 * Waits for the call's turn in a line, counted as waiting with its provider.
 *
 * @throws AbortedError, DeadlineError, ClosedError
 */
export async function waitInLine(runtime: Runtime, call: Call, place: Place, blocked: Blocked): Promise<WaitEnd> {
  return counted(runtime, call, () =>
    runtime.interruptions.wait<WaitEnd>(call, ({ resolve, reject }) => {
      place.wait(blocked).then(resolve, reject);
      return () => place.leave();
    }),
  );
}

/** Counts the call as waiting for as long as `wait` takes. */
export async function counted<T>({ events }: Runtime, call: Call, wait: () => Promise<T>): Promise<T> {
  const { lane, name } = call.provider;
  lane.waiting++;
  if (events.heard('queue')) events.emit('queue', { provider: name, what: 'waiting', size: lane.waiting });
  try {
    return await wait();
  } finally {
    lane.waiting--;
    if (events.heard('queue')) events.emit('queue', { provider: name, what: 'started', size: lane.waiting });
  }
}
