import { HOUR_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import type { Scenario } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

export const sharedProject: Scenario = {
  name: 'keys that share a project',
  about: 'Nine keys of three projects with 30 requests a minute each, asked for 120 a minute; groups and limits are configured.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    gemini: {
      dialect: 'gemini',
      keys: keys(9, index => ({ project: `project-${index % 3}` })),
      quotas: [{ of: 'project', counts: 'requests', limit: 30, per: 'minute', form: 'sliding' }],
      told: { limits: true, groups: true },
    },
  },
  traffic: [{ provider: 'gemini', model: 'flash', shape: 'steady', perMinute: 120, patienceMs: MINUTE_MS }],
};

export const sharedOrganization: Scenario = {
  name: 'keys that share an organization, not configured',
  about: 'Six keys of two organizations, of which only the answers tell: 100 requests a minute each, asked for 260 a minute.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    anthropic: {
      dialect: 'anthropic',
      keys: keys(6, index => ({ organization: `organization-${index % 2}` })),
      quotas: [{ of: 'organization', counts: 'requests', limit: 100, per: 'minute', form: 'refill' }],
    },
  },
  traffic: [{ provider: 'anthropic', model: 'claude', shape: 'steady', perMinute: 260, patienceMs: MINUTE_MS }],
};
