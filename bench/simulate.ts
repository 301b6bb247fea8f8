// Run: npm run simulate [-- --help]
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

const USAGE = `npm run simulate -- [options]
  --scenario TEXT   those with that in their name
  --policy NAME     that one alone
  --seeds COUNT     how many runs of each, 3 where absent
  --json FILE       the figures as JSON
  --docs            puts the tables into docs/goodput.md
  --trace FILE      the calls of a recorded trace, in place of the scenario's own
  --explain CALL    why each key was or was not chosen for that call`;

const options = parsed();
if (options.help) {
  console.log(USAGE);
  process.exit();
}

const everybody: readonly Policy[] = [guardPolicy, ...peers];
const policies = everybody.filter(({ name }) => options.policy === undefined || name === options.policy);
if (policies.length === 0) misused(`--policy: expected one of ${everybody.map(({ name }) => name).join(', ')}`);
const wanted = scenarios.filter(({ name }) => name.includes(options.scenario)).map(withTrace);
if (wanted.length === 0) misused(`--scenario: expected a part of one of these names: ${scenarios.map(({ name }) => name).join('; ')}`);

if (options.explain !== undefined) await explain(whole('explain', options.explain, 0));
else await run();

function parsed() {
  try {
    return parseArgs({
      options: {
        scenario: { type: 'string', default: '' },
        policy: { type: 'string' },
        seeds: { type: 'string', default: '3' },
        json: { type: 'string' },
        docs: { type: 'boolean', default: false },
        trace: { type: 'string' },
        explain: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return misused(error instanceof Error ? error.message : String(error));
  }
}

function misused(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(1);
}

function whole(name: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least) misused(`--${name}: expected a whole number from ${least} on, found ${text}`);
  return value;
}

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
  const seeds = Array.from({ length: whole('seeds', options.seeds, 1) }, (_, index) => index + 1);
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
    const told: string[] = [];
    await simulate(scenario, [explainingPolicy(call, text => told.push(text))]);
    console.log(told.join('\n') || 'no key was asked for');
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
