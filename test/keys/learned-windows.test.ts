import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LearnedLimit } from '../../src/keys/learned-limit.ts';
import { guardPolicy, simulate, type RunResult, type Scenario, type SimulatedProvider } from '../../src/simulate.ts';

const MINUTE_MS = 60_000;
const NOTHING = { requests: 0, tokens: 0 };
const key = { id: 'k' };

function throughput(provider: Partial<SimulatedProvider>, perMinute: number, minutes = 20): Promise<RunResult> {
  const scenario: Scenario = {
    name: 'x',
    about: 'A test.',
    startAt: '2026-11-20T09:00:07Z',
    durationMs: minutes * MINUTE_MS,
    providers: { p: { dialect: 'openai', keys: ['a', 'b', 'c'].map(id => ({ id })), ...provider } },
    traffic: [{ provider: 'p', model: 'm', shape: 'steady', perMinute, patienceMs: 2 * MINUTE_MS }],
  };
  return simulate(scenario, [guardPolicy], 1).then(results => results['guard']!);
}

const refusedShare = ({ attempts, failures }: RunResult): number => (failures['quota'] ?? 0) / attempts;

test('an answer that comes after the end of its window does not do away with the limit', () => {
  const limit = new LearnedLimit('requests', undefined);
  let now = 1_000_000;
  limit.hear({ counts: 'requests', limit: 60, remaining: 59, resetAt: now + 40_000 }, { at: now - 100, ordinal: 0, key }, NOTHING, now, undefined);
  const at = now;
  limit.take(1, now);
  now += 45_000;
  // An absolute reset that is over reads as now.
  limit.hear({ counts: 'requests', limit: 60, remaining: 58, resetAt: now }, { at, ordinal: 1, key }, NOTHING, now, undefined);
  let taken = 0;
  while (taken < 1000 && limit.availableAt(1, now) <= now) {
    limit.take(1, now);
    taken++;
  }
  expect(taken).toBeLessThanOrEqual(60);
});

test('a window is as long as it was seen to be, not as long as was left of it when it was last told', () => {
  const limit = new LearnedLimit('requests', undefined);
  let now = 1_000_000;
  limit.hear({ counts: 'requests', limit: 10, remaining: 9, resetAt: now + 60_000 }, { at: now, ordinal: 0, key }, NOTHING, now, undefined);
  now += 59_000;
  limit.hear({ counts: 'requests', limit: 10, remaining: 8, resetAt: now + 1000 }, { at: now, ordinal: 1, key }, NOTHING, now, undefined);
  now += 1000;
  let taken = 0;
  for (const end = now + 30_000; now < end; now += 100) {
    if (limit.availableAt(1, now) > now) continue;
    limit.take(1, now);
    taken++;
  }
  expect(taken).toBeLessThanOrEqual(10);
});

test('a window of years, told once, did not keep what was counted in it for longer than a day', () => {
  const limit = new LearnedLimit('a', undefined);
  let now = 1_000_000;
  const years = 100_000_000_000;
  limit.hear({ counts: 'a', limit: 2, remaining: 1, windowMs: years, resetAt: now + 1000 }, { at: now, ordinal: 0, key }, NOTHING, now, undefined);
  now += 1000;
  limit.take(1, now);
  limit.take(1, now);
  expect(limit.availableAt(1, now) - now).toBe(24 * 60 * MINUTE_MS);
});

test('a limit of a thousandth of a request did not let one through in each window', () => {
  const limit = new LearnedLimit('requests', undefined);
  limit.hear({ counts: 'requests', limit: 0.001, windowMs: MINUTE_MS }, { at: 0, ordinal: 0, key }, NOTHING, 50, undefined);
  limit.take(1, 60);
  expect(limit.availableAt(1, 70)).toBe(70);
});

test('of answers in any order the smallest figure of a window counts: nobody has to ask whether more is left', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray([0, 1, 2], { minLength: 3 }), fc.shuffledSubarray([0, 1, 2], { minLength: 3 }), (arrived, heard) => {
      const limit = new LearnedLimit('requests', undefined);
      const now = 1_000_000;
      const open = new Set([0, 1, 2]);
      for (const ordinal of heard) {
        open.delete(ordinal);
        const remaining = 2 - arrived.indexOf(ordinal);
        // All are under way together, and may have arrived in any order.
        limit.hear({ counts: 'requests', limit: 3, remaining, resetAt: now + 60_000 }, { at: now, ordinal, key }, { requests: open.size, tokens: 0 }, now + 300, undefined);
      }
      limit.settled();
      expect(limit.availableAt(1, now + 1000)).toBeGreaterThan(now + 50_000);
    }),
  );
});

test('long answers, a window of the clock, absolute resets: few refusals', async () => {
  const result = await throughput(
    { dialect: 'anthropic', quotas: [{ of: 'key', counts: 'requests', limit: 60, per: 'minute', form: 'fixed' }], latency: { medianMs: 30_000, sigma: 0.3 } },
    216,
  );
  expect(refusedShare(result)).toBeLessThan(0.01);
});

test.each(['m', undefined])('a limit nobody tells of is not stormed when it comes back, model %s', async model => {
  const scenario: Scenario = {
    name: 'x',
    about: 'A test.',
    startAt: '2026-11-20T09:00:07Z',
    durationMs: 20 * MINUTE_MS,
    providers: { p: { dialect: 'plain', keys: [{ id: 'a' }], quotas: [{ of: 'key', counts: 'requests', limit: 10, per: 'minute', form: 'fixed' }] } },
    traffic: [{ provider: 'p', ...(model !== undefined && { model }), shape: 'steady', perMinute: 30, patienceMs: 2 * MINUTE_MS }],
  };
  const { guard } = await simulate(scenario, [guardPolicy], 1);
  expect(guard!.goodput).toBeGreaterThan(0.95);
  expect(refusedShare(guard!)).toBeLessThan(0.35);
});
