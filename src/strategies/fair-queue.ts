import { IndexedHeap } from '../keys/indexed-heap.ts';

/** The smallest share beside the heaviest weight: 1 to about 1e9. */
const MIN_SHARE = 2 ** -30;
/** Virtual time starts over from 0 here, long before adding to it loses precision. */
const REBASE_AT = 2 ** 26;
/** What rounding may have cost: a turn must not be missed for it. */
const ROUNDING = 2 ** -20;

interface Member {
  readonly position: number;
  weight: number;
  /** Virtual time between two turns: the inverse of the share. */
  stride: number;
  /** Virtual time at which the next turn begins; it ought to be over by `start + stride`. */
  start: number;
  /** Count of turns when the member was removed. */
  leftAfter: number;
}

/**
 * Turns in exact proportion to weights, interleaved as evenly as can be: stride scheduling in its worst-case fair
 * form (WF2Q). Of the members whose next turn has begun, the one due first is next; so a heavy member cannot run ahead
 * of its share and a light one is never flooded. O(log n).
 */
export class FairQueue {
  readonly #members: (Member | undefined)[] = [];
  readonly #begun = new IndexedHeap<Member>(byDue);
  readonly #waiting = new IndexedHeap<Member>(byStart);
  #virtualTime = 0;
  /** A power of two, so that dividing by it is exact; shares are weights in units of it. */
  #unit = 0;
  #shares = 0;
  /** Shares of members removed since the last turn: most are put back before the next one. */
  #sharesLeaving = 0;
  #turns = 0;

  get size(): number {
    return this.#begun.size + this.#waiting.size;
  }

  /** Adds a member, or changes its weight. `weight` is greater than 0. */
  add(position: number, weight: number): void {
    const finite = Math.min(weight, Number.MAX_VALUE);
    if (finite >= this.#unit * 2) this.#startOver(finite);
    let member = this.#members[position];
    if (member === undefined) {
      member = { position, weight: finite, stride: 1, start: this.#virtualTime, leftAfter: 0 };
      while (this.#members.length <= position) this.#members.push(undefined);
      this.#members[position] = member;
    } else if (this.#take(member)) {
      this.#shares -= 1 / member.stride;
    } else if (member.leftAfter === this.#turns) {
      this.#sharesLeaving = Math.max(0, this.#sharesLeaving - 1 / member.stride);
    } else if (member.leftAfter < this.#turns - 1) {
      // Who stood aside for one turn keeps its place. Who was away for longer makes up for nothing.
      member.start = Math.max(member.start, this.#virtualTime);
    }
    member.weight = finite;
    member.stride = this.#strideOf(finite);
    // A lighter weight, or a virtual time that has started over meanwhile, would leave it far behind.
    member.start = Math.min(member.start, this.#virtualTime + 2 * member.stride);
    this.#shares += 1 / member.stride;
    this.#put(member);
  }

  remove(position: number): void {
    const member = this.#members[position];
    if (member === undefined || !this.#take(member)) return;
    this.#shares = this.size === 0 ? 0 : this.#shares - 1 / member.stride;
    this.#sharesLeaving += 1 / member.stride;
    member.leftAfter = this.#turns;
  }

  /** Position of the member whose turn is next. */
  next(): number | undefined {
    return (this.#begun.peek() ?? this.#waiting.peek())?.position;
  }

  /** Negative when the turn of the member at `a` comes before that of the member at `b`; strangers come last. */
  compare(a: number, b: number): number {
    const [first, second] = [this.#members[a], this.#members[b]];
    if (first === undefined || second === undefined) return Number(first === undefined) - Number(second === undefined);
    const begun = this.#hasBegun(first);
    if (begun !== this.#hasBegun(second)) return begun ? -1 : 1;
    return begun ? byDue(first, second) : byStart(first, second);
  }

  /** The member has had a turn, whether or not it was the next. */
  serve(position: number): void {
    const member = this.#members[position];
    if (member === undefined) return;
    const present = this.#take(member);
    // Never binding while turns are taken in order. Otherwise no credit or debt beyond two turns is carried over.
    const earliest = this.#virtualTime - 2 * member.stride;
    const latest = this.#virtualTime + member.stride;
    member.start = Math.min(Math.max(member.start, earliest), latest) + member.stride;
    const nobodyAside = this.#sharesLeaving === 0;
    // Adding and subtracting shares rounds; every member has at least the smallest.
    const shares = Math.max(this.#shares + this.#sharesLeaving, this.size * MIN_SHARE);
    if (shares > 0) this.#virtualTime += 1 / shares;
    this.#sharesLeaving = 0;
    this.#turns++;
    if (present) this.#put(member);
    if (nobodyAside && this.#begun.size === 0) {
      this.#virtualTime = Math.max(this.#virtualTime, this.#waiting.peek()?.start ?? 0);
    }
    for (let first = this.#waiting.peek(); first !== undefined; first = this.#waiting.peek()) {
      if (!this.#hasBegun(first)) break;
      this.#waiting.pop();
      this.#begun.push(first);
    }
    if (this.#virtualTime > REBASE_AT) this.#rebase();
  }

  #hasBegun(member: Member): boolean {
    return member.start <= this.#virtualTime + ROUNDING;
  }

  #put(member: Member): void {
    (this.#hasBegun(member) ? this.#begun : this.#waiting).push(member);
  }

  #take(member: Member): boolean {
    return this.#begun.remove(member) || this.#waiting.remove(member);
  }

  #strideOf(weight: number): number {
    return 1 / Math.max(weight / this.#unit, MIN_SHARE);
  }

  #takeAll(): Member[] {
    const members = [...this.#begun, ...this.#waiting];
    for (const member of members) this.#take(member);
    return members;
  }

  /** A weight of another magnitude changes every share, so that all begin level. */
  #startOver(heaviest: number): void {
    this.#unit = 2 ** Math.floor(Math.log2(heaviest));
    this.#virtualTime = 0;
    this.#shares = 0;
    this.#sharesLeaving = 0;
    for (const member of this.#members) if (member !== undefined) member.start = 0;
    for (const member of this.#takeAll()) {
      member.stride = this.#strideOf(member.weight);
      this.#shares += 1 / member.stride;
      this.#put(member);
    }
  }

  #rebase(): void {
    const members = this.#takeAll();
    this.#shares = 0;
    for (const member of members) {
      member.start -= this.#virtualTime;
      this.#shares += 1 / member.stride;
    }
    this.#virtualTime = 0;
    for (const member of members) this.#put(member);
  }
}

function byDue(a: Member, b: Member): number {
  return (a.start + a.stride) - (b.start + b.stride) || a.position - b.position;
}

function byStart(a: Member, b: Member): number {
  return a.start - b.start || a.position - b.position;
}
