/** What is ranked: keys with a larger weight come first for more subjects. */
export interface Candidate {
  readonly id: string;
  readonly weight: number;
  /** Lower goes first, whatever the weight. */
  readonly priority: number;
}

/** Of a longer subject the rest makes no difference. */
const LONGEST_SUBJECT = 4096;

interface Place<C> {
  readonly candidate: C;
  readonly hash: number;
}

/**
 * Candidates, each of which is preferred to all others by some subjects. Every subject has an order of its own, the
 * same in every process; one more candidate changes the first choice of those alone who prefer it to all others.
 */
export class Rendezvous<C extends Candidate> {
  private readonly places: readonly Place<C>[];
  private readonly isWeighted: boolean;

  constructor(candidates: Iterable<C>) {
    this.places = [...candidates].map(candidate => ({ candidate, hash: Math.imul(hashOf(candidate.id), 0x9e3779b1) }));
    this.isWeighted = this.places.some(({ candidate }) => candidate.weight !== 1);
  }

  /** The first choices of a subject, `most` of them at most. */
  preferenceOf(seed: number, most: number): C[] {
    const first: { readonly candidate: C; readonly score: number }[] = [];
    for (const { candidate, hash } of this.places) {
      const score = this.scoreOf(mixed(seed ^ hash), candidate.weight);
      const last = first[first.length - 1];
      if (first.length === most && last && !comesBefore(candidate, score, last)) continue;
      let at = first.length;
      while (at > 0 && comesBefore(candidate, score, first[at - 1]!)) at--;
      first.splice(at, 0, { candidate, score });
      if (first.length > most) first.pop();
    }
    return first.map(({ candidate }) => candidate);
  }

  /**
   * Weighted rendezvous hashing; where all weigh the same, their hashes have the same order as their scores.
   * https://www.snia.org/sites/default/files/SDC15_presentations/dist_sys/Jason_Resch_New_Consistent_Hashings_Rev.pdf
   */
  private scoreOf(hash: number, weight: number): number {
    return this.isWeighted ? -weight / Math.log((hash + 0.5) / 2 ** 32) : hash;
  }
}

/** What stands for a subject: its first characters, its length and no more of it. */
export function seedOf(subject: string): number {
  return hashOf(subject.length > LONGEST_SUBJECT ? `${subject.length} ${subject.slice(0, LONGEST_SUBJECT)}` : subject);
}

function comesBefore(candidate: Candidate, score: number, other: { readonly candidate: Candidate; readonly score: number }): boolean {
  const byPriority = candidate.priority - other.candidate.priority;
  return byPriority < 0 || (byPriority === 0 && score > other.score);
}

/** FNV-1a, mixed at the end: alike texts are to have nothing in common. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return mixed(hash);
}

/** The last step of MurmurHash3. */
function mixed(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
