import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WaitLine, type Place, type WaitEnd } from '../../src/keys/wait-line.ts';
import { ManualClock, settle } from '../support/manual-clock.ts';

const clockAt = (): ManualClock => new ManualClock(1000);

/** Waits until there is something to take, as a call waits for a key, and tells in which order it was served. */
function worker(line: WaitLine, clock: ManualClock, stock: { left: number; at: number }, served: string[]) {
  return async (name: string, priority = 0, limitAt = Infinity, kind?: unknown): Promise<WaitEnd> => {
    const place = line.join(priority, limitAt, kind);
    try {
      for (;;) {
        const seen = line.announced;
        if (stock.left > 0 && clock.now() >= stock.at) {
          stock.left--;
          served.push(name);
          return 'try';
        }
        if ((await place.wait({ at: stock.at > clock.now() ? stock.at : Infinity, seen })) === 'expired') {
          return 'expired';
        }
      }
    } finally {
      place.leave();
    }
  };
}

describe('turns', () => {
  test('come in order of priority, then of arrival', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const stock = { left: 0, at: 0 };
    const served: string[] = [];
    const work = worker(line, clock, stock, served);
    for (const [name, priority] of [['a', 0], ['b', 5], ['c', 0], ['d', 5], ['e', 9]] as const) void work(name, priority);
    await settle();
    stock.left = 5;
    line.announce();
    await settle();
    expect(served).toEqual(['e', 'b', 'd', 'a', 'c']);
    expect(line.size).toBe(0);
  });

  test('come one at a time: what suffices for two serves two, and the others keep their places', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const stock = { left: 0, at: 0 };
    const served: string[] = [];
    const work = worker(line, clock, stock, served);
    for (const name of 'abcd') void work(name);
    await settle();
    stock.left = 2;
    line.announce();
    await settle();
    expect(served).toEqual(['a', 'b']);
    stock.left = 2;
    line.announce();
    await settle();
    expect(served).toEqual(['a', 'b', 'c', 'd']);
  });

  test('who wants the same is not asked again after one of them has tried in vain', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    let tries = 0;
    const wait = async (kind: unknown): Promise<void> => {
      const place = line.join(0, Infinity, kind);
      while ((await place.wait({ at: Infinity })) === 'try') tries++;
    };
    for (let i = 0; i < 50; i++) void wait('big');
    for (let i = 0; i < 50; i++) void wait('small');
    await settle();
    line.announce();
    await settle();
    expect(tries).toBe(2);
  });

  test('who wants something else is asked although those before it cannot go on', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const served: string[] = [];
    const empty = { left: 0, at: 0 };
    const small = { left: 0, at: 0 };
    void worker(line, clock, empty, served)('big', 9, Infinity, 'big');
    void worker(line, clock, small, served)('small', 0, Infinity, 'small');
    await settle();
    small.left = 1;
    line.announce();
    await settle();
    expect(served).toEqual(['small']);
  });

  test('who comes with other wishes tries at once', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    void line.join(0, Infinity, 'a').wait({ at: Infinity });
    await expect(line.join(0, Infinity, 'b').wait({ at: clock.now() })).resolves.toBe('try');
  });

  test('who comes with other wishes and goes before the others tries at once too', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    void line.join(0, Infinity, 'a').wait({ at: Infinity });
    await expect(line.join(9, Infinity, 'b').wait({ at: clock.now() })).resolves.toBe('try');
  });

  test('who comes with the same wishes waits behind', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const ends: string[] = [];
    void line.join(0, Infinity).wait({ at: Infinity }).then(() => ends.push('first'));
    void line.join(0, Infinity).wait({ at: clock.now() }).then(() => ends.push('second'));
    await settle();
    expect(ends).toEqual([]);
  });

  test('the one whose turn it is holds up the next until it is through or waits again', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const first = line.join(0, Infinity, 1);
    const second = line.join(0, Infinity, 2);
    const ends: string[] = [];
    void first.wait({ at: Infinity }).then(end => ends.push(`first ${end}`));
    void second.wait({ at: Infinity }).then(end => ends.push(`second ${end}`));
    line.announce();
    await settle();
    expect(ends).toEqual(['first try']);
    first.leave();
    await settle();
    expect(ends).toEqual(['first try', 'second try']);
  });

  test('leaving twice, or after the turn has come, harms nobody', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const place = line.join(0, Infinity);
    const other = line.join(0, Infinity).wait({ at: Infinity });
    void place.wait({ at: Infinity });
    line.announce();
    place.leave();
    place.leave();
    line.announce();
    await expect(other).resolves.toBe('try');
    expect(line.size).toBe(1);
  });

  test('who leaves before the others have had their turn takes nobody\'s', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const places = [0, 1, 2].map(kind => line.join(0, Infinity, kind));
    const ends: number[] = [];
    places.forEach((place, index) => void place.wait({ at: Infinity }).then(() => ends.push(index)));
    line.announce();
    await settle();
    void places[0]!.wait({ at: Infinity });
    await settle();
    places[0]!.leave();
    places[1]!.leave();
    await settle();
    expect(ends).toEqual([0, 1, 2]);
  });
});

