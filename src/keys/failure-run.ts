/** So many failures, and such a share of the key's attempts, before it is looked at. */
const LEAST_FAILURES = 5;
const LEAST_SHARE = 0.6;
/** The others must have answered as often, and failed in no more than a third of their attempts. */
const LEAST_ANSWERS = 5;
const MOST_FAILURES_PER_ANSWER = 0.5;

/** How often the provider has answered and failed, over the whole pool. */
export interface Tally {
  readonly answers: number;
  readonly failures: number;
}

/** A key's provider failures since it began to fail, beside what became of the other keys meanwhile. */
export class FailureRun {
  private readonly before: Tally;
  private failures = 0;
  private answers = 0;

  /** @param before the pool's tally when the run begins */
  constructor({ answers, failures }: Tally) {
    this.before = { answers, failures };
  }

  failed(): void {
    this.failures++;
  }

  /** False where the key answers often enough: the run is over. */
  answered(): boolean {
    this.answers++;
    return this.failures >= LEAST_SHARE * (this.failures + this.answers);
  }

  /** True where the key keeps failing while the others are answered: in an outage all fail alike. */
  isAlone(pool: Tally): boolean {
    const answers = pool.answers - this.before.answers - this.answers;
    const failures = pool.failures - this.before.failures - this.failures;
    return (
      this.failures >= LEAST_FAILURES && answers >= LEAST_ANSWERS && failures <= MOST_FAILURES_PER_ANSWER * answers
    );
  }
}
