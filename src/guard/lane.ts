import PQueue from 'p-queue';
import type { Clock, TimerHandle } from '../clock.ts';
import type { Settle } from './interruption.ts';

export interface LaneSettings {
  /** Attempts at once. */
  readonly concurrency: number;
  /** Between the starts of two attempts. */
  readonly minDelayMs: number;
  /** An attempt older than this gives its slot away when others wait. */
  readonly stallMs: number;
}

/** An attempt that holds a slot. */
export interface SlotHolder {
  readonly startedAt: number;
  /** Ends the attempt; its slot is given to the next. */
  stall(stallMs: number): void;
}

/**
 * One provider's slots and spacing. A call that need not wait only counts; the queue is the waiting room
 * of the others, in order of priority. It holds no call that is running: it is paused whenever nobody may
 * start, so each task is the moment of starting and nothing more.
 */
export class Lane {
  settings: LaneSettings;
  /** Calls waiting for anything: a slot, their turn, a key, the end of a back-off. */
  waiting = 0;
  running = 0;
  processed = 0;
  totalWaitMs = 0;

  private readonly clock: Clock;
  private queue: PQueue | undefined;
  private nextStartAt = 0;
  private timer: TimerHandle;
  /** In order of their start. */
  private readonly holders = new Set<SlotHolder>();

  constructor(settings: LaneSettings, clock: Clock) {
    this.settings = settings;
    this.clock = clock;
  }

  configure(settings: LaneSettings): void {
    this.settings = settings;
    this.nextStartAt = Math.min(this.nextStartAt, this.clock.now() + settings.minDelayMs);
    this.admit();
  }

  /** True where a call that comes now could not start at once. */
  get isBusy(): boolean {
    return (this.queue !== undefined && this.queue.size > 0) || !this.hasRoom(this.clock.now());
  }

  /** Takes a slot if one is free and nobody is before. */
  enter(now: number): boolean {
    if ((this.queue !== undefined && this.queue.size > 0) || !this.hasRoom(now)) return false;
    this.start(now);
    return true;
  }

  /** Resolves when a slot was taken for the caller. Returns the way to leave the queue. */
  wait(priority: number, settle: Settle<void>): () => void {
    const queue = (this.queue ??= new PQueue({ autoStart: false }));
    const gone = new AbortController();
    const queuedAt = this.clock.now();
    queue
      .add(
        () => {
          const now = this.clock.now();
          this.start(now);
          this.totalWaitMs += now - queuedAt;
          if (!this.hasRoom(now)) queue.pause();
          settle.resolve();
        },
        { priority, signal: gone.signal },
      )
      .catch(() => {
        // Left the queue; the caller was told why.
      });
    this.admit();
    return () => {
      gone.abort();
    };
  }

  leave(): void {
    this.running--;
    this.admit();
  }

  hold(holder: SlotHolder): void {
    this.holders.add(holder);
  }

  unhold(holder: SlotHolder): void {
    this.holders.delete(holder);
  }

  close(): void {
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
    this.queue?.pause();
  }

  private hasRoom(now: number): boolean {
    return this.running < this.settings.concurrency && now >= this.nextStartAt;
  }

  private start(now: number): void {
    this.running++;
    this.processed++;
    if (this.settings.minDelayMs > 0) this.nextStartAt = now + this.settings.minDelayMs;
  }

  /** Lets as many start as may, and sets the one timer the rest wait for. */
  private admit(): void {
    const { queue } = this;
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
    if (!queue || queue.size === 0) return;
    const now = this.clock.now();
    if (this.hasRoom(now)) {
      queue.start();
      queue.pause();
      if (queue.size === 0) return;
    }
    const again = (): void => {
      this.timer = undefined;
      this.admit();
    };
    if (this.running < this.settings.concurrency) {
      this.timer = this.clock.setTimeout(again, this.nextStartAt - now);
      return;
    }
    const [oldest] = this.holders;
    if (!oldest) return;
    const stallAt = oldest.startedAt + this.settings.stallMs;
    if (stallAt <= now) oldest.stall(this.settings.stallMs);
    else this.timer = this.clock.setTimeout(again, stallAt - now, true);
  }
}
