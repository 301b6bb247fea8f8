const ABSENT = -1;

/**
 * A binary min-heap whose items can be found, moved and removed in O(log n). An item is known by its `position`,
 * unique within the heap. An item's order may change only between `remove` and `push`, or right before `update`.
 */
export class IndexedHeap<T extends { readonly position: number }> implements Iterable<T> {
  readonly #compare: (a: T, b: T) => number;
  readonly #items: T[] = [];
  /** Index in `#items` by position. */
  readonly #indexes: number[] = [];

  /** @param compare Negative when `a` comes out before `b`, as for `Array.sort`. */
  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#items.length;
  }

  has(item: T): boolean {
    return this.#indexOf(item) !== ABSENT;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  /** Adds the item; one that is in already is put in its place anew. */
  push(item: T): void {
    if (this.update(item)) return;
    while (this.#indexes.length <= item.position) this.#indexes.push(ABSENT);
    this.#items.push(item);
    this.#rise(item, this.#items.length - 1);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.#removeAt(0);
    return first;
  }

  /** Puts the item in its place after its order has changed. False when it is not in the heap. */
  update(item: T): boolean {
    const index = this.#indexOf(item);
    if (index === ABSENT) return false;
    this.#settle(item, index);
    return true;
  }

  /** False when the item is not in the heap. */
  remove(item: T): boolean {
    const index = this.#indexOf(item);
    if (index === ABSENT) return false;
    this.#removeAt(index);
    return true;
  }

  /** In no particular order. */
  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]();
  }

  #indexOf(item: T): number {
    const index = this.#indexes[item.position] ?? ABSENT;
    return index !== ABSENT && this.#items[index] === item ? index : ABSENT;
  }

  #removeAt(index: number): void {
    const last = this.#items.pop()!;
    if (index === this.#items.length) {
      this.#indexes[last.position] = ABSENT;
      return;
    }
    this.#indexes[this.#items[index]!.position] = ABSENT;
    this.#settle(last, index);
  }

  #settle(item: T, index: number): void {
    if (index > 0 && this.#compare(item, this.#items[(index - 1) >>> 1]!) < 0) this.#rise(item, index);
    else this.#sink(item, index);
  }

  #rise(item: T, from: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (this.#compare(item, this.#items[parent]!) >= 0) break;
      this.#place(this.#items[parent]!, index);
      index = parent;
    }
    this.#place(item, index);
  }

  #sink(item: T, from: number): void {
    const size = this.#items.length;
    let index = from;
    // What sinks was a leaf and mostly becomes one again: all the way down and a little up compares less.
    for (let child = 2 * index + 1; child < size; child = 2 * index + 1) {
      if (child + 1 < size && this.#compare(this.#items[child + 1]!, this.#items[child]!) < 0) child++;
      this.#place(this.#items[child]!, index);
      index = child;
    }
    this.#rise(item, index);
  }

  #place(item: T, index: number): void {
    this.#items[index] = item;
    this.#indexes[item.position] = index;
  }
}
