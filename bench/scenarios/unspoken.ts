import { HOUR_MS, MINUTE_MS } from '../../src/faults/durations.ts';
import type { Scenario, SimulatedProvider, SimulatedQuota } from '../../src/simulate/scenario.ts';
import { keys } from './keys.ts';

const day = { startAt: '2026-11-20T09:00:07Z', durationMs: HOUR_MS } as const;

/** Five keys of 60 requests a minute. */
function five(dialect: SimulatedProvider['dialect'], form: SimulatedQuota['form']): SimulatedProvider {
  return { dialect, keys: keys(5), quotas: [{ of: 'key', counts: 'requests', limit: 60, per: 'minute', form }] };
}

function twiceAsMuch(name: string, about: string, provider: SimulatedProvider): Scenario {
  return {
    name,
    about,
    ...day,
    providers: { p: provider },
    traffic: [{ provider: 'p', model: 'm', shape: 'steady', perMinute: 600, patienceMs: MINUTE_MS }],
  };
}

export const plainSliding: Scenario = twiceAsMuch(
  'nothing but 429, a sliding window',
  'Five keys of 60 requests in any minute, asked for twice as much; refusals say neither what the limit is nor when to come back.',
  five('plain', 'sliding'),
);

export const plainFixed: Scenario = twiceAsMuch(
  'nothing but 429, a window of the clock',
  'Five keys of 60 requests in a minute of the clock, asked for twice as much; refusals say neither what the limit is nor when to come back.',
  five('plain', 'fixed'),
);

export const toldSliding: Scenario = twiceAsMuch(
  'a sliding window, told by headers',
  'Five keys of 60 requests in any minute, asked for twice as much; headers tell what is left, and when nothing of it is used any more.',
  five('openai', 'sliding'),
);
