import type { ExecutionGuardConfig } from '../../src/guard/config/types.ts';

/** Pools of keys, as most users need them. */
export const poolExample: ExecutionGuardConfig = {
  keyManagement: {
    providers: {
      '*gemini*': { keys: { env: 'GEMINI_API_KEY' } },
      'openai': {
        strategy: 'least-used',
        keys: [
          { id: 'project-a', key: 'first key', group: 'a', limits: { rpm: 500, tpm: 200_000 } },
          { id: 'project-b', key: 'second key', group: 'b', models: ['gpt-*'] },
          { id: 'spare', key: 'third key', priority: 1 },
        ],
      },
    },
  },
};

/** Limits on callers, and a queue. */
export const limitsExample: ExecutionGuardConfig = {
  rateLimiting: { onLimit: 'wait', rules: { perMinute: 60, burst: { requests: 5, windowMs: 1000 } } },
  queue: { concurrency: 8, maxQueueSize: 500 },
  retry: { maxRetries: 2 },
};

/** The values of the guard this one replaces, wherever they differ from the defaults. */
export const oldGuardDefaults: ExecutionGuardConfig = {
  rateLimiting: {
    rules: {
      burst: { requests: 10, windowMs: 10_000 },
      perMinute: { requests: 60, windowMs: 60_000 },
      perHour: { requests: 500, windowMs: 3_600_000 },
      perDay: { requests: 5000, windowMs: 86_400_000 },
    },
  },
  queue: { concurrency: 1, minDelayMs: 5000 },
  retry: { retryableStatusCodes: [429, 500, 502, 503, 504] },
  keyManagement: { enabled: false },
};
