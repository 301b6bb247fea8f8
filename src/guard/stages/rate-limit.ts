import type { Call } from '../call.ts';
import { RateLimitError } from '../errors.ts';
import type { Handler, Stage } from '../pipeline.ts';
import { sessionOf } from '../request.ts';
import type { Runtime } from '../runtime.ts';
import type { Exceeded } from '../session-limits.ts';
import { waitInLine } from '../waiting.ts';

/** Inbound rules per session. A call that never reached its provider gives its place back. */
export function rateLimitStage(runtime: Runtime): Stage {
  const { limits } = runtime;

  const refuse = (call: Call, session: string, { rule, retryAt }: Exceeded): RateLimitError =>
    new RateLimitError(rule, { provider: call.provider.name, retryAfterMs: retryAt - runtime.clock.now(), session });

  const proceed = (call: Call, next: Handler, session: string, now: number): Promise<unknown> => {
    limits.consume(session, now);
    return next(call).catch((error: unknown) => {
      if (call.attempts === 0) limits.refund(session, now);
      throw error;
    });
  };

  const wait = async (call: Call, next: Handler, session: string): Promise<unknown> => {
    const limitAt = Math.min(call.deadlineAt, call.startedAt + runtime.config.rateLimiting.maxWaitMs);
    const place = limits.lineOf(session).join(call.priority, limitAt);
    try {
      for (;;) {
        const now = runtime.clock.now();
        const exceeded = limits.exceeded(session, now);
        if (!exceeded) return await proceed(call, next, session, now);
        if (exceeded.retryAt > limitAt) throw refuse(call, session, exceeded);
        await waitInLine(runtime, call, place, { at: exceeded.retryAt, pending: false });
      }
    } finally {
      place.leave();
    }
  };

  return (call, next) => {
    const session = sessionOf(call.options);
    const exceeded = limits.exceeded(session, call.now);
    if (!exceeded) return proceed(call, next, session, call.now);
    if (runtime.config.rateLimiting.onLimit === 'reject') return Promise.reject(refuse(call, session, exceeded));
    return wait(call, next, session);
  };
}
