import type { Clock, TimerHandle } from '../../clock.ts';

/** No answer came in time. */
export class TooLate extends Error {}

interface Wait {
  readonly since: number;
  readonly expire: () => void;
}

/** Bounds many waits of the same length with one timer, which is set only while something is waited for. */
export class Deadlines {
  private readonly clock: Clock;
  private readonly limitMs: number;
  /** Oldest first. */
  private readonly waits = new Set<Wait>();
  private timer: TimerHandle;
  /** When an answer last came in time, or rather when it had been asked for. */
  private answeredSince = -Infinity;

  constructor(clock: Clock, limitMs: number) {
    this.clock = clock;
    this.limitMs = limitMs;
  }

  /**
   * What `promise` comes to, if it does in time.
   *
   * @throws TooLate
   */
  inTime<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const since = this.clock.now();
      const wait: Wait = { since, expire: () => reject(new TooLate('No answer in time')) };
      this.waits.add(wait);
      if (this.timer === undefined) this.arm(this.limitMs);
      promise.then(
        value => {
          if (this.waits.delete(wait)) this.answeredSince = Math.max(this.answeredSince, since);
          resolve(value);
        },
        (error: unknown) => {
          this.waits.delete(wait);
          reject(error);
        },
      );
    });
  }

  /** True where nothing that was asked for at that time, or later, was answered in time. */
  isSilentSince(time: number): boolean {
    return this.answeredSince < time;
  }

  /** What is still waited for ends by itself. */
  close(): void {
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }

  private arm(delayMs: number): void {
    this.timer = this.clock.setTimeout(() => {
      // Where this process was busy for that long, the answers are there and were not read yet.
      setImmediate(() => this.sweep());
    }, delayMs);
  }

  private sweep(): void {
    this.timer = undefined;
    const now = this.clock.now();
    for (const wait of this.waits) {
      const leftMs = wait.since + this.limitMs - now;
      // A clock that was set back makes nobody wait for longer.
      if (leftMs > 0 && leftMs <= this.limitMs) {
        this.arm(leftMs);
        return;
      }
      this.waits.delete(wait);
      wait.expire();
    }
  }
}
