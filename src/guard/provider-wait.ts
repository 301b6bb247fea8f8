import type { Call } from './call.ts';
import { CircuitOpenError } from './errors.ts';
import type { Ending, Handler } from './pipeline.ts';
import type { Vote } from './provider-breaker.ts';
import type { Runtime } from './runtime.ts';
import { lastBegin, waitInLine } from './waiting.ts';

/** Under `onOpen: 'wait'` a call is held while the breaker is open, unless it has somewhere else to go. */
export function mayWait({ provider, run }: Call): boolean {
  return provider.breaker.settings.onOpen === 'wait' && run === undefined;
}

/**
 * Holds the call until the provider has answered somebody, or until it is the one to find out. False where neither will
 * be in time.
 *
 * @throws AbortedError, DeadlineError, ClosedError, QueueFullError
 */
export async function waitForProvider(runtime: Runtime, call: Call): Promise<boolean> {
  const { clock } = runtime;
  const { breaker } = call.provider;
  // Who waits already comes first.
  if (!breaker.isAwaited && breaker.isFree) return true;
  // Others may have the key it was woken for meanwhile.
  call.place?.stepAside();
  const limitAt = call.deadlineAt === Infinity ? clock.now() + breaker.settings.maxWaitMs : lastBegin(call);
  const place = breaker.line.join(call.priority, limitAt);
  try {
    do {
      const now = clock.now();
      // What comes of a probe that is out may be known at any moment.
      const pending = breaker.isProbing;
      const at = Math.max(breaker.nextProbeAt, now + 1);
      if (at > limitAt && !pending) return false;
      const end = await waitInLine(runtime, call, place, { at, pending });
      if (end === 'expired') return false;
    } while (!breaker.isFree);
  } finally {
    place.leave();
  }
  call.now = clock.now();
  return true;
}

/** As {@link probe}, for a call that may wait: where another one is the probe, it waits for what comes of that. */
export async function waitAndProbe(runtime: Runtime, call: Call, next: Handler): Promise<unknown> {
  while (!call.provider.breaker.isClosed) {
    const ending = await tryProbe(call, next);
    if (ending) return resultOf(ending);
    if (!(await waitForProvider(runtime, call))) throw openError(call);
  }
  return next(call);
}

/**
 * Lets the call go on as the one that finds out whether the provider answers again.
 *
 * @throws CircuitOpenError where it is not to be asked yet, or another call is asking
 */
export async function probe(call: Call, next: Handler): Promise<unknown> {
  const ending = await tryProbe(call, next);
  if (!ending) throw openError(call);
  return resultOf(ending);
}

async function tryProbe(call: Call, next: Handler): Promise<Ending | undefined> {
  let ending: Ending | undefined;
  await call.provider.breaker.tryProbe(async () => {
    call.isProbe = true;
    try {
      ending = { rejected: false, outcome: await next(call) };
    } catch (error) {
      ending = { rejected: true, outcome: error };
    }
    call.isProbe = false;
    return voteOf(call);
  });
  return ending;
}

function resultOf({ rejected, outcome }: Ending): unknown {
  if (rejected) throw outcome;
  return outcome;
}

export function openError({ provider }: Call): CircuitOpenError {
  // Nobody knows when a probe that is out will be answered.
  const retryAfterMs = provider.breaker.retryAfterMs || undefined;
  return new CircuitOpenError({ provider: provider.name, retryAfterMs });
}

/** Only the provider's own failures count against it; any answer, even a refusal, shows it alive. */
export function voteOf(call: Call): Vote {
  if (call.end === 'answered') return 'success';
  const fault = call.failure?.fault;
  if (fault === undefined || call.end === 'interrupted') return 'none';
  if (fault.action === 'breaker') return 'failure';
  return fault.status === undefined ? 'none' : 'success';
}
