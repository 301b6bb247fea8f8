import { QueueFullError } from '../errors.ts';
import type { Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';

/** Turns a call away that would have to wait behind too many others, before anything is spent on it. */
export function admissionStage(runtime: Runtime): Stage {
  const { events } = runtime;
  return {
    enter(call, next) {
      const { lane, name } = call.provider;
      const { maxQueueSize } = runtime.config.queue;
      if (call.options.skipQueue || lane.waiting < maxQueueSize || !lane.isBusy) return next(call);
      if (events.heard('queue')) events.emit('queue', { provider: name, what: 'full', size: lane.waiting });
      return Promise.reject(new QueueFullError(lane.waiting, { provider: name }));
    },
  };
}
