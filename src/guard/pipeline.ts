import type { Call } from './call.ts';

/** Takes a call the rest of the way. */
export type Handler = (call: Call) => Promise<unknown>;

/** One step of the pipeline. A stage with nothing to do afterwards returns `next(call)` as it is. */
export type Stage = (call: Call, next: Handler) => Promise<unknown>;

/** Links the stages once, the first outermost; `undefined` stands for a stage that is switched off. */
export function compose(stages: readonly (Stage | undefined)[], last: Handler): Handler {
  return stages.reduceRight<Handler>((next, stage) => (stage ? call => stage(call, next) : next), last);
}
