import { ON_THE_WAY_MS } from '../state/on-the-way.ts';
import { SlidingWindow } from './sliding-window.ts';

/** Answers are held against what was counted when their requests were sent; so many are remembered. */
const REMEMBERED = 128;

interface Sent {
  readonly at: number;
  used: number;
}

/** A window of which answers tell how much is used: what is used of it by others counts, too. */
export class ToldWindow extends SlidingWindow {
  private readonly sent: Sent[] = [];

  constructor(limit: number, windowMs: number) {
    super(limit, windowMs + ON_THE_WAY_MS);
  }

  override add(weight: number, now: number): void {
    super.add(weight, now);
    if (this.sent.length >= REMEMBERED) this.sent.shift();
    this.sent.push({ at: now, used: this.used(now) });
  }

  /**
   * @param used as the answer says
   * @param at when its request was sent
   * @param sinceThen may have been counted after it, or not; undefined where answers to later requests have come
   */
  told(used: number, at: number, sinceThen: number | undefined, now: number): void {
    const counted = this.countedAt(at);
    const others = counted === undefined ? 0 : used - counted;
    if (others > 1 + used / 50) {
      super.add(others, now);
      for (const each of this.sent) each.used += others;
    } else if (sinceThen !== undefined && used + sinceThen < this.used(now) && this.wasAlone(at)) {
      this.lower(used + sinceThen, now);
    }
  }

  /** Of several that were sent together, nobody knows which were counted in the figure of one. */
  private wasAlone(at: number): boolean {
    return this.sent.filter(each => Math.abs(each.at - at) <= ON_THE_WAY_MS).length <= 1;
  }

  /** With what was sent right after it, which may have arrived before. Undefined where that is not remembered. */
  private countedAt(at: number): number | undefined {
    let most: number | undefined;
    for (let index = this.sent.length - 1; index >= 0; index--) {
      const each = this.sent[index]!;
      if (each.at > at + ON_THE_WAY_MS) continue;
      if (each.at < at) break;
      most = Math.max(most ?? 0, each.used);
    }
    return most;
  }
}
