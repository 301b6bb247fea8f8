import type { Call } from '../call.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { counted } from '../waiting.ts';

/** Holds one of the provider's slots for one attempt. */
export function queueSlotStage(runtime: Runtime): Stage {
  const run = async (call: Call, next: Handler): Promise<unknown> => {
    try {
      return await next(call);
    } finally {
      call.provider.lane.leave();
    }
  };

  const waitAndRun = async (call: Call, next: Handler): Promise<unknown> => {
    const { lane } = call.provider;
    await counted(runtime, call, () =>
      runtime.interruptions.wait<void>(call, settle => lane.wait(call.priority, settle)),
    );
    call.now = runtime.clock.now();
    return run(call, next);
  };

  return (call, next) => {
    if (call.options.skipQueue) return next(call);
    return call.provider.lane.enter(call.now) ? run(call, next) : waitAndRun(call, next);
  };
}
