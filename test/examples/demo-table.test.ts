import { expect, test } from 'vitest';
import { table } from '../../examples/demo/table.ts';

interface Row {
  readonly name: string;
  readonly count: number;
  readonly note: string;
}

const columns = [
  { title: 'name', cell: ({ name }: Row) => name },
  { title: 'count', cell: ({ count }: Row) => count },
  { title: 'note', cell: ({ note }: Row) => note },
];

test('columns line up, numbers to the right, and an empty cell shows a dash', () => {
  const rows = [
    { name: 'orchid-1', count: 7, note: '' },
    { name: 'elm', count: 1200, note: 'resting' },
  ];
  expect(table(rows, columns).split('\n')).toEqual([
    'name      count  note',
    '--------  -----  -------',
    'orchid-1      7  -',
    'elm        1200  resting',
  ]);
});

test('a table without rows is its titles', () => {
  expect(table([], columns).split('\n')).toEqual(['name  count  note', '----  -----  ----']);
});
