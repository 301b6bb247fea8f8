import { ON_THE_WAY_MS } from '../state/on-the-way.ts';
import { DayWindow } from './day-window.ts';
import type { QuotaWindow } from './quota-window.ts';
import { SlidingWindow } from './sliding-window.ts';

/** Refusals at the same count that are no chance, with something let through in between. */
const ENOUGH = 2;
/** Refusals with room left that are one too many: something else refuses, or the limit is another one. */
const MOST_STRANGE = 3;

/** Clocks differ by no more; found out by trying again in half a second, then in twice as much each time. */
const MOST_LATE_MS = 4000;
const FIRST_LATE_MS = 500;

/** `sliding`: any so long a time; `clock`: one that begins on the clock, all of which comes back at once. */
export type GuessForm = 'sliding' | 'clock';

/**
 * One guess at what a silent provider counts: requests in a window of this length and form. It is held against what was
 * let through and what was refused. Where there is such a limit, it is never passed by what is let through, and always
 * reached by what is refused.
 */
export class Guess {
  readonly form: GuessForm;
  readonly windowMs: number;
  /** What was sent, and not refused. Its limit is infinite until there is one. */
  readonly window: QuotaWindow;
  /** From then on all of a window was counted. */
  private startsAt: number;
  /** With so many before them requests were refused. */
  private most = Infinity;
  private agreeing = 0;
  /** When the last of these was heard, and whether anything sent later was let through. */
  private agreedAt = -Infinity;
  private hasAdmitted = true;
  private strange = 0;
  /** So many were let through in one window, of late and before; what is older may have been under another limit. */
  private peak = 0;
  private peakBefore = 0;
  private peakSince: number;
  /** By so much the provider's clock is behind ours. */
  private lateMs = 0;

  /** @param now when counting begins: of what was sent before nothing is known */
  constructor(form: GuessForm, windowMs: number, now: number) {
    this.form = form;
    this.windowMs = windowMs;
    // The provider counts what arrives, so that its window ends a little after ours.
    const endOf = (time: number): number => startOf(time - this.lateMs, windowMs) + windowMs + this.lateMs + ON_THE_WAY_MS;
    this.window = form === 'sliding' ? new SlidingWindow(Infinity, windowMs + ON_THE_WAY_MS) : new DayWindow(Infinity, endOf);
    this.startsAt = form === 'sliding' ? now + windowMs : startOf(now, windowMs) + windowMs;
    this.peakSince = now;
  }

  /** Infinite where nothing speaks for one. */
  get limit(): number {
    return this.window.limit;
  }

  get isLikely(): boolean {
    return this.limit !== Infinity;
  }

  /** True where no chance has made it likely. */
  get isProven(): boolean {
    return this.agreeing >= ENOUGH;
  }

  /** A request of the time `at` was let through, that came after `count` others. */
  admitted(count: number, at: number, now: number): void {
    if (now - this.peakSince >= this.windowMs) {
      this.peakBefore = now - this.peakSince >= 2 * this.windowMs ? 0 : this.peak;
      this.peak = 0;
      this.peakSince = now;
    }
    this.peak = Math.max(this.peak, count + 1);
    if (this.isLater(at)) this.hasAdmitted = true;
    if (this.peak <= this.most + slackOf(this.most)) return;
    // A limit that was raised for it holds until a refusal speaks for another one.
    this.most = Infinity;
    this.agreeing = 0;
    if (this.peak > this.limit) this.forget();
  }

  /** A request was refused that came after `count` others. True where the limit accounts for it. */
  refused(count: number, now: number): boolean {
    if (now < this.startsAt) return false;
    if (count < 1 || count + slackOf(count) < Math.max(this.peak, this.peakBefore)) {
      if (!this.isProven || ++this.strange >= MOST_STRANGE) this.forget();
      return false;
    }
    if (count < this.most - slackOf(count)) this.agreeing = 0;
    if (this.hasAdmitted || this.agreeing === 0) this.agreeing++;
    this.hasAdmitted = false;
    this.agreedAt = now;
    this.most = Math.min(count, Math.max(this.most, this.peak));
    this.strange = 0;
    // A window of the clock that there is not would be stormed when it begins.
    if (this.isProven || this.form === 'sliding') this.window.limit = this.most;
    return this.isLikely;
  }

  /** More fits than was thought, and perhaps so much. */
  raise(to: number): void {
    this.window.limit = to;
  }

  /** The window has not begun yet where it should have. How long to wait; undefined where that cannot be the cause. */
  postponed(): number | undefined {
    const byMs = Math.max(FIRST_LATE_MS, this.lateMs);
    if (this.lateMs + byMs > MOST_LATE_MS) return undefined;
    this.lateMs += byMs;
    return byMs;
  }

  restore(limit: number, entries: readonly number[], now: number): void {
    this.most = this.window.limit = limit;
    this.agreeing = ENOUGH;
    this.window.restore(entries, now);
    this.startsAt = now;
  }

  setBack(byMs: number): void {
    this.peakSince -= byMs;
    this.startsAt -= byMs;
    this.agreedAt -= byMs;
  }

  /** Of one window of the clock all refusals agree. */
  private isLater(at: number): boolean {
    if (this.form === 'sliding') return at >= this.agreedAt;
    return startOf(at, this.windowMs) > startOf(this.agreedAt, this.windowMs);
  }

  private forget(): void {
    this.most = Infinity;
    this.window.limit = Infinity;
    this.agreeing = 0;
    this.strange = 0;
  }
}

function startOf(time: number, windowMs: number): number {
  return Math.floor(time / windowMs) * windowMs;
}

/** What comes and goes at the edges of a window is counted here a little earlier or later than there. */
function slackOf(count: number): number {
  return count === Infinity ? 0 : 1 + Math.floor(count / 50);
}
