import type { Blocked } from '../keys/lineup.ts';
import type { Pool } from '../keys/pool.ts';
import type { Aim, Place, WaitEnd } from '../keys/wait-line.ts';
import type { Call } from './call.ts';
import { QueueFullError } from './errors.ts';
import type { Runtime } from './runtime.ts';

/**
 * Waits for the call's turn in a line, counted as waiting with its provider.
 *
 * @throws AbortedError, DeadlineError, ClosedError, QueueFullError
 */
export async function waitInLine(runtime: Runtime, call: Call, place: Place, blocked: Blocked): Promise<WaitEnd> {
  return counted(runtime, call, () =>
    runtime.interruptions.wait<WaitEnd>(call, ({ resolve, reject }) => {
      place.wait(blocked).then(resolve, reject);
      return () => place.leave();
    }),
  );
}

/**
 * Counts the call as waiting for as long as `wait` takes. A call that waits for the first time, and has spent
 * nothing yet, is turned away where too many wait already; one that is further on may finish what it began.
 *
 * @throws QueueFullError
 */
export async function counted<T>(runtime: Runtime, call: Call, wait: () => Promise<T>): Promise<T> {
  if (!call.hasBegun) assertRoom(runtime, call);
  const leave = countIn(runtime, call);
  let went = false;
  try {
    const result = await wait();
    went = true;
    return result;
  } finally {
    leave(went);
  }
}

/** Counts the call as waiting. Returns the way out, for one that goes on or gives up. */
export function countIn(runtime: Runtime, call: Call): (went: boolean) => void {
  const { lane } = call.provider;
  call.hasWaited = true;
  const weight = call.options.skipQueue ? 0 : 1;
  lane.waiting += weight;
  tell(runtime, call, 'waiting');
  return went => {
    lane.waiting -= weight;
    tell(runtime, call, went ? 'started' : 'left');
  };
}

/** @throws QueueFullError where the call may not wait, because too many others do */
export function assertRoom(runtime: Runtime, call: Call): void {
  const { waiting } = call.provider.lane;
  const { enabled, maxQueueSize } = runtime.config.queue;
  if (!enabled || call.options.skipQueue || waiting < maxQueueSize) return;
  tell(runtime, call, 'full');
  throw new QueueFullError(waiting, { provider: call.provider.name });
}

function tell({ events }: Runtime, { provider }: Call, what: 'waiting' | 'started' | 'left' | 'full'): void {
  if (events.heard('queue')) events.emit('queue', { provider: provider.name, what, size: provider.lane.waiting });
}

/**
 * The last moment to begin a call that has a deadline: an answer takes its time, and begun any later the call would
 * spend quota and end without one.
 */
export function lastBegin({ attempts, deadlineAt, model, provider, startedAt }: Call): number {
  const usualMs = provider.answerTimeMs(model);
  // Some calls take less than others did. One that was begun in time, and refused, may try a little longer.
  return deadlineAt - Math.min(attempts > 0 ? usualMs / 2 : usualMs, (deadlineAt - startedAt) / 2);
}

/**
 * Until when the call may wait for a key of the pool. A call that says how long it may take waits for as long as there is
 * time for an answer; a pool that never waits never does.
 */
export function keyWaitLimit(call: Call, pool: Pool, now: number): number {
  const { maxWaitMs } = pool.settings;
  if (maxWaitMs > 0 && call.deadlineAt !== Infinity) return lastBegin(call);
  call.waitLimitAt ??= pool.toSteady(now + maxWaitMs);
  return pool.fromSteady(call.waitLimitAt);
}

/** A place among those who wait for a key of the pool. */
export function joinLine(call: Call, pool: Pool, limitAt: number): Place {
  return pool.line.join(call.priority, limitAt, kindOf(call, pool), aimOf(call));
}

/** It is through, or has given up. */
export function leaveLine(call: Call): void {
  if (!call.place) return;
  call.place.leave();
  call.place = undefined;
}

/** Calls of one kind wait for the same keys: where one cannot have any, none of the others can. */
function kindOf(call: Call, { limitsTokens }: Pool): unknown {
  // Keys that refused this call, may not be asked twice, or have not what it uses are closed to it alone.
  if (call.accusations || call.only || (call.tried && !call.mayRepeat)) return call;
  const kind = limitsTokens ? `${call.tokens} ${call.model ?? ''}` : call.model;
  // What one provider takes from this address, another one that shares its keys need not.
  return call.address === undefined ? kind : `${call.provider.name} ${kind ?? ''}`;
}

/** One that was refused by a key, and waits for another, does not wait longer than those who came later. */
function aimOf({ model, options, origin, provider }: Call): Aim {
  return { model, gateway: options.skipQueue ? undefined : provider.lane, since: origin.startedAt };
}
