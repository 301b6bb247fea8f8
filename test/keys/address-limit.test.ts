import { describe, expect, test } from 'vitest';
import type { AddressReading } from '../../src/faults/address.ts';
import { AddressLimit, type Visit } from '../../src/keys/address-limit.ts';
import { ON_THE_WAY_MS } from '../../src/state/on-the-way.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Where a minute begins. */
const TURN = Date.UTC(2026, 10, 20, 12);
const NOW = TURN + 20_000;

function reading(used?: number, more: Partial<AddressReading> = {}): AddressReading {
  return { used, serverNow: undefined, isFailure: false, refusal: undefined, ...more };
}

function refusal(limit?: number, used = limit, more: Partial<AddressReading> = {}): AddressReading {
  return reading(used, { isFailure: true, refusal: { limit }, ...more });
}

/** The limit is told at the end of a minute; the next one is untouched. */
function learned(limit = 100): AddressLimit {
  const address = new AddressLimit('weight', MINUTE_MS);
  address.hear(refusal(limit), { at: TURN - 1000, visit: undefined }, TURN - 1000, TURN);
  return address;
}

/** An attempt that takes `tookMs`, and is told so much. */
function asked(address: AddressLimit, at: number, told: AddressReading, tookMs = 50): void {
  const visit = address.begin(at);
  address.hear(told, { at, visit }, at + tookMs);
  visit?.end();
}

function begun(address: AddressLimit, count: number, at: number): Visit[] {
  return Array.from({ length: count }, () => address.begin(at)!);
}

describe('before a call was refused', () => {
  test('nothing is counted, whatever is used', () => {
    const address = new AddressLimit('weight', MINUTE_MS);
    expect(address.begin(NOW)).toBeUndefined();
    asked(address, NOW, reading(1_000_000));
    expect(address.availableAt(NOW)).toBe(NOW);
  });
});

describe('after a refusal', () => {
  test('nothing fits until the minute turns', () => {
    const address = new AddressLimit('weight', MINUTE_MS);
    asked(address, NOW, refusal(100));
    expect(address.availableAt(NOW + 50)).toBe(TURN + MINUTE_MS);
    expect(address.availableAt(TURN + MINUTE_MS)).toBe(TURN + MINUTE_MS);
  });

  test('it is the provider that says when, where it says so', () => {
    const address = new AddressLimit('weight', MINUTE_MS);
    address.hear(refusal(100), { at: NOW, visit: undefined }, NOW, NOW + 5000);
    expect(address.availableAt(NOW)).toBe(NOW + 5000);
    asked(address, NOW + 5000, reading(1));
    expect(address.availableAt(NOW + 5050)).toBe(NOW + 5050);
  });

  test('one that comes from the minute before does not close this one', () => {
    const address = learned();
    address.hear(refusal(100), { at: TURN - 20, visit: undefined }, TURN + 30);
    expect(address.availableAt(TURN + 30)).toBe(TURN + 30);
  });

  test('without a figure the most that was served is the limit, for an hour', () => {
    const address = new AddressLimit('weight', MINUTE_MS);
    asked(address, NOW, reading(98));
    asked(address, NOW + 1000, refusal(undefined, 103));
    asked(address, TURN + MINUTE_MS, reading(97));
    expect(address.availableAt(TURN + MINUTE_MS + 100)).toBe(TURN + MINUTE_MS + 100);
    asked(address, TURN + MINUTE_MS + 100, reading(98));
    expect(address.availableAt(TURN + MINUTE_MS + 200)).toBe(TURN + 2 * MINUTE_MS);
    const later = TURN + HOUR_MS + MINUTE_MS;
    asked(address, later, reading(98));
    expect(address.availableAt(later + 100)).toBe(later + 100);
  });

  test('what was told is believed for a day', () => {
    const address = learned();
    for (const [at, free] of [[TURN + 23 * HOUR_MS, false], [TURN + 24 * HOUR_MS, true]] as const) {
      asked(address, at, reading(100));
      expect(address.availableAt(at + 100) === at + 100).toBe(free);
    }
  });

  test('a ban tells no limit, and that the one that is known is no more is not believed', () => {
    const address = learned();
    asked(address, NOW, reading(150, { isFailure: true }));
    expect(address.availableAt(NOW + 100)).toBe(TURN + MINUTE_MS);
  });

  test('an answer beyond it shows that it is another one', () => {
    const address = learned();
    asked(address, NOW, reading(101));
    expect(address.availableAt(NOW + 100)).toBe(NOW + 100);
  });
});

