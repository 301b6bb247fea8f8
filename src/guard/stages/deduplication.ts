import { fingerprint } from '../deduplication/fingerprint.ts';
import type { Call } from '../call.ts';
import type { Stage } from '../pipeline.ts';
import { field, sessionOf } from '../request.ts';
import type { Runtime } from '../runtime.ts';

/** Joins an equal call in flight, or answers from the result cache. */
export function deduplicationStage(runtime: Runtime): Stage {
  return (call, next) => {
    const key = keyOf(call, runtime);
    if (key === undefined) return next(call);
    const run = (): Promise<unknown> => runtime.deduplicator.run(key, call.options.signal, () => next(call));
    if (call.deadlineAt === Infinity) return run();
    // A call that follows another one has a deadline of its own.
    return runtime.interruptions.wait(call, ({ resolve, reject }) => {
      run().then(resolve, reject);
      return undefined;
    });
  };
}

/** Undefined where the call cannot or must not be joined with another. */
function keyOf({ options, provider, model }: Call, { config }: Runtime): string | undefined {
  const { req, skipDeduplication, deduplicationKey, userId } = options;
  if (skipDeduplication) return undefined;
  if (deduplicationKey !== undefined) {
    return JSON.stringify([deduplicationKey, provider.name, model, userId, options.sessionId]);
  }
  if (req === undefined || req === null) return undefined;
  const url = field(req, 'url');
  if (typeof url === 'string' && config.deduplication.excludeEndpoints.some(prefix => url.startsWith(prefix))) {
    return undefined;
  }
  return fingerprint(req, { provider: provider.name, model, userId, sessionId: sessionOf(options) });
}
