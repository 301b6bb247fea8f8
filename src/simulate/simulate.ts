import { checkScenario } from './check.ts';
import { mostServable } from './oracle.ts';
import type { Policy } from './policy.ts';
import type { Scenario } from './scenario.ts';
import type { Figures } from './tally.ts';
import { callsOf } from './traffic.ts';
import { World } from './world.ts';

/** One run. */
export interface RunResult extends Figures {
  /** Served calls over the most that any policy could have served. */
  readonly goodput: number;
}

/**
 * Runs a scenario once with each policy: same calls, same chance. By the names of the policies.
 *
 * @throws ConfigError where the scenario is not what it should be; what a policy does wrong
 */
export async function simulate(scenario: Scenario, policies: readonly Policy[], seed = 1): Promise<Record<string, RunResult>> {
  checkScenario(scenario);
  const calls = callsOf(scenario, seed);
  const figures = new Map<string, Figures>();
  for (const policy of policies) {
    const world = new World(scenario, seed);
    await world.run(policy, calls, seed);
    figures.set(policy.name, world.tally.figures());
  }
  // Who served more than the oracle has shown that more could be served.
  const most = Math.max(mostServable(scenario, calls), ...[...figures.values()].map(({ served }) => served));
  return Object.fromEntries(
    [...figures].map(([name, each]) => [name, { ...each, goodput: most === 0 ? 1 : each.served / most }]),
  );
}
