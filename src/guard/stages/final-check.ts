import type { Call } from '../call.ts';
import { AbortedError, ClosedError, type GuardError } from '../errors.ts';
import type { Stage } from '../pipeline.ts';
import { mayWait, openError } from '../provider-wait.ts';
import type { Runtime } from '../runtime.ts';

const NOTHING = Promise.resolve(undefined);

/**
 * What may have changed while the call waited, looked at in the last step before an attempt takes anything: its
 * caller's abort, the guard's end, the provider's breaker. A call that began before the breaker opened is cut off: it
 * ends with what its last attempt came to, or with CircuitOpenError where it has made none.
 */
export function finalCheckStage(runtime: Runtime, asksBreaker: boolean): Stage {
  const { interruptions } = runtime;

  const interrupted = (call: Call, why: GuardError): Promise<never> => {
    call.end = 'interrupted';
    call.interruption = why;
    return Promise.reject(why);
  };

  return {
    enter(call, next) {
      const { options: { signal }, provider: { breaker, name } } = call;
      if (signal?.aborted) {
        return interrupted(call, new AbortedError({ provider: name, attempts: call.trail, cause: signal.reason }));
      }
      if (interruptions.isClosed) return interrupted(call, new ClosedError({ provider: name, attempts: call.trail }));
      if (!asksBreaker || breaker.isClosed || call.isProbe) {
        // It may have opened and closed since the call came: the call has its say as one that begins now.
        if (call.attempts === 0 && call.breakerEpoch !== undefined) call.breakerEpoch = breaker.currentEpoch;
        return next(call);
      }
      call.end = 'cut-off';
      // One that may wait does so where it has given its slot back.
      return call.attempts > 0 || mayWait(call) ? NOTHING : Promise.reject(openError(call));
    },
  };
}
