import { PACIFIC } from '../../src/faults/calendar.ts';
import { DAY_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import type { Scenario } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

export const pacificMidnight: Scenario = {
  name: 'Pacific midnight, clocks set back',
  about: 'Days end at Pacific midnight, and one of them has 25 hours; the limits of the day are not configured.',
  startAt: '2026-10-31T12:00:00-07:00',
  durationMs: 2 * DAY_MS,
  providers: {
    gemini: {
      dialect: 'gemini',
      keys: keys(4, index => ({ project: `project-${index}` })),
      quotas: [{ of: 'project', counts: 'requests', limit: 500, per: 'day', form: 'fixed', timeZone: PACIFIC }],
    },
  },
  traffic: [{ provider: 'gemini', model: 'flash', shape: 'steady', perMinute: 2, patienceMs: MINUTE_MS }],
};
