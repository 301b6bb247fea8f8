// Run: npx tsx bench/decisions/stages.ts
import { systemClock } from '../../src/clock.ts';
import { Call } from '../../src/guard/call.ts';
import { parseConfig } from '../../src/guard/config/parse.ts';
import { Pipeline, type Handler, type Stage } from '../../src/guard/pipeline.ts';
import { ProviderTable } from '../../src/guard/provider-state.ts';
import { timeInRounds, type Contender } from '../rounds.ts';

/** The guard's seven stages: one passes through, one is the loop, five have something to do afterwards. */
const PASSING = 1;
const WITH_AFTERWORK = 5;

const answer = Promise.resolve('an answer');
const provider = new ProviderTable(parseConfig({}), systemClock, () => undefined).of('provider');
let afterwork = 0;

const passing: Stage = { enter: (call, next) => next(call) };
const last: Handler = () => answer;
const alone = new Pipeline([], last);

/** What a stage does afterwards stands behind its `await`. */
const awaiting: Stage = {
  async enter(call, next) {
    try {
      return await next(call);
    } finally {
      afterwork++;
    }
  },
};

/** What a stage does afterwards stands in a hook, as in src/guard/stages. */
const hooked: Stage = {
  enter: (call, next) => next(call),
  attemptEnded: () => {
    afterwork++;
  },
};

/** The one stage that has to wait for the attempt: it may make another. */
const loop: Stage = {
  async enter(call, next) {
    try {
      return await next(call);
    } finally {
      call.pipeline.attemptEnded(call);
    }
  },
};

function contender(label: string, stage: Stage): Contender {
  const stages = [...many(PASSING, passing), loop, ...many(WITH_AFTERWORK, stage)];
  const pipeline = new Pipeline(stages, last);
  return repeat(label, () => pipeline.handle(new Call(() => answer, {}, provider, undefined, pipeline, 0)));
}

function repeat(label: string, call: () => Promise<unknown>): Contender {
  return {
    label,
    run: async count => {
      for (let i = 0; i < count; i++) await call();
    },
  };
}

function many(count: number, stage: Stage): Stage[] {
  return Array.from({ length: count }, () => stage);
}

const times = await timeInRounds(
  [
    repeat('no stage', () => alone.handle(new Call(() => answer, {}, provider, undefined, alone, 0))),
    contender('hooks', hooked),
    contender('async layers', awaiting),
  ],
  { rounds: 31 },
);
for (const [label, microseconds] of times) console.log(`${label.padEnd(24)} ${microseconds.toFixed(3)} µs`);
if (afterwork === 0) throw new Error('The stages did nothing');
