/** What can stand in a {@link Chain}, one at a time. Its neighbours are the chain's to set. */
export interface Link<T> {
  before: T | undefined;
  after: T | undefined;
}

/**
 * Items that come and go in any order, kept in the order they came. For what is kept a short while by a list that lives
 * long: a Set would do, but the tables it grows out of point to those that come after them, so that the garbage
 * collector, once it takes one of them for old, drags all that was ever in the later ones along.
 */
export class Chain<T extends Link<T>> {
  private first: T | undefined = undefined;
  private last: T | undefined = undefined;
  private count = 0;

  get size(): number {
    return this.count;
  }

  get oldest(): T | undefined {
    return this.first;
  }

  /** @param item in no chain yet */
  add(item: T): void {
    item.before = this.last;
    if (this.last) this.last.after = item;
    else this.first = item;
    this.last = item;
    this.count++;
  }

  /** False where the item is not in the chain. */
  delete(item: T): boolean {
    const { before, after } = item;
    if (before === undefined && this.first !== item) return false;
    if (before) before.after = after;
    else this.first = after;
    if (after) after.before = before;
    else this.last = before;
    // An item that is gone must keep none of those that stay alive.
    item.before = item.after = undefined;
    this.count--;
    return true;
  }

  /** In the order they came. None may be deleted meanwhile; copy first where that may happen. */
  *[Symbol.iterator](): Iterator<T> {
    for (let item = this.first; item; item = item.after) yield item;
  }
}
