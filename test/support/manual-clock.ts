import { setImmediate } from 'node:timers';
import type { Clock } from '../../src/clock.ts';

interface Timer {
  at: number;
  readonly callback: () => void;
  readonly background: boolean;
}

/** Time that moves only when a test says so. Timers run in order, each at its own time. */
export class ManualClock implements Clock {
  private time: number;
  private readonly timers = new Set<Timer>();

  constructor(startAt = Date.UTC(2026, 10, 20, 12)) {
    this.time = startAt;
  }

  now(): number {
    return this.time;
  }

  setTimeout(callback: () => void, delayMs: number, background = false): Timer {
    const timer = { at: this.time + Math.max(0, delayMs), callback, background };
    this.timers.add(timer);
    return timer;
  }

  clearTimeout(handle: unknown): void {
    for (const timer of this.timers) if (timer === handle) this.timers.delete(timer);
  }

  /** Timers that are set; those in the background are told apart, as they would not keep a process alive. */
  get pending(): { foreground: number; background: number } {
    const background = [...this.timers].filter(timer => timer.background).length;
    return { foreground: this.timers.size - background, background };
  }

  /** Moves time on, running each timer that falls due and what it sets off before the next one. */
  async advance(byMs: number): Promise<void> {
    const until = this.time + byMs;
    await settle();
    for (let next = this.earliest(); next && next.at <= until; next = this.earliest()) {
      this.timers.delete(next);
      this.time = Math.max(this.time, next.at);
      next.callback();
      await settle();
    }
    this.time = until;
    await settle();
  }

  /** Sets the time without running anything, as a person or NTP would. Timers take no notice. */
  set(time: number): void {
    for (const timer of this.timers) timer.at += time - this.time;
    this.time = time;
  }

  private earliest(): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.timers) if (!first || timer.at < first.at) first = timer;
    return first;
  }
}

/** Lets everything run that is ready to run: promise callbacks, and what they set off in turn. */
export function settle(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}
