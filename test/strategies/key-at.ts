import type { KeyView } from '../../src/strategies/strategy.ts';

/** A key as a strategy sees it, which the test may change. */
export interface TestKey extends KeyView {
  weight: number;
  priority: number;
  tier: string | undefined;
  inFlight: number;
  latencyMs: number;
  errorRate: number;
}

export function keyAt(position: number, traits: Partial<TestKey> = {}): TestKey {
  return {
    id: `key-${position}`,
    position,
    weight: 1,
    priority: 0,
    group: `group-${position}`,
    tier: undefined,
    region: undefined,
    tags: [],
    inFlight: 0,
    latencyMs: 0,
    errorRate: 0,
    ...traits,
  };
}
