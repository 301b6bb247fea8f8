import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Scenario, Traffic, TrafficShape } from '../../src/simulate/scenario.ts';
import { callsOf, parseTrace, type AskedCall } from '../../src/simulate/traffic.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const START = '2026-11-20T00:00:00Z';
const START_AT = Date.parse(START);

function scenarioOf(durationMs: number, ...traffic: Traffic[]): Scenario {
  const providers = { api: { dialect: 'plain', keys: [{ id: 'a' }], latency: { medianMs: 500, sigma: 0.3 } } } as const;
  return { name: 'traffic', about: 'Traffic.', startAt: START, durationMs, providers, traffic };
}

function calling(shape: TrafficShape, more: Partial<Traffic> = {}): Traffic {
  return { provider: 'api', patienceMs: 10_000, ...more, ...shape };
}

const within = (calls: readonly AskedCall[], fromMs: number, untilMs: number): number =>
  calls.filter(({ at }) => at >= START_AT + fromMs && at < START_AT + untilMs).length;

const shapes = fc.oneof(
  fc.record({ shape: fc.constant('steady' as const), perMinute: fc.integer({ min: 1, max: 60 }) }),
  fc.record({
    shape: fc.constant('ramp' as const),
    fromPerMinute: fc.nat(60),
    toPerMinute: fc.integer({ min: 1, max: 60 }),
  }),
  fc.record({
    shape: fc.constant('diurnal' as const),
    perMinute: fc.integer({ min: 1, max: 30 }),
    peakHour: fc.nat(23),
  }),
);

