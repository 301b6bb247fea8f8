import type { Clock, TimerHandle } from '../clock.ts';
import { onAbort } from './abort.ts';
import type { Call } from './call.ts';
import { Chain, type Link } from '../keys/chain.ts';
import { AbortedError, ClosedError, DeadlineError, type GuardError, type GuardErrorDetails } from './errors.ts';

/** Settles the wait, once; later calls do nothing. */
export interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Stops what was begun, when something else has ended the wait. */
export type Cancel = (why: GuardError) => void;

/** One wait under way. */
interface Wait extends Link<Wait> {
  isOver: boolean;
  cancel: Cancel | undefined;
  stopListening: (() => void) | undefined;
  deadline: Deadline | undefined;
  readonly interrupt: (why: GuardError) => void;
}

/** Somebody who is to hear of the guard's end. */
interface Listener extends Link<Listener> {
  readonly hear: (why: GuardError) => void;
}

/** A call's deadline. It is kept by its timer alone, which no change of the clock moves. */
interface Deadline {
  timer: TimerHandle;
  isOver: boolean;
  /** Ends the wait under way, if any. */
  interrupt: (() => void) | undefined;
}

/** Waits under way, so that closing the guard can end them. */
export class Interruptions {
  private readonly clock: Clock;
  private readonly waits = new Chain<Wait>();
  private readonly listeners = new Chain<Listener>();
  private readonly deadlines = new WeakMap<Call, Deadline>();
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
      const wait: Wait = {
        before: undefined,
        after: undefined,
        isOver: false,
        cancel: undefined,
        stopListening: undefined,
        deadline: undefined,
        interrupt: why => {
          if (!this.finish(wait)) return;
          call.end = 'interrupted';
          call.interruption = why;
          wait.cancel?.(why);
          reject(why);
        },
      };
      this.waits.add(wait);
      this.watch(wait, call);
      if (wait.isOver) return;
      const cancel = begin({
        resolve: value => {
          if (this.finish(wait)) resolve(value);
        },
        reject: error => {
          if (this.finish(wait)) reject(error);
        },
      });
      // What was begun may itself have ended the call, a callback that aborts its own caller's signal.
      if (call.interruption) cancel?.(call.interruption);
      else wait.cancel = cancel;
    });
  }

  /** @throws AbortedError, DeadlineError, ClosedError */
  sleep(call: Call, delayMs: number): Promise<undefined> {
    return this.wait<undefined>(call, ({ resolve }) => {
      const timer = this.clock.setTimeout(() => resolve(undefined), delayMs);
      return () => this.clock.clearTimeout(timer);
    });
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Ends every wait; what would wait from now on is refused. */
  close(): void {
    this.closed = true;
    for (const { interrupt } of [...this.waits]) interrupt(new ClosedError());
    for (const { hear } of [...this.listeners]) hear(new ClosedError());
  }

  /** Hears of the guard's end. Returns the way to stop. */
  onClose(hear: (why: GuardError) => void): () => void {
    const listener: Listener = { hear, before: undefined, after: undefined };
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  /** The call is over: its deadline need not be kept. */
  callEnded(call: Call): void {
    const deadline = this.deadlines.get(call.origin);
    if (deadline && !deadline.isOver) this.clock.clearTimeout(deadline.timer);
  }

  private deadlineOf({ origin, deadlineAt }: Call): Deadline {
    let deadline = this.deadlines.get(origin);
    if (!deadline) {
      const kept: Deadline = { timer: undefined, isOver: false, interrupt: undefined };
      kept.timer = this.clock.setTimeout(() => {
        kept.isOver = true;
        kept.interrupt?.();
      }, deadlineAt - this.clock.now());
      this.deadlines.set(origin, (deadline = kept));
    }
    return deadline;
  }

  private watch(wait: Wait, call: Call): void {
    const { options, provider, deadlineAt } = call;
    const { signal, deadlineMs } = options;
    const details = (): GuardErrorDetails => ({ provider: provider.name, attempts: call.trail });
    if (this.closed) {
      wait.interrupt(new ClosedError(details()));
      return;
    }
    if (signal) {
      wait.stopListening = onAbort(signal, () => {
        const cause: unknown = signal.reason;
        wait.interrupt(new AbortedError({ ...details(), cause }));
      });
    }
    if (deadlineAt !== Infinity && !wait.isOver) {
      const interrupt = (): void => wait.interrupt(new DeadlineError({ ...details(), deadlineMs }));
      wait.deadline = this.deadlineOf(call);
      wait.deadline.interrupt = interrupt;
      if (wait.deadline.isOver) interrupt();
    }
  }

  /** False where the wait was over before. */
  private finish(wait: Wait): boolean {
    if (wait.isOver) return false;
    wait.isOver = true;
    this.waits.delete(wait);
    wait.stopListening?.();
    if (wait.deadline) wait.deadline.interrupt = undefined;
    return true;
  }
}
