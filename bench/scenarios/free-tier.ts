import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import { PACIFIC } from '../../src/faults/calendar.ts';
import type { Scenario, SimulatedQuota } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

const quotas: readonly SimulatedQuota[] = [
  { of: 'project', counts: 'requests', limit: 10, per: 'minute', form: 'sliding' },
  { of: 'project', counts: 'requests', limit: 250, per: 'day', form: 'fixed', timeZone: PACIFIC },
];

const gemini = { dialect: 'gemini', keys: keys(8, index => ({ project: `project-${index}` })), quotas } as const;

const busyDay = {
  startAt: '2026-11-20T06:00:00-08:00',
  durationMs: DAY_MS,
  traffic: [
    { provider: 'gemini', model: 'flash', shape: 'diurnal', perMinute: 3, peakHour: 20, patienceMs: MINUTE_MS },
    { provider: 'gemini', model: 'flash', shape: 'burst', calls: 300, atMs: HOUR_MS, overMs: MINUTE_MS, patienceMs: 5 * MINUTE_MS },
  ],
} as const;

export const freeTier: Scenario = {
  name: 'free tier',
  about: 'Eight projects of 10 requests a minute and 250 a day, asked for twice as much in a day, and for 300 in one minute; the limits are configured.',
  ...busyDay,
  providers: { gemini: { ...gemini, told: { limits: true } } },
};

export const freeTierUntold: Scenario = {
  name: 'free tier, limits not configured',
  about: 'The same day, where only the refusals tell what the limits are.',
  ...busyDay,
  providers: { gemini },
};
