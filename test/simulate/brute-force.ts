import type { SimulatedProvider } from '../../src/simulate/scenario.ts';
import type { AskedCall } from '../../src/simulate/traffic.ts';
import { Upstream } from '../../src/simulate/upstream.ts';
import { START_AT } from './support.ts';

/** All times of the half-minute grid at which anything can change. */
export const STEP_MS = 30_000;
const STEPS = 9;

interface Begun {
  readonly key: string;
  readonly call: AskedCall;
  readonly at: number;
}

/** Whether a provider would serve all of them. */
function isServed(provider: SimulatedProvider, begun: readonly Begun[]): boolean {
  const upstream = new Upstream('api', provider, START_AT);
  const inOrder = [...begun].sort((a, b) => a.at - b.at);
  return inOrder.every(({ at, call, key }) => upstream.admit(key, call, at) === undefined);
}

/** The most of all schedules: each call not at all, or with any key at any time at which its caller still waits. */
export function bruteForce(provider: SimulatedProvider, calls: readonly AskedCall[]): number {
  const keys = provider.keys.map(({ id }) => id);
  let best = 0;
  const tryFrom = (step: number, left: readonly AskedCall[], begun: readonly Begun[]): void => {
    best = Math.max(best, begun.length);
    if (step >= STEPS || begun.length + left.length <= best) return;
    const at = START_AT + step * STEP_MS;
    for (const call of left) {
      if (call.at > at || at + call.serviceMs > call.leavesAt) continue;
      for (const key of keys) {
        const more = [...begun, { key, call, at }];
        if (isServed(provider, more)) tryFrom(step, left.filter(each => each !== call), more);
      }
    }
    tryFrom(step + 1, left, begun);
  };
  tryFrom(0, calls, []);
  return best;
}
