/** What is kept in {@link Generations}. */
export interface Member {
  /** The generation it was last put into; the table's own. */
  generation: number;
  /** Not to be forgotten, whatever the size of the table. */
  readonly isHeld: boolean;
}

/**
 * A table that forgets what was not put into it for long. It has two generations of half its size: when the younger
 * is full it becomes the older, and those of the older are dropped. Whoever is dropped has seen half the table's size
 * of others come since it was last put. Nothing is sorted, nothing is moved one by one.
 */
export class Generations<M extends Member> {
  #max = 0;
  #half = 0;
  #present = 0;
  #young = new Map<string, M>();
  #old = new Map<string, M>();
  /** Those that are held, of the generations before. */
  readonly #held = new Map<string, M>();

  /** @param max members at most beside those that are held; at least 1 */
  constructor(max: number) {
    this.resize(max);
  }

  get(key: string): M | undefined {
    return this.#young.get(key) ?? this.#old.get(key) ?? (this.#held.size > 0 ? this.#held.get(key) : undefined);
  }

  /** Adds the member, or makes one that is in already as young as if it were new. */
  put(key: string, member: M): void {
    if (member.generation === this.#present) return;
    if (member.generation > 0) this.delete(key);
    if (this.#young.size >= this.#half) this.#turn();
    member.generation = this.#present;
    this.#young.set(key, member);
  }

  delete(key: string): boolean {
    return this.#young.delete(key) || this.#old.delete(key) || this.#held.delete(key);
  }

  clear(): void {
    this.#present++;
    this.#young.clear();
    this.#old.clear();
    this.#held.clear();
  }

  /** The youngest stay. */
  resize(max: number): void {
    const members = [...this];
    this.#max = max;
    this.#half = Math.max(1, Math.floor(max / 2));
    this.clear();
    for (const [key, member] of members) this.put(key, member);
  }

  /** The oldest first. Members may be deleted meanwhile. */
  *[Symbol.iterator](): Iterator<[string, M]> {
    yield* this.#held;
    yield* this.#old;
    yield* this.#young;
  }

  #turn(): void {
    for (const [key, member] of this.#held) if (!member.isHeld) this.#held.delete(key);
    this.#keepHeld(this.#old);
    // There is no room for two generations of one.
    const hasRoom = this.#max > 1;
    if (!hasRoom) this.#keepHeld(this.#young);
    // Never cleared and used again: the tables a Map has grown out of point to those that came after them, so that the
    // garbage collector, once it takes one of them for old, takes all of them along.
    this.#old = hasRoom ? this.#young : new Map<string, M>();
    this.#young = new Map();
    this.#present++;
  }

  #keepHeld(generation: Map<string, M>): void {
    for (const [key, member] of generation) if (member.isHeld) this.#held.set(key, member);
  }
}