describe('news', () => {
  test('of a settlement between the vain try and the wait is not missed', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const seen = line.announced;
    line.announce();
    await expect(line.join(0, Infinity).wait({ at: Infinity, seen })).resolves.toBe('try');
  });

  test('that come while one tries make it try again', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const place = line.join(0, Infinity);
    const turn = place.wait({ at: Infinity });
    line.announce();
    await turn;
    const seen = line.announced;
    line.announce();
    await expect(place.wait({ at: Infinity, seen })).resolves.toBe('try');
  });

  test('from before it tried are no news', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    line.announce();
    let end: WaitEnd | undefined;
    void line.join(0, Infinity).wait({ at: Infinity }).then(it => (end = it));
    await settle();
    expect(end).toBeUndefined();
  });
});

describe('time', () => {
  test('wakes at the known moment, the first in line first', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const stock = { left: 1, at: clock.now() + 500 };
    const served: string[] = [];
    const work = worker(line, clock, stock, served);
    void work('a');
    void work('b');
    await clock.advance(499);
    expect(served).toEqual([]);
    await clock.advance(1);
    expect(served).toEqual(['a']);
  });

  test('ends a wait at its limit, to the millisecond', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const stock = { left: 0, at: 0 };
    const work = worker(line, clock, stock, []);
    const ends: string[] = [];
    void work('a', 0, clock.now() + 100).then(end => ends.push(`a ${end} at ${clock.now()}`));
    void work('b', 0, clock.now() + 70).then(end => ends.push(`b ${end} at ${clock.now()}`));
    void work('c').then(end => ends.push(`c ${end}`));
    await clock.advance(200);
    expect(ends).toEqual(['b expired at 1070', 'a expired at 1100']);
    expect(line.size).toBe(1);
  });

  test('up at the very moment the wait is over still gives the waiter its turn', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const limitAt = clock.now() + 100;
    const stock = { left: 2, at: limitAt };
    const served: string[] = [];
    const work = worker(line, clock, stock, served);
    const ends = Promise.all([work('a', 0, limitAt), work('b', 0, limitAt), work('c', 0, limitAt)]);
    await clock.advance(101);
    expect(served).toEqual(['a', 'b']);
    await expect(ends).resolves.toEqual(['try', 'try', 'expired']);
  });

  test('does not keep a waiter beyond its limit for the sake of one that takes its time', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const slow = line.join(9, Infinity, 'slow');
    void slow.wait({ at: Infinity });
    const other = line.join(0, clock.now() + 10, 'other');
    const end = other.wait({ at: Infinity });
    line.announce();
    await clock.advance(11);
    await expect(end).resolves.toBe('expired');
  });

  test('a limit that has passed ends the wait at once', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    await expect(line.join(0, clock.now() - 1).wait({ at: Infinity })).resolves.toBe('expired');
  });

  test('sets one timer for all, and none once nobody waits', () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    expect(clock.pending.foreground).toBe(0);
    const places = Array.from({ length: 20 }, (_, i) => line.join(0, clock.now() + 1000 + i, i));
    for (const place of places) void place.wait({ at: Infinity });
    expect(clock.pending.foreground).toBe(1);
    for (const place of places) place.leave();
    expect(clock.pending.foreground).toBe(0);
  });

  test('needs no timer where nothing but news can help', () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    void line.join(0, Infinity).wait({ at: Infinity });
    expect(clock.pending.foreground).toBe(0);
  });

  test('stands still once closed', () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    void line.join(0, clock.now() + 10).wait({ at: Infinity });
    line.close();
    expect(clock.pending.foreground).toBe(0);
  });
});

