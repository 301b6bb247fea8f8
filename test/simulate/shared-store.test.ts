import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SharedStore } from '../../src/simulate/shared-store.ts';
import type {
  Candidate,
  LeaseAnswer,
  LeaseRequest,
  Limits,
  PoolListener,
  PoolStore,
  SharedGate,
} from '../../src/state/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { MINUTE_MS, START_AT } from './support.ts';

interface Process {
  readonly pool: PoolStore;
  readonly told: { readonly what: 'gate' | 'freed' | 'note'; readonly value: unknown }[];
}

interface Bench {
  readonly clock: ManualClock;
  readonly store: SharedStore;
  readonly processes: readonly Process[];
}

const LEASE_MS = 30_000;
const ASKED = { model: undefined, tokens: 0, leaseMs: LEASE_MS, dayReset: undefined };

function benchOf(count: number, pattern = 'p'): Bench {
  const clock = new ManualClock(START_AT);
  const store = new SharedStore(clock);
  const processes = Array.from({ length: count }, () => {
    const told: Process['told'] = [];
    const listener: PoolListener = {
      gateChanged: (name, gate) => told.push({ what: 'gate', value: { name, gate } }),
      freed: members => told.push({ what: 'freed', value: [...members] }),
      noted: value => told.push({ what: 'note', value }),
      dividedBy: () => undefined,
      closedGates: () => [],
      notes: () => [],
    };
    return { pool: store.open().pool(pattern, listener), told };
  });
  return { clock, store, processes };
}

interface Group {
  readonly name: string;
  readonly limits?: Limits;
}

function candidateOf({ pool }: Process, id: string, limits?: Limits, group?: Group): Candidate {
  return {
    key: pool.member('key', id, limits),
    group: group ? pool.member('group', group.name, group.limits) : pool.member('own group', id, undefined),
    probes: false,
  };
}

async function lease(
  bench: Bench,
  by: Process,
  candidates: readonly Candidate[],
  more: Partial<LeaseRequest> = {},
): Promise<LeaseAnswer> {
  const answer = by.pool.lease({ candidates, ...ASKED, ...more });
  await bench.clock.advance(1);
  return answer;
}

const gateOf = (until: number, more: Partial<SharedGate> = {}): SharedGate => ({
  state: 'cooling',
  until,
  since: START_AT,
  strikes: 1,
  lastInLine: false,
  probeUntil: 0,
  reason: 'rate_limit',
  ...more,
});

