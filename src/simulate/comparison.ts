import type { Policy } from './policy.ts';
import type { Scenario, ScenarioGuard } from './scenario.ts';
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
  /** How the guard was configured, where the scenario says. */
  readonly guard: ScenarioGuard | undefined;
  readonly policies: Readonly<Record<string, ComparedPolicy>>;
}

/** Runs a scenario with each policy and each seed. Within one seed all policies have the same calls and the same chance. */
export async function compare(scenario: Scenario, policies: readonly Policy[], seeds: readonly number[]): Promise<Comparison> {
  if (policies.length === 0) throw new RangeError('policies: expected one at least, found none');
  const odd = seeds.find(seed => !Number.isInteger(seed));
  if (odd !== undefined) throw new RangeError(`seeds: expected whole numbers, found ${odd}`);
  const names = new Set(policies.map(({ name: policy }) => policy));
  if (names.size < policies.length) throw new RangeError('policies: expected names of their own, found one twice');
  const runs: Record<string, RunResult>[] = [];
  for (const seed of seeds) runs.push(await simulate(scenario, policies, seed));
  const { about, guard, name } = scenario;
  return {
    name,
    about,
    seeds,
    guard,
    policies: Object.fromEntries(policies.map(policy => [policy.name, overSeeds(runs.map(run => run[policy.name]!))])),
  };
}

const COUNTED = [
  'asked',
  'served',
  'refused',
  'errors',
  'keyFaults',
  'attempts',
  'avoidable',
  'waste',
  'failedPerServed',
  'fairness',
  'waitP50Ms',
  'waitP99Ms',
  'cached',
  'goodput',
] as const;

function overSeeds(runs: readonly RunResult[]): ComparedPolicy {
  const causes = new Set(runs.flatMap(({ failures }) => Object.keys(failures)));
  const noticed = runs.flatMap(({ noticeMs }) => noticeMs ?? []);
  const recovered = runs.flatMap(({ recoverMs }) => recoverMs ?? []);
  return {
    ...medians(runs),
    failures: Object.fromEntries([...causes].map(cause => [cause, median(runs.map(({ failures }) => failures[cause] ?? 0))])),
    noticeMs: noticed.length === 0 ? undefined : median(noticed),
    recoverMs: recovered.length === 0 ? undefined : median(recovered),
    worst: {
      goodput: Math.min(...runs.map(({ goodput }) => goodput)),
      waste: Math.max(...runs.map(({ waste }) => waste)),
      keyFaults: Math.max(...runs.map(({ keyFaults }) => keyFaults)),
      waitP99Ms: Math.max(...runs.map(({ waitP99Ms }) => waitP99Ms)),
    },
  };
}

type Counted = (typeof COUNTED)[number];

function medians(runs: readonly RunResult[]): Record<Counted, number> {
  const [first] = runs;
  if (!first) throw new RangeError('seeds: expected one at least, found none');
  const found: Record<Counted, number> = { ...first };
  for (const name of COUNTED) found[name] = median(runs.map(run => run[name]));
  return found;
}

/** Of an even number, the lower one of the two in the middle: a figure of one of the runs. */
function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}