describe('calls of any shape', () => {
  test('come in order, numbered, within the duration, and the same for the same seed', () => {
    fc.assert(
      fc.property(fc.array(shapes, { minLength: 1, maxLength: 3 }), fc.nat(1000), (kinds, seed) => {
        const scenario = scenarioOf(30 * MINUTE_MS, ...kinds.map(kind => calling(kind)));
        const calls = callsOf(scenario, seed);
        expect(calls).toEqual(callsOf(scenario, seed));
        expect(calls.map(({ id }) => id)).toEqual(calls.map((_, index) => index));
        expect(within(calls, 0, 30 * MINUTE_MS)).toBe(calls.length);
        expect(calls.filter(({ at }) => !Number.isInteger(at))).toEqual([]);
        expect(calls.filter(({ at }, index) => index > 0 && at < calls[index - 1]!.at)).toEqual([]);
        expect(calls.filter(({ serviceMs }) => !Number.isInteger(serviceMs) || serviceMs < 1)).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  test('are others for another seed', () => {
    const scenario = scenarioOf(HOUR_MS, calling({ shape: 'steady', perMinute: 10 }));
    expect(callsOf(scenario, 1).map(({ at }) => at)).not.toEqual(callsOf(scenario, 2).map(({ at }) => at));
  });

  test('of one kind are the same whatever other kinds come after it', () => {
    const first = calling({ shape: 'steady', perMinute: 10 }, { model: 'first' });
    const alone = callsOf(scenarioOf(HOUR_MS, first), 4);
    const second = calling({ shape: 'steady', perMinute: 50 }, { model: 'second' });
    const beside = callsOf(scenarioOf(HOUR_MS, first, second), 4);
    const withoutId = (call: AskedCall): AskedCall => ({ ...call, id: 0 });
    expect(beside.filter(({ model }) => model === 'first').map(withoutId)).toEqual(alone.map(withoutId));
  });
});

describe('rates', () => {
  test('steady: about as many in each hour', () => {
    const calls = callsOf(scenarioOf(10 * HOUR_MS, calling({ shape: 'steady', perMinute: 30 })), 1);
    for (let hour = 0; hour < 10; hour++) {
      expect(within(calls, hour * HOUR_MS, (hour + 1) * HOUR_MS) / 1800).toBeCloseTo(1, 0.7);
    }
    // Left to chance: about one in e gaps is longer than their mean.
    const gaps = calls.slice(1).map(({ at }, index) => at - calls[index]!.at);
    const longer = gaps.filter(gap => gap > 2000).length / gaps.length;
    expect(longer).toBeGreaterThan(0.35);
    expect(longer).toBeLessThan(0.39);
  });

  test.each([
    { fromPerMinute: 0, toPerMinute: 60 },
    { fromPerMinute: 60, toPerMinute: 0 },
  ])('ramp from $fromPerMinute to $toPerMinute: a quarter in the slower half', ({ fromPerMinute, toPerMinute }) => {
    const calls = callsOf(scenarioOf(4 * HOUR_MS, calling({ shape: 'ramp', fromPerMinute, toPerMinute })), 1);
    expect(calls.length / 7200).toBeCloseTo(1, 1);
    const inFirstHalf = within(calls, 0, 2 * HOUR_MS) / calls.length;
    expect(inFirstHalf).toBeCloseTo(fromPerMinute < toPerMinute ? 0.25 : 0.75, 1);
  });

  test.each([0, 9, 23])('diurnal: most at the peak hour %i, next to none twelve hours off', peakHour => {
    const calls = callsOf(scenarioOf(2 * DAY_MS, calling({ shape: 'diurnal', perMinute: 10, peakHour })), 1);
    expect(calls.length / (2 * 1440 * 10)).toBeCloseTo(1, 1);
    const peakMs = DAY_MS + peakHour * HOUR_MS - (peakHour > 12 ? DAY_MS : 0);
    const atPeak = within(calls, peakMs - HOUR_MS / 2, peakMs + HOUR_MS / 2);
    const off = peakMs + (peakMs + DAY_MS / 2 > 2 * DAY_MS ? -DAY_MS / 2 : DAY_MS / 2);
    expect(atPeak / 1200).toBeCloseTo(1, 0.7);
    expect(within(calls, off - HOUR_MS / 2, off + HOUR_MS / 2)).toBeLessThan(40);
  });

  test('burst: exactly as many, all within its time', () => {
    const calls = callsOf(scenarioOf(HOUR_MS, calling({ shape: 'burst', calls: 500, atMs: 10_000, overMs: 2000 })), 1);
    expect(calls).toHaveLength(500);
    expect(within(calls, 10_000, 12_000)).toBe(500);
    expect(within(calls, 10_000, 11_000) / 250).toBeCloseTo(1, 0.7);
  });
});

describe('a trace', () => {
  const lines = [
    { time: '2020-01-01T12:00:10Z', provider: 'other', tokens: 7, session: 's', model: 'm' },
    { time: Date.parse('2020-01-01T12:00:00Z'), provider: 'api' },
  ];

  test('is replayed from the beginning of the scenario on, each call as it was', () => {
    const calls = parseTrace(lines.map(line => JSON.stringify(line)).join('\n'));
    const asked = callsOf(scenarioOf(HOUR_MS, calling({ shape: 'trace', calls }, { model: 'usual', tokens: 3 })), 1);
    expect(asked).toMatchObject([
      { id: 0, at: START_AT, provider: 'api', model: 'usual', tokens: 3, session: undefined },
      { id: 1, at: START_AT + 10_000, provider: 'other', model: 'm', tokens: 7, session: 's' },
    ]);
  });

  test('without a line has no calls', () => {
    expect(parseTrace(' \n\n')).toEqual([]);
    expect(callsOf(scenarioOf(HOUR_MS, calling({ shape: 'trace', calls: [] })), 1)).toEqual([]);
  });

  test('keeps what lines say and no more; null stands for nothing; lines are put in order', () => {
    const bare = '{"time":0,"provider":"api","model":null,"tokens":null}';
    const text = [...lines.map(line => JSON.stringify(line)), '', bare].join('\n');
    expect(parseTrace(text)).toEqual([{ time: 0, provider: 'api' }, lines[1], lines[0]]);
  });

  test.each([
    ['{"time":1', 'line 2 is not JSON'],
    ['7', 'line 2: time must be epoch ms or an ISO time with its offset'],
    ['null', 'line 2: time must be epoch ms or an ISO time with its offset'],
    ['{"provider":"a"}', 'line 2: time must be epoch ms or an ISO time with its offset'],
    ['{"time":"soon","provider":"a"}', 'line 2: time must be epoch ms or an ISO time with its offset'],
    ['{"time":1e999,"provider":"a"}', 'line 2: time must be epoch ms or an ISO time with its offset'],
    ['{"time":1}', 'line 2: provider is missing'],
    ['{"time":1,"provider":5}', 'line 2: provider must be a string, found number'],
    ['{"time":1,"provider":"a","model":[]}', 'line 2: model must be a string, found object'],
    ['{"time":1,"provider":"a","session":true}', 'line 2: session must be a string, found boolean'],
    ['{"time":1,"provider":"a","tokens":"7"}', 'line 2: tokens must be a number from 0 on'],
    ['{"time":1,"provider":"a","tokens":-1}', 'line 2: tokens must be a number from 0 on'],
  ])('names the line that is none: %s', (line, message) => {
    expect(() => parseTrace(`{"time":0,"provider":"api"}\n${line}\n`)).toThrow(new TypeError(message));
  });
});

describe('callers', () => {
  test('stay as long as they said, unless some leave without a word', () => {
    const stay = callsOf(scenarioOf(HOUR_MS, calling({ shape: 'steady', perMinute: 60 })), 1);
    expect(stay.every(({ at, leavesAt, patienceMs }) => leavesAt === at + patienceMs)).toBe(true);
    const some = callsOf(scenarioOf(HOUR_MS, calling({ shape: 'steady', perMinute: 60 }, { leaving: 0.25 })), 1);
    const early = some.filter(({ at, leavesAt, patienceMs }) => leavesAt < at + patienceMs);
    expect(early.length / some.length).toBeGreaterThan(0.22);
    expect(early.length / some.length).toBeLessThan(0.28);
    expect(early.every(({ at, leavesAt }) => leavesAt >= at)).toBe(true);
  });

  test('belong to so many conversations, spread evenly', () => {
    const calls = callsOf(scenarioOf(10 * HOUR_MS, calling({ shape: 'steady', perMinute: 60 }, { sessions: 4 })), 1);
    const counts = new Map<string | undefined, number>();
    for (const { session } of calls) counts.set(session, (counts.get(session) ?? 0) + 1);
    expect([...counts.keys()].sort()).toEqual(['session-0', 'session-1', 'session-2', 'session-3']);
    for (const count of counts.values()) expect((count * 4) / calls.length).toBeCloseTo(1, 0.7);
  });
});

describe('answers', () => {
  const medianOf = (calls: readonly AskedCall[]): number =>
    calls.map(({ serviceMs }) => serviceMs).sort((a, b) => a - b)[calls.length >> 1]!;

  test('take as long as the provider says; one that says nothing takes 800 ms, as does one that is unknown', () => {
    const steady = calling({ shape: 'steady', perMinute: 60 });
    expect(medianOf(callsOf(scenarioOf(5 * HOUR_MS, steady), 1)) / 500).toBeCloseTo(1, 1);
    const unsaid = { ...scenarioOf(5 * HOUR_MS, steady), providers: { api: { dialect: 'plain', keys: [] } } } as const;
    expect(medianOf(callsOf(unsaid, 1)) / 800).toBeCloseTo(1, 1);
    expect(medianOf(callsOf({ ...unsaid, providers: {} }, 1)) / 800).toBeCloseTo(1, 1);
  });
});
