import type { Random } from '../clock.ts';
import type { KeyView, ReadyKeys } from '../strategies/strategy.ts';

const ABSENT = -1;

/**
 * The keys of a pool that are ready. A hierarchical bitset keeps pool order (a bit per position, above it a bit per
 * word that is not empty, and so on), a dense array serves draws; no operation scans.
 */
export class ReadySet<K extends KeyView = KeyView> implements ReadyKeys<K> {
  readonly #keys: K[] = [];
  /** Index in `#keys` by position. */
  readonly #indexes: number[] = [];
  #levels: Int32Array[] = [new Int32Array(1)];

  get size(): number {
    return this.#keys.length;
  }

  has(key: K): boolean {
    return this.at(key.position) === key;
  }

  /** The ready key at exactly this position. */
  at(position: number): K | undefined {
    const index = this.#indexes[position] ?? ABSENT;
    return index === ABSENT ? undefined : this.#keys[index];
  }

  next(position: number): K | undefined {
    if (this.#keys.length === 0) return undefined;
    const found = position > 0 ? this.#firstFrom(position) : ABSENT;
    return this.at(found === ABSENT ? this.#firstFrom(0) : found);
  }

  sample(random: Random): K | undefined {
    const size = this.#keys.length;
    return size === 0 ? undefined : this.#keys[Math.min(Math.floor(random() * size), size - 1)];
  }

  /** Adds the key, in place of another one at its position. False when it is in already. */
  add(key: K): boolean {
    const { position } = key;
    while (this.#indexes.length <= position) this.#indexes.push(ABSENT);
    const index = this.#indexes[position]!;
    if (index !== ABSENT) {
      if (this.#keys[index] === key) return false;
      this.#keys[index] = key;
      return true;
    }
    this.#indexes[position] = this.#keys.length;
    this.#keys.push(key);
    if (position >= this.#levels[0]!.length * 32) this.#grow(position + 1);
    else this.#mark(position);
    return true;
  }

  /** False when the key is not in. */
  remove(key: K): boolean {
    if (!this.has(key)) return false;
    const { position } = key;
    const index = this.#indexes[position]!;
    const last = this.#keys.pop()!;
    if (last !== key) {
      this.#keys[index] = last;
      this.#indexes[last.position] = index;
    }
    this.#indexes[position] = ABSENT;
    this.#unmark(position);
    return true;
  }

  /** In pool order. Keys may come and go meanwhile; those behind the current one are not visited again. */
  * [Symbol.iterator](): Iterator<K> {
    for (let at = this.#firstFrom(0); at !== ABSENT; at = this.#firstFrom(at + 1)) yield this.at(at)!;
  }

  #firstFrom(position: number): number {
    let index = position;
    for (let level = 0; level < this.#levels.length; level++) {
      const words = this.#levels[level]!;
      const word = index >>> 5;
      if (word >= words.length) return ABSENT;
      const bits = words[word]! & (-1 << (index & 31));
      if (bits !== 0) {
        let found = word * 32 + lowestBit(bits);
        for (let below = level - 1; below >= 0; below--) found = found * 32 + lowestBit(this.#levels[below]![found]!);
        return found;
      }
      index = word + 1;
    }
    return ABSENT;
  }

  #mark(position: number): void {
    let index = position;
    for (const words of this.#levels) {
      const word = index >>> 5;
      const before = words[word]!;
      words[word] = before | (1 << (index & 31));
      if (before !== 0) return;
      index = word;
    }
  }

  #unmark(position: number): void {
    let index = position;
    for (const words of this.#levels) {
      const word = index >>> 5;
      words[word]! &= ~(1 << (index & 31));
      if (words[word] !== 0) return;
      index = word;
    }
  }

  #grow(positions: number): void {
    let words = Math.max(Math.ceil(positions / 32), this.#levels[0]!.length * 2);
    this.#levels = [new Int32Array(words)];
    while (words > 1) {
      words = Math.ceil(words / 32);
      this.#levels.push(new Int32Array(words));
    }
    for (const key of this.#keys) this.#mark(key.position);
  }
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}
