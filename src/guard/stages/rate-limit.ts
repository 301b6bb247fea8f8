import type { Call } from '../call.ts';
import { RateLimitError } from '../errors.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Place } from '../../keys/wait-line.ts';
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

  const waitForTurn = async (call: Call, place: Place, at: number): Promise<void> => {
    await waitInLine(runtime, call, place, { at, pending: false });
    call.now = clock.now();
  };

  const waitAndPass = async (call: Call, next: Handler, session: string): Promise<unknown> => {
    const limitAt =
      call.deadlineAt === Infinity ? call.startedAt + runtime.config.rateLimiting.maxWaitMs : call.deadlineAt;
    const line = limits.lineOf(session);
    const isFirst = line.size === 0;
    const place = line.join(call.priority, limitAt);
    try {
      // Who waits already comes first.
      if (!isFirst) await waitForTurn(call, place, call.now);
      for (let exceeded = pass(call, session); exceeded; exceeded = pass(call, session)) {
        if (exceeded.retryAt > limitAt) throw refusal(call, session, exceeded);
        await waitForTurn(call, place, exceeded.retryAt);
      }
    } finally {
      place.leave();
    }
    return next(call);
  };

  return {
    enter(call, next) {
      const session = sessionOf(call.options);
      const mayWait = runtime.config.rateLimiting.onLimit === 'wait';
      if (mayWait && limits.isAwaited(session)) return waitAndPass(call, next, session);
      const exceeded = pass(call, session);
      if (!exceeded) return next(call);
      return mayWait ? waitAndPass(call, next, session) : Promise.reject(refusal(call, session, exceeded));
    },

    callEnded(call) {
      const { session, countedAt } = call;
      if (session === undefined || countedAt === undefined) return;
      if (call.attemptsInAll === 0) limits.refund(session, countedAt);
    },
  };
}
