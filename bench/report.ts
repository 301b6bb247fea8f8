import { readFileSync, writeFileSync } from 'node:fs';
import type { Row, Section } from './section.ts';

const START = '<!-- bench:start -->';
const END = '<!-- bench:end -->';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly date: string;
}

/** Something wanted of the product, beside what was measured. Nothing fails where it is missed. */
export interface Aim {
  readonly label: string;
  readonly value: number;
  readonly most: number;
  readonly unit: string;
}

export interface Results {
  readonly machine: Machine;
  readonly sections: readonly Section[];
  readonly aims: readonly Aim[];
}

export function toText({ name, note, rows }: Section): string {
  const width = Math.max(...rows.map(({ label }) => label.length));
  const lines = rows.map(row =>
    `  ${row.label.padEnd(width)}  ${valueOf(row).padStart(12)}${ratioOf(row).padStart(10)}`.trimEnd(),
  );
  return [`${name}${note === undefined ? '' : `\n  ${note}`}`, ...lines].join('\n');
}

export function aimsToText(aims: readonly Aim[]): string {
  const width = Math.max(...aims.map(({ label }) => label.length));
  const lines = aims.map(({ label, value, most, unit }) => {
    const verdict = value <= most ? 'met   ' : 'missed';
    return `  ${verdict}  ${label.padEnd(width)}  ${round(value)}${unit} of at most ${most}${unit}`;
  });
  return ['aims', ...lines].join('\n');
}

/** Every table. */
export function toMarkdown(results: Results): string {
  return [measuredOn(results), ...results.sections.map(toTable)].join('\n\n');
}

/** The table of calls made one after the other, and what was aimed at. */
export function toSummary(results: Results): string {
  const calls = results.sections.filter(({ name }) => name.startsWith('call overhead')).slice(0, 1);
  return [measuredOn(results), ...calls.map(toTable), toAimsTable(results.aims)].join('\n\n');
}

function measuredOn({ machine: { cpu, cores, node, date } }: Results): string {
  return `Measured by \`npm run bench\` with Node ${node} on ${cores} cores of ${cpu}, ${date.slice(0, 10)}.`;
}

function toTable({ name, note, rows }: Section): string {
  return [
    `**${name}**${note === undefined ? '' : `. ${note}`}`,
    '',
    '| | | ratio |',
    '|---|--:|--:|',
    ...rows.map(row => `| ${row.label} | ${valueOf(row)} | ${ratioOf(row)} |`),
  ].join('\n');
}

function toAimsTable(aims: readonly Aim[]): string {
  const rows = aims.map(({ label, value, most, unit }) => {
    const verdict = value <= most ? 'met' : 'missed';
    return `| ${label} | ${round(value)}${unit} | ${most}${unit} | ${verdict} |`;
  });
  return ['| what was aimed at | measured | at most | |', '|---|--:|--:|---|', ...rows].join('\n');
}

/**
 * Puts text between the marks of a page.
 *
 * @throws Error where the page does not have both marks, in order
 */
export function writeInto(file: string, markdown: string): void {
  const page = readFileSync(file, 'utf8');
  const start = page.indexOf(START);
  const end = page.indexOf(END);
  if (start < 0 || end < start) throw new Error(`${file} has no ${START} ... ${END}`);
  writeFileSync(file, `${page.slice(0, start + START.length)}\n\n${markdown}\n\n${page.slice(end)}`);
}

function valueOf({ value, unit }: Row): string {
  return unit === '' ? round(value) : `${round(value)} ${unit}`;
}

function ratioOf({ ratio }: Row): string {
  return ratio === undefined ? '' : `${ratio.toFixed(2)}x`;
}

function round(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return Number(value.toFixed(digits)).toLocaleString('en');
}
