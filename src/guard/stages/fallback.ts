import type { Call } from '../call.ts';
import { discard } from '../discard.ts';
import { CircuitOpenError, FallbackError, NoKeyError, QueueFullError } from '../errors.ts';
import type { Stop } from '../fallback-chains.ts';
import { fallbackDetails, refusalCodeOf, type Departure } from '../fallback-details.ts';
import { FallbackRun, isProvidersAffair } from '../fallback-run.ts';
import { firstTurn, outlookOf, returnsInTime } from '../first-turn.ts';
import { giveUp } from '../give-up.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { assertRoom, joinLine, keyWaitLimit, leaveLine } from '../waiting.ts';

/** Where calls go on. */
export interface Routes {
  /** Undefined for a call that has nowhere else to go. */
  readonly stopsOf: (call: Call) => readonly Stop[] | undefined;
  readonly legAt: (run: FallbackRun, stop: Stop) => Call;
}

/** What came of asking one provider. */
type Visit = Departure | { readonly answer: unknown };

/**
 * Takes a call that its provider cannot serve to the next one of its chain. First it passes by all of them, without
 * waiting for a key; where none has answered, it waits for all of them at once.
 */
export function fallbackStage(runtime: Runtime, routes: Routes): Stage {
  const { clock, counters, events } = runtime;

  const visit = async (leg: Call, run: FallbackRun, next: Handler): Promise<Visit> => {
    run.last = leg;
    leg.now = clock.now();
    // It may be here for the second time.
    leg.isProbe = false;
    leg.breakerEpoch = undefined;
    // It neither takes a slot nor waits for one, to learn that there is no key.
    if (!leg.place && isResting(leg)) return { leg, reason: refusalCodeOf(leg), isResting: true };
    let answer: unknown;
    try {
      answer = await next(leg);
    } catch (error) {
      const refusal = refusalOf(leg, error);
      if (!refusal) throw error;
      return { leg, reason: refusal.code, error: refusal, isResting: false };
    } finally {
      leaveLine(leg);
    }
    return departureOf(leg) ?? { answer: leg.hasAnswer ? answer : giveUp(runtime, leg) };
  };

  const moveOn = ({ leg: from, reason }: Departure, to: Call): void => {
    from.provider.fallbacksFrom++;
    to.provider.fallbacksTo++;
    if (!events.heard('fallback')) return;
    events.emit('fallback', {
      provider: from.provider.name,
      model: from.model,
      toProvider: to.provider.name,
      toModel: to.model,
      reason,
    });
  };

  const end = (run: FallbackRun, departures: ReadonlyMap<Call, Departure>): unknown => {
    const { asked } = run;
    if (asked?.failure && !asked.failure.thrown) {
      run.last = asked;
      return giveUp(runtime, asked);
    }
    counters.finalFailures++;
    throw new FallbackError(fallbackDetails(run, departures, clock.now()));
  };

  /** Those of the resting legs that the call may wait for: they return in time, and their queues have room. */
  const awaited = (resting: Set<Call>, departures: Map<Call, Departure>): Call[] => {
    const now = clock.now();
    const legs: Call[] = [];
    let ownQueueFull: QueueFullError | undefined;
    for (const leg of resting) {
      if (!returnsInTime(leg, now)) continue;
      try {
        if (!leg.hasBegun) assertRoom(runtime, leg);
        legs.push(leg);
      } catch (error) {
        if (!(error instanceof QueueFullError)) throw error;
        if (leg === leg.origin) ownQueueFull = error;
        departures.set(leg, { leg, reason: error.code, error, isResting: false });
        resting.delete(leg);
      }
    }
    if (legs.length === 0 && ownQueueFull) throw ownQueueFull;
    return legs;
  };

  /** Back to those that had no key: each is waited for as long as its pool allows, all of them from now on. */
  const waitAlong = async (run: FallbackRun, departures: Map<Call, Departure>, next: Handler): Promise<unknown> => {
    const resting = new Set<Call>();
    for (const { leg, isResting } of departures.values()) {
      if (!isResting || !leg.pool) continue;
      resting.add(leg);
      // The time of each counts from now on.
      keyWaitLimit(leg, leg.pool, clock.now());
    }
    for (;;) {
      const leg = (await firstTurn(runtime, run, awaited(resting, departures))) ?? useFirst([...resting], clock.now());
      if (!leg) return end(run, departures);
      const before = departures.get(run.last);
      if (before && leg !== run.last) moveOn(before, leg);
      const outcome = await visit(leg, run, next);
      if ('answer' in outcome) return outcome.answer;
      departures.set(leg, outcome);
      if (!outcome.isResting) resting.delete(leg);
    }
  };

  const along = async (call: Call, stops: readonly Stop[], next: Handler): Promise<unknown> => {
    const run = (call.run = new FallbackRun(call));
    const departures = new Map<Call, Departure>();
    let leg = call;
    for (let position = 0; ; position++) {
      const outcome = await visit(leg, run, next);
      if ('answer' in outcome) return outcome.answer;
      departures.set(leg, outcome);
      const stop = stops[position];
      if (!stop) break;
      leg = routes.legAt(run, stop);
      moveOn(outcome, leg);
    }
    return waitAlong(run, departures, next);
  };

  return {
    enter(call, next) {
      const stops = routes.stopsOf(call);
      return stops ? along(call, stops, next) : next(call);
    },

    callEnded({ run }, { outcome }) {
      if (!run) return;
      for (const { failure } of run.legs) if (failure && failure.outcome !== outcome) discard(failure.outcome);
    },
  };
}

/** True where the pool has no key to give at once, nor one from elsewhere. */
function isResting(leg: Call): boolean {
  const { pool } = leg;
  if (!pool || pool.settings.fallbackBehavior === 'useEnvironment') return false;
  leg.blocked = outlookOf(leg, pool);
  return leg.blocked.at > leg.now;
}

/** A refusal that another provider need not share. A full queue is the caller's answer, where it is the first one's. */
function refusalOf(leg: Call, error: unknown): CircuitOpenError | NoKeyError | QueueFullError | undefined {
  if (leg.interruption !== undefined) return undefined;
  if (error instanceof CircuitOpenError || error instanceof NoKeyError) return error;
  return error instanceof QueueFullError && leg !== leg.origin ? error : undefined;
}

/** Undefined where what the leg came to is the call's outcome, whoever is asked. */
function departureOf(leg: Call): Departure | undefined {
  const { end, failure } = leg;
  if (leg.hasAnswer || (failure && !isProvidersAffair(leg, failure.fault))) return undefined;
  const refusal = end === 'cut-off' ? 'CIRCUIT_OPEN' : refusalCodeOf(leg);
  return { leg, reason: failure?.fault.kind ?? refusal, isResting: end === 'no-key' };
}

/** The leg whose pool would rather use a key that is not ready than none. */
function useFirst(resting: readonly Call[], now: number): Call | undefined {
  for (const leg of resting) {
    const { attempts, pool, takeFirst } = leg;
    if (pool?.settings.fallbackBehavior !== 'useFirst' || attempts > 0 || takeFirst) continue;
    leg.takeFirst = true;
    // Who waits does not go before it: they want a key that is ready.
    leg.place = joinLine(leg, pool, now);
    return leg;
  }
  return undefined;
}
