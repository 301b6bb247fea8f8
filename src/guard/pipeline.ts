import type { Call } from './call.ts';

/** Takes a call the rest of the way. */
export type Handler = (call: Call) => Promise<unknown>;

/** How a call ended: what it resolved to, or was rejected with. */
export interface Ending {
  readonly rejected: boolean;
  readonly outcome: unknown;
}

/**
 * One step of the pipeline. What a stage does on the way in stands in `enter`, which returns `next(call)` as
 * it is. What it does afterwards stands in its other methods: they run synchronously, the innermost stage
 * first, and spare each stage a promise of its own. They also run for calls that never got to the stage.
 */
export interface Stage {
  readonly enter: (call: Call, next: Handler) => Promise<unknown>;
  /** The attempt is over, however it ended; there may be another. */
  readonly attemptEnded?: (call: Call) => void;
  /** The call has made its last attempt, if any. No other call has gone on since that one ended. */
  readonly attemptsEnded?: (call: Call) => void;
  /** The call is over, however it ended. */
  readonly callEnded?: (call: Call, ending: Ending) => void;
}

type Hook<About> = (call: Call, about: About) => void;

/** The stages, linked once. A call keeps the pipeline it began with. */
export class Pipeline {
  readonly handle: Handler;
  private readonly attemptHooks: Hook<undefined>[];
  private readonly lastAttemptHooks: Hook<undefined>[];
  private readonly callHooks: Hook<Ending>[];

  /** The first stage is outermost; `undefined` stands for one that is switched off. */
  constructor(stages: readonly (Stage | undefined)[], last: Handler) {
    const innermostFirst = stages.filter(stage => stage !== undefined).reverse();
    this.handle = innermostFirst.reduce<Handler>((next, { enter }) => call => enter(call, next), last);
    this.attemptHooks = innermostFirst.flatMap(({ attemptEnded }) => attemptEnded ?? []);
    this.lastAttemptHooks = innermostFirst.flatMap(({ attemptsEnded }) => attemptsEnded ?? []);
    this.callHooks = innermostFirst.flatMap(({ callEnded }) => callEnded ?? []);
  }

  attemptEnded(call: Call): void {
    runAll(this.attemptHooks, call, undefined);
  }

  attemptsEnded(call: Call): void {
    runAll(this.lastAttemptHooks, call, undefined);
  }

  callEnded(call: Call, ending: Ending): void {
    runAll(this.callHooks, call, ending);
  }
}

/** One that throws keeps no other from giving back what it holds; the first error surfaces then. */
function runAll<About>(hooks: readonly Hook<About>[], call: Call, about: About): void {
  let thrown: { readonly error: unknown } | undefined;
  for (const hook of hooks) {
    try {
      hook(call, about);
    } catch (error) {
      thrown ??= { error };
    }
  }
  if (thrown) throw thrown.error;
}
