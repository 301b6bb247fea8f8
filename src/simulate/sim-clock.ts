import { setImmediate } from 'node:timers';
import type { Clock } from '../clock.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  callback: (() => void) | undefined;
}

/** Turns asked for at once: Node runs all promise callbacks between two of them, and its loop costs once. */
const TURNS = 64;

/** Time that jumps from one event to the next. Whatever an event sets off is over before the next one comes. */
export class SimClock implements Clock {
  private time: number;
  private readonly heap: Timer[] = [];
  private order = 0;

  constructor(startAt: number) {
    this.time = startAt;
  }

  now(): number {
    return this.time;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    return this.at(this.time + Math.max(0, delayMs), callback);
  }

  /** Runs it at that time, or next where that is over. */
  at(time: number, callback: () => void): Timer {
    const timer: Timer = { at: Math.max(time, this.time), order: this.order++, callback };
    this.heap.push(timer);
    this.rise(this.heap.length - 1);
    return timer;
  }

  clearTimeout(handle: unknown): void {
    // Taken out when it comes up: most are cleared long before.
    if (typeof handle === 'object' && handle !== null && 'callback' in handle) handle.callback = undefined;
  }

  /** Runs all that falls due until then, and stops there; earlier where nothing is left to be run. */
  async runUntil(end: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      let isOver = false;
      const turn = (isLast: boolean): void => {
        if (isOver) return;
        try {
          const next = this.take(end);
          if (next) next();
          else isOver = true;
        } catch (error) {
          isOver = true;
          reject(error);
        }
        if (isOver) resolve();
        else if (isLast) ask();
      };
      const ask = (): void => {
        for (let left = TURNS - 1; left >= 0; left--) setImmediate(turn, left === 0);
      };
      ask();
    });
    this.time = Math.max(this.time, end);
  }

  private take(end: number): (() => void) | undefined {
    for (let first = this.heap[0]; first && first.at <= end; first = this.heap[0]) {
      this.removeFirst();
      if (!first.callback) continue;
      this.time = first.at;
      return first.callback;
    }
    return undefined;
  }

  private rise(index: number): void {
    const { heap } = this;
    const timer = heap[index]!;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = timer;
  }

  private removeFirst(): void {
    const { heap } = this;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let index = 0;
    for (let child = 1; child < heap.length; child = 2 * index + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

/** Those of one time come in the order they were set in. */
function isBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
