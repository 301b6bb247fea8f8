// What the benchmarks look at, public or not, in one entry: built together, a class is one class.
export { systemClock } from '../src/clock.ts';
export { classify } from '../src/faults/classify.ts';
export { readEvidence } from '../src/faults/evidence.ts';
export { profileFor } from '../src/faults/profiles.ts';
export { createGuardedFetch } from '../src/fetch/index.ts';
export { ExecutionGuard } from '../src/index.ts';
export { normalizeKeys } from '../src/keys/normalize.ts';
export { Pool, type PoolSettings } from '../src/keys/pool.ts';
export { strategyFactory, strategyNames } from '../src/strategies/index.ts';
export { redisStore } from '../src/redis.ts';
