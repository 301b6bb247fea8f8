import { HOUR_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import type { Scenario } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

const SCALES = [1, 2, 5, 10, 20] as const;

export const differentQuotas: Scenario = {
  name: 'five keys with very different quotas',
  about: 'From 6 to 120 requests a minute, 228 in all, asked for 280; only the headers tell.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    openai: {
      dialect: 'openai',
      keys: keys(SCALES.length, index => ({ scale: SCALES[index]! })),
      quotas: [{ of: 'key', counts: 'requests', limit: 6, per: 'minute', form: 'refill' }],
    },
  },
  traffic: [{ provider: 'openai', model: 'gpt', shape: 'steady', perMinute: 280, patienceMs: MINUTE_MS }],
};

export const burst: Scenario = {
  name: 'a burst of ten times the quota',
  about: 'A thousand calls within ten seconds for five keys of 20 a minute; callers wait five minutes.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: 10 * MINUTE_MS,
  providers: {
    gemini: {
      dialect: 'gemini',
      keys: keys(5),
      quotas: [{ of: 'key', counts: 'requests', limit: 20, per: 'minute', form: 'sliding' }],
      told: { limits: true },
    },
  },
  traffic: [{ provider: 'gemini', model: 'flash', shape: 'burst', calls: 1000, atMs: MINUTE_MS, overMs: 10_000, patienceMs: 5 * MINUTE_MS }],
};

export const leavingClients: Scenario = {
  name: 'clients that leave',
  about: 'A third of the callers leave before they are answered; five keys of 30 a minute, asked for 180.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    gemini: {
      dialect: 'gemini',
      keys: keys(5),
      quotas: [{ of: 'key', counts: 'requests', limit: 30, per: 'minute', form: 'sliding' }],
      latency: { medianMs: 3000, sigma: 0.4 },
      told: { limits: true },
    },
  },
  traffic: [{ provider: 'gemini', model: 'flash', shape: 'steady', perMinute: 180, patienceMs: MINUTE_MS, leaving: 1 / 3 }],
};

const limitOfModel = { of: 'project', counts: 'requests', per: 'minute', form: 'sliding', perModel: true } as const;

export const models: Scenario = {
  name: 'limits of each model',
  about: 'Four projects with 15 requests a minute of each of two models, asked for 90 of the one and 20 of the other; the limits are configured.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    gemini: {
      dialect: 'gemini',
      keys: keys(4, index => ({ project: `project-${index}` })),
      quotas: [{ ...limitOfModel, limit: 15 }],
      told: { limits: true },
    },
  },
  traffic: [
    { provider: 'gemini', model: 'pro', shape: 'steady', perMinute: 90, patienceMs: MINUTE_MS },
    { provider: 'gemini', model: 'flash', shape: 'steady', perMinute: 20, patienceMs: MINUTE_MS },
  ],
};

export const tokens: Scenario = {
  name: 'tokens',
  about: 'Four keys of 100,000 tokens a minute, asked for calls of 4,000 tokens at 120 a minute; only the headers tell.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    openai: {
      dialect: 'openai',
      keys: keys(4),
      quotas: [
        { of: 'key', counts: 'requests', limit: 500, per: 'minute', form: 'refill' },
        { of: 'key', counts: 'tokens', limit: 100_000, per: 'minute', form: 'refill' },
      ],
    },
  },
  traffic: [{ provider: 'openai', model: 'gpt', tokens: 4000, shape: 'steady', perMinute: 120, patienceMs: MINUTE_MS }],
};