test('whoever waits is served or expires, never late, and nobody is served out of turn', async () => {
  const arrival = fc.record({
    at: fc.nat(50),
    priority: fc.nat(2),
    patience: fc.integer({ min: 1, max: 80 }),
    kind: fc.constantFrom('x', 'y'),
    holds: fc.integer({ min: 1, max: 20 }),
    leavesAfter: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(arrival, { maxLength: 25 }),
      fc.record({ x: fc.integer({ min: 1, max: 2 }), y: fc.integer({ min: 1, max: 2 }) }),
      async (arrivals, slots) => {
        const clock = new ManualClock(0);
        const line = new WaitLine(clock);
        const free: Record<string, number> = { ...slots };
        const waiting = new Set<{ kind: string; priority: number; at: number }>();
        let settled = 0;
        const violations: string[] = [];

        const come = async ({ kind, priority, patience, holds, leavesAfter }: (typeof arrivals)[number]): Promise<void> => {
          const me = { kind, priority, at: clock.now(), isGone: false };
          const limitAt = clock.now() + patience;
          const place: Place = line.join(priority, limitAt, kind);
          const leave = (): void => {
            me.isGone = true;
            place.leave();
            waiting.delete(me);
          };
          if (leavesAfter !== undefined) clock.setTimeout(leave, leavesAfter);
          let seen = line.announced;
          while (free[kind] === 0) {
            waiting.add(me);
            const end = await Promise.race([
              place.wait({ at: Infinity, seen }),
              new Promise<'gone'>(resolve => {
                if (leavesAfter === undefined) return;
                clock.setTimeout(() => resolve('gone'), me.at + leavesAfter - clock.now());
              }),
            ]);
            if (end === 'gone' || me.isGone) break;
            if (end === 'expired') {
              if (clock.now() !== limitAt) violations.push(`expired at ${clock.now()} instead of ${limitAt}`);
              break;
            }
            seen = line.announced;
          }
          place.leave();
          const wasWaiting = waiting.delete(me);
          if (!me.isGone && free[kind]! > 0 && clock.now() <= limitAt) {
            // Only those that waited are compared: an arrival may find a free slot while a turn is being passed on.
            for (const other of wasWaiting ? waiting : []) {
              if (other.kind === kind && (other.priority > priority || (other.priority === priority && other.at < me.at))) {
                violations.push('out of turn');
              }
            }
            free[kind]!--;
            clock.setTimeout(() => {
              free[kind]!++;
              line.announce();
            }, holds);
          }
          settled++;
        };

        for (const each of arrivals) clock.setTimeout(() => void come(each), each.at);
        await clock.advance(1000);
        expect(violations).toEqual([]);
        expect(settled).toBe(arrivals.length);
        expect(line.size).toBe(0);
        expect(clock.pending.foreground).toBe(0);
        expect(free).toEqual(slots);
      },
    ),
    { numRuns: 150 },
  );
});

describe('a waiter that has to wait for something else', () => {
  test('lets those behind it try, but for those that would wait for the same, and keeps its place', async () => {
    const clock = clockAt();
    const line = new WaitLine(clock);
    const gate = {};
    const turns: string[] = [];
    const join = (name: string, gateway?: object): Place => {
      const place = line.join(0, Infinity, name, { gateway });
      void place.wait({ at: Infinity }).then(end => turns.push(`${name}: ${end}`));
      return place;
    };
    const first = join('first', gate);
    join('second', gate);
    const third = join('third');
    line.announce();
    await settle();
    expect(turns).toEqual(['first: try']);
    first.stepAside();
    await settle();
    expect(turns).toEqual(['first: try', 'third: try']);
    third.leave();
    void first.wait({ at: clock.now() }).then(end => turns.push(`again: ${end}`));
    await settle();
    expect(turns).toEqual(['first: try', 'third: try', 'again: try']);
    first.leave();
    await settle();
    expect(turns.at(-1)).toBe('second: try');
  });

  test('holds nobody up once it has left, and cannot step aside out of turn', async () => {
    const line = new WaitLine(clockAt());
    const gate = {};
    const first = line.join(0, Infinity, 1, { gateway: gate });
    const second = line.join(0, Infinity, 2, { gateway: gate });
    const woken = first.wait({ at: Infinity });
    const next = second.wait({ at: Infinity });
    second.stepAside();
    line.announce();
    await expect(woken).resolves.toBe('try');
    first.stepAside();
    first.leave();
    await expect(next).resolves.toBe('try');
  });
});
