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
 * it is. What it does afterwards stands in its other two methods: they run synchronously, the innermost stage
 * first, and spare each stage a promise of its own. They also run for calls that never got to the stage.
 */
export interface Stage {
  enter(call: Call, next: Handler): Promise<unknown>;
  /** The attempt is over, however it ended; there may be another. */
  attemptEnded?(call: Call): void;
  /** The call is over, however it ended. */
  callEnded?(call: Call, ending: Ending): void;
}

/** The stages, linked once. A call keeps the pipeline it began with. */
export class Pipeline {
  readonly handle: Handler;
  private readonly attemptHooks: ((call: Call) => void)[];
  private readonly callHooks: ((call: Call, ending: Ending) => void)[];

  /** The first stage is outermost; `undefined` stands for one that is switched off. */
  constructor(stages: readonly (Stage | undefined)[], last: Handler) {
    const innermostFirst = stages.filter(stage => stage !== undefined).reverse();
    this.handle = innermostFirst.reduce<Handler>((next, stage) => call => stage.enter(call, next), last);
    this.attemptHooks = innermostFirst.flatMap(stage => stage.attemptEnded?.bind(stage) ?? []);
    this.callHooks = innermostFirst.flatMap(stage => stage.callEnded?.bind(stage) ?? []);
  }

  attemptEnded(call: Call): void {
    for (const hook of this.attemptHooks) hook(call);
  }

  callEnded(call: Call, ending: Ending): void {
    for (const hook of this.callHooks) hook(call, ending);
  }
}
