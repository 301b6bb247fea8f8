import type { Call } from '../call.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { counted } from '../waiting.ts';

/** Holds one of the provider's slots for one attempt. */
export function queueSlotStage(runtime: Runtime): Stage {
  const waitForSlot = async (call: Call, next: Handler): Promise<unknown> => {
    const { lane } = call.provider;
    await counted(runtime, call, () =>
      runtime.interruptions.wait<void>(call, settle => lane.wait(call.priority, settle)),
    );
    call.holdsSlot = true;
    call.now = runtime.clock.now();
    return next(call);
  };

  return {
    enter(call, next) {
      if (call.options.skipQueue) return next(call);
      call.holdsSlot = call.provider.lane.enter(call.now);
      return call.holdsSlot ? next(call) : waitForSlot(call, next);
    },

    attemptEnded(call) {
      if (!call.holdsSlot) return;
      call.holdsSlot = false;
      call.provider.lane.leave();
    },
  };
}