describe('what is used', () => {
  test('is what was told, and what is under way', () => {
    const address = learned();
    asked(address, NOW, reading(96));
    const visits = begun(address, 4, NOW + 100);
    expect(address.availableAt(NOW + 100)).toBe(TURN + MINUTE_MS);
    expect(address.isOurs).toBe(true);
    address.hear(reading(98), { at: NOW + 100, visit: visits[1] }, NOW + 150);
    expect(address.availableAt(NOW + 150)).toBe(TURN + MINUTE_MS);
    for (const [index, used] of [[0, 97], [2, 99]] as const) {
      address.hear(reading(used), { at: NOW + 100, visit: visits[index] }, NOW + 160);
    }
    expect(address.availableAt(NOW + 160)).toBe(TURN + MINUTE_MS);
    visits[3]?.cancel();
    expect(address.availableAt(NOW + 160)).toBe(NOW + 160);
    asked(address, NOW + 170, reading(100));
    expect(address.availableAt(NOW + 220)).toBe(TURN + MINUTE_MS);
    expect(address.isOurs).toBe(false);
  });

  test('by other programs counts as well', () => {
    const address = learned();
    asked(address, NOW, reading(3));
    asked(address, NOW + 1000, reading(100));
    expect(address.availableAt(NOW + 1050)).toBe(TURN + MINUTE_MS);
  });

  test('goes on being counted here where nothing is told', () => {
    const address = learned(3);
    for (const ms of [0, 1000, 2000]) {
      expect(address.availableAt(NOW + ms)).toBe(NOW + ms);
      asked(address, NOW + ms, reading());
    }
    expect(address.availableAt(NOW + 3000)).toBe(TURN + MINUTE_MS);
  });

  test('knows of what began well before', () => {
    const address = learned();
    begun(address, 50, NOW);
    asked(address, NOW + ON_THE_WAY_MS, reading(60));
    expect(address.availableAt(NOW + 1000)).toBe(NOW + 1000);
    const fits = begun(address, 39, NOW + 1000);
    expect(address.availableAt(NOW + 1000)).toBe(NOW + 1000);
    fits.push(...begun(address, 1, NOW + 1000));
    expect(address.availableAt(NOW + 1000)).toBe(TURN + MINUTE_MS);
  });

  test('in the last moments may have been counted in the minute after', () => {
    const address = learned(10);
    begun(address, 6, TURN + MINUTE_MS - ON_THE_WAY_MS);
    begun(address, 6, TURN + MINUTE_MS - ON_THE_WAY_MS + 1);
    const next = TURN + MINUTE_MS;
    begun(address, 3, next);
    expect(address.availableAt(next)).toBe(next);
    begun(address, 1, next);
    expect(address.availableAt(next)).toBe(next + MINUTE_MS);
  });

  test('is not taken from an answer to what was asked before the minute turned', () => {
    const address = learned();
    address.hear(reading(99), { at: TURN - 20, visit: undefined }, TURN + 30);
    begun(address, 50, TURN + 40);
    expect(address.availableAt(TURN + 40)).toBe(TURN + 40);
  });

  test('was less than an earlier answer told, where the minute has turned there already', () => {
    const address = learned();
    asked(address, NOW, reading(99));
    asked(address, NOW + ON_THE_WAY_MS, reading(1));
    begun(address, 5, NOW + 500);
    expect(address.availableAt(NOW + 500)).toBe(TURN + MINUTE_MS);
    asked(address, NOW + ON_THE_WAY_MS + 1, reading(1), 300);
    expect(address.availableAt(NOW + 600)).toBe(NOW + 600);
  });
});

