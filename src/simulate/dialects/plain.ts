import type { Dialect } from './dialect.ts';

const STATUS = { quota: 429, revoked: 401, suspended: 403, billing: 402, overloaded: 503 };

/** No more than a status: what a provider says that nobody has described. */
export const plain: Dialect = {
  headers: () => ({}),
  refuse: ({ kind }) => ({ status: kind === 'outage' || kind === 'slow' ? 500 : STATUS[kind] }),
};
