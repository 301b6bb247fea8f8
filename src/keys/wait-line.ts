import type { Clock, TimerHandle } from '../clock.ts';

/** How a wait ended: the waiter may try again, or its time is up. */
export type WaitEnd = 'try' | 'expired';

/** Why a waiter could not go on when it last tried. */
export interface Obstruction {
  /** Epoch ms: it may try again then. */
  readonly at: number;
  /** {@link WaitLine.announced} when it tried; now where absent. What was announced since is news to it. */
  readonly seen?: number | undefined;
}

/** A place in the line, kept over several tries. */
export interface Place {
  /** Resolves when it is this waiter's turn to try, or when its limit has come. */
  wait(obstruction: Obstruction): Promise<WaitEnd>;
  /**
   * The waiter must wait for something else before it can try. Those behind it come first meanwhile, but for those
   * that would have to wait for the same.
   */
  stepAside(): void;
  /** The waiter is through, or has given up: the next one may try. */
  leave(): void;
}

/** Waiters that want the same: where one of them cannot go on, none can. */
interface Kind {
  waiters: number;
  blockedUntil: number;
  seen: number;
}

/** Told the time before anything is decided by it; `due`: what it should be at least. */
type Look = (now: number, due?: number) => void;

/** A timer that is due later is set again. */
const LONGEST_TIMER_MS = 86_400_000;

/** What a waiter is after. */
export interface Aim {
  /** What it may have to wait at on its way to try. */
  readonly gateway?: object | undefined;
  readonly model?: string | undefined;
  /** When it came, if that is not now. */
  readonly since?: number | undefined;
}

interface Waiter {
  readonly kindName: unknown;
  readonly kind: Kind;
  readonly gateway: object | undefined;
  readonly model: string | undefined;
  readonly priority: number;
  readonly since: number;
  limitAt: number;
  /** Set while it waits; not while it tries. */
  resolve: ((end: WaitEnd) => void) | undefined;
  /** It has been woken, and waits at its gateway. */
  isAside: boolean;
}

/**
 * Calls waiting for something that comes back at a known time or when another call settles. One timer for
 * all of them, none while nobody waits. They are woken one at a time, in order, each after the one before
 * has tried: a key that comes back wakes one call, not a hundred.
 */
export class WaitLine {
  private readonly clock: Clock;
  private readonly look: Look | undefined;
  /** In order of priority, then of when they came. */
  private readonly waiters: Waiter[] = [];
  private readonly kinds = new Map<unknown, Kind>();
  /** How many ask for each. */
  private readonly models = new Map<string | undefined, number>();
  private announcements = 0;
  /** No waiter before it has a reason to try. */
  private cursor = 0;
  private trying: Waiter | undefined;
  /** Where somebody stands aside. */
  private readonly occupied = new Set<object>();
  private tryingSince = 0;
  /** No waiter's limit comes before. */
  private nextLimitAt = Infinity;
  private timer: TimerHandle;
  private timerAt = Infinity;

  constructor(clock: Clock, look?: Look) {
    this.clock = clock;
    this.look = look;
  }

  get size(): number {
    return this.waiters.length;
  }

  /** How often something was announced. */
  get announced(): number {
    return this.announcements;
  }

  /** The models that those in the line ask for. */
  get wanted(): Iterable<string | undefined> {
    return this.models.keys();
  }

  /** @param kindName the same for all who want the same, of whatever type */
  join(priority: number, limitAt: number, kindName?: unknown, { gateway, model, since = this.clock.now() }: Aim = {}): Place {
    this.models.set(model, (this.models.get(model) ?? 0) + 1);
    let kind = this.kinds.get(kindName);
    if (!kind) this.kinds.set(kindName, (kind = { waiters: 0, blockedUntil: -Infinity, seen: 0 }));
    kind.waiters++;
    const waiter: Waiter = { kindName, kind, gateway, model, priority, since, limitAt, resolve: undefined, isAside: false };
    let index = this.waiters.length;
    while (index > 0 && comesAfter(this.waiters[index - 1]!, waiter)) index--;
    this.waiters.splice(index, 0, waiter);
    this.cursor = Math.min(this.cursor, index);
    return {
      wait: obstruction => new Promise(resolve => this.wait(waiter, obstruction, resolve)),
      stepAside: () => this.stepAside(waiter),
      leave: () => this.leave(waiter),
    };
  }

  /** Something has settled or changed: whoever waits may try. */
  announce(): void {
    this.announcements++;
    if (this.waiters.length === 0) return;
    this.cursor = 0;
    this.advance();
  }