describe('limits', () => {
  test('hold over all processes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.tuple(fc.nat(2), fc.nat(15_000)), { minLength: 1, maxLength: 40 }),
        async (rpm, asks) => {
          const bench = benchOf(3);
          const granted: number[] = [];
          for (const [index, gapMs] of asks) {
            await bench.clock.advance(gapMs);
            const by = bench.processes[index]!;
            const { granted: position, refusals } = await lease(bench, by, [candidateOf(by, 'a', { rpm })]);
            const now = bench.clock.now();
            if (position === 0) granted.push(now);
            else expect(refusals).toMatchObject([{ candidate: 0, of: 'key', why: 'requests' }]);
            expect(granted.filter(at => at > now - MINUTE_MS).length).toBeLessThanOrEqual(rpm);
            if (granted.filter(at => at > now - MINUTE_MS - 1000).length < rpm) expect(position).toBe(0);
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  test('of a group hold over all its keys; the next candidate with room is taken', async () => {
    const bench = benchOf(2);
    const [first, second] = bench.processes as [Process, Process];
    const group = { name: 'g', limits: { rpm: 1 } };
    expect(await lease(bench, first, [candidateOf(first, 'a', undefined, group)])).toMatchObject({ granted: 0 });
    const answer = await lease(bench, second, [candidateOf(second, 'b', undefined, group), candidateOf(second, 'c')]);
    expect(answer).toMatchObject({ granted: 1, refusals: [{ candidate: 0, of: 'group', why: 'requests' }] });
    const refused = await lease(bench, second, [candidateOf(second, 'b', undefined, group)]);
    expect(refused).toMatchObject({ granted: undefined, receipt: undefined });
  });

  test('of tokens tell when there is room for so many', async () => {
    const bench = benchOf(1);
    const [process] = bench.processes as [Process];
    const candidate = candidateOf(process, 'a', { tpm: 100 });
    await lease(bench, process, [candidate], { tokens: 60 });
    const { refusals } = await lease(bench, process, [candidate], { tokens: 60 });
    expect(refusals).toMatchObject([{ of: 'key', why: 'tokens' }]);
    expect(refusals[0]!.at).toBeGreaterThan(START_AT + MINUTE_MS);
    expect(await lease(bench, process, [candidate], { tokens: 40 })).toMatchObject({ granted: 0 });
  });

  test('that refill have their first fill and what comes back meanwhile, whatever was a window before', async () => {
    const bench = benchOf(2);
    const [first, second] = bench.processes as [Process, Process];
    const rpmRefills = { wholeAt: 0 };
    const grantedTo = async (by: Process, limits: Limits, forMs: number): Promise<number> => {
      const end = bench.clock.now() + forMs;
      let count = 0;
      while (bench.clock.now() < end) if ((await lease(bench, by, [candidateOf(by, 'a', limits)])).granted === 0) count++;
      return count;
    };
    expect(await grantedTo(first, { rpm: 60, rpmRefills }, 30_000)).toBe(89);
    // All of this minute is used for who does not know that it refills; what that counts nobody forgets.
    expect(await grantedTo(second, { rpm: 60 }, 10_000)).toBe(0);
    expect(await grantedTo(first, { rpm: 60, rpmRefills }, 1000)).toBe(11);
  });

  test('that refill give back what was cancelled, and not what has come back by itself', async () => {
    const bench = benchOf(1);
    const [process] = bench.processes as [Process];
    const candidate = candidateOf(process, 'a', { rpm: 2, rpmRefills: { wholeAt: 0 }, tpm: 60, tpmRefills: { wholeAt: START_AT + 30_000 } });
    const asked = await lease(bench, process, [candidate], { tokens: 20 });
    expect(await lease(bench, process, [candidate], { tokens: 20 })).toMatchObject({ refusals: [{ why: 'requests' }] });
    asked.receipt!.correct(-1, -20);
    await bench.clock.advance(1000);
    const again = await lease(bench, process, [candidate], { tokens: 30 });
    expect(again).toMatchObject({ granted: 0 });
    await bench.clock.advance(3 * MINUTE_MS);
    expect(await lease(bench, process, [candidate], { tokens: 60 })).toMatchObject({ granted: 0 });
    again.receipt!.correct(0, -30);
    await bench.clock.advance(31_000);
    expect(await lease(bench, process, [candidate], { tokens: 40 })).toMatchObject({ granted: undefined, refusals: [{ why: 'tokens' }] });
    expect(await lease(bench, process, [candidate], { tokens: 61 })).toMatchObject({ refusals: [{ at: Infinity }] });
  });

  test('of attempts at once free a place when one is over, and all are told', async () => {
    const bench = benchOf(2);
    const [first, second] = bench.processes as [Process, Process];
    const limits = { concurrency: 1 };
    const { receipt } = await lease(bench, first, [candidateOf(first, 'a', limits)]);
    const busy = await lease(bench, second, [candidateOf(second, 'a', limits)]);
    expect(busy).toMatchObject({ granted: undefined, refusals: [{ why: 'busy', at: Infinity }] });
    receipt!.release();
    for (const { told } of bench.processes) expect(told).toEqual([{ what: 'freed', value: ['key a'] }]);
    expect(await lease(bench, second, [candidateOf(second, 'a', limits)])).toMatchObject({ granted: 0 });
  });

  test('of one pool are none of another\'s', async () => {
    const bench = benchOf(1);
    const [process] = bench.processes as [Process];
    await lease(bench, process, [candidateOf(process, 'a', { rpm: 1 })]);
    const told = { ...process, pool: bench.store.open().pool('other', {
      gateChanged: () => undefined, freed: () => undefined, noted: () => undefined, dividedBy: () => undefined,
      closedGates: () => [], notes: () => [],
    }) };
    expect(await lease(bench, told, [candidateOf(told, 'a', { rpm: 1 })])).toMatchObject({ granted: 0 });
  });

  test('where there are none, nothing is refused, and nobody is told that it is over', async () => {
    const bench = benchOf(1);
    const [process] = bench.processes as [Process];
    for (let count = 0; count < 5; count++) {
      const { granted, receipt } = await lease(bench, process, [candidateOf(process, 'a')]);
      expect(granted).toBe(0);
      receipt?.correct(0, 5);
      receipt?.release();
    }
    expect(process.told).toEqual([]);
  });
});

describe('what was reserved', () => {
  test('is given back where no request was made, and wakes all', async () => {
    const bench = benchOf(2);
    const [first, second] = bench.processes as [Process, Process];
    const limits = { rpm: 1, tpm: 100 };
    const { receipt } = await lease(bench, first, [candidateOf(first, 'a', limits)], { tokens: 80 });
    receipt!.correct(-1, -80);
    receipt!.release();
    expect(second.told).toEqual([{ what: 'freed', value: ['key a'] }]);
    const again = await lease(bench, second, [candidateOf(second, 'a', limits)], { tokens: 100 });
    expect(again).toMatchObject({ granted: 0 });
  });

  test('is corrected by what was used: less wakes all, more does not', async () => {
    const bench = benchOf(1);
    const [process] = bench.processes as [Process];
    const candidate = candidateOf(process, 'a', { tpm: 100 });
    const { receipt } = await lease(bench, process, [candidate], { tokens: 50 });
    receipt!.correct(0, 30);
    expect(process.told).toEqual([]);
    expect(await lease(bench, process, [candidate], { tokens: 21 })).toMatchObject({ granted: undefined });
    receipt!.correct(0, -70);
    expect(process.told).toEqual([{ what: 'freed', value: ['key a'] }]);
    expect(await lease(bench, process, [candidate], { tokens: 90 })).toMatchObject({ granted: 0 });
  });

  test('without asking is counted whether or not there is room', async () => {
    const bench = benchOf(2);
    const [first, second] = bench.processes as [Process, Process];
    const limits = { rpm: 2 };
    for (let count = 0; count < 3; count++) {
      first.pool.record(candidateOf(first, 'a', limits), ASKED);
    }
    expect(await lease(bench, second, [candidateOf(second, 'a', limits)])).toMatchObject({ granted: undefined });
  });
});

describe('gates', () => {
  const name = { member: 'key a', model: undefined };

  test('travel to all other processes, and not back', async () => {
    const bench = benchOf(3);
    const [first, second, third] = bench.processes as [Process, Process, Process];
    const gate = gateOf(START_AT + 10_000);
    first.pool.changeGate(name, gate, false);
    expect(second.told).toEqual([]);
    await bench.clock.advance(1);
    for (const { told } of [second, third]) expect(told).toEqual([{ what: 'gate', value: { name, gate } }]);
    expect(first.told).toEqual([]);
    const answer = await lease(bench, second, [candidateOf(second, 'a'), candidateOf(second, 'b')]);
    expect(answer).toMatchObject({ granted: 1, refusals: [] });
  });

  test('are not shut for less time than they were, but opened', async () => {
    const bench = benchOf(2);
    const [first, second] = bench.processes as [Process, Process];
    first.pool.changeGate(name, gateOf(START_AT + 10_000), false);
    await bench.clock.advance(1);
    second.pool.changeGate(name, gateOf(START_AT + 5000), false);
    await bench.clock.advance(6000);
    expect(first.told).toEqual([]);
    expect(await lease(bench, second, [candidateOf(second, 'a')])).toMatchObject({ granted: undefined });
    second.pool.changeGate(name, gateOf(START_AT + 20_000), false);
    await bench.clock.advance(1);
    expect(first.told).toHaveLength(1);
    second.pool.changeGate(name, gateOf(0, { state: 'ready' }), false);
    await bench.clock.advance(1);
    expect(first.told).toHaveLength(2);
    expect(await lease(bench, first, [candidateOf(first, 'a')])).toMatchObject({ granted: 0 });
    first.pool.changeGate(name, gateOf(START_AT + 8000), false);
    await bench.clock.advance(1);
    expect(second.told).toHaveLength(2);
  });

  test('for one model are shut for that alone', async () => {
    const bench = benchOf(1);
    const [process] = bench.processes as [Process];
    process.pool.changeGate({ member: 'key a', model: 'm' }, gateOf(START_AT + 10_000), false);
    const candidates = [candidateOf(process, 'a')];
    expect(await lease(bench, process, candidates, { model: 'm' })).toMatchObject({ granted: undefined });
    expect(await lease(bench, process, candidates, { model: 'n' })).toMatchObject({ granted: 0 });
    expect(await lease(bench, process, candidates)).toMatchObject({ granted: 0 });
  });

  test('of a group are shut for its keys', async () => {
    const bench = benchOf(1);
    const [process] = bench.processes as [Process];
    process.pool.changeGate({ member: 'group g', model: undefined }, gateOf(START_AT + 10_000), false);
    const member = candidateOf(process, 'a', undefined, { name: 'g' });
    const stranger = candidateOf(process, 'a', undefined, { name: 'h' });
    expect(await lease(bench, process, [member])).toMatchObject({ granted: undefined });
    expect(await lease(bench, process, [stranger])).toMatchObject({ granted: 0 });
  });

  test('that are due let one attempt through, over all processes, until that is over or lost', async () => {
    const bench = benchOf(2);
    const [first, second] = bench.processes as [Process, Process];
    first.pool.changeGate(name, gateOf(START_AT + 1000, { state: 'disabled' }), false);
    await bench.clock.advance(1000);
    const probe = await lease(bench, first, [candidateOf(first, 'a')]);
    expect(probe).toMatchObject({ granted: 0 });
    expect(await lease(bench, second, [candidateOf(second, 'a')])).toMatchObject({ granted: undefined, refusals: [] });
    expect(await lease(bench, first, [candidateOf(first, 'a')])).toMatchObject({ granted: undefined });
    probe.receipt!.correct(0, 0);
    probe.receipt!.release();
    expect(await lease(bench, second, [candidateOf(second, 'a')])).toMatchObject({ granted: 0 });
    await bench.clock.advance(LEASE_MS - 2);
    expect(await lease(bench, first, [candidateOf(first, 'a')])).toMatchObject({ granted: undefined });
    expect(await lease(bench, first, [candidateOf(first, 'a')])).toMatchObject({ granted: 0 });
  });
});

test('what one process notes is told to the others', async () => {
  const bench = benchOf(2);
  const [first, second] = bench.processes as [Process, Process];
  const note = { about: 'held', member: first.pool.nameOf('key', 'a'), held: true } as const;
  first.pool.joined();
  first.pool.note(note, false);
  await bench.clock.advance(1);
  expect(second.told).toEqual([{ what: 'note', value: note }]);
  expect(first.told).toEqual([]);
});

describe('providers that are left alone', () => {
  test('are told to the other processes, and to who asks', async () => {
    const clock = new ManualClock(START_AT);
    const store = new SharedStore(clock);
    const told: unknown[][] = [[], []];
    const connections = told.map(() => store.open());
    const [first, second] = connections.map((connection, index) =>
      connection.breakers({ breakerChanged: (provider, openUntil) => told[index]!.push([provider, openUntil]) }),
    );
    expect(second!.openUntil('p')).toBe(0);
    first!.tell('p', START_AT + 5000);
    expect(second!.openUntil('p')).toBe(START_AT + 5000);
    await clock.advance(1);
    expect(told).toEqual([[], [['p', START_AT + 5000]]]);
    second!.tell('p', 0);
    await clock.advance(1);
    expect(told[0]).toEqual([['p', 0]]);
    for (const connection of connections) connection.close();
  });
});
