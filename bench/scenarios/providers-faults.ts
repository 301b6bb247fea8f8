import { HOUR_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import type { Scenario } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

export const addressLimit: Scenario = {
  name: 'a limit on the address',
  about: 'The provider counts by address, 1,200 a minute whatever the key; asked for up to twice as much.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    binance: {
      dialect: 'binance',
      keys: keys(4),
      quotas: [{ of: 'address', counts: 'requests', limit: 1200, per: 'minute', form: 'fixed' }],
      latency: { medianMs: 60, sigma: 0.3 },
      uplinkMs: [2, 10],
    },
  },
  traffic: [{ provider: 'binance', shape: 'ramp', fromPerMinute: 600, toPerMinute: 2400, patienceMs: 5000 }],
  guard: { options: { circuitBreaker: { onOpen: 'wait' } } },
};

export const overloaded: Scenario = {
  name: 'overloaded for five minutes',
  about: 'The provider answers 529 to everybody for five minutes of an hour; callers wait thirty seconds.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    anthropic: {
      dialect: 'anthropic',
      keys: keys(4),
      troubles: [{ kind: 'overloaded', fromMs: 20 * MINUTE_MS, untilMs: 25 * MINUTE_MS }],
    },
  },
  traffic: [{ provider: 'anthropic', model: 'claude', shape: 'steady', perMinute: 240, patienceMs: 30_000 }],
  guard: { options: { circuitBreaker: { onOpen: 'wait' } } },
};

export const outage: Scenario = {
  name: 'an outage of two minutes',
  about: 'The provider refuses connections for two minutes of an hour; callers wait thirty seconds.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    openai: {
      dialect: 'openai',
      keys: keys(4),
      troubles: [{ kind: 'outage', fromMs: 20 * MINUTE_MS, untilMs: 22 * MINUTE_MS }],
    },
  },
  traffic: [{ provider: 'openai', model: 'gpt', shape: 'steady', perMinute: 120, patienceMs: 30_000 }],
  guard: { options: { circuitBreaker: { onOpen: 'wait' } } },
};

export const threeTimes: Scenario = {
  name: 'overloaded three times in a row',
  about: 'Every five minutes three attempts in a row are answered 503, whatever their keys.',
  startAt: '2026-11-20T09:00:00Z',
  durationMs: HOUR_MS,
  providers: {
    gemini: {
      dialect: 'gemini',
      keys: keys(4),
      troubles: Array.from({ length: 11 }, (_, index) => ({ kind: 'overloaded', fromMs: (index + 1) * 5 * MINUTE_MS, attempts: 3 })),
    },
  },
  traffic: [{ provider: 'gemini', model: 'flash', shape: 'steady', perMinute: 60, patienceMs: 30_000 }],
};
