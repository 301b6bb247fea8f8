import type { Clock } from '../../clock.ts';
import type { Script } from './script.ts';

/** What a pool's parts need of the connection. */
export interface PoolLink {
  /** The beginning of all ids that this process gives. */
  readonly processId: string;
  readonly isUp: boolean;
  readonly isOpening: boolean;
  /** Nobody may go on without the store. */
  readonly isStrict: boolean;
  /** Calls for which quota is taken at once. */
  readonly blockSize: number;
  readonly clock: Clock;
  /** What went wrong last. */
  readonly cause: unknown;
  now(): number;
  /** Settles when the connection is there, or has failed. */
  opened(): Promise<void>;
  run(script: Script, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>;
  /** @throws TooLate */
  inTime<T>(promise: Promise<T>): Promise<T>;
  /** What was asked of the store at that time it has not done, or not in time. */
  failed(cause: unknown, askedAt: number): void;
}
