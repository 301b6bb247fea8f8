import type { Call } from '../call.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { counted } from '../waiting.ts';

/** Holds one of the provider's slots for one attempt. */
export function queueSlotStage(runtime: Runtime): Stage {
  const waitForSlot = async (call: Call, next: Handler): Promise<unknown> => {
    const { lane } = call.provider;
    // Others may come by this provider's queue to the key it was woken for.
    call.place?.stepAside();
    await counted(runtime, call, () =>
      runtime.interruptions.wait<undefined>(call, settle => lane.wait(call, call.priority, settle)),
    );
    call.now = runtime.clock.now();
    return next(call);
  };

  return {
    enter(call, next) {
      if (call.options.skipQueue || call.provider.lane.enter(call, call.now)) return next(call);
      return waitForSlot(call, next);
    },

    attemptEnded(call) {
      call.provider.lane.leave(call);
    },
  };
}
