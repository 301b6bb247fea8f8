import type { Call } from './call.ts';
import { PoolExhaustedError } from './errors.ts';
import { exhaustedDetails } from './exhausted.ts';
import { redactedOutcome } from './redacted-outcome.ts';
import type { Runtime } from './runtime.ts';

/** The end of a call that no attempt has answered: its last failure, or why there was no attempt. */
export function giveUp({ clock, counters }: Runtime, call: Call): unknown {
  counters.finalFailures++;
  const { failure, pool } = call;
  if (failure?.thrown) throw redactedOutcome(call, failure.outcome);
  if (failure) return failure.outcome;
  throw new PoolExhaustedError(exhaustedDetails(call, pool, clock.now()));
}
