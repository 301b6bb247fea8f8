import { DAY_MS, HOUR_MS, MINUTE_MS } from '../faults/durations.ts';
import { Crowding } from './crowding.ts';
import { Guess, type GuessForm } from './guess.ts';
import { Trials } from './trials.ts';

/** Providers state limits by these times. The shortest that accounts for what is seen holds. */
const USUAL_WINDOWS_MS = [MINUTE_MS, HOUR_MS, DAY_MS];
/** A sliding window passes no limit of the other form, so it goes first. */
const FORMS: readonly GuessForm[] = ['sliding', 'clock'];
const STALE_MS = 2 * DAY_MS;
/** The first request of a new window goes alone, for so long at most. */
const ALONE_MS = 5000;
/** More are not remembered: those that were under way together. */
const MOST_REFUSED = 64;

/** What was counted when a lease was taken, for each guess. */
export interface Counted {
  readonly by: Inference;
  readonly counts: readonly number[];
  /** Attempts under way beside it. */
  readonly others: number;
}

/** A lease, as far as it matters here. */
export interface CountedLease {
  readonly at: number;
  readonly ordinal: number;
  readonly counted: Counted | undefined;
}

/** An inferred limit as plain data. */
export interface InferredData {
  readonly limit: number;
  readonly windowMs: number;
  readonly form: GuessForm;
  readonly window: readonly number[];
}

/** What calls are held to. */
interface Held {
  readonly guess: Guess;
  readonly trials: Trials;
}

/**
 * The limit of a provider that says nothing but 429, from the contrast of what it lets through and what it refuses. It
 * begins with the first refusal; until it knows, nothing is held back by it.
 */
export class Inference {
  private readonly guesses: readonly Guess[];
  private readonly crowding: Crowding;
  private held: Held | undefined = undefined;
  /** A window has begun anew after one that was used up, and nobody has been answered in it: until then. */
  private aloneUntil = -Infinity;
  private wasFull = false;
  private refusedAt: number;
  /** Leases that were refused of late. */
  private readonly refusals: { readonly ordinal: number; readonly at: number }[] = [];

  constructor(now: number) {
    this.refusedAt = now;
    this.crowding = new Crowding(now);
    this.guesses = USUAL_WINDOWS_MS.flatMap(windowMs => FORMS.map(form => new Guess(form, windowMs, now)));
  }

  static restore({ limit, windowMs, form, window }: InferredData, now: number): Inference {
    const inference = new Inference(now);
    const guess = inference.guesses.find(each => each.windowMs === windowMs && each.form === form);
    if (guess && limit >= 1) {
      guess.restore(limit, window, now);
      inference.hold(now);
    }
    return inference;
  }

  /** Undefined while nothing is inferred. */
  get limit(): number | undefined {
    return this.held?.guess.limit;
  }

  get windowMs(): number | undefined {
    return this.held?.guess.windowMs;
  }

  /** Nothing was refused for so long that no limit is in the way. */
  isStale(now: number): boolean {
    return now - this.refusedAt > STALE_MS;
  }

  left(now: number): number | undefined {
    return this.held && Math.max(0, this.held.guess.limit - this.held.guess.window.used(now));
  }

  /** True where an answer that is awaited may show that there is room. */
  isAsking(now: number): boolean {
    return now < this.aloneUntil || this.held?.trials.isUnderWay(now) === true;
  }

  availableAt(now: number): number {
    const { held } = this;
    if (!held) return now;
    if (now < this.aloneUntil) return this.aloneUntil;
    const at = held.guess.window.availableAt(1, now);
    return at <= now ? now : held.trials.availableBefore(at, now);
  }

  /** What has been sent so far, for {@link answered} and {@link refused} to be held against. */
  counted(others: number, now: number): Counted {
    return { by: this, counts: this.guesses.map(({ window }) => window.used(now)), others };
  }

  take(now: number): void {
    const { held } = this;
    if (held) {
      const { form, limit, window } = held.guess;
      const used = window.used(now);
      if (used >= limit) held.trials.begin(now);
      if (form === 'clock' && used === 0 && this.wasFull) this.aloneUntil = now + ALONE_MS;
      this.wasFull = used + 1 >= limit;
      held.trials.taken(now);
    }
    for (const { window } of this.guesses) window.add(1, now);
  }

  adjust(requests: number, at: number, now: number): void {
    for (const { window } of this.guesses) window.adjust(at, requests, now);
  }

  /** True where there may be more room than there was. */
  answered(lease: CountedLease, now: number): boolean {
    const counts = this.countsOf(lease);
    const { held, limit } = this;
    const wasAlone = now < this.aloneUntil;
    this.crowding.admitted(lease.counted?.others ?? 0, now);
    this.aloneUntil = -Infinity;
    for (const [index, guess] of this.guesses.entries()) {
      const count = counts[index]!;
      if (guess === held?.guess && count >= guess.limit && held.trials.isOf(lease.at)) guess.raise(count + held.trials.succeeded(now));
      guess.admitted(count, lease.at, now);
    }
    this.hold(now);
    return wasAlone || this.held !== held || this.limit !== limit;
  }

  /** True where a limit accounts for it, and holds back what comes. */
  refused(lease: CountedLease, now: number): boolean {
    const counts = this.countsOf(lease);
    this.adjust(-1, lease.at, now);
    if (this.refusals.length >= MOST_REFUSED) this.refusals.shift();
    this.refusals.push({ ordinal: lease.ordinal, at: now });
    this.crowding.refused(lease.counted?.others ?? 0);
    this.refusedAt = now;
    const begun = now < this.aloneUntil ? this.held?.guess : undefined;
    const waitMs = begun && counts[this.guesses.indexOf(begun)] === 0 ? begun.postponed() : undefined;
    if (waitMs !== undefined) {
      this.aloneUntil = now + waitMs;
      this.wasFull = true;
      return true;
    }
    this.aloneUntil = -Infinity;
    // What was sent later may have arrived before it.
    const explained = this.guesses.map((guess, index) => guess.refused(Math.max(counts[index]!, guess.window.used(now)), now));
    this.hold(now);
    const { held } = this;
    if (!held) return false;
    held.trials.refused(now);
    return explained[this.guesses.indexOf(held.guess)]!;
  }

  setBack(byMs: number): void {
    this.aloneUntil -= byMs;
    this.refusedAt -= byMs;
    this.held?.trials.setBack(byMs);
    this.crowding.setBack(byMs);
    for (const guess of this.guesses) guess.setBack(byMs);
  }

  snapshot(now: number): InferredData | undefined {
    if (!this.held) return undefined;
    const { form, limit, window, windowMs } = this.held.guess;
    return { limit, windowMs, form, window: window.entries(now) };
  }

  /** The shortest window that enough speaks for. */
  private hold(now: number): void {
    const best = this.guesses.find(({ isProven }) => isProven) ?? this.guesses.find(({ isLikely }) => isLikely);
    const guess = this.crowding.isLikely ? undefined : best;
    if (guess !== this.held?.guess) {
      this.held = guess && { guess, trials: new Trials(guess.windowMs, now) };
      // It was found by what was refused in it.
      this.wasFull = true;
    }
    if (guess?.isProven) this.held?.trials.proven(now);
  }

  /** Those that were under way when it was taken, and were refused, were not counted by the provider. */
  private countsOf({ at, counted, ordinal }: CountedLease): readonly number[] {
    const refused = this.refusals.filter(each => each.ordinal < ordinal && each.at >= at).length;
    return this.guesses.map((_, index) => Math.max(0, (counted?.counts[index] ?? 0) - refused));
  }
}

