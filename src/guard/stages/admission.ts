import type { Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { assertRoom } from '../waiting.ts';

/** Turns a call away that would have to wait behind too many others, before anything is spent on it. */
export function admissionStage(runtime: Runtime): Stage {
  return {
    enter(call, next) {
      const { lane } = call.provider;
      if (lane.waiting < runtime.config.queue.maxQueueSize || !lane.isBusy) return next(call);
      try {
        assertRoom(runtime, call);
      } catch (error) {
        return Promise.reject(error);
      }
      return next(call);
    },
  };
}
