import type { Call } from '../call.ts';
import type { Handler, Stage } from '../pipeline.ts';
import { mayWait, openError, probe, voteOf, waitForProvider } from '../provider-wait.ts';
import type { Runtime } from '../runtime.ts';

/** Asks the provider's breaker once per call, and votes once, with the call's final outcome. */
export function circuitBreakerStage(runtime: Runtime): Stage {
  const goOn = (call: Call, next: Handler): Promise<unknown> => {
    call.breakerEpoch = call.provider.breaker.currentEpoch;
    return next(call);
  };

  const waitAndGoOn = async (call: Call, next: Handler): Promise<unknown> => {
    if (!(await waitForProvider(runtime, call))) throw openError(call);
    // Whether it goes as a probe, each attempt finds out: one that fails may wait again.
    return goOn(call, next);
  };

  return {
    enter(call, next) {
      if (call.provider.breaker.isClosed) return goOn(call, next);
      return mayWait(call) ? waitAndGoOn(call, next) : probe(call, next);
    },

    attemptEnded(call) {
      const { breaker } = call.provider;
      if (breaker.settings.onOpen === 'reject') return;
      if (call.end === 'answered') breaker.answered();
      else if (call.end === 'failed' && call.failure?.fault.action === 'breaker') {
        call.silence = breaker.unanswered(call.silence, call.endedAt);
      }
    },

    attemptsEnded(call) {
      const { breaker } = call.provider;
      if (call.breakerEpoch !== undefined) breaker.vote(voteOf(call), call.breakerEpoch);
      // A limit on this address holds for every key and every call.
      const fault = call.end === 'failed' ? call.failure?.fault : undefined;
      if (fault?.scope === 'ip' && fault.action === 'breaker' && fault.until !== undefined) breaker.ban(fault.until);
    },
  };
}
