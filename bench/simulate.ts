// Run: npm run simulate [-- --help]
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ConfigError } from '../src/index.ts';
import {
  callsOf,
  checkScenario,
  compare,
  defaultsPolicy,
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
  --file FILE       a scenario of your own, as JSON
  --policy NAME     that one alone
  --seeds COUNT     how many runs of each, 3 where absent
  --json FILE       the figures as JSON
  --docs            puts the tables into docs/goodput.md
  --trace FILE      the calls of a recorded trace, in place of the scenario's own
  --explain CALL    why each key was or was not chosen for that call of seed 1`;

const options = parsed();
if (options.help) {
  console.log(USAGE);
  process.exit();
}

const everybody: readonly Policy[] = [guardPolicy, defaultsPolicy, ...peers];
const policies = everybody.filter(({ name }) => options.policy === undefined || name === options.policy);
if (policies.length === 0) misused(`--policy: expected one of ${everybody.map(({ name }) => name).join(', ')}`);
const named = options.file === undefined ? scenarios : [reading('file', options.file, text => scenarioOf(text))];
const isWanted = ({ name }: Scenario): boolean => name.toLowerCase().includes(options.scenario.toLowerCase());
const wanted = named.filter(isWanted).map(withTrace);
if (wanted.length === 0) misused(`--scenario: expected a part of one of these names: ${scenarios.map(({ name }) => name).join('; ')}`);

if (options.json !== undefined && !existsSync(path.dirname(path.resolve(options.json)))) misused(`--json: no folder ${path.dirname(options.json)}`);
try {
  if (options.explain !== undefined) await explain(whole('explain', options.explain, 0));
  else await run();
} catch (error) {
  if (!(error instanceof ConfigError)) throw error;
  misused(error.issues.map(({ path: place, message }) => `${place}: ${message}`).join('\n'));
}

function parsed() {
  try {
    return parseArgs({
      options: {
        scenario: { type: 'string', default: '' },
        file: { type: 'string' },
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
  const calls = reading('trace', trace, parseTrace);
  const [first] = scenario.traffic;
  if (!first) return scenario;
  const { patienceMs, provider } = first;
  const { about, ...rest } = scenario;
  return { ...rest, about: `With the calls of ${path.basename(trace)}; else: ${about}`, traffic: [{ shape: 'trace', calls, provider, patienceMs }] };
}

function reading<T>(option: string, file: string, read: (text: string) => T): T {
  try {
    return read(readFileSync(file, 'utf8'));
  } catch (error) {
    return misused(`--${option}: ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function scenarioOf(text: string): Scenario {
  const scenario: unknown = JSON.parse(text);
  checkScenario(scenario);
  return scenario;
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
    const { length } = callsOf(scenario, 1);
    console.log(`${scenario.name}, call ${call}`);
    if (call >= length) {
      console.log(`there are calls 0 to ${length - 1}`);
      continue;
    }
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
