const ABSENT = -1;

/**
 * A min-heap of positions, each with a number to order it by; equal numbers come out by position. Four children to a
 * node, and the numbers side by side in the heap rather than on items: at a hundred thousand positions, what costs is
 * going to memory.
 */
export class PositionHeap {
  readonly #orders: number[] = [];
  readonly #positions: number[] = [];
  /** Index in the heap by position. */
  readonly #indexes: number[] = [];

  get size(): number {
    return this.#positions.length;
  }

  has(position: number): boolean {
    return (this.#indexes[position] ?? ABSENT) !== ABSENT;
  }

  peek(): number | undefined {
    return this.#positions[0];
  }

  /** Adds a position that is not in yet. */
  push(position: number, order: number): void {
    while (this.#indexes.length <= position) this.#indexes.push(ABSENT);
    this.#rise(position, order, this.#positions.length);
  }

  /** False when the position is not in. */
  remove(position: number): boolean {
    const index = this.#indexes[position] ?? ABSENT;
    if (index === ABSENT) return false;
    this.#indexes[position] = ABSENT;
    const order = this.#orders.pop()!;
    const last = this.#positions.pop()!;
    if (last !== position) this.#rise(last, order, this.#emptyLeafBelow(index));
    return true;
  }

  /** Everything, in no particular order. */
  positions(): number[] {
    return [...this.#positions];
  }

  /** Moves the least child up, all the way down, and returns the index that is left over. */
  #emptyLeafBelow(from: number): number {
    const orders = this.#orders;
    const positions = this.#positions;
    const size = positions.length;
    let index = from;
    for (let first = 4 * index + 1; first < size; first = 4 * index + 1) {
      let child = first;
      const end = Math.min(first + 4, size);
      let least = orders[first]!;
      for (let other = first + 1; other < end; other++) {
        const order = orders[other]!;
        if (order < least || (order === least && positions[other]! < positions[child]!)) {
          child = other;
          least = order;
        }
      }
      this.#place(positions[child]!, least, index);
      index = child;
    }
    return index;
  }

  #rise(position: number, order: number, from: number): void {
    const orders = this.#orders;
    const positions = this.#positions;
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >>> 2;
      const above = orders[parent]!;
      if (order > above || (order === above && position > positions[parent]!)) break;
      this.#place(positions[parent]!, above, index);
      index = parent;
    }
    this.#place(position, order, index);
  }

  #place(position: number, order: number, index: number): void {
    this.#positions[index] = position;
    this.#orders[index] = order;
    this.#indexes[position] = index;
  }
}
