import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Gate } from '../../src/keys/gate.ts';

describe('a cool-down', () => {
  test('closes until its time, and is half-open from then on', () => {
    const gate = new Gate();
    expect(gate.availableAt(1000)).toBe(1000);
    expect(gate.cool(5000, 'rate_limit', 1000)).toBe(true);
    expect(gate).toMatchObject({ state: 'cooling', until: 5000, since: 1000, reason: 'rate_limit', strikes: 1 });
    expect([gate.availableAt(1000), gate.availableAt(6000)]).toEqual([5000, 6000]);
    expect(gate.isProbing(6000)).toBe(false);
    gate.probeUntil = 9000;
    expect([gate.availableAt(6000), gate.isProbing(6000), gate.isProbing(1000)]).toEqual([9000, true, false]);
  });

  test('is never shortened: not by a shorter one, not by a suspicion, not by a suspect\'s', () => {
    const gate = new Gate();
    gate.cool(5000, 'a', 1000);
    expect(gate.cool(4000, 'b', 2000)).toBe(false);
    gate.suspect(2000, 'c', 2000);
    expect(gate).toMatchObject({ state: 'suspect', until: 5000 });
    expect(gate.cool(3000, 'd', 2000)).toBe(true);
    expect(gate).toMatchObject({ state: 'cooling', until: 5000, lastInLine: false });
  });

  test('does not soften a disablement', () => {
    const gate = new Gate();
    gate.disable(5000, 'revoked', 1000);
    expect(gate.cool(9000, 'rate_limit', 1000)).toBe(false);
    expect(gate).toMatchObject({ state: 'disabled', until: 5000 });
  });
});

test('a conviction is no second strike', () => {
  const gate = new Gate();
  gate.suspect(1000, 'unauthorized', 1000);
  expect(gate).toMatchObject({ strikes: 1, lastInLine: true });
  gate.convict('disabled', 9000, 'unauthorized', 1000);
  expect(gate).toMatchObject({ state: 'disabled', until: 9000, strikes: 1, lastInLine: false });
});

test('recovery forgets one strike, a person all of them', () => {
  const gate = new Gate();
  for (const now of [0, 10, 20]) gate.cool(now + 10, 'x', now);
  expect(gate.strikes).toBe(3);
  gate.recover();
  expect(gate).toMatchObject({ state: 'ready', until: 0, strikes: 2, reason: '' });
  gate.reset();
  expect(gate.strikes).toBe(0);
});

test('what was put back is as it was, and nothing probes it', () => {
  const gate = new Gate();
  gate.cool(50, 'rate_limit', 10);
  const before = gate.snapshot();
  gate.suspect(60, 'unauthorized', 55);
  gate.probeUntil = 99;
  gate.restore(before);
  expect(gate.snapshot()).toEqual(before);
  expect(gate.probeUntil).toBe(0);
});

test('whatever happens in whatever order: only an answer or a person lets anybody in sooner', () => {
  const step = fc.record({
    what: fc.constantFrom('cool', 'disable', 'suspect', 'convict', 'recover', 'reset'),
    wait: fc.nat(50),
    span: fc.nat(100),
  });
  fc.assert(
    fc.property(fc.array(step), steps => {
      const gate = new Gate();
      let now = 1000;
      for (const { what, wait, span } of steps) {
        now += wait;
        const [before, strikes] = [gate.availableAt(now), gate.strikes];
        const isClosed = gate.state !== 'ready' && gate.until > now;
        if (what === 'recover' || what === 'reset') gate[what]();
        else if (what === 'convict') gate.convict('disabled', now + span, what, now);
        else gate[what](now + span, what, now);
        if (what === 'recover' || what === 'reset') {
          expect(gate.availableAt(now)).toBe(now);
        } else {
          expect(gate.availableAt(now)).toBeGreaterThanOrEqual(before);
          expect(gate.state).not.toBe('ready');
          if (isClosed) expect(gate.strikes).toBe(strikes);
        }
        expect(gate.strikes).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});
