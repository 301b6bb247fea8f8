import type { Clock } from '../../src/clock.ts';

/** A clock that stands still until it is told to move on. */
export class ManualClock implements Clock {
  private time: number;
  private readonly timers = new Map<object, { readonly at: number; readonly callback: () => void }>();

  constructor(time = 0) {
    this.time = time;
  }

  get pending(): number {
    return this.timers.size;
  }

  now(): number {
    return this.time;
  }

  setTimeout(callback: () => void, delayMs: number): object {
    const handle = {};
    this.timers.set(handle, { at: this.time + delayMs, callback });
    return handle;
  }

  clearTimeout(handle: unknown): void {
    this.timers.delete(handle as object);
  }

  advance(ms: number): void {
    this.time += ms;
    for (const [handle, { at, callback }] of this.timers) {
      if (at > this.time) continue;
      this.timers.delete(handle);
      callback();
    }
  }
}
