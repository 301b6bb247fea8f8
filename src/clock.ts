/** A timer that can be taken back with {@link Clock.clearTimeout}. */
export type TimerHandle = unknown;

/** Where the guard reads time and sets timers, so that tests and simulations bring their own. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Runs `callback` once, `delayMs` from now. `background` timers do not keep the process alive. */
  setTimeout(callback: () => void, delayMs: number, background?: boolean): TimerHandle;
  clearTimeout(handle: TimerHandle): void;
}

/** A uniform random number in [0, 1). */
export type Random = () => number;

/** Node's longest timer; a longer delay would fire at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

// Date and setTimeout are looked up at each use, so that fake timers installed later are seen.
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout(callback, delayMs, background) {
    const timer = setTimeout(callback, Math.min(Math.max(0, delayMs), LONGEST_TIMER_MS));
    if (background) timer.unref();
    return timer;
  },
  clearTimeout(handle) {
    clearTimeout(handle as NodeJS.Timeout);
  },
};
