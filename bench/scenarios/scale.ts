import { HOUR_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import type { Scenario } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

const MANY = 10_000;

export const manyKeys: Scenario = {
  name: '10,000 keys',
  about: 'Ten thousand keys of 2 requests a minute, one in a hundred of them revoked; asked for 3,000 a minute.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: 10 * MINUTE_MS,
  providers: {
    gemini: {
      dialect: 'gemini',
      keys: keys(MANY),
      quotas: [{ of: 'key', counts: 'requests', limit: 2, per: 'minute', form: 'sliding' }],
      troubles: [{ kind: 'revoked', keys: Array.from({ length: MANY / 100 }, (_, index) => `key-${index * 100}`), fromMs: 0 }],
      told: { limits: true },
    },
  },
  traffic: [{ provider: 'gemini', model: 'flash', shape: 'steady', perMinute: 3000, patienceMs: MINUTE_MS }],
};

export const untoldFleet: Scenario = {
  name: 'a fleet of 20 processes, limits not configured',
  about: 'Twenty processes share five keys of 100 requests a minute, of which only the headers tell; asked for 600.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  processes: 20,
  providers: {
    openai: {
      dialect: 'openai',
      keys: keys(5),
      quotas: [{ of: 'key', counts: 'requests', limit: 100, per: 'minute', form: 'refill' }],
    },
  },
  traffic: [{ provider: 'openai', model: 'gpt', shape: 'steady', perMinute: 600, patienceMs: MINUTE_MS }],
};

export const fleet: Scenario = {
  name: 'a fleet of 20 processes',
  about: 'Twenty processes share ten keys of 60 requests a minute, asked for 720; one key is revoked half way.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS / 2,
  processes: 20,
  providers: {
    gemini: {
      dialect: 'gemini',
      keys: keys(10),
      quotas: [{ of: 'key', counts: 'requests', limit: 60, per: 'minute', form: 'sliding' }],
      troubles: [{ kind: 'revoked', keys: ['key-4'], fromMs: 15 * MINUTE_MS }],
      told: { limits: true },
    },
  },
  traffic: [{ provider: 'gemini', model: 'flash', shape: 'steady', perMinute: 720, patienceMs: MINUTE_MS }],
};