describe('what a call costs', () => {
  test('shows in how the figures move', () => {
    const address = learned(100);
    for (let call = 1; call <= 16; call++) asked(address, NOW + call * 100, reading(call * 5));
    expect(address.availableAt(NOW + 2000)).toBe(NOW + 2000);
    begun(address, 3, NOW + 2000);
    expect(address.availableAt(NOW + 2000)).toBe(NOW + 2000);
    begun(address, 1, NOW + 2000);
    expect(address.availableAt(NOW + 2000)).toBe(TURN + MINUTE_MS);
  });

  test('an absurd figure did not leave room for one call a minute, for a day', () => {
    const address = learned(100);
    for (let call = 1; call <= 8; call++) asked(address, NOW + call * 100, reading(call));
    asked(address, NOW + 900, reading(5000));
    let served = 0;
    for (let at = TURN + MINUTE_MS; at < TURN + 2 * MINUTE_MS; at += 200) {
      if (address.availableAt(at) > at) continue;
      asked(address, at, served < 100 ? reading(++served) : refusal(100));
    }
    asked(address, TURN + 2 * MINUTE_MS - 100, refusal(100));
    served = 0;
    for (let at = TURN + 2 * MINUTE_MS; at < TURN + 3 * MINUTE_MS; at += 200) {
      if (address.availableAt(at) <= at) asked(address, at, reading(++served));
    }
    expect(served).toBe(100);
  });

  test('a call that is larger than the whole limit is the provider\'s to refuse', () => {
    const address = learned(10);
    for (let call = 1; call <= 5; call++) asked(address, NOW + call * 100, reading(call * 20, { isFailure: true }));
    const next = TURN + MINUTE_MS;
    expect(address.availableAt(next)).toBe(next);
  });
});

describe('clocks', () => {
  const date = (serverAt: number): Partial<AddressReading> => ({ serverNow: Math.floor(serverAt / 1000) * 1000 });

  test('a minute has turned there when it turns here, where the provider\'s clock is behind', () => {
    const address = learned();
    for (let ms = 0; ms < 5000; ms += 130) asked(address, NOW + ms, reading(100, date(NOW + ms + 25 - 2000)));
    const turn = address.availableAt(NOW + 6000);
    expect(turn).toBeGreaterThanOrEqual(TURN + MINUTE_MS + 2000);
    expect(turn).toBeLessThan(TURN + MINUTE_MS + 2200);
  });

  test('and is not waited for where it is ahead', () => {
    const address = learned();
    for (let ms = 0; ms < 5000; ms += 130) asked(address, NOW + ms, reading(100, date(NOW + ms + 25 + 2000)));
    const turn = address.availableAt(NOW + 6000);
    expect(turn).toBeGreaterThanOrEqual(TURN + MINUTE_MS - 2000);
    expect(turn).toBeLessThan(TURN + MINUTE_MS - 1800);
  });

  test('one that was set is found out', () => {
    const address = learned();
    asked(address, NOW, reading(100, date(NOW + 10 * MINUTE_MS + 30_000)));
    asked(address, NOW + 500, reading(100, date(NOW + 500)));
    expect(address.availableAt(NOW + 1000)).toBeGreaterThanOrEqual(TURN + MINUTE_MS);
    expect(address.availableAt(NOW + 1000)).toBeLessThan(TURN + MINUTE_MS + 1500);
  });

  test('nobody waits for the time by which ours was set back', () => {
    const address = learned();
    asked(address, NOW, reading(100));
    expect(address.availableAt(NOW - HOUR_MS)).toBe(NOW - HOUR_MS);
  });

  test('a reading of some time ago is no minute of its own', () => {
    const address = learned();
    asked(address, TURN + 10, reading(100), 10);
    expect(address.availableAt(TURN - 1)).toBe(TURN + MINUTE_MS);
    expect(address.availableAt(TURN + 30)).toBe(TURN + MINUTE_MS);
  });
});
