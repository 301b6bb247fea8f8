import type { Clock, TimerHandle } from '../clock.ts';
import type { Blocked } from './lineup.ts';

/** How a wait ended: the waiter may try again, or its time is up. */
export type WaitEnd = 'try' | 'expired';

interface Waiter {
  readonly priority: number;
  /** Keeps a waiter's place when it tries in vain and waits again. */
  readonly ticket: number;
  readonly limitAt: number;
  blocked: Blocked;
  /** The announcement it has answered last. */
  heard: number;
  resolve: ((end: WaitEnd) => void) | undefined;
}

/** A place in the line, kept over several tries. */
export interface Place {
  /** Resolves when it is this waiter's turn to try, or when its limit has come. */
  wait(blocked: Blocked): Promise<WaitEnd>;
  /** The waiter is through, or has given up: the next one may try. */
  leave(): void;
}

/**
 * Calls waiting for something that comes back at a known time or when another call settles. One timer for
 * all of them, none while nobody waits. They are woken one at a time, in order, each after the one before
 * has tried: a key that comes back wakes one call, not a hundred.
 */
export class WaitLine {
  private readonly clock: Clock;
  /** In order of priority, then of arrival. */
  private readonly waiters: Waiter[] = [];
  private tickets = 0;
  private announcements = 0;
  private trying: Waiter | undefined;
  private timer: TimerHandle;
  private timerAt = Infinity;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get size(): number {
    return this.waiters.length;
  }

  join(priority: number, limitAt: number): Place {
    const waiter: Waiter = {
      priority,
      ticket: this.tickets++,
      limitAt,
      blocked: { at: Infinity, pending: false },
      heard: this.announcements,
      resolve: undefined,
    };
    let index = this.waiters.length;
    while (index > 0 && this.waiters[index - 1]!.priority < priority) index--;
    this.waiters.splice(index, 0, waiter);
    return {
      wait: blocked =>
        new Promise(resolve => {
          waiter.blocked = blocked;
          waiter.heard = this.announcements;
          waiter.resolve = resolve;
          this.pass(waiter);
        }),
      leave: () => {
        const at = this.waiters.indexOf(waiter);
        if (at >= 0) this.waiters.splice(at, 1);
        waiter.resolve = undefined;
        this.pass(waiter);
      },
    };
  }

  /** Something has settled or changed: whoever waits may try. */
  announce(): void {
    if (this.waiters.length === 0) return;
    this.announcements++;
    this.advance();
  }

  close(): void {
    this.clock.clearTimeout(this.timer);
    this.timerAt = Infinity;
  }

  /** The one that tried is done with its turn. */
  private pass(waiter: Waiter): void {
    if (this.trying === waiter) this.trying = undefined;
    this.advance();
  }

  private advance(): void {
    const now = this.clock.now();
    for (const waiter of [...this.waiters]) {
      if (waiter.resolve && waiter.limitAt <= now) this.release(waiter, 'expired');
    }
    if (!this.trying) {
      const next = this.waiters.find(waiter => waiter.resolve && this.mayTry(waiter, now));
      if (next) {
        this.trying = next;
        this.release(next, 'try');
      }
    }
    this.arm(now);
  }

  private mayTry(waiter: Waiter, now: number): boolean {
    return waiter.blocked.at <= now || waiter.heard < this.announcements;
  }

  private release(waiter: Waiter, end: WaitEnd): void {
    const { resolve } = waiter;
    waiter.resolve = undefined;
    resolve?.(end);
  }

  private arm(now: number): void {
    let at = Infinity;
    for (const waiter of this.waiters) {
      if (waiter.resolve) at = Math.min(at, waiter.limitAt, waiter.blocked.at);
    }
    if (at === this.timerAt) return;
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
    this.timerAt = at;
    if (at === Infinity) return;
    this.timer = this.clock.setTimeout(() => {
      this.timerAt = Infinity;
      this.advance();
    }, at - now);
  }
}
