import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FailureRun } from '../../src/keys/failure-run.ts';

/** A key beside the others of its pool, attempt by attempt: `x`, `.` for its own, `X`, `o` for the others'. */
function run(attempts: string): { isAlone: boolean; isOver: boolean } {
  const tally = { answers: 100, failures: 50 };
  const failures = new FailureRun(tally);
  let isOver = false;
  for (const attempt of attempts) {
    if (attempt === 'x' || attempt === 'X') tally.failures++;
    else tally.answers++;
    if (attempt === 'x') failures.failed();
    if (attempt === '.') isOver = !failures.answered();
  }
  return { isAlone: failures.isAlone(tally), isOver };
}

describe('a key', () => {
  test.each([
    ['that failed five times while five others were answered fails alone', 'xoxoxoxoxo', true],
    ['that failed four times may be unlucky', 'xoxoxoxoooooo', false],
    ['with too few answers beside it proves nothing', 'xoxoxoxox', false],
    ['nobody was answered beside is in an outage', 'xxxxxxxxxx', false],
    ['is not alone where the others fail as well', 'xoXoXxoXoXxoXxoXx', false],
    ['is alone where the others fail now and then', 'xoXoooxooxoXoxoox', true],
    ['that answers now and then fails alone all the same', 'xx.xxxooooo', true],
  ])('%s', (_, attempts, isAlone) => {
    expect(run(attempts).isAlone).toBe(isAlone);
  });

  test('that answers as often as it fails is not failing', () => {
    expect(run('xx.').isOver).toBe(false);
    expect(run('x.').isOver).toBe(true);
  });
});

test('a pool of one key has nobody to be compared with, whatever comes', () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom('x', '.'), maxLength: 100 }), attempts => {
    expect(run(attempts).isAlone).toBe(false);
  }));
});
