import { LRUCache } from 'lru-cache';
import { compileGlob } from './glob.ts';

/** Names come from callers, some of them from their clients, so what is remembered is bounded. */
const CACHED_NAMES = 1000;
const LONGEST_CACHED_NAME = 256;

interface Candidate<P> {
  readonly pool: P;
  readonly matches: (name: string) => boolean;
  readonly literalCharacters: number;
  readonly wildcards: number;
}

interface Resolution<P> {
  readonly pool: P | undefined;
}

/**
 * Maps the provider names that callers give to the pools behind patterns, ignoring case.
 *
 * A pattern equal to the name wins; then patterns with `*` that match it; then patterns without `*`
 * that it contains. Among those of one kind the most specific wins: the most literal characters, then
 * the fewest wildcards, then the first declared. An empty pattern matches the empty name only.
 */
export class ProviderResolver<P> {
  readonly #exact = new Map<string, P>();
  readonly #candidates: readonly Candidate<P>[];
  readonly #resolved = new LRUCache<string, Resolution<P>>({ max: CACHED_NAMES });

  constructor(patterns: Iterable<readonly [pattern: string, pool: P]>) {
    const wildcards: Candidate<P>[] = [];
    const substrings: Candidate<P>[] = [];
    for (const [pattern, pool] of patterns) {
      const folded = fold(pattern);
      if (this.#exact.has(folded)) continue;
      this.#exact.set(folded, pool);
      if (folded === '') continue;
      const hasWildcard = folded.includes('*');
      const candidate = compile(hasWildcard ? folded : `*${folded}*`, pool);
      (hasWildcard ? wildcards : substrings).push(candidate);
    }
    this.#candidates = [...wildcards.sort(bySpecificity), ...substrings.sort(bySpecificity)];
  }

  /** The pool for a provider name; undefined where no pattern matches. */
  resolve(name: string): P | undefined {
    const known = this.#resolved.get(name);
    if (known !== undefined) return known.pool;
    const pool = this.#find(fold(name));
    if (name.length <= LONGEST_CACHED_NAME) this.#resolved.set(name, { pool });
    return pool;
  }

  #find(folded: string): P | undefined {
    if (this.#exact.has(folded)) return this.#exact.get(folded);
    return this.#candidates.find((candidate) => candidate.matches(folded))?.pool;
  }
}

function fold(text: string): string {
  return text.toLowerCase();
}

function compile<P>(pattern: string, pool: P): Candidate<P> {
  const wildcards = pattern.match(/\*+/g)!.length;
  const literalCharacters = pattern.replaceAll('*', '').length;
  return { pool, matches: compileGlob(pattern), literalCharacters, wildcards };
}

// Array.prototype.sort is stable, which settles ties by declaration order.
function bySpecificity(a: Candidate<unknown>, b: Candidate<unknown>): number {
  return b.literalCharacters - a.literalCharacters || a.wildcards - b.wildcards;
}
