import type { Fault } from '../faults/fault.ts';
import type { Call } from './call.ts';
import { discard } from './discard.ts';

/** One call's way along its fallback chain: what its legs share. */
export class FallbackRun {
  /** The call its caller made, which is the first leg. */
  readonly origin: Call;
  readonly legs: Call[];
  /** The leg the call is at, and in the end the one that has the last word. */
  last: Call;
  /** The leg that made the last attempt. */
  asked: Call | undefined = undefined;
  /** A retry was spent, at whichever leg. */
  hasRetried = false;

  constructor(origin: Call) {
    this.origin = origin;
    this.legs = [origin];
    this.last = origin;
  }

  /** An attempt begins: what another leg came to is nobody's answer any more. */
  asks(leg: Call): void {
    const { asked } = this;
    if (asked && asked !== leg && asked.failure) discard(asked.failure.outcome);
    this.asked = leg;
  }

  /** The leg is left where it has no key: it never waits alone, unless nobody else is to be asked. */
  passesBy(leg: Call): boolean {
    return leg.failure === undefined || isProvidersAffair(leg, leg.failure.fault);
  }

  get attempts(): number {
    return this.legs.reduce((sum, { attempts }) => sum + attempts, 0);
  }

  get hasBegun(): boolean {
    return this.legs.some(({ attempts, hasWaited }) => hasWaited || attempts > 0);
  }
}

/** Where the provider may have acted, a call that must not run twice goes to no other one either. */
export function isProvidersAffair({ options, unsent }: Call, { scope }: Fault): boolean {
  if (scope === 'request') return false;
  return !scope.startsWith('provider') || options.idempotent !== false || unsent;
}
