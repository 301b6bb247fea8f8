import { HOUR_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import type { Scenario } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

const conversations: Scenario = {
  name: 'conversations, without affinity',
  about: 'Forty conversations over six keys; the provider remembers a prompt for five minutes, per project.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    anthropic: {
      dialect: 'anthropic',
      keys: keys(6),
      quotas: [{ of: 'key', counts: 'tokens', limit: 400_000, per: 'minute', form: 'refill' }],
      promptCacheMs: 5 * MINUTE_MS,
    },
  },
  traffic: [{ provider: 'anthropic', model: 'claude', tokens: 20_000, sessions: 40, shape: 'steady', perMinute: 60, patienceMs: MINUTE_MS }],
};

export const withoutAffinity = conversations;

export const withAffinity: Scenario = {
  ...conversations,
  name: 'conversations, with affinity',
  guard: { pool: { affinity: 'session' } },
};
