import type { Verdict } from '../deduplication/deduplicator.ts';
import { fingerprint } from '../deduplication/fingerprint.ts';
import type { Call } from '../call.ts';
import type { Ending, Handler, Stage } from '../pipeline.ts';
import { isUnder, sessionOf } from '../request.ts';
import type { Runtime } from '../runtime.ts';

/** Joins an equal call in flight, or answers from the result cache. */
export function deduplicationStage(runtime: Runtime): Stage {
  const { clock, deduplicator, interruptions } = runtime;

  return {
    enter(call: Call, next: Handler): Promise<unknown> {
      const key = keyOf(call, runtime);
      if (key === undefined) return next(call);
      const { options } = call;
      const flight = deduplicator.find(key, call.now);
      if (flight === undefined) {
        call.deduplicationKey = key;
        call.flight = deduplicator.takeOff(key, options.req);
        return next(call);
      }
      // A call that has followed another one in vain begins later than it came.
      const execute = (): Promise<unknown> => {
        call.now = clock.now();
        return next(call);
      };
      return deduplicator.share(key, flight, options, execute, follow =>
        interruptions.wait<Verdict>(call, ({ resolve }) => follow(resolve)),
      );
    },

    callEnded(call: Call, { rejected, outcome }: Ending): void {
      const { deduplicationKey, flight, options } = call;
      if (!flight || deduplicationKey === undefined) return;
      deduplicator.land(deduplicationKey, flight, options, call.last.endedAt, rejected, outcome);
    },
  };
}

/** Undefined where the call cannot or must not be joined with another. */
function keyOf(call: Call, runtime: Runtime): string | undefined {
  const key = requestKeyOf(call, runtime);
  const { fallbacks } = call.options;
  // Who may answer is part of what is asked.
  return key === undefined || fallbacks === undefined ? key : prefixed(JSON.stringify(fallbacks)) + key;
}

function requestKeyOf({ options, provider, model }: Call, { config }: Runtime): string | undefined {
  const { req, skipDeduplication, deduplicationKey, sessionId, userId } = options;
  if (skipDeduplication) return undefined;
  if (deduplicationKey !== undefined) {
    return prefixed(provider.name) + prefixed(model) + prefixed(sessionId) + prefixed(userId) + deduplicationKey;
  }
  if (req === undefined || req === null) return undefined;
  if (isUnder(req, config.deduplication.excludeEndpoints)) return undefined;
  return fingerprint(req, { provider: provider.name, model, userId, sessionId: sessionOf(options) });
}

/** With its length, so that no two lists of parts make the same key. */
function prefixed(part: string | undefined): string {
  return part === undefined ? '-' : `${part.length}:${part}`;
}
