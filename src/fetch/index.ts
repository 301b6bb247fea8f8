export { createGuardedFetch, type FetchCallOptions, type GuardedFetchOptions } from './guarded-fetch.ts';
export type { Route } from './route.ts';
