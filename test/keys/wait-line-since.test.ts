import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WaitLine } from '../../src/keys/wait-line.ts';
import { ManualClock, settle } from '../support/manual-clock.ts';

const START = 1000;

interface Comer {
  readonly priority: number;
  /** When its caller came; now where absent. */
  readonly since?: number | undefined;
}

/** Lets them join one ms after the other, and tells in which order they may try. */
async function orderOf(comers: readonly Comer[]): Promise<number[]> {
  const clock = new ManualClock(START);
  const line = new WaitLine(clock);
  const order: number[] = [];
  for (const [index, { priority, since }] of comers.entries()) {
    const place = line.join(priority, Infinity, undefined, since === undefined ? undefined : { since });
    void place.wait({ at: Infinity }).then(() => {
      order.push(index);
      place.leave();
    });
    await clock.advance(1);
  }
  line.announce();
  for (let left = comers.length; left > 0; left--) await settle();
  expect(line.size).toBe(0);
  return order;
}

describe('who came earlier', () => {
  test('goes first among equals of priority, whenever he joined', async () => {
    expect(await orderOf([30, 10, 20].map(since => ({ priority: 0, since })))).toEqual([1, 2, 0]);
  });

  test('does not go before a higher priority', async () => {
    expect(await orderOf([{ priority: 1, since: 30 }, { priority: 0, since: 10 }])).toEqual([0, 1]);
  });

  test('at the same time as another goes in the order of joining', async () => {
    expect(await orderOf([0, 1, 2].map(() => ({ priority: 0, since: 10 })))).toEqual([0, 1, 2]);
  });

  test('goes before those who came when they joined', async () => {
    expect(await orderOf([{ priority: 0 }, { priority: 0 }, { priority: 0, since: START - 1 }])).toEqual([2, 0, 1]);
  });

  test('is first of all whoever they are: by priority, then by when they came, then by joining', async () => {
    const comers = fc.array(
      fc.record({
        priority: fc.integer({ min: -1, max: 1 }),
        since: fc.option(fc.integer({ min: START - 3, max: START + 9 }), { nil: undefined }),
      }),
      { minLength: 1, maxLength: 10 },
    );
    await fc.assert(
      fc.asyncProperty(comers, async all => {
        const expected = all
          .map(({ priority, since }, index) => ({ index, priority, since: since ?? START + index }))
          .sort((a, b) => b.priority - a.priority || a.since - b.since || a.index - b.index);
        expect(await orderOf(all)).toEqual(expected.map(({ index }) => index));
      }),
      { numRuns: 60 },
    );
  });

  test('has a key before the one who waits for it already', async () => {
    const clock = new ManualClock(START);
    const line = new WaitLine(clock);
    const order: string[] = [];
    const wait = (name: string, since: number): void => {
      const place = line.join(0, Infinity, undefined, { since });
      void place.wait({ at: START + 100 }).then(() => {
        order.push(name);
        place.leave();
      });
    };
    wait('later', 500);
    await clock.advance(50);
    wait('earlier', 400);
    await clock.advance(49);
    expect(order).toEqual([]);
    await clock.advance(1);
    expect(order).toEqual(['earlier', 'later']);
  });
});
