import type { Call } from './call.ts';
import { NoKeyError, PoolExhaustedError, type LeftProvider } from './errors.ts';
import { exhaustedDetails } from './exhausted.ts';
import type { FallbackRun } from './fallback-run.ts';
import { redactedOutcome } from './redacted-outcome.ts';

/** A leg that was left, and why. */
export interface Departure {
  readonly leg: Call;
  /** The kind of its fault, or the code of the guard's own refusal. */
  readonly reason: string;
  readonly error?: unknown;
  /** It had no key, and may have one later. */
  readonly isResting: boolean;
}

/** Why no provider of the chain has answered, one by one. */
export function fallbackDetails(run: FallbackRun, departures: ReadonlyMap<Call, Departure>, now: number) {
  const { origin } = run;
  const left: LeftProvider[] = [];
  let firstAt = Infinity;
  let cause: unknown;
  for (const departure of departures.values()) {
    const { leg, reason } = departure;
    const retryAtMs = returnOf(departure, now);
    firstAt = Math.min(firstAt, retryAtMs);
    left.push({
      provider: leg.provider.name,
      ...(leg.model !== undefined && { model: leg.model }),
      reason,
      ...(retryAtMs !== Infinity && { retryAtMs }),
    });
    if (leg === run.last) cause = causeOf(departure, now);
  }
  return {
    provider: origin.provider.name,
    attempts: origin.trail,
    left,
    cause,
    ...(firstAt !== Infinity && { retryAfterMs: firstAt - now }),
  };
}

/** The code of the error that says why the leg has no key. */
export function refusalCodeOf({ pool }: Call): 'NO_KEY' | 'POOL_EXHAUSTED' {
  return pool?.size === 0 ? 'NO_KEY' : 'POOL_EXHAUSTED';
}

/** When the provider may be asked again, epoch ms; `Infinity` where that is not known. */
function returnOf({ leg, isResting }: Departure, now: number): number {
  const { failure, pool, provider } = leg;
  if (isResting && pool) {
    leg.now = now;
    const { at, pending } = pool.outlook(leg);
    return pending ? Infinity : at;
  }
  const openForMs = provider.breaker.isClosed ? 0 : provider.breaker.retryAfterMs;
  return openForMs > 0 ? now + openForMs : Math.max(now, failure?.fault.until ?? Infinity);
}

function causeOf({ leg, error, reason }: Departure, now: number): unknown {
  if (error !== undefined) return error;
  if (leg.failure?.thrown) return redactedOutcome(leg, leg.failure.outcome);
  if (reason === 'NO_KEY') return new NoKeyError({ provider: leg.provider.name });
  return new PoolExhaustedError(exhaustedDetails(leg, leg.pool, now));
}
