export interface Column<Row> {
  readonly title: string;
  /** Numbers are set right, texts left. */
  readonly cell: (row: Row) => string | number;
}

/** Columns aligned with spaces, a rule below the titles, no trailing blanks. Empty cells show a dash. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row)));
  const printed = cells.map((row) => row.map((cell) => (cell === '' ? '-' : String(cell))));
  const widths = columns.map(({ title }, column) =>
    Math.max(title.length, ...printed.map((row) => row[column]!.length)),
  );
  const numeric = columns.map((_, column) => cells.length > 0 && cells.every((row) => typeof row[column] === 'number'));
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, column) => (numeric[column] ? text.padStart(widths[column]!) : text.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd();
  const titles = line(columns.map(({ title }) => title));
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [titles, rule, ...printed.map(line)].join('\n');
}
