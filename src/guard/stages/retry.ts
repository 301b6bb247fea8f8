import type { Fault } from '../../faults/fault.ts';
import { isCorrelated, type Accusation } from '../../keys/accusation.ts';
import type { Pool } from '../../keys/pool.ts';
import type { Call } from '../call.ts';
import { discard } from '../discard.ts';
import { PoolExhaustedError } from '../errors.ts';
import { exhaustedDetails } from '../exhausted.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { counted, waitInLine } from '../waiting.ts';

/**
 * The only loop. Two budgets: a key's fault moves on to the next ready key at once and spends nothing; a
 * provider's fault, or a second try of the same key, spends a retry.
 */
export function retryStage(runtime: Runtime): Stage {
  const { clock, counters, random } = runtime;

  /** Undefined where the fault must not, or cannot in time, be tried again; else ms to wait before. */
  const backoffFor = (call: Call, fault: Fault, retries: number): number | undefined => {
    const { initialBackoffMs, maxBackoffMs, jitterMs, maxRetryAfterMs } = runtime.config.retry;
    const now = clock.now();
    const askedMs = fault.until === undefined ? 0 : fault.until - now;
    if (askedMs > maxRetryAfterMs) return undefined;
    const backoffMs = Math.min(maxBackoffMs, initialBackoffMs * 2 ** Math.min(retries, 30)) + random() * jitterMs;
    const delayMs = Math.round(Math.max(askedMs, backoffMs));
    return now + delayMs < call.deadlineAt ? delayMs : undefined;
  };

  const mayRetry = (call: Call, fault: Fault): boolean => {
    const { action, scope, status } = fault;
    if (!call.provider.breaker.isClosed) return false;
    if (status !== undefined && !runtime.config.retry.retryableStatusCodes.includes(status)) return false;
    if (action === 'retry' || scope.startsWith('provider')) return call.options.idempotent !== false || call.unsent;
    // Without a pool there is no other key to go to: only waiting helps, and only against a limit.
    return call.lease === undefined && status === 429;
  };

  /** Waits until a key may be ready. False where none will be in time. */
  const waitForKey = async (call: Call): Promise<boolean> => {
    const { pool, blocked } = call;
    if (!pool || !blocked) return false;
    const limitAt = waitLimitOf(call, pool);
    if (blocked.at > limitAt && !blocked.pending) return false;
    call.place ??= pool.line.join(call.priority, limitAt, kindOf(call, pool));
    const end = await waitInLine(runtime, call, call.place, blocked);
    call.now = clock.now();
    return end === 'try';
  };

  /** A call that says how long it may take waits for as long; a pool that never waits never does. */
  const waitLimitOf = (call: Call, { settings: { maxWaitMs } }: Pool): number => {
    if (maxWaitMs > 0 && call.deadlineAt !== Infinity) return call.deadlineAt;
    call.waitLimitAt ??= clock.now() + maxWaitMs;
    return call.waitLimitAt;
  };

  const giveUp = (call: Call): unknown => {
    counters.finalFailures++;
    const { failure, pool } = call;
    if (failure?.thrown) throw failure.outcome;
    if (failure) return failure.outcome;
    throw new PoolExhaustedError(exhaustedDetails(call, pool, clock.now()));
  };

  const enter = async (call: Call, next: Handler): Promise<unknown> => {
    let retries = 0;
    /** A second try of a key was granted; it counts once it has begun. */
    let granted = false;
    const mayRepeatOnce = (): boolean => {
      const { enabled, retry } = runtime.config;
      return enabled && retry.enabled && retries < retry.maxRetries;
    };
    const count = (): void => {
      retries++;
      counters.totalRetries++;
    };

    try {
      for (;;) {
        let value: unknown;
        try {
          value = await next(call);
        } finally {
          call.pipeline.attemptEnded(call);
        }
        if (granted && call.end !== 'no-key') {
          granted = false;
          count();
        }
        if (call.end === 'answered') {
          if (retries > 0) counters.successAfterRetry++;
          return value;
        }
        if (call.end === 'no-key') {
          if (call.accusations && call.pool && !hasHope(call.pool, call.model, call.accusations)) return giveUp(call);
          // All that are ready were tried: a second try of one of them costs a retry.
          if (call.tried && !call.mayRepeat) {
            if (!mayRepeatOnce()) return giveUp(call);
            call.mayRepeat = true;
            granted = true;
          } else if (!(await waitForKey(call))) {
            if (!mayTakeFirst(call)) return giveUp(call);
            call.takeFirst = true;
          }
          continue;
        }
        const { failure } = call;
        if (!failure) return giveUp(call);
        const { fault } = failure;
        if (call.accusations && isCorrelated(call.accusations)) {
          for (const accusation of call.accusations) call.pool?.settlement.acquit(accusation);
          return giveUp(call);
        }
        if (!movesOn(call, fault)) {
          const delayMs = mayRetry(call, fault) ? backoffFor(call, fault, retries) : undefined;
          if (delayMs === undefined || !mayRepeatOnce()) return giveUp(call);
          count();
          await counted(runtime, call, () => runtime.interruptions.sleep(call, delayMs));
          if (!call.provider.breaker.isClosed) return giveUp(call);
          call.mayRepeat = true;
          if (fault.action === 'retry') call.preferredKeyId = call.lease?.key.id;
        }
        call.now = clock.now();
      }
    } finally {
      call.place?.leave();
    }
  };

  return {
    enter,

    callEnded(call, { outcome }) {
      // Ended from outside while it waited to try again.
      if (call.failure && call.failure.outcome !== outcome) discard(call.failure.outcome);
    },
  };
}

/** Who was refused does not wait for keys that were refused to others; where all were, no key is to blame. */
function hasHope(pool: Pool, model: string | undefined, accusations: readonly Accusation[]): boolean {
  const accused = new Set(accusations.map(({ lease }) => lease.key));
  if (pool.hasUndoubted(model, accused)) return true;
  for (const { fault } of accusations) pool.settlement.acquitSuspects(fault.kind);
  return false;
}

/** Calls of one kind wait for the same keys: where one cannot have any, none of the others can. */
function kindOf(call: Call, { limitsTokens }: Pool): unknown {
  // Keys that refused this call are closed to it alone.
  if (call.accusations) return call;
  return limitsTokens ? `${call.tokens} ${call.model ?? ''}` : call.model;
}

function mayTakeFirst({ pool, attempts, takeFirst }: Call): boolean {
  return pool?.settings.fallbackBehavior === 'useFirst' && attempts === 0 && !takeFirst;
}

/** The fault was the key's or its group's: the next key may do better, at once. */
function movesOn(call: Call, { scope, action }: Fault): boolean {
  return call.lease !== undefined && action !== 'retry' && (scope.startsWith('key') || scope.startsWith('group'));
}
