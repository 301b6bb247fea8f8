import type { QuotaWindow } from './quota-window.ts';

/** From this many entries on, events closer than `windowMs / COALESCE_FROM` share one. */
const COALESCE_FROM = 128;
const FIRST_CAPACITY = 4;
/** Beyond any provider's limit, and small enough for exact sums. */
const MAX_WEIGHT = 2 ** 50;
/** A clock that goes back further than this was set, by a person or by NTP; less is jitter, or a stale reading. */
const JITTER_MS = 60_000;

/**
 * Any span of `windowMs` holds at most `limit`. An exact log of events while they are few; a busy window merges
 * neighbours under the later time, so that memory is bounded (256 entries) and nothing is freed too early, nor more
 * than `windowMs / 128` too late. An idle window holds no log.
 */
export class SlidingWindow implements QuotaWindow {
  limit: number;
  readonly windowMs: number;
  /** A ring of (time, weight) pairs, oldest first; its capacity is a power of two. */
  #log: number[] | undefined;
  #head = 0;
  #count = 0;
  #total = 0;
  /** Time of the first event merged into the newest entry: an entry must not be extended for ever. */
  #newestSince = 0;
  #lastSeen = -Infinity;

  /** @throws RangeError when `windowMs` is not positive. */
  constructor(limit: number, windowMs: number) {
    if (!(windowMs > 0)) throw new RangeError(`A window must be longer than 0 ms, got ${windowMs}`);
    this.limit = limit;
    this.windowMs = windowMs;
  }

  used(now: number): number {
    this.#advance(now);
    return this.#total;
  }

  availableAt(weight: number, now: number): number {
    if (weight > this.limit) return Infinity;
    this.#advance(now);
    let excess = this.#total + weight - this.limit;
    if (excess <= 0) return now;
    const log = this.#log;
    if (log === undefined) return Infinity;
    const mask = log.length / 2 - 1;
    const newest = this.#head + this.#count - 1;
    let index = this.#head;
    // The newest entry always suffices, whatever rounding leaves of the excess: the weight fits an empty window.
    while (index < newest) {
      excess -= log[(index & mask) * 2 + 1]!;
      if (excess <= 0) break;
      index++;
    }
    return log[(index & mask) * 2]! + this.windowMs;
  }

  add(weight: number, now: number): void {
    this.#record(this.#advance(now), weight > 0 ? Math.min(weight, MAX_WEIGHT) : 0);
  }

  adjust(at: number, delta: number, now: number): void {
    if (!(delta < 0 || delta > 0)) return;
    const time = this.#advance(now);
    if (at + this.windowMs <= time) return;
    const index = this.#indexFrom(at);
    if (index === this.#head + this.#count) {
      if (delta > 0) this.#record(Math.min(at, time), Math.min(delta, MAX_WEIGHT));
      return;
    }
    const log = this.#log!;
    const slot = (index & (log.length / 2 - 1)) * 2 + 1;
    const applied = Math.min(Math.max(delta, -log[slot]!), MAX_WEIGHT);
    log[slot]! += applied;
    this.#total = Math.max(0, this.#total + applied);
  }

  lower(to: number, now: number): void {
    this.#advance(now);
    const log = this.#log;
    if (log === undefined) return;
    const mask = log.length / 2 - 1;
    let excess = this.#total - Math.max(0, to);
    for (let index = this.#head; excess > 0 && index < this.#head + this.#count; index++) {
      const slot = (index & mask) * 2 + 1;
      const taken = Math.min(excess, log[slot]!);
      log[slot]! -= taken;
      excess -= taken;
      this.#total = Math.max(0, this.#total - taken);
    }
  }

  entries(now: number): number[] {
    this.#advance(now);
    const log = this.#log;
    const entries: number[] = [];
    if (log === undefined) return entries;
    const mask = log.length / 2 - 1;
    for (let index = this.#head; index < this.#head + this.#count; index++) {
      const slot = (index & mask) * 2;
      if (log[slot + 1]! > 0) entries.push(log[slot]!, log[slot + 1]!);
    }
    return entries;
  }

