import { describe, expect, test } from 'vitest';
import { Inference } from '../../src/keys/inference.ts';
import { LearnedQuota } from '../../src/keys/learned-quota.ts';
import { seeded } from '../../src/simulate/random.ts';

const START = Date.UTC(2026, 10, 20, 12);
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const REST_MS = 5000;

/** Says whether a request is let through. */
type Provider = (now: number) => boolean;

function sliding(limitAt: (now: number) => number, windowMs = MINUTE_MS): Provider {
  let log: number[] = [];
  return now => {
    log = log.filter(at => at + windowMs > now);
    if (log.length >= limitAt(now)) return false;
    log.push(now);
    return true;
  };
}

/** Asks as often as it may, 10 times a second at most; after a refusal that is not accounted for it rests. */
class Client {
  now = START;
  served = 0;
  refused = 0;
  readonly inference: Inference;
  private ordinal = 0;
  private restsUntil = 0;

  constructor(inference = new Inference(START)) {
    this.inference = inference;
  }

  run(provider: Provider, forMs: number, everyMs = 100): this {
    for (const end = this.now + forMs; this.now < end; this.now += everyMs) {
      if (this.now < this.restsUntil || this.inference.availableAt(this.now) > this.now) continue;
      const lease = { at: this.now, ordinal: this.ordinal++, counted: this.inference.counted(0, this.now) };
      this.inference.take(this.now);
      if (provider(this.now)) {
        this.served++;
        this.inference.answered(lease, this.now + 50);
      } else {
        this.refused++;
        if (!this.inference.refused(lease, this.now + 50)) this.restsUntil = this.now + REST_MS;
      }
    }
    return this;
  }

  forgetFigures(): this {
    this.served = this.refused = 0;
    return this;
  }
}

describe('a limit that nobody tells', () => {
  test.each([3, 60, 300])('is found, and next to nothing is refused from then on: %i in a minute', limit => {
    const provider = sliding(() => limit);
    const client = new Client().run(provider, 10 * MINUTE_MS).forgetFigures().run(provider, HOUR_MS);
    expect(client.inference.windowMs).toBe(MINUTE_MS);
    expect(client.served).toBeGreaterThanOrEqual(limit * 59);
    expect(client.refused).toBeLessThanOrEqual(8);
  });

  test('of the hour is found when an hour was counted', () => {
    const provider = sliding(() => 100, HOUR_MS);
    const client = new Client().run(provider, 3 * HOUR_MS, 1000);
    expect(client.inference.windowMs).toBe(HOUR_MS);
    client.forgetFigures().run(provider, 4 * HOUR_MS, 1000);
    expect(client.served).toBeGreaterThanOrEqual(398);
    expect(client.refused).toBeLessThanOrEqual(8);
  });

  test('that is raised is found anew', () => {
    const provider = sliding(now => (now < START + HOUR_MS ? 20 : 100));
    const client = new Client().run(provider, 2 * HOUR_MS).forgetFigures();
    client.run(provider, HOUR_MS);
    expect(client.served).toBeGreaterThan(58 * 100);
  });

  test('that is lowered is found anew', () => {
    const provider = sliding(now => (now < START + HOUR_MS ? 100 : 20));
    const client = new Client().run(provider, HOUR_MS + 10 * MINUTE_MS).forgetFigures();
    client.run(provider, HOUR_MS);
    expect(client.served).toBeGreaterThan(58 * 20);
    expect(client.refused).toBeLessThan(15);
  });
});

describe('refusals of another cause', () => {
  test('by chance starve nobody', () => {
    const random = seeded(1, 'refusals');
    const client = new Client().run(() => random() >= 0.02, HOUR_MS, 500);
    // All that is lost is the rest after each.
    expect(client.served).toBeGreaterThan(7200 - client.refused * (REST_MS / 500 + 1) - 1);
  });

  test('of a provider that is out for a while are forgotten with it', () => {
    const isOut = (now: number): boolean => now > START + 10 * MINUTE_MS && now < START + 20 * MINUTE_MS;
    const client = new Client().run(now => !isOut(now), 21 * MINUTE_MS, 500).forgetFigures();
    client.run(() => true, 10 * MINUTE_MS, 500);
    expect(client.served).toBe(1200);
  });

  test('for attempts at once are no limit over time', () => {
    const inference = new Inference(START);
    for (let ordinal = 0; ordinal < 300; ordinal++) {
      const now = START + ordinal * 1000;
      const isCrowded = ordinal % 10 === 9;
      const lease = { at: now, ordinal, counted: inference.counted(isCrowded ? 3 : 2, now) };
      inference.take(now);
      if (isCrowded) expect(inference.refused(lease, now + 50)).toBe(false);
      else inference.answered(lease, now + 50);
    }
    expect(inference.limit).toBeUndefined();
  });
});

test('is kept over a restart, with what was counted', () => {
  const provider = sliding(() => 60);
  const before = new Client().run(provider, 10 * MINUTE_MS);
  const data = before.inference.snapshot(before.now)!;
  expect(data).toMatchObject({ limit: 60, windowMs: MINUTE_MS, form: 'sliding' });
  const after = Inference.restore(data, before.now);
  expect(after.limit).toBe(60);
  expect(after.left(before.now)).toBe(before.inference.left(before.now));
  const client = new Client(after);
  client.now = before.now;
  client.run(provider, HOUR_MS);
  expect(client.served).toBeGreaterThanOrEqual(59 * 60);
  expect(client.refused).toBeLessThanOrEqual(8);
});

describe('of a group', () => {
  function inferred(): LearnedQuota {
    const quota = new LearnedQuota(undefined);
    new Client(quota.inferred('m', START)).run(sliding(() => 60), 10 * MINUTE_MS);
    return quota;
  }
  const now = START + 10 * MINUTE_MS;

  test('stats say that it is inferred', () => {
    const [use, ...more] = inferred().use(now);
    expect(use).toMatchObject({ counts: 'requests', model: 'm', limit: 60, resetAt: undefined, inferredMs: MINUTE_MS });
    expect(more).toEqual([]);
  });

  test('it is no word of the provider for other processes', () => {
    const quota = inferred();
    expect(quota.keys()).toEqual([]);
    expect(quota.told('m')).toEqual([]);
  });

  test('it gives way to what the provider tells', () => {
    const quota = inferred();
    const reading = { counts: 'tokens', limit: 9000, remaining: 8000, resetAt: now + 30_000 };
    quota.hear('m', reading, { at: now, ordinal: 0, key: { id: 'k' } }, { requests: 0, tokens: 0 }, now, undefined);
    expect(quota.use(now).map(({ counts }) => counts)).toEqual(['tokens']);
    expect(quota.inferred('m', now)).toBeUndefined();
  });

  test('it is dropped when nothing was refused for days', () => {
    const quota = inferred();
    expect(quota.counted('m', 0, now)).toBeDefined();
    expect(quota.counted('m', 0, now + 60 * HOUR_MS)).toBeUndefined();
    expect(quota.use(now)).toEqual([]);
  });

  test('what is not inferred yet is neither shown nor kept', () => {
    const quota = new LearnedQuota(undefined);
    quota.inferred('m', START);
    expect(quota.use(START)).toEqual([]);
    expect(quota.snapshot(START)).toBeUndefined();
  });

  test('it is kept in a snapshot, and held to afterwards', () => {
    const data = inferred().snapshot(now)!;
    const restored = new LearnedQuota(undefined);
    restored.restore(data, 0, now);
    expect(restored.use(now)).toEqual(inferred().use(now));
    expect(restored.counted('m', 0, now)).toBeDefined();
  });
});
