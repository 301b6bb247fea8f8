import type { Call } from '../call.ts';
import { CircuitOpenError } from '../errors.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Vote } from '../provider-breaker.ts';

/** Asks the provider's breaker once per call, and votes once, with the call's final outcome. */
export const circuitBreakerStage: Stage = {
  enter(call, next) {
    const { breaker } = call.provider;
    if (!breaker.isClosed) return probe(call, next);
    call.breakerEpoch = breaker.currentEpoch;
    return next(call);
  },

  attemptsEnded(call) {
    const { breaker } = call.provider;
    if (call.breakerEpoch !== undefined) breaker.vote(voteOf(call), call.breakerEpoch);
    // A limit on this address holds for every key and every call.
    const fault = call.end === 'failed' ? call.failure?.fault : undefined;
    if (fault?.scope === 'ip' && fault.action === 'breaker' && fault.until !== undefined) breaker.ban(fault.until);
  },
};

async function probe(call: Call, next: Handler): Promise<unknown> {
  const { breaker, name } = call.provider;
  let outcome: { value: unknown } | { error: unknown } | undefined;
  const went = await breaker.tryProbe(async () => {
    call.isProbe = true;
    try {
      outcome = { value: await next(call) };
    } catch (error) {
      outcome = { error };
    }
    return voteOf(call);
  });
  if (!went || !outcome) {
    // Nobody knows when the probe that is out will be answered.
    const retryAfterMs = breaker.retryAfterMs || undefined;
    throw new CircuitOpenError({ provider: name, retryAfterMs });
  }
  if ('error' in outcome) throw outcome.error;
  return outcome.value;
}

/** Only the provider's own failures count against it; any answer, even a refusal, shows it alive. */
function voteOf(call: Call): Vote {
  if (call.end === 'answered') return 'success';
  const fault = call.failure?.fault;
  if (fault === undefined || call.end === 'interrupted') return 'none';
  if (fault.action === 'breaker') return 'failure';
  return fault.status === undefined ? 'none' : 'success';
}
