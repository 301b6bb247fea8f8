import type { TimerHandle } from '../../clock.ts';
import { readAddressLimit } from '../../faults/address.ts';
import { classify } from '../../faults/classify.ts';
import { headersOfAnswer, isFailureValue, readErrorInSuccess, readEvidence, type Outcome } from '../../faults/evidence.ts';
import type { Evidence, Fault, FaultProfile } from '../../faults/fault.ts';
import { AddressLimit } from '../../keys/address-limit.ts';
import { abortAttempt, AttemptContext, endAttempt } from '../attempt-context.ts';
import type { Call } from '../call.ts';
import { discard } from '../discard.ts';
import { isFromElsewhere } from '../elsewhere.ts';
import { AttemptTimeoutError, GuardError } from '../errors.ts';
import { heardIn, type Answer } from '../hearing.ts';
import type { Handler } from '../pipeline.ts';
import type { Runtime } from '../runtime.ts';

/** No connection was made, so the provider cannot have acted on the request. */
const UNSENT_CODES = new Set([
  'EAI_AGAIN',
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Another guard's refusal inside the callback is nobody's fault here. */
const GUARD_REJECTION: Fault = {
  kind: 'guard_rejection',
  scope: 'request',
  action: 'fail',
  certainty: 'certain',
  rule: 'guard/rejection',
};

/** What another host has answered says nothing of the provider, nor of its keys. */
const ELSEWHERE: Fault = {
  kind: 'elsewhere',
  scope: 'request',
  action: 'fail',
  certainty: 'certain',
  rule: 'guard/elsewhere',
};

/**
 * Runs the callback once, within the attempt's time, and says on the call how it ended. Rejects only where
 * the call is over for a reason of its own: aborted, past its deadline, guard closed.
 */
export function attemptHandler(runtime: Runtime): Handler {
  const { clock, events, interruptions } = runtime;

  /** Waits for the callback, unless something ends the attempt first. */
  const bounded = (call: Call, context: AttemptContext): Promise<unknown> => {
    const { attemptTimeoutMs, signal } = call.options;
    return interruptions.wait<unknown>(call, settle => {
      let isAbandoned = false;
      const timeOut = (timeoutMs: number): void => {
        isAbandoned = true;
        const error = new AttemptTimeoutError(timeoutMs, { provider: call.provider.name, attempts: call.trail });
        settle.reject(error);
        abortAttempt(context, error);
      };
      let timer: TimerHandle;
      if (attemptTimeoutMs !== undefined) timer = clock.setTimeout(() => timeOut(attemptTimeoutMs), attemptTimeoutMs);
      const over = (): void => {
        if (timer !== undefined) clock.clearTimeout(timer);
      };
      // A callback may throw before it returns a promise.
      new Promise(resolve => {
        resolve(begin(call, context));
      }).then(
        value => {
          over();
          if (isAbandoned) discard(value);
          else settle.resolve(value);
        },
        (error: unknown) => {
          over();
          settle.reject(error);
        },
      );
      return why => {
        isAbandoned = true;
        over();
        abortAttempt(context, signal?.aborted ? signal.reason : why);
      };
    });
  };

  const record = (call: Call, fault: Fault | undefined): void => {
    const heard = events.heard('attempt');
    if (!heard && fault === undefined && call.attemptsInAll === 1) return;
    const keyId = call.lease?.key.id;
    const entry = {
      ...(keyId !== undefined && { keyId }),
      provider: call.provider.name,
      ...(call.model !== undefined && { model: call.model }),
      ...(fault && { fault: fault.kind }),
      ...(fault?.status !== undefined && { status: fault.status }),
      // A clock may be set back.
      durationMs: Math.max(0, call.endedAt - call.now),
    };
    call.record(entry);
    if (heard) events.emit('attempt', { ...entry, attempt: call.attemptsInAll, ok: fault === undefined });
  };

  const failed = async (
    call: Call,
    outcome: Outcome,
    reading: Evidence | Promise<Evidence> = readEvidence(outcome, clock),
  ): Promise<undefined> => {
    const thrown = 'error' in outcome;
    const subject = thrown ? outcome.error : outcome.value;
    const evidence = reading instanceof Promise ? await reading : reading;
    const fault = faultOf(call, subject, evidence, call.endedAt);
    hear(call, evidence, fault);
    call.unsent = evidence.networkCode !== undefined && UNSENT_CODES.has(evidence.networkCode);
    call.end = 'failed';
    call.failure = { fault, thrown, outcome: subject };
    record(call, fault);
    return undefined;
  };

  const answered = (call: Call, value: unknown): unknown => {
    const header = call.lease && headersOfAnswer(value);
    if (header) hear(call, { header, text: '' });
    call.end = 'answered';
    call.failure = undefined;
    call.value = value;
    record(call, undefined);
    return value;
  };

  const answeredOrFailed = (call: Call, value: unknown, evidence: Evidence | undefined): unknown =>
    evidence ? failed(call, { value }, evidence) : answered(call, value);

  const whenRead = async (call: Call, value: unknown, reading: Promise<Evidence | undefined>): Promise<unknown> =>
    answeredOrFailed(call, value, await reading);

  const elsewhere = (call: Call, value: unknown): unknown => {
    call.end = 'elsewhere';
    call.failure = undefined;
    call.value = value;
    record(call, isFailureValue(value) ? ELSEWHERE : undefined);
    return value;
  };

  const failedElsewhere = (call: Call, error: unknown): void => {
    call.end = 'elsewhere';
    call.failure = { fault: ELSEWHERE, thrown: true, outcome: error };
    record(call, ELSEWHERE);
  };

  const resolved = (call: Call, context: AttemptContext, value: unknown): unknown => {
    call.endedAt = clock.now();
    endAttempt(context, value);
    if (isFromElsewhere(value)) return elsewhere(call, value);
    if (isFailureValue(value)) return failed(call, { value });
    const { errorInSuccess } = profileOf(call);
    if (!errorInSuccess) return answered(call, value);
    const reading = readErrorInSuccess(value, errorInSuccess, clock);
    return reading instanceof Promise ? whenRead(call, value, reading) : answeredOrFailed(call, value, reading);
  };

  const rejected = (call: Call, context: AttemptContext, error: unknown): unknown => {
    call.endedAt = clock.now();
    endAttempt(context, undefined);
    if (call.interruption !== undefined && error === call.interruption) throw error;
    if (!isFromElsewhere(error)) return failed(call, { error });
    failedElsewhere(call, error);
    return undefined;
  };

  const begun = (call: Call): AttemptContext => {
    call.attempts++;
    call.provider.lane.processed++;
    call.mayRepeat = false;
    call.end = 'interrupted';
    call.unsent = true;
    if (call.failure) discard(call.failure.outcome);
    call.run?.asks(call);
    return new AttemptContext(call, runtime);
  };

  // What outlives the wait is kept for each call: here is no more than that.
  return async call => {
    const context = begun(call);
    let value: unknown;
    try {
      value = await (isBounded(call) ? bounded(call, context) : begin(call, context));
    } catch (error) {
      return rejected(call, context, error);
    }
    return resolved(call, context, value);
  };
}

function begin(call: Call, context: AttemptContext): unknown {
  call.unsent = false;
  return call.fn(context);
}

/** An attempt nothing can end is awaited as it is: no timer, no listener. */
function isBounded({ options, deadlineAt }: Call): boolean {
  return options.signal !== undefined || options.attemptTimeoutMs !== undefined || deadlineAt !== Infinity;
}

/** What the answer says beside its content teaches the pool. */
function hear(call: Call, answer: Answer, fault?: Fault): void {
  const { endedAt, lease, pool, provider } = call;
  if (!lease || !pool) return;
  const profile = profileOf(call);
  pool.hear(lease, heardIn(answer, profile, endedAt, fault), endedAt);
  const { addressLimit } = profile;
  if (!addressLimit) return;
  provider.address ??= new AddressLimit(addressLimit.counts, addressLimit.windowMs);
  provider.address.hear(readAddressLimit(answer, addressLimit, fault !== undefined), lease, endedAt, fault?.until);
  // A stream is under way for long, and has told its figures.
  if (pool.isAwaited) pool.line.announce();
}

function faultOf(call: Call, subject: unknown, evidence: Evidence, now: number): Fault {
  if (subject instanceof AttemptTimeoutError) {
    return classify({ ...evidence, timedOut: true }, { profile: profileOf(call), now, model: call.model });
  }
  if (subject instanceof GuardError) return GUARD_REJECTION;
  return classify(evidence, { profile: profileOf(call), now, model: call.model });
}

function profileOf({ pool, provider }: Call): FaultProfile {
  return pool?.settings.profile ?? provider.profile;
}
