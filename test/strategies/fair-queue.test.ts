import { describe, expect, test } from 'vitest';
import { FairQueue } from '../../src/strategies/fair-queue.ts';
import { counts } from './pool-of.ts';

function queueOf(...weights: number[]): FairQueue {
  const queue = new FairQueue();
  weights.forEach((weight, position) => queue.add(position, weight));
  return queue;
}

function run(queue: FairQueue, turns: number): (number | undefined)[] {
  return Array.from({ length: turns }, () => {
    const position = queue.next();
    if (position !== undefined) queue.serve(position);
    return position;
  });
}

describe('a fair queue', () => {
  test.each(['before', 'after'])('a turn somebody stood in for costs no share; back %s that turn', back => {
    const queue = queueOf(100, 1);
    let light = 0;
    for (let turn = 1; turn <= 10_100; turn++) {
      // Two in three of the light member's turns come about like this, at the wrong time.
      const aside = turn % 150 === 0;
      if (aside) queue.remove(0);
      const position = queue.next()!;
      if (aside && back === 'before') queue.add(0, 100);
      queue.serve(position);
      if (aside && back === 'after') queue.add(0, 100);
      if (position === 1) light++;
    }
    expect(Math.abs(light - 100)).toBeLessThanOrEqual(1);
  });

  test('a member that grows heavy need not first wait for the turn it had when it was light', () => {
    const queue = queueOf(1_000, 1);
    while (queue.next() === 0) queue.serve(0);
    queue.serve(1);
    queue.add(1, 1_000);
    const [first, second] = counts(run(queue, 100), 2);
    expect(Math.abs(first! - second!)).toBeLessThanOrEqual(4);
  });

  test('keeps its proportions after a million turns of the lightest member alone', () => {
    const queue = queueOf(3, 2, 1, 1e-9);
    for (const position of [0, 1, 2]) queue.remove(position);
    for (let turn = 0; turn < 1_000_000; turn++) queue.serve(3);
    queue.remove(3);
    [3, 2, 1].forEach((weight, position) => queue.add(position, weight));
    expect(counts(run(queue, 6_000), 4)).toEqual([3_000, 2_000, 1_000, 0]);
  });

  test('keeps its proportions when many heavy members have come and gone', () => {
    const weights = Array.from({ length: 1_000 }, (_, i) => 1 + Math.sqrt(i));
    const queue = queueOf(...weights);
    weights.forEach((_, position) => {
      if (position > 1) queue.remove(position);
    });
    queue.add(0, 3e-7);
    queue.add(1, 1e-7);
    const [first, second] = counts(run(queue, 4_000), 2);
    expect(Math.abs(first! - 3_000)).toBeLessThanOrEqual(5);
    expect(first! + second!).toBe(4_000);
  });

  test('serving a stranger changes nothing', () => {
    const queue = queueOf(1, 1);
    queue.serve(7);
    expect(run(queue, 4)).toEqual([0, 1, 0, 1]);
    expect(new FairQueue().next()).toBeUndefined();
  });
});
