import type { Policy } from './policy.ts';
import type { Scenario } from './scenario.ts';
import { simulate, type RunResult } from './simulate.ts';

/** A policy over all seeds. */
export interface ComparedPolicy extends RunResult {
  /** The worst of each over the seeds; the figures beside are the medians. */
  readonly worst: { readonly goodput: number; readonly waste: number; readonly keyFaults: number; readonly waitP99Ms: number };
}

/** A scenario, and how each policy fared in it, by its name. */
export interface Comparison {
  readonly name: string;
  readonly about: string;
  readonly seeds: readonly number[];
  readonly policies: Readonly<Record<string, ComparedPolicy>>;
}

/** Runs a scenario with each policy and each seed. Within one seed all policies have the same calls and the same chance. */
export async function compare(scenario: Scenario, policies: readonly Policy[], seeds: readonly number[]): Promise<Comparison> {
  const runs: Record<string, RunResult>[] = [];
  for (const seed of seeds) runs.push(await simulate(scenario, policies, seed));
  const { about, name } = scenario;
  return {
    name,
    about,
    seeds,
    policies: Object.fromEntries(policies.map(policy => [policy.name, overSeeds(runs.map(run => run[policy.name]!))])),
  };
}

function overSeeds(runs: readonly RunResult[]): ComparedPolicy {
  const of = (figure: (run: RunResult) => number): number => median(runs.map(figure));
  const known = (figure: (run: RunResult) => number | undefined): number | undefined => {
    const values = runs.flatMap(run => figure(run) ?? []);
    return values.length === 0 ? undefined : median(values);
  };
  const causes = new Set(runs.flatMap(({ failures }) => Object.keys(failures)));
  return {
    asked: of(({ asked }) => asked),
    served: of(({ served }) => served),
    refused: of(({ refused }) => refused),
    errors: of(({ errors }) => errors),
    keyFaults: of(({ keyFaults }) => keyFaults),
    attempts: of(({ attempts }) => attempts),
    failures: Object.fromEntries([...causes].map(cause => [cause, of(({ failures }) => failures[cause] ?? 0)])),
    avoidable: of(({ avoidable }) => avoidable),
    waste: of(({ waste }) => waste),
    failedPerServed: of(({ failedPerServed }) => failedPerServed),
    noticeMs: known(({ noticeMs }) => noticeMs),
    recoverMs: known(({ recoverMs }) => recoverMs),
    fairness: of(({ fairness }) => fairness),
    waitP50Ms: of(({ waitP50Ms }) => waitP50Ms),
    waitP99Ms: of(({ waitP99Ms }) => waitP99Ms),
    cached: of(({ cached }) => cached),
    goodput: of(({ goodput }) => goodput),
    worst: {
      goodput: Math.min(...runs.map(({ goodput }) => goodput)),
      waste: Math.max(...runs.map(({ waste }) => waste)),
      keyFaults: Math.max(...runs.map(({ keyFaults }) => keyFaults)),
      waitP99Ms: Math.max(...runs.map(({ waitP99Ms }) => waitP99Ms)),
    },
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? NaN;
}
