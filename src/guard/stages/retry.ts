import type { Fault } from '../../faults/fault.ts';
import { isCorrelated, type Accusation } from '../../keys/accusation.ts';
import type { Blocked } from '../../keys/lineup.ts';
import type { Pool } from '../../keys/pool.ts';
import type { Call, RetryBudget } from '../call.ts';
import { discard } from '../discard.ts';
import { giveUp } from '../give-up.ts';
import type { Handler, Stage } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { mayWait, openError, waitAndProbe, waitForProvider } from '../provider-wait.ts';
import { counted, joinLine, keyWaitLimit, leaveLine, waitInLine } from '../waiting.ts';

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
    if (!call.provider.breaker.isClosed && !mayWait(call)) return false;
    if (status !== undefined && !runtime.config.retry.retryableStatusCodes.includes(status)) return false;
    if (action === 'retry' || scope.startsWith('provider')) return call.options.idempotent !== false || call.unsent;
    // Without a pool there is no other key to go to: only waiting helps, and only against a limit.
    return call.lease === undefined && status === 429;
  };

  /** Waits until a key may be ready. False where none will be in time, and the first may not be used all the same. */
  const waitForKey = async (call: Call): Promise<boolean> => {
    if (call.run?.passesBy(call)) return false;
    if (call.pool && call.blocked && (await waitInTime(call, call.pool, call.blocked))) return true;
    call.takeFirst = mayTakeFirst(call);
    return call.takeFirst;
  };

  const waitInTime = async (call: Call, pool: Pool, blocked: Blocked): Promise<boolean> => {
    const limitAt = keyWaitLimit(call, pool, clock.now());
    if (blocked.at > limitAt && !blocked.pending) return false;
    call.place ??= joinLine(call, pool, limitAt);
    return (await waitInLine(runtime, call, call.place, blocked)) === 'try';
  };

  const maySpend = ({ spent }: RetryBudget): boolean => {
    const { enabled, retry } = runtime.config;
    return enabled && retry.enabled && spent < retry.maxRetries;
  };

  const spend = (call: Call, budget: RetryBudget): void => {
    budget.spent++;
    budget.isGranted = false;
    if (call.run) call.run.hasRetried = true;
    counters.totalRetries++;
  };

  /** Gets a key for an attempt that found none. False where there is none to be had. */
  const findKey = (call: Call, budget: RetryBudget): boolean | Promise<boolean> => {
    if (call.accusations && call.pool && !hasHope(call.pool, call, call.accusations)) {
      call.blocked = undefined;
      return false;
    }
    if (!call.tried || call.mayRepeat) return waitForKey(call);
    // All that are ready were tried: a second try of one of them costs a retry.
    if (maySpend(budget)) return (budget.isGranted = call.mayRepeat = true);
    return waitForOther(call);
  };

  /** Without a retry left, a call waits for a key it has not asked yet, and that nobody has refused. */
  const waitForOther = (call: Call): boolean | Promise<boolean> => {
    const { pool, blocked, tried } = call;
    if (!pool || !blocked || !tried) return false;
    call.blocked = { ...pool.outlookOf(call, tried), seen: blocked.seen };
    return call.run?.passesBy(call) ? false : waitInTime(call, pool, call.blocked);
  };

  /** Before the same key or provider is tried again. False, at once, where it must not be. */
  const backOff = (call: Call, fault: Fault, budget: RetryBudget): false | Promise<boolean> => {
    const delayMs = mayRetry(call, fault) ? backoffFor(call, fault, budget.spent) : undefined;
    if (delayMs === undefined || !maySpend(budget)) return false;
    spend(call, budget);
    return waitToRepeat(call, fault, delayMs);
  };

  const waitToRepeat = async (call: Call, fault: Fault, delayMs: number): Promise<boolean> => {
    await counted(runtime, call, () => runtime.interruptions.sleep(call, delayMs));
    if (!call.provider.breaker.isClosed && !(mayWait(call) && (await waitForProvider(runtime, call)))) return false;
    call.mayRepeat = true;
    if (fault.action === 'retry' && call.lease) call.preferredKeyId = call.lease.key.id;
    return true;
  };

  /** The breaker has opened while the call waited for a slot. */
  const waitOn = async (call: Call): Promise<boolean> => {
    if (await waitForProvider(runtime, call)) return true;
    if (call.failure) return false;
    throw openError(call);
  };

  /** After an attempt that was not answered: whether there is to be another. `true` where it may begin at once. */
  const goesOn = (call: Call, budget: RetryBudget): boolean | Promise<boolean> => {
    if (call.end === 'no-key') return findKey(call, budget);
    const { accusations, failure } = call;
    if (call.end === 'cut-off') return mayWait(call) && waitOn(call);
    if (!failure) return false;
    if (accusations && isCorrelated(accusations)) {
      for (const accusation of accusations) call.pool?.settlement.acquit(accusation);
      return false;
    }
    return movesOn(call, failure.fault) || backOff(call, failure.fault, budget);
  };

  const enter = async (call: Call, next: Handler): Promise<unknown> => {
    try {
      for (;;) {
        let value: unknown;
        try {
          value = await (call.provider.breaker.isClosed || !mayWait(call) ? next(call) : waitAndProbe(runtime, call, next));
        } finally {
          call.pipeline.attemptEnded(call);
        }
        const { budget } = call;
        if (budget?.isGranted && call.end !== 'no-key' && call.end !== 'cut-off') {
          if (call.isRepeat) spend(call, budget);
          budget.isGranted = false;
        }
        if (call.hasAnswer) {
          if (call.run ? call.run.hasRetried : budget && budget.spent > 0) counters.successAfterRetry++;
          return value;
        }
        const another = goesOn(call, (call.budget ??= { spent: 0, isGranted: false }));
        // A key that is free is taken at once: a turn later it may be another call's.
        if (another !== true && (another === false || !(await another))) {
          // Whether there is somebody else to ask is for the fallback to say.
          return call.run ? undefined : giveUp(runtime, call);
        }
        call.now = clock.now();
      }
    } finally {
      leaveLine(call);
      call.pipeline.attemptsEnded(call);
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
function hasHope(pool: Pool, call: Call, accusations: readonly Accusation[]): boolean {
  const accused = new Set(accusations.map(({ lease }) => lease.key));
  if (pool.hasUndoubted(call, accused)) return true;
  for (const { fault } of accusations) pool.settlement.acquitSuspects(fault.kind);
  return false;
}

function mayTakeFirst({ pool, attempts, takeFirst }: Call): boolean {
  return pool?.settings.fallbackBehavior === 'useFirst' && attempts === 0 && !takeFirst;
}

/** The fault was the key's or its group's: the next key may do better, at once. */
function movesOn(call: Call, { scope, action }: Fault): boolean {
  return call.lease !== undefined && action !== 'retry' && (scope.startsWith('key') || scope.startsWith('group'));
}
