import type { Clock } from '../clock.ts';
import { onAbort } from './abort.ts';
import type { Call } from './call.ts';
import { AbortedError, ClosedError, DeadlineError, type GuardError } from './errors.ts';

/** Settles the wait, once; later calls do nothing. */
export interface Settle<T> {
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** Stops what was begun, when something else has ended the wait. */
export type Cancel = (why: GuardError) => void;

/** Waits under way, so that closing the guard can end them. */
export class Interruptions {
  private readonly clock: Clock;
  private readonly waits = new Set<(error: GuardError) => void>();
  private closed = false;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /**
   * Runs `begin` and waits for it to settle, unless the caller aborts, the call's deadline passes, or the
   * guard is closed first.
   *
   * @throws AbortedError, DeadlineError, ClosedError
   */
  wait<T>(call: Call, begin: (settle: Settle<T>) => Cancel | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { signal, deadlineMs } = call.options;
      const provider = call.provider.name;
      const attempts = call.trail;
      let done = false;
      let cancel: Cancel | undefined;
      let stopListening: (() => void) | undefined;
      let timer: unknown;
      const finish = (): boolean => {
        if (done) return false;
        done = true;
        this.waits.delete(interrupt);
        stopListening?.();
        if (timer !== undefined) this.clock.clearTimeout(timer);
        return true;
      };
      const interrupt = (error: GuardError): void => {
        if (!finish()) return;
        call.end = 'interrupted';
        call.interruption = error;
        cancel?.(error);
        reject(error);
      };
      if (this.closed) {
        interrupt(new ClosedError({ provider, attempts }));
        return;
      }
      this.waits.add(interrupt);
      if (signal) {
        stopListening = onAbort(signal, () => {
          const reason: unknown = signal.reason;
          interrupt(new AbortedError({ provider, attempts, cause: reason }));
        });
      }
      if (done) return;
      if (call.deadlineAt !== Infinity) {
        timer = this.clock.setTimeout(() => {
          interrupt(new DeadlineError({ provider, attempts, deadlineMs }));
        }, call.deadlineAt - this.clock.now());
      }
      cancel = begin({
        resolve: value => {
          if (finish()) resolve(value);
        },
        reject: error => {
          if (finish()) reject(error);
        },
      });
    });
  }

  /** @throws AbortedError, DeadlineError, ClosedError */
  sleep(call: Call, delayMs: number): Promise<void> {
    return this.wait<void>(call, ({ resolve }) => {
      const timer = this.clock.setTimeout(() => resolve(), delayMs);
      return () => this.clock.clearTimeout(timer);
    });
  }

  /** Ends every wait; what would wait from now on is refused. */
  close(): void {
    this.closed = true;
    for (const interrupt of [...this.waits]) interrupt(new ClosedError());
  }
}
