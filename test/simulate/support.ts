import type {
  Scenario,
  SimulatedProvider,
  SimulatedQuota,
  Traffic,
  TrafficShape,
} from '../../src/simulate/scenario.ts';
import type { AskedCall } from '../../src/simulate/traffic.ts';

export const START = '2026-11-20T12:00:00Z';
export const START_AT = Date.parse(START);
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** A call as it is asked `atMs` after the beginning; its caller stays as long as he said. */
export function callOf(atMs: number, more: Partial<AskedCall> = {}): AskedCall {
  const at = START_AT + atMs;
  const patienceMs = more.patienceMs ?? 60_000;
  return {
    id: 0,
    at,
    provider: 'api',
    model: undefined,
    tokens: 0,
    session: undefined,
    patienceMs,
    leavesAt: at + patienceMs,
    serviceMs: 100,
    ...more,
  };
}

export function quotaOf(more: Partial<SimulatedQuota> = {}): SimulatedQuota {
  return { of: 'key', counts: 'requests', limit: 1, per: 'minute', form: 'sliding', ...more };
}

export function providerOf(more: Partial<SimulatedProvider> = {}): SimulatedProvider {
  const latency = { medianMs: 100, sigma: 0 };
  return { dialect: 'plain', keys: [{ id: 'a' }, { id: 'b' }], uplinkMs: [0, 0], latency, ...more };
}

/** Calls of one kind; callers stay for 20 s where nothing else is said. */
export type Calls = TrafficShape &
  Partial<Pick<Traffic, 'provider' | 'model' | 'tokens' | 'sessions' | 'patienceMs' | 'leaving'>>;

export const STEADY = { shape: 'steady', perMinute: 40 } as const;

/** A few minutes of one provider. */
export function scenarioOf(
  provider: Partial<SimulatedProvider>,
  calls: Calls = STEADY,
  more: Partial<Scenario> = {},
): Scenario {
  return {
    name: 'test',
    about: 'A test.',
    startAt: START,
    durationMs: 5 * MINUTE_MS,
    providers: { api: providerOf(provider) },
    traffic: [{ provider: 'api', patienceMs: 20_000, ...calls }],
    ...more,
  };
}
