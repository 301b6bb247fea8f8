import type { Blocked } from '../keys/lineup.ts';
import type { Pool } from '../keys/pool.ts';
import type { Call } from './call.ts';
import type { FallbackRun } from './fallback-run.ts';
import type { Runtime } from './runtime.ts';
import { countIn, joinLine, keyWaitLimit, leaveLine } from './waiting.ts';

/**
 * Waits in the lines of all these legs at once, until a key is ready for one of them. That one keeps its place, the
 * others leave. Undefined where there has been none in time.
 *
 * @throws AbortedError, DeadlineError, ClosedError
 */
export async function firstTurn(runtime: Runtime, run: FallbackRun, legs: readonly Call[]): Promise<Call | undefined> {
  if (legs.length === 0) return undefined;
  const { clock, interruptions } = runtime;

  /** True when a key is ready for the leg, false when there will be none in time. */
  const isReady = async (leg: Call, pool: Pool): Promise<boolean> => {
    const place = (leg.place = joinLine(leg, pool, keyWaitLimit(leg, pool, clock.now())));
    while (leg.blocked && returnsInTime(leg, clock.now())) {
      if ((await place.wait(leg.blocked)) === 'expired' || leg.place !== place) return false;
      leg.now = clock.now();
      leg.blocked = outlookOf(leg, pool);
      // A turn that is of no use takes away neither this place nor the others.
      if (leg.blocked.at <= leg.now) return true;
    }
    return false;
  };

  const counts = legs.map(leg => ({ leg, end: countIn(runtime, leg) }));
  let first: Call | undefined;
  try {
    first = await interruptions.wait<Call | undefined>(run.last, ({ resolve, reject }) => {
      let left = legs.length;
      const look = async (leg: Call): Promise<void> => {
        if (leg.pool && (await isReady(leg, leg.pool))) {
          resolve(leg);
          return;
        }
        leaveLine(leg);
        if (--left === 0) resolve(undefined);
      };
      for (const leg of legs) look(leg).catch(reject);
      return undefined;
    });
    return first;
  } finally {
    for (const { leg, end } of counts) {
      end(leg === first);
      if (leg !== first) leaveLine(leg);
    }
  }
}

/** When the pool has a key for the leg, as far as is known now. */
export function outlookOf(leg: Call, pool: Pool): Blocked {
  return { ...pool.outlook(leg), seen: pool.line.announced };
}

/** True where the leg may wait for the key it has been told of. */
export function returnsInTime(leg: Call, now: number): boolean {
  const { blocked, pool } = leg;
  if (!blocked || !pool) return false;
  return blocked.pending || blocked.at <= Math.max(now, keyWaitLimit(leg, pool, now));
}
