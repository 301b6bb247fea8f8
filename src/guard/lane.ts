import PQueue from 'p-queue';
import type { Clock, TimerHandle } from '../clock.ts';
import { Chain, type Link } from '../keys/chain.ts';
import type { Settle } from './interruption.ts';

export interface LaneSettings {
  /** Attempts at once. */
  readonly concurrency: number;
  /** Between the starts of two attempts. */
  readonly minDelayMs: number;
  /** An attempt older than this gives its slot away when others wait. */
  readonly stallMs: number;
}

/** Whose attempt holds a slot; the lane links those that do, oldest first. */
export interface SlotHolder {
  holdsSlot: boolean;
  /** Epoch ms. */
  slotTakenAt: number;
  olderHolder: SlotHolder | undefined;
  newerHolder: SlotHolder | undefined;
}

/** A call in the waiting room. Emptied when it leaves: the queue finds out later. */
interface Waiter extends Link<Waiter> {
  readonly priority: number;
  begin: (() => void) | undefined;
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
  /** In order of arrival; the queue may still hold others, which have left. */
  private readonly waiters = new Chain<Waiter>();
  private lastStartAt = -Infinity;
  private timer: TimerHandle;
  private timerAt = Infinity;
  private oldest: SlotHolder | undefined;
  private newest: SlotHolder | undefined;

  constructor(settings: LaneSettings, clock: Clock) {
    this.settings = settings;
    this.clock = clock;
  }

  configure(settings: LaneSettings): void {
    this.settings = settings;
    this.admit();
  }

  /** True where a call that comes now could not start at once. */
  get isBusy(): boolean {
    return this.isQueued || !this.hasRoom(this.clock.now());
  }

  /** Takes a slot if one is free and nobody is before. */
  enter(holder: SlotHolder, now: number): boolean {
    if (this.isQueued || !this.hasRoom(now)) return false;
    this.start(holder, now);
    return true;
  }

  /** Resolves when the holder has a slot. Returns the way to leave the queue. */
  wait(holder: SlotHolder, priority: number, settle: Settle<undefined>): () => void {
    const queue = (this.queue ??= new PQueue({ autoStart: false }));
    const queuedAt = this.clock.now();
    const waiter: Waiter = {
      before: undefined,
      after: undefined,
      priority,
      begin: () => {
        this.waiters.delete(waiter);
        const now = this.clock.now();
        this.start(holder, now);
        this.totalWaitMs += Math.max(0, now - queuedAt);
        if (!this.hasRoom(now)) queue.pause();
        settle.resolve(undefined);
      },
    };
    this.waiters.add(waiter);
    enqueue(queue, waiter);
    this.admit();
    return () => this.giveUp(queue, waiter);
  }

  /** The attempt is over. */
  leave(holder: SlotHolder): void {
    if (!holder.holdsSlot) return;
    this.free(holder);
    this.admit();
  }

  private get isQueued(): boolean {
    return this.waiters.size > 0;
  }

  private hasRoom(now: number): boolean {
    return this.hasSlot(now) && now >= this.nextStartAt(now);
  }

  /** True where a slot is free, or would be without the attempts that have stalled. */
  private hasSlot(now: number): boolean {
    const { concurrency, stallMs } = this.settings;
    let left = this.running;
    let holder = this.oldest;
    while (holder && left >= concurrency && now - holder.slotTakenAt >= stallMs) {
      left--;
      holder = holder.newerHolder;
    }
    return left < concurrency;
  }

  private nextStartAt(now: number): number {
    // A clock that was set back would make the lane wait for the time it has lost.
    if (this.lastStartAt > now) this.lastStartAt = now;
    return this.lastStartAt + this.settings.minDelayMs;
  }

  private start(holder: SlotHolder, now: number): void {
    this.freeStalled(now);
    this.running++;
    this.lastStartAt = now;
    holder.holdsSlot = true;
    holder.slotTakenAt = now;
    holder.olderHolder = this.newest;
    if (this.newest) this.newest.newerHolder = holder;
    else this.oldest = holder;
    this.newest = holder;
  }

  private free(holder: SlotHolder): void {
    this.running--;
    const { olderHolder, newerHolder } = holder;
    if (olderHolder) olderHolder.newerHolder = newerHolder;
    else this.oldest = newerHolder;
    if (newerHolder) newerHolder.olderHolder = olderHolder;
    else this.newest = olderHolder;
    holder.olderHolder = holder.newerHolder = undefined;
    holder.holdsSlot = false;
  }

  /** Takes slots back from attempts that have stalled, as far as that makes room. They go on without one. */
  private freeStalled(now: number): void {
    const { concurrency, stallMs } = this.settings;
    while (this.oldest && this.running >= concurrency && now - this.oldest.slotTakenAt >= stallMs) {
      this.free(this.oldest);
    }
  }

  private giveUp(queue: PQueue, waiter: Waiter): void {
    waiter.begin = undefined;
    if (!this.waiters.delete(waiter)) return;
    if (this.waiters.size === 0) this.disarm();
    // Finding one in the queue takes a scan; once most of them have left, it is filled anew.
    if (queue.size <= 2 * this.waiters.size) return;
    queue.clear();
    for (const other of this.waiters) enqueue(queue, other);
  }

  /** Lets as many start as may, and sees to it that one timer is set for the rest, due when the next one may. */
  private admit(): void {
    const { queue } = this;
    if (!queue || this.waiters.size === 0) return;
    const now = this.clock.now();
    if (this.hasRoom(now)) {
      queue.start();
      queue.pause();
    }
    if (this.waiters.size === 0) this.disarm();
    else this.arm(now);
  }

  /** A timer that is due no later stays: it costs less to find nothing to do then than to set one per attempt. */
  private arm(now: number): void {
    const isFull = this.oldest !== undefined && this.running >= this.settings.concurrency;
    const at = isFull ? this.oldest!.slotTakenAt + this.settings.stallMs : this.nextStartAt(now);
    if (this.timerAt <= at) return;
    this.disarm();
    this.timerAt = at;
    this.timer = this.clock.setTimeout(() => {
      this.timer = undefined;
      this.timerAt = Infinity;
      this.admit();
    }, at - now);
  }

  private disarm(): void {
    if (this.timer === undefined) return;
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
    this.timerAt = Infinity;
  }
}

function enqueue(queue: PQueue, waiter: Waiter): void {
  void queue.add(() => waiter.begin?.(), { priority: waiter.priority });
}
