import type { ComparedPolicy, Comparison } from './comparison.ts';

const COLUMNS: readonly (readonly [head: string, cell: (policy: ComparedPolicy) => string])[] = [
  ['goodput', ({ goodput }) => goodput.toFixed(4)],
  ['worst', ({ worst }) => worst.goodput.toFixed(4)],
  ['waste', ({ waste }) => percent(waste)],
  ['worst', ({ worst }) => percent(worst.waste)],
  ['asked', ({ asked }) => String(asked)],
  ['served', ({ served }) => String(served)],
  ['attempts', ({ attempts }) => String(attempts)],
  ['key faults', ({ keyFaults }) => String(keyFaults)],
  ['wait p50', ({ waitP50Ms }) => seconds(waitP50Ms)],
  ['p99', ({ waitP99Ms }) => seconds(waitP99Ms)],
  ['noticed', ({ noticeMs }) => seconds(noticeMs)],
  ['recovered', ({ recoverMs }) => seconds(recoverMs)],
  ['fairness', ({ fairness }) => fairness.toFixed(2)],
  ['cached', ({ cached }) => (cached === 0 ? '' : percent(cached))],
];

/** One scenario as a Markdown table, which reads well as plain text too. */
export function toTable({ about, guard, name, policies }: Comparison): string {
  const rows = [
    ['policy', ...COLUMNS.map(([head]) => head)],
    ...Object.entries(policies).map(([policy, figures]) => [policy, ...COLUMNS.map(([, cell]) => cell(figures))]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join(' | ')} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  const [head, ...body] = rows;
  const configured = guard ? [`The guard is configured with \`${JSON.stringify({ ...guard.options, ...guard.pool })}\`.`, ''] : [];
  return [`### ${name}`, '', about, '', ...configured, line(head!), rule, ...body.map(line)].join('\n');
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function seconds(ms: number | undefined): string {
  if (ms === undefined) return '';
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
