import fc from 'fast-check';
import PQueue from 'p-queue';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Lane, type LaneSettings, type SlotHolder } from '../../src/guard/lane.ts';
import { ManualClock } from '../support/manual-clock.ts';

afterEach(() => vi.restoreAllMocks());

function laneOf(settings: Partial<LaneSettings> = {}) {
  const clock = new ManualClock();
  return { clock, lane: new Lane({ concurrency: 1, minDelayMs: 0, stallMs: 60_000, ...settings }, clock) };
}

function holder(): SlotHolder {
  return { holdsSlot: false, slotTakenAt: 0, olderHolder: undefined, newerHolder: undefined };
}

/** Gets in line; `started` is called when the slot is there. */
function waitIn(lane: Lane, priority = 0, started: () => void = () => undefined) {
  const own = holder();
  const giveUp = lane.wait(own, priority, { resolve: started, reject: started });
  return { own, giveUp };
}

/** The queue that something was added to. */
function queueOf(adding: { readonly mock: { readonly contexts: readonly unknown[] } }): { readonly size: number } {
  const [queue] = adding.mock.contexts;
  if (!(queue instanceof PQueue)) throw new Error('Nothing was added to a queue');
  return queue;
}

/** A lane whose only slot is taken. */
function fullLane() {
  const { clock, lane } = laneOf();
  const running = holder();
  lane.enter(running, clock.now());
  return { clock, lane, running };
}

describe('those that leave the queue', () => {
  test('do not pile up in it while a slot is held', () => {
    const adding = vi.spyOn(PQueue.prototype, 'add');
    const { lane } = fullLane();
    waitIn(lane);
    const waiting = Array.from({ length: 10_000 }, () => waitIn(lane));
    const queue = queueOf(adding);
    for (const { giveUp } of waiting) giveUp();
    expect(queue.size).toBeLessThanOrEqual(2);
    // Filling the queue anew takes no more than as many additions as there were departures.
    expect(adding.mock.calls.length).toBeLessThanOrEqual(20_001);
  });

  test('one by one leave nothing behind either', () => {
    const adding = vi.spyOn(PQueue.prototype, 'add');
    const { lane, clock } = fullLane();
    for (let i = 0; i < 100; i++) waitIn(lane).giveUp();
    expect(queueOf(adding).size).toBe(0);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('may say so twice, or too late', () => {
    const { lane, running } = fullLane();
    const order: string[] = [];
    const first = waitIn(lane, 0, () => order.push('first'));
    const gone = waitIn(lane, 0, () => order.push('gone'));
    waitIn(lane, 0, () => order.push('last'));
    gone.giveUp();
    gone.giveUp();
    lane.leave(running);
    first.giveUp();
    lane.leave(first.own);
    expect(order).toEqual(['first', 'last']);
  });
});

test('whoever comes and goes, slots are given by priority and then by arrival, to those that still wait', () => {
  const step = fc.oneof(
    fc.record({ what: fc.constant('wait' as const), priority: fc.integer({ min: -1, max: 1 }) }),
    fc.record({ what: fc.constant('give up' as const), which: fc.nat({ max: 20 }) }),
    fc.record({ what: fc.constant('leave' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const { lane, running } = fullLane();
      const waiting: { id: number; priority: number; own: SlotHolder; giveUp: () => void }[] = [];
      const started: number[] = [];
      let current: SlotHolder | undefined = running;
      let ids = 0;
      for (const next of steps) {
        if (next.what === 'wait') {
          const id = ids++;
          const { own, giveUp } = waitIn(lane, next.priority, () => started.push(id));
          waiting.push({ id, priority: next.priority, own, giveUp });
          if (!current) current = waiting.pop()!.own;
        } else if (next.what === 'give up') {
          const [gone] = waiting.splice(next.which % Math.max(1, waiting.length), 1);
          gone?.giveUp();
        } else if (current) {
          const before = started.length;
          lane.leave(current);
          const expected = [...waiting].sort((a, b) => b.priority - a.priority || a.id - b.id)[0];
          expect(started.slice(before)).toEqual(expected ? [expected.id] : []);
          current = expected?.own;
          if (expected) waiting.splice(waiting.indexOf(expected), 1);
        }
      }
    }),
  );
});

describe('the timer of those that wait', () => {
  test('is one for a busy lane, not one for each attempt', () => {
    const { clock, lane, running } = fullLane();
    const setting = vi.spyOn(clock, 'setTimeout');
    const waiting = Array.from({ length: 100 }, () => waitIn(lane));
    lane.leave(running);
    for (const { own } of waiting) lane.leave(own);
    expect(setting).toHaveBeenCalledTimes(1);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('comes sooner where someone may start sooner', async () => {
    const { clock, lane } = laneOf({ concurrency: 2, minDelayMs: 10_000 });
    const starts: number[] = [];
    const begun = clock.now();
    lane.enter(holder(), begun);
    waitIn(lane, 0, () => starts.push(clock.now() - begun));
    lane.configure({ concurrency: 2, minDelayMs: 500, stallMs: 60_000 });
    await clock.advance(500);
    expect(starts).toEqual([500]);
  });

  test('is set anew when the clock was set back', async () => {
    const { clock, lane } = laneOf({ concurrency: 3, minDelayMs: 1000 });
    lane.enter(holder(), clock.now());
    let starts = 0;
    waitIn(lane, 0, () => starts++);
    clock.set(clock.now() - 3_600_000);
    waitIn(lane, 0, () => starts++);
    await clock.advance(2000);
    expect(starts).toBe(2);
  });
});
