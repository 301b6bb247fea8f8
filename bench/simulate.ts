// Run: npm run simulate [-- --scenario <part of a name>] [--policy <name>] [--seeds <how many>] [--json <file>] [--docs]
//      [--trace <file>] [--explain <number of a call>]
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  compare,
  explainingPolicy,
  guardPolicy,
  parseTrace,
  simulate,
  toTable,
  type Comparison,
  type Policy,
  type Scenario,
} from '../src/simulate.ts';
import { peers } from './policies/index.ts';
import { scenarios } from './scenarios/index.ts';

const { values: options } = parseArgs({
  options: {
    scenario: { type: 'string', default: '' },
    policy: { type: 'string' },
    seeds: { type: 'string', default: '3' },
    json: { type: 'string' },
    docs: { type: 'boolean', default: false },
    trace: { type: 'string' },
    explain: { type: 'string' },
  },
});

const everybody: readonly Policy[] = [guardPolicy, ...peers];
const policies = everybody.filter(({ name }) => options.policy === undefined || name === options.policy);
if (policies.length === 0) throw new Error(`--policy: none of ${everybody.map(({ name }) => name).join(', ')}`);
const wanted = scenarios.filter(({ name }) => name.includes(options.scenario)).map(withTrace);
if (wanted.length === 0) throw new Error(`--scenario: none of these has it in its name: ${scenarios.map(({ name }) => name).join('; ')}`);

if (options.explain !== undefined) await explain(Number(options.explain));
else await run();

/** In place of its own traffic, where a file with another one is given. */
function withTrace(scenario: Scenario): Scenario {
  const { trace } = options;
  if (trace === undefined) return scenario;
  const calls = parseTrace(readFileSync(trace, 'utf8'));
  const [first] = scenario.traffic;
  if (!first) return scenario;
  const { patienceMs, provider } = first;
  return { ...scenario, traffic: [{ shape: 'trace', calls, provider, patienceMs }] };
}

async function run(): Promise<void> {
  const seeds = Array.from({ length: Number(options.seeds) }, (_, index) => index + 1);
  const comparisons: Comparison[] = [];
  for (const scenario of wanted) {
    const comparison = await compare(scenario, policies, seeds);
    comparisons.push(comparison);
    console.log(`${toTable(comparison)}\n`);
  }
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify({ scenarios: comparisons }, undefined, 2)}\n`);
  if (options.docs) writeDocs(comparisons);
}

async function explain(call: number): Promise<void> {
  for (const scenario of wanted) {
    console.log(`${scenario.name}, call ${call}`);
    await simulate(scenario, [explainingPolicy(call, text => console.log(text))]);
  }
}

function writeDocs(comparisons: readonly Comparison[]): void {
  const file = path.resolve(import.meta.dirname, '../docs/goodput.md');
  const page = readFileSync(file, 'utf8');
  const [before, , after] = page.split(/<!-- simulate:(?:start|end) -->/);
  if (before === undefined || after === undefined) throw new Error(`${file} has no place for the tables`);
  const tables = comparisons.map(toTable).join('\n\n');
  writeFileSync(file, `${before}<!-- simulate:start -->\n\n${tables}\n\n<!-- simulate:end -->${after}`);
}
