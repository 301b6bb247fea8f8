import { HOUR_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import type { Scenario } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

const day = {
  startAt: '2026-11-20T00:00:00Z',
  durationMs: 6 * HOUR_MS,
  traffic: [{ provider: 'openai', model: 'gpt', shape: 'steady', perMinute: 30, patienceMs: MINUTE_MS }],
} as const;

export const revokedKey: Scenario = {
  name: 'one revoked key',
  about: 'One of five keys is revoked after an hour, and stays so.',
  ...day,
  providers: {
    openai: { dialect: 'openai', keys: keys(5), troubles: [{ kind: 'revoked', keys: ['key-0'], fromMs: HOUR_MS }] },
  },
};

export const billingDeadKey: Scenario = {
  name: 'a key without credit',
  about: 'One of five keys has no credit for two hours; the provider says 429 to that as well.',
  ...day,
  providers: {
    openai: {
      dialect: 'openai',
      keys: keys(5),
      troubles: [{ kind: 'billing', keys: ['key-0'], fromMs: HOUR_MS, untilMs: 3 * HOUR_MS }],
    },
  },
};

export const suspendedOrganization: Scenario = {
  name: 'a suspended organization',
  about: 'One of three organizations, with two of six keys, is suspended after an hour, and stays so.',
  ...day,
  providers: {
    openai: {
      dialect: 'openai',
      keys: keys(6, index => ({ organization: `organization-${index % 3}` })),
      troubles: [{ kind: 'suspended', keys: ['key-0', 'key-3'], fromMs: HOUR_MS }],
    },
  },
};

export const slowKey: Scenario = {
  name: 'a slow key',
  about: 'One of five keys takes ten times as long for an hour; callers wait ten seconds.',
  ...day,
  traffic: [{ ...day.traffic[0], patienceMs: 10_000 }],
  providers: {
    openai: {
      dialect: 'openai',
      keys: keys(5),
      latency: { medianMs: 800, sigma: 0.4 },
      troubles: [{ kind: 'slow', keys: ['key-0'], factor: 10, fromMs: HOUR_MS, untilMs: 2 * HOUR_MS }],
    },
  },
  guard: { pool: { strategy: 'health-based' } },
};
