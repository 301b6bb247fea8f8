import type { Call } from '../call.ts';
import { RateLimitError } from '../errors.ts';
import type { Handler, Stage } from '../pipeline.ts';
import { sessionOf } from '../request.ts';
import type { Runtime } from '../runtime.ts';
import type { Exceeded } from '../session-limits.ts';
import { waitInLine } from '../waiting.ts';

/** Inbound rules per session. A call that never reached its provider gives its place back. */
export function rateLimitStage(runtime: Runtime): Stage {
  const { clock, limits } = runtime;

  /** Counts the call, or says what is in its way. */
  const pass = (call: Call, session: string): Exceeded | undefined => {
    const exceeded = limits.pass(session, call.now);
    if (!exceeded) {
      call.session = session;
      call.countedAt = call.now;
    }
    return exceeded;
  };

  const refusal = (call: Call, session: string, { rule, retryAt }: Exceeded): RateLimitError =>
    new RateLimitError(rule, { provider: call.provider.name, retryAfterMs: retryAt - clock.now(), session });

  const waitAndPass = async (call: Call, next: Handler, session: string): Promise<unknown> => {
    const limitAt =
      call.deadlineAt === Infinity ? call.startedAt + runtime.config.rateLimiting.maxWaitMs : call.deadlineAt;
    const place = limits.lineOf(session).join(call.priority, limitAt);
    try {
      for (let exceeded = pass(call, session); exceeded; exceeded = pass(call, session)) {
        if (exceeded.retryAt > limitAt) throw refusal(call, session, exceeded);
        await waitInLine(runtime, call, place, { at: exceeded.retryAt, pending: false });
        call.now = clock.now();
      }
    } finally {
      place.leave();
    }
    return next(call);
  };

  return {
    enter(call, next) {
      const session = sessionOf(call.options);
      const exceeded = pass(call, session);
      if (!exceeded) return next(call);
      if (runtime.config.rateLimiting.onLimit === 'reject') return Promise.reject(refusal(call, session, exceeded));
      return waitAndPass(call, next, session);
    },

    callEnded({ attempts, session, countedAt }) {
      if (attempts === 0 && session !== undefined && countedAt !== undefined) limits.refund(session, countedAt);
    },
  };
}