  restore(entries: readonly number[], now: number): void {
    this.#log = undefined;
    this.#head = 0;
    this.#count = 0;
    this.#total = 0;
    let time = -Infinity;
    for (let slot = 0; slot + 1 < entries.length; slot += 2) {
      time = Math.max(time, Math.min(entries[slot]!, now));
      const weight = Math.min(Math.max(0, entries[slot + 1]!), MAX_WEIGHT);
      this.#total += weight;
      this.#push(time, weight);
    }
    this.#lastSeen = now;
  }

  /** Index of the first entry not before `time`: the one that took in what was added then. */
  #indexFrom(time: number): number {
    let low = this.#head;
    let high = low + this.#count;
    const log = this.#log;
    if (log === undefined) return high;
    const mask = log.length / 2 - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (log[(middle & mask) * 2]! < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Brings the log up to `now` and returns its time, which never goes back by what may be jitter. */
  #advance(now: number): number {
    const time = this.#timeAt(now);
    const log = this.#log;
    if (log === undefined || log[this.#head * 2]! + this.windowMs > time) return time;
    const mask = log.length / 2 - 1;
    do {
      this.#total -= log[this.#head * 2 + 1]!;
      this.#head = (this.#head + 1) & mask;
      this.#count--;
    } while (this.#count > 0 && log[this.#head * 2]! + this.windowMs <= time);
    if (this.#count === 0) {
      this.#log = undefined;
      this.#head = 0;
      this.#total = 0;
    } else {
      // Sums of fractions round.
      this.#total = Math.max(0, this.#total);
    }
    return time;
  }

  #timeAt(now: number): number {
    const back = this.#lastSeen - now;
    if (back > 0) {
      if (back <= this.windowMs || back <= JITTER_MS) return this.#lastSeen;
      // Waiting for a clock that was set back would stall the window for as long: the log goes back with it.
      if (this.#log !== undefined) for (let slot = 0; slot < this.#log.length; slot += 2) this.#log[slot]! -= back;
      this.#newestSince -= back;
    }
    this.#lastSeen = now;
    return now;
  }

  /** `time` is not before that of the newest entry. A weight of 0 is recorded too: its settlement may add to it. */
  #record(time: number, weight: number): void {
    this.#total += weight;
    const log = this.#log;
    if (log !== undefined) {
      const newest = ((this.#head + this.#count - 1) & (log.length / 2 - 1)) * 2;
      const merges = log[newest] === time
        || (this.#count >= COALESCE_FROM && time - this.#newestSince < this.windowMs / COALESCE_FROM);
      if (merges) {
        log[newest] = time;
        log[newest + 1]! += weight;
        return;
      }
    }
    this.#push(time, weight);
  }

  #push(time: number, weight: number): void {
    let log = this.#log ??= arrayOf(FIRST_CAPACITY);
    let capacity = log.length / 2;
    if (this.#count === capacity) {
      const grown = arrayOf(capacity * 2);
      const first = this.#head * 2;
      for (let slot = 0; slot < log.length; slot++) grown[slot] = log[(first + slot) & (log.length - 1)]!;
      this.#head = 0;
      this.#log = log = grown;
      capacity *= 2;
    }
    const slot = ((this.#head + this.#count) & (capacity - 1)) * 2;
    log[slot] = time;
    log[slot + 1] = weight;
    this.#count++;
    this.#newestSince = time;
  }
}

/** A plain array: of doubles, it takes less than half of a typed array's memory, and is one step less away. */
function arrayOf(pairs: number): number[] {
  // Not a whole number: it decides that the engine stores numbers side by side, and not pointers to them.
  return new Array<number>(pairs * 2).fill(0.5);
}
