import { PositionHeap } from './position-heap.ts';

/** The smallest share beside the heaviest weight: 1 to about 1e9. */
const MIN_SHARE = 2 ** -30;
/** Virtual time starts over from 0 here, long before adding to it loses precision. */
const REBASE_AT = 2 ** 26;

/**
 * Turns in exact proportion to weights, interleaved as evenly as can be: stride scheduling in its worst-case fair
 * form (WF2Q). Every member's next turn starts at a virtual time and is due one stride, the inverse of its share,
 * later. Of the turns that have started, the one due first is next; so a heavy member cannot run ahead of its share,
 * and a light one is never flooded. Members are known by position. O(log n).
 */
export class FairQueue {
  readonly #weights: number[] = [];
  readonly #strides: number[] = [];
  readonly #starts: number[] = [];
  /** Count of turns when the member was removed. */
  readonly #leftAfter: number[] = [];
  /** Members whose turn has started, by when it is due. */
  readonly #started = new PositionHeap();
  /** The others, by when it starts. */
  readonly #waiting = new PositionHeap();
  #virtualTime = 0;
  /** A power of two, so that dividing by it is exact; shares are weights in units of it. */
  #unit = 0;
  #shares = 0;
  /** Shares of members removed since the last turn: most are put back before the next one. */
  #sharesLeaving = 0;
  #turns = 0;

  get size(): number {
    return this.#started.size + this.#waiting.size;
  }

  /** Adds a member, or changes its weight. `weight` is greater than 0. */
  add(position: number, weight: number): void {
    const finite = Math.min(weight, Number.MAX_VALUE);
    if (finite >= this.#unit * 2) this.#startOver(finite);
    const now = this.#virtualTime;
    while (this.#weights.length <= position) {
      this.#weights.push(0);
      this.#strides.push(1);
      this.#starts.push(now);
      this.#leftAfter.push(-2);
    }
    let start = this.#starts[position]!;
    const share = 1 / this.#strides[position]!;
    const leftAfter = this.#leftAfter[position]!;
    if (this.#take(position)) {
      this.#shares -= share;
    } else if (leftAfter === this.#turns) {
      this.#sharesLeaving = Math.max(0, this.#sharesLeaving - share);
    } else if (leftAfter < this.#turns - 1) {
      // Who stood aside for one turn keeps its place. Who was away for longer makes up for nothing.
      start = Math.max(start, now);
    }
    const stride = this.#strideOf(finite);
    this.#weights[position] = finite;
    this.#strides[position] = stride;
    // A weight that has grown, or a virtual time that has started over meanwhile, would leave it far behind.
    this.#starts[position] = Math.min(start, now + 2 * stride);
    this.#shares += 1 / stride;
    this.#put(position);
  }

  remove(position: number): void {
    if (!this.#take(position)) return;
    const share = 1 / this.#strides[position]!;
    this.#shares = this.size === 0 ? 0 : this.#shares - share;
    this.#sharesLeaving += share;
    this.#leftAfter[position] = this.#turns;
  }

  /** Position of the member whose turn is next. */
  next(): number | undefined {
    return this.#started.peek() ?? this.#waiting.peek();
  }

  /** Negative when the turn of the member at `a` comes before that of the member at `b`; who is not in comes last. */
  compare(a: number, b: number): number {
    return this.#rank(a) - this.#rank(b) || this.#order(a) - this.#order(b) || a - b;
  }

  /** The member has had a turn, whether or not it was the next. */
  serve(position: number): void {
    const stride = this.#strides[position];
    if (stride === undefined) return;
    const present = this.#take(position);
    // Never binding while turns are taken in order. Otherwise no credit or debt beyond two turns is carried over.
    const earliest = this.#virtualTime - 2 * stride;
    const latest = this.#virtualTime + stride;
    this.#starts[position] = Math.min(Math.max(this.#starts[position]!, earliest), latest) + stride;

    const nobodyAside = this.#sharesLeaving === 0;
    const shares = this.#shares + this.#sharesLeaving;
    if (shares > 0) this.#virtualTime += 1 / shares;
    this.#sharesLeaving = 0;
    this.#turns++;
    if (present) this.#put(position);

    let first = this.#waiting.peek();
    // Virtual time has fallen behind by rounding, or by turns of members that are away.
    if (nobodyAside && first !== undefined && this.#started.size === 0) {
      this.#virtualTime = Math.max(this.#virtualTime, this.#starts[first]!);
    }
    while (first !== undefined && this.#hasStarted(first)) {
      this.#waiting.remove(first);
      this.#put(first);
      first = this.#waiting.peek();
    }
    if (this.#virtualTime > REBASE_AT) this.#rebase();
  }

  #hasStarted(position: number): boolean {
    return this.#starts[position]! <= this.#virtualTime;
  }

  #put(position: number): void {
    const start = this.#starts[position]!;
    if (this.#hasStarted(position)) this.#started.push(position, start + this.#strides[position]!);
    else this.#waiting.push(position, start);
  }

  #take(position: number): boolean {
    return this.#started.remove(position) || this.#waiting.remove(position);
  }

  #takeAll(): number[] {
    const positions = [...this.#started.positions(), ...this.#waiting.positions()];
    for (const position of positions) this.#take(position);
    return positions;
  }

  #rank(position: number): number {
    if (this.#started.has(position)) return 0;
    return this.#waiting.has(position) ? 1 : 2;
  }

  #order(position: number): number {
    const start = this.#starts[position] ?? 0;
    return this.#started.has(position) ? start + this.#strides[position]! : start;
  }

  #strideOf(weight: number): number {
    return 1 / Math.max(weight / this.#unit, MIN_SHARE);
  }

  /** A weight of another magnitude changes every share, so that all begin level. */
  #startOver(heaviest: number): void {
    const members = this.#takeAll();
    this.#unit = 2 ** Math.floor(Math.log2(heaviest));
    this.#virtualTime = 0;
    this.#shares = 0;
    this.#sharesLeaving = 0;
    this.#starts.fill(0);
    for (const position of members) {
      const stride = this.#strideOf(this.#weights[position]!);
      this.#strides[position] = stride;
      this.#shares += 1 / stride;
      this.#put(position);
    }
  }

  #rebase(): void {
    const members = this.#takeAll();
    this.#shares = 0;
    for (const position of members) {
      this.#starts[position]! -= this.#virtualTime;
      this.#shares += 1 / this.#strides[position]!;
    }
    this.#virtualTime = 0;
    for (const position of members) this.#put(position);
  }
}
