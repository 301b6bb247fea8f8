/** Code is compiled on another thread, which takes its time on a busy machine. */
const WARM_UP_MS = 200;

/** Something to be timed: does its work `count` times. */
export interface Contender {
  readonly label: string;
  run(count: number): Promise<void> | void;
}

export interface RoundOptions {
  /** Default 15. */
  readonly rounds?: number;
  /** How long one contender runs in one round, about. Default 25. */
  readonly roundMs?: number;
}

/**
 * Microseconds per piece of work, by label: the median of the rounds. All contenders run in every round, in an order
 * that rotates, so that a busy moment of the machine strikes all alike.
 */
export async function timeInRounds(
  contenders: readonly Contender[],
  { rounds = 15, roundMs = 25 }: RoundOptions = {},
): Promise<Map<string, number>> {
  const lanes = [];
  for (const contender of contenders) {
    lanes.push({ contender, count: await countFor(contender, roundMs), times: new Array<number>() });
  }
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < lanes.length; turn++) {
      const { contender, count, times } = lanes[(round + turn) % lanes.length]!;
      times.push((await timeMs(contender, count)) / count);
    }
  }
  return new Map(lanes.map(({ contender, times }) => [contender.label, 1000 * median(times)]));
}

/** How often the work fits the time. Finding out warms the contender up. */
async function countFor(contender: Contender, roundMs: number): Promise<number> {
  let count = 64;
  let spentMs = 0;
  for (;;) {
    const elapsedMs = await timeMs(contender, count);
    spentMs += elapsedMs;
    if (elapsedMs < roundMs / 2) count *= 2;
    else if (spentMs >= WARM_UP_MS) return Math.max(1, Math.round((count * roundMs) / elapsedMs));
  }
}

async function timeMs(contender: Contender, count: number): Promise<number> {
  const start = performance.now();
  await contender.run(count);
  return performance.now() - start;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >>> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
