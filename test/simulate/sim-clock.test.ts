import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SimClock } from '../../src/simulate/sim-clock.ts';

const START = Date.UTC(2026, 10, 20);

describe('events', () => {
  test('come in the order of their times, and those of one time as they were set', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(20), { maxLength: 60 }), async delays => {
        const clock = new SimClock(START);
        const ran: { readonly index: number; readonly at: number }[] = [];
        for (const [index, delay] of delays.entries()) {
          clock.setTimeout(() => ran.push({ index, at: clock.now() }), delay);
        }
        await clock.runUntil(START + 100);
        const expected = delays
          .map((delay, index) => ({ index, at: START + delay }))
          .sort((a, b) => a.at - b.at || a.index - b.index);
        expect(ran).toEqual(expected);
      }),
      { numRuns: 30 },
    );
  });

  test('may set others, which have their turn in the same run', async () => {
    const clock = new SimClock(START);
    const ran: number[] = [];
    const again = (): void => {
      ran.push(clock.now() - START);
      if (ran.length < 200) clock.setTimeout(again, 5);
    };
    clock.setTimeout(again, 0);
    await clock.runUntil(START + 10_000);
    expect(ran).toEqual(Array.from({ length: 200 }, (_, index) => index * 5));
  });

  test('set for a time that is over come next, and time does not go back', async () => {
    const clock = new SimClock(START);
    const ran: string[] = [];
    clock.at(START + 10, () => {
      clock.at(START + 10, () => ran.push('later'));
      clock.at(START, () => ran.push(`past at ${clock.now() - START}`));
      clock.setTimeout(() => ran.push(`negative at ${clock.now() - START}`), -50);
    });
    clock.at(START + 11, () => ran.push('next ms'));
    await clock.runUntil(START + 20);
    expect(ran).toEqual(['later', 'past at 10', 'negative at 10', 'next ms']);
  });

  test('that were cleared do not come; to clear what is over or was never set does nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(9), fc.boolean()), { maxLength: 40 }), async timers => {
        const clock = new SimClock(START);
        const ran: number[] = [];
        const handles = timers.map(([delay], index) => clock.setTimeout(() => ran.push(index), delay));
        for (const [index, [, isCleared]] of timers.entries()) if (isCleared) clock.clearTimeout(handles[index]);
        await clock.runUntil(START + 10);
        for (const handle of [...handles, undefined, null, 7, {}]) clock.clearTimeout(handle);
        const kept = timers.flatMap(([delay, isCleared], index) => (isCleared ? [] : [{ delay, index }]));
        expect(ran).toEqual(kept.sort((a, b) => a.delay - b.delay || a.index - b.index).map(({ index }) => index));
      }),
      { numRuns: 30 },
    );
  });

  test('may clear one of the same time that would have come after', async () => {
    const clock = new SimClock(START);
    const ran: string[] = [];
    clock.setTimeout(() => {
      ran.push('first');
      clock.clearTimeout(second);
    }, 5);
    const second = clock.setTimeout(() => ran.push('second'), 5);
    await clock.runUntil(START + 5);
    expect(ran).toEqual(['first']);
  });
});

describe('a run', () => {
  test('lets all that an event sets off end before the next one, however many promises it takes', async () => {
    const clock = new SimClock(START);
    const steps: string[] = [];
    const chain = async (name: string): Promise<void> => {
      for (let step = 0; step < 50; step++) await Promise.resolve();
      await new Promise<void>(resolve => process.nextTick(resolve));
      await Promise.resolve();
      steps.push(`${name} at ${clock.now() - START}`);
    };
    for (let event = 0; event < 150; event++) {
      clock.setTimeout(() => {
        steps.push(`${event}`);
        void chain(`${event} ends`);
      }, event);
    }
    await clock.runUntil(START + 1000);
    expect(steps).toEqual(Array.from({ length: 150 }, (_, event) => [`${event}`, `${event} ends at ${event}`]).flat());
  });

  test('stops at its end, the last millisecond included, and the next one goes on from there', async () => {
    const clock = new SimClock(START);
    const ran: number[] = [];
    for (const delay of [9, 10, 11]) clock.setTimeout(() => ran.push(clock.now() - START), delay);
    await clock.runUntil(START + 10);
    expect(ran).toEqual([9, 10]);
    expect(clock.now()).toBe(START + 10);
    await clock.runUntil(START + 5);
    expect(clock.now()).toBe(START + 10);
    await clock.runUntil(START + 30);
    expect(ran).toEqual([9, 10, 11]);
    expect(clock.now()).toBe(START + 30);
  });

  test('with nothing to run moves the time to its end', async () => {
    const clock = new SimClock(START);
    await clock.runUntil(START + 86_400_000);
    expect(clock.now()).toBe(START + 86_400_000);
  });

  test('rejects with what an event throws, and runs no other then', async () => {
    const clock = new SimClock(START);
    const ran: number[] = [];
    const mistake = new Error('a mistake');
    clock.setTimeout(() => ran.push(1), 1);
    clock.setTimeout(() => {
      throw mistake;
    }, 2);
    clock.setTimeout(() => ran.push(3), 3);
    await expect(clock.runUntil(START + 10)).rejects.toBe(mistake);
    expect(ran).toEqual([1]);
    expect(clock.now()).toBe(START + 2);
    await clock.runUntil(START + 10);
    expect(ran).toEqual([1, 3]);
  });
});