  /** The clock was set back by so much: nobody waits longer for it. */
  setBack(byMs: number): void {
    for (const kind of this.kinds.values()) kind.blockedUntil -= byMs;
    for (const waiter of this.waiters) waiter.limitAt -= byMs;
    this.nextLimitAt -= byMs;
    this.stopTimer();
    this.cursor = 0;
  }

  close(): void {
    this.stopTimer();
  }

  private wait(waiter: Waiter, { at, seen = this.announcements }: Obstruction, resolve: (end: WaitEnd) => void): void {
    const { kind } = waiter;
    waiter.resolve = resolve;
    this.nextLimitAt = Math.min(this.nextLimitAt, waiter.limitAt);
    // Who has not just tried knows no more than those of its kind who wait already.
    if (waiter === this.trying || waiter.isAside || kind.waiters === 1) {
      kind.blockedUntil = at;
      kind.seen = seen;
    }
    this.endTurn(waiter);
    this.advance();
  }

  private leave(waiter: Waiter): void {
    const index = this.waiters.indexOf(waiter);
    if (index < 0) return;
    this.waiters.splice(index, 1);
    if (index < this.cursor) this.cursor--;
    if (--waiter.kind.waiters === 0) this.kinds.delete(waiter.kindName);
    const others = (this.models.get(waiter.model) ?? 1) - 1;
    if (others > 0) this.models.set(waiter.model, others);
    else this.models.delete(waiter.model);
    waiter.resolve = undefined;
    this.endTurn(waiter);
    if (this.waiters.length === 0) this.stopTimer();
    else this.advance();
  }

  private stepAside(waiter: Waiter): void {
    if (waiter !== this.trying) return;
    this.trying = undefined;
    waiter.isAside = true;
    if (waiter.gateway) this.occupied.add(waiter.gateway);
    this.advance();
  }

  private endTurn(waiter: Waiter): void {
    if (waiter === this.trying) this.trying = undefined;
    if (!waiter.isAside) return;
    waiter.isAside = false;
    if (waiter.gateway) this.occupied.delete(waiter.gateway);
    // Those it held up may stand anywhere.
    this.cursor = 0;
  }

  private advance(): void {
    const now = this.clock.now();
    this.look?.(now);
    // The timer is due and has not run yet: those before the cursor may try as well, and come first.
    if (now >= this.timerAt) this.cursor = 0;
    for (; !this.trying && this.cursor < this.waiters.length; this.cursor++) {
      const waiter = this.waiters[this.cursor]!;
      if (!waiter.resolve || !this.mayTry(waiter, now)) continue;
      this.trying = waiter;
      this.tryingSince = now;
      release(waiter, 'try');
      break;
    }
    if (this.nextLimitAt <= now) this.expire(now);
    this.arm(now);
  }

  private mayTry({ kind, gateway }: Waiter, now: number): boolean {
    if (gateway && this.occupied.has(gateway)) return false;
    return kind.blockedUntil <= now || kind.seen < this.announcements;
  }

  /** A waiter whose turn is about to come has it first, even at the last moment. */
  private expire(now: number): void {
    this.nextLimitAt = Infinity;
    for (const waiter of this.waiters) {
      if (!waiter.resolve) continue;
      const isNext = this.tryingSince === now && this.mayTry(waiter, now);
      if (waiter.limitAt <= now && !isNext) release(waiter, 'expired');
      else this.nextLimitAt = Math.min(this.nextLimitAt, waiter.limitAt);
    }
  }

  /** The timer may fire too early, as waiters leave; never too late. */
  private arm(now: number): void {
    let at = Math.max(this.nextLimitAt, now + 1);
    for (const { blockedUntil } of this.kinds.values()) if (blockedUntil > now && blockedUntil < at) at = blockedUntil;
    if (at >= this.timerAt) return;
    this.stopTimer();
    if (at === Infinity) return;
    this.timerAt = at;
    const delayMs = Math.min(at - now, LONGEST_TIMER_MS);
    this.timer = this.clock.setTimeout(() => {
      this.timerAt = Infinity;
      this.cursor = 0;
      // So late it would be, had nobody set the clock.
      this.look?.(this.clock.now(), now + delayMs);
      this.advance();
    }, delayMs);
  }

  private stopTimer(): void {
    this.clock.clearTimeout(this.timer);
    this.timer = undefined;
    this.timerAt = Infinity;
  }
}

function comesAfter(waiter: Waiter, { priority, since }: Waiter): boolean {
  return waiter.priority < priority || (waiter.priority === priority && waiter.since > since);
}

function release(waiter: Waiter, end: WaitEnd): void {
  const { resolve } = waiter;
  waiter.resolve = undefined;
  resolve?.(end);
}
