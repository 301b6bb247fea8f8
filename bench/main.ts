// Run: npm run bench [-- --only=<part of a name>] [-- --readme]
import { existsSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { callOverhead } from './call-overhead.ts';
import { classification } from './classification.ts';
import { failover } from './failover.ts';
import { guardedFetch } from './guarded-fetch.ts';
import { importBench } from './import.ts';
import { keyLease } from './key-lease.ts';
import { memory } from './memory.ts';
import { redis } from './redis.ts';
import { redisNews } from './redis-news.ts';
import { aimsToText, toMarkdown, toSummary, toText, writeInto, type Aim, type Results } from './report.ts';
import type { Section } from './section.ts';
import { loadSubject, type Subject } from './subject.ts';

const root = path.resolve(import.meta.dirname, '..');
const { values: options } = parseArgs({
  options: { only: { type: 'string' }, readme: { type: 'boolean', default: false } },
});

// Memory comes first, while the heap holds nothing else.
const benches: Record<string, (subject: Subject) => Promise<Section | Section[]>> = {
  memory,
  call: callOverhead,
  lease: keyLease,
  failover,
  redis,
  'redis-news': redisNews,
  classification,
  fetch: guardedFetch,
  import: importIfBuilt,
};

const wanted = Object.entries(benches).filter(([name]) => name.includes(options.only ?? ''));
if (wanted.length === 0) throw new Error(`--only: none of ${Object.keys(benches).join(', ')}`);

const subject = await loadSubject();
const sections: Section[] = [];
for (const [, bench] of wanted) {
  for (const section of [await bench(subject)].flat()) {
    sections.push(section);
    console.log(`${toText(section)}\n`);
  }
}

const results: Results = { machine: machine(), sections, aims: aimsOf(sections) };
if (results.aims.length > 0) console.log(aimsToText(results.aims));
if (options.only === undefined) {
  writeFileSync(path.join(import.meta.dirname, 'results.json'), `${JSON.stringify(results, undefined, 2)}\n`);
  if (options.readme) {
    writeInto(path.join(root, 'README.md'), toSummary(results));
    writeInto(path.join(root, 'docs/benchmarks.md'), toMarkdown(results));
  }
} else if (options.readme) {
  throw new Error('--readme needs all of them: leave --only out');
}

function machine(): Results['machine'] {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    node: process.versions.node,
    date: new Date().toISOString(),
  };
}

async function importIfBuilt(): Promise<Section[]> {
  if (!existsSync(path.join(root, 'dist/index.js'))) {
    console.log('import: left out, as there is no dist; npm run build makes it\n');
    return [];
  }
  const { name, rows } = await importBench();
  return [{ name, rows, note: 'Of dist, in a process of its own. The ratio is over zod, which is a part of it.' }];
}

/** What was wanted, as far as it was measured. */
function aimsOf(measured: readonly Section[]): Aim[] {
  const valueOf = (section: string, label: string): number | undefined =>
    measured
      .find(({ name }) => name.startsWith(section))
      ?.rows.find(row => row.label.startsWith(label))?.value;
  const ratioOf = (section: string, label: string, over: string): number | undefined => {
    const value = valueOf(section, label);
    const base = valueOf(section, over);
    return value === undefined || base === undefined ? undefined : value / base;
  };
  const single = 'call overhead, one after the other';
  const many = 'call overhead, 100 in flight';
  const candidates: [label: string, value: number | undefined, most: number, unit: string][] = [
    ['every stage over the three by hand, one after the other', ratioOf(single, 'guard, every', 'by hand'), 1, 'x'],
    ['every stage over cockatiel, one after the other', ratioOf(single, 'guard, every', 'cockatiel'), 2, 'x'],
    ['every stage over the three by hand, 100 in flight', ratioOf(many, 'guard, every', 'by hand'), 1, 'x'],
    ['every stage over cockatiel, 100 in flight', ratioOf(many, 'guard, every', 'cockatiel'), 2, 'x'],
    ['lease from 100,000 keys over one from 10, worst strategy', worstRatio(measured, 'key lease: taken and'), 3, 'x'],
    ['the same, 90 % of the keys cooling', worstRatio(measured, 'key lease, 90 %'), 3, 'x'],
    ['a bare EVALSHA over a lease in Redis, per second, 100 in flight', ratioOf('Redis: leases', 'a bare', 'lease, four'), 1.25, 'x'],
    ['the same, one after the other', ratioOf('Redis: leases per second, one', 'a bare', 'lease, four'), 1.25, 'x'],
    [
      'round trips with blocks of 50 over those without, one after the other',
      ratioOf('Redis: round trips', 'guard, blocks of 50, one', 'guard, one'),
      0.1,
      'x',
    ],
    ['an idle key', valueOf('memory', 'per idle key'), 1024, ' B'],
    ['timers while idle', valueOf('memory', 'timers'), 0, ''],
    ['a 401 known to three other processes, p99', valueOf('Redis: how soon', '99th, the others at work'), 100, ' ms'],
    ['import', valueOf('import', 'execution-guard'), 30, ' ms'],
  ];
  return candidates.flatMap(([label, value, most, unit]) => {
    return value === undefined ? [] : [{ label, value, most, unit }];
  });
}

function worstRatio(measured: readonly Section[], section: string): number | undefined {
  const rows = measured.find(({ name }) => name.startsWith(section))?.rows ?? [];
  const ratios = rows.filter(({ label }) => label.endsWith('100,000 keys')).map(({ ratio = NaN }) => ratio);
  return ratios.length === 0 ? undefined : Math.max(...ratios);
}
