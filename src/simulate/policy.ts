import type { Clock, Random } from '../clock.ts';
import type { Scenario } from './scenario.ts';
import type { AskedCall } from './traffic.ts';

/** An answer, as an SDK gives it. */
export interface SimulatedAnswer {
  readonly status: 200;
  readonly headers: Readonly<Record<string, string>>;
  readonly usage: { readonly inputTokens: number; readonly outputTokens: number };
}

/** A failed attempt, as an SDK throws it. */
export class SimulatedFailure extends Error {
  override readonly name = 'SimulatedFailure';
  /** Undefined where no answer came. */
  readonly status: number | undefined;
  readonly code: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly error: unknown;

  constructor(status: number | undefined, headers: Readonly<Record<string, string>>, error: unknown) {
    super(status === undefined ? 'connect ECONNREFUSED' : `HTTP ${status}`);
    this.status = status;
    this.code = status === undefined ? 'ECONNREFUSED' : undefined;
    this.headers = headers;
    this.error = error;
  }
}

/** A policy ends a call by itself, without a word of the provider. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

/** What a policy has to work with. It sees answers and failures, and nothing of the model behind them. */
export interface Surroundings {
  readonly scenario: Scenario;
  readonly clock: Clock;
  readonly random: Random;
  /** Makes one attempt at the provider. Rejects with {@link SimulatedFailure}, or what the signal was aborted with. */
  readonly attempt: (call: AskedCall, keyId: string, signal?: AbortSignal) => Promise<SimulatedAnswer>;
}

/** A way to choose keys, to be compared with others. */
export interface Policy {
  readonly name: string;
  /** Begins anew, knowing nothing. */
  start(surroundings: Surroundings): RunningPolicy;
}

/** A policy at work. */
export interface RunningPolicy {
  /**
   * Resolves when the call is answered; rejects where it is not: with what the provider said, with {@link Refused}, or
   * with an error of the guard's. Any other error ends the simulation.
   *
   * @param process whose call it is, from 0 on
   * @param signal aborted when the caller leaves
   */
  call(call: AskedCall, process: number, signal: AbortSignal | undefined): Promise<unknown>;
  close?(): void;
}
