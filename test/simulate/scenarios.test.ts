import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { peers } from '../../bench/policies/index.ts';
import { scenarios } from '../../bench/scenarios/index.ts';
import { compare, defaultsPolicy, guardPolicy, simulate, toTable } from '../../src/simulate.ts';

test.each(scenarios.map(scenario => [scenario.name, scenario] as const))(
  '%s: the guard serves what there is, and wastes next to nothing',
  async (_, scenario) => {
    const { guard } = await simulate(scenario, [guardPolicy]);
    const most = guard!.served / guard!.goodput;
    expect(guard!.goodput).toBeGreaterThanOrEqual(most < guard!.asked ? 0.99 : 0.999);
    expect(guard!.waste).toBeLessThanOrEqual(0.005);
    expect(guard!.keyFaults).toBe(0);
  },
);

test('a limit on the address is met once', async () => {
  const addressLimit = scenarios.find(({ name }) => name === 'a limit on the address')!;
  const { guard } = await simulate(addressLimit, [guardPolicy]);
  expect(guard!.waste).toBe(0);
  expect(guard!.goodput).toBeGreaterThanOrEqual(0.9995);
  // Those that were under way when it was met.
  expect(guard!.errors).toBeLessThanOrEqual(5);
});

test('the page shows what a run gives', async () => {
  const page = readFileSync(new URL('../../docs/goodput.md', import.meta.url), 'utf8');
  for (const { name } of scenarios) expect(page).toContain(`\n### ${name}\n`);
  const cheap = scenarios.find(({ name }) => name === 'a burst of ten times the quota')!;
  expect(page).toContain(toTable(await compare(cheap, [guardPolicy, defaultsPolicy, ...peers], [1, 2, 3])));
});
