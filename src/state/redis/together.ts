/** Collects what is asked for at once, so that it travels together. Nothing waits for longer than the turn lasts. */
export class Together<T> {
  private readonly most: number;
  private readonly send: (items: readonly T[]) => void;
  private items: T[] = [];

  /** @param most how many are sent at once */
  constructor(most: number, send: (items: readonly T[]) => void) {
    this.most = most;
    this.send = send;
  }

  add(item: T): void {
    this.items.push(item);
    if (this.items.length >= this.most) this.flush();
    // Later than all promises that are settled by now: those who wait for them may ask for more.
    else if (this.items.length === 1) process.nextTick(this.flush);
  }

  /** Sends what there is, now. */
  readonly flush = (): void => {
    if (this.items.length === 0) return;
    const { items } = this;
    this.items = [];
    this.send(items);
  };
}
