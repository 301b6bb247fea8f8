import type { SelectionStrategy } from '../../src/strategies/strategy.ts';

const freeFirst: SelectionStrategy = {
  name: 'free-first',
  select(ready, request) {
    for (const key of ready) {
      if (key.tier === 'free' && request.tokens < 10_000) return key;
    }
    return ready.next(0);
  },
};

export { freeFirst };
