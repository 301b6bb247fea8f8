/** The candidate somebody most likely meant by `name`, if any is near enough. */
export function nearest(name: string, candidates: readonly string[]): string | undefined {
  // Compared in full, a long text would cost time and resemble no option anyway.
  if (name.length > 40) return undefined;
  const wanted = normalize(name);
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const known = normalize(candidate);
    const distance = wanted === known ? 0 : editDistance(wanted, known);
    if (distance < least && distance <= Math.ceil(known.length / 4)) {
      best = candidate;
      least = distance;
    }
  }
  return best;
}

/** `max_retries`, `MaxRetries` and `maxRetries` are one word. */
function normalize(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, beforeLast[column - 2]! + 1);
      }
      current[column] = cost;
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length]!;
}
