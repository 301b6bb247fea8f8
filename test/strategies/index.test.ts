import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { strategyFactory, strategyNames } from '../../src/strategies/index.ts';
import type { SelectionStrategy, StrategyFactory } from '../../src/strategies/strategy.ts';
import { keyAt } from './key-at.ts';
import { seeded, TestPool } from './pool-of.ts';

describe('strategyFactory', () => {
  test.each(['round-robin', 'random', 'weighted', 'least-used', 'health-based', 'priority'])('knows %s', name => {
    expect(strategyFactory(name)(seeded(1)).name).toBe(name);
  });

  const unknown = ['constructor', '__proto__', 'toString', 'Weighted', ''];
  test.each(unknown)('does not know "%s", and says what it knows', name => {
    expect(() => strategyFactory(name)).toThrow(`Unknown strategy "${name}"`);
    for (const known of strategyNames) expect(() => strategyFactory(name)).toThrow(known);
  });

  test('takes a strategy, or a factory, as it is', () => {
    const strategy: SelectionStrategy = { name: 'mine', select: ready => ready.next(0) };
    expect(strategyFactory(strategy)(seeded(1))).toBe(strategy);
    const factory: StrategyFactory = () => strategy;
    expect(strategyFactory(factory)).toBe(factory);
  });

  test.each([{}, { name: 'mine' }, { select: () => undefined }, null, 7])('refuses %j', value => {
    const apply = (): void => {
      Reflect.apply(strategyFactory, undefined, [value]);
    };
    expect(apply).toThrow('A strategy is a name, a factory, or');
  });
});

describe.each(strategyNames)('%s', name => {
  test('proposes ready keys only, whatever happens to them, in any order', () => {
    const action = fc.record({
      kind: fc.constantFrom('ready', 'ready', 'away', 'lease', 'settle', 'call'),
      position: fc.integer({ min: 0, max: 12 }),
      wait: fc.integer({ min: 0, max: 90_000 }),
    });
    fc.assert(fc.property(fc.array(action, { maxLength: 120, size: 'max' }), fc.integer(), (actions, seed) => {
      const keys = Array.from({ length: 13 }, (_, position) =>
        keyAt(position, { weight: position % 4, priority: position % 3, latencyMs: position % 5 }));
      const pool = new TestPool(strategyFactory(name)(seeded(seed)), []);
      for (const { kind, position, wait } of actions) {
        const key = keys[position]!;
        pool.now += wait;
        if (kind === 'ready') pool.return(key);
        else if (kind === 'away') pool.away(key);
        else if (kind === 'lease') pool.occupy(key);
        else if (kind === 'settle') pool.settle(key);
        else pool.lease(each => each.position % 2 === position % 2);

        const proposal = pool.strategy.select(pool.ready, { model: undefined, tokens: 0, now: pool.now });
        if (pool.ready.size === 0) expect(proposal).toBeUndefined();
        else expect(pool.ready.at(proposal!.position)).toBe(proposal);
      }
    }), { numRuns: 50 });
  });

  test('serves a key that is alone, and goes on when it was away', () => {
    const key = keyAt(3);
    const pool = new TestPool(strategyFactory(name)(seeded(3)), [key]);
    expect(pool.run(3)).toEqual([3, 3, 3]);
    pool.away(key);
    expect(pool.run(1)).toEqual([undefined]);
    pool.return(key);
    expect(pool.run(1)).toEqual([3]);
  });
});
