/** What is ranked: keys with a larger weight come first for more subjects. */
export interface Candidate {
  readonly id: string;
  readonly weight: number;
  /** Lower goes first, whatever the weight. */
  readonly priority: number;
}

/**
 * The candidates in the order a subject prefers them, `most` of them at most. Every subject has an order of its own,
 * the same in every process; one more candidate changes the first choice of those alone who prefer it to all others.
 */
export function preferenceOf<C extends Candidate>(subject: string, candidates: Iterable<C>, most: number): C[] {
  const seed = hashOf(subject);
  const first: { readonly candidate: C; readonly score: number }[] = [];
  for (const candidate of candidates) {
    const entry = { candidate, score: scoreOf(candidate, seed) };
    let at = first.length;
    while (at > 0 && comesBefore(entry, first[at - 1]!)) at--;
    if (at === most) continue;
    first.splice(at, 0, entry);
    if (first.length > most) first.pop();
  }
  return first.map(({ candidate }) => candidate);
}

interface Scored {
  readonly candidate: Candidate;
  readonly score: number;
}

function comesBefore(one: Scored, other: Scored): boolean {
  const byPriority = one.candidate.priority - other.candidate.priority;
  return byPriority < 0 || (byPriority === 0 && one.score > other.score);
}

/** Weighted rendezvous hashing: https://www.snia.org/sites/default/files/SDC15_presentations/dist_sys/Jason_Resch_New_Consistent_Hashings_Rev.pdf */
function scoreOf({ id, weight }: Candidate, seed: number): number {
  const chance = (mixed(seed ^ Math.imul(hashOf(id), 0x9e3779b1)) + 0.5) / 2 ** 32;
  return -weight / Math.log(chance);
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
