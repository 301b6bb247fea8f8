import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/index.ts';
import { guardPolicy, simulate, type Scenario } from '../../src/simulate.ts';

const GOOD = {
  name: 'good',
  about: 'Nothing is wrong with it.',
  startAt: '2026-11-20T12:00:00Z',
  durationMs: 1000,
  providers: { openai: { dialect: 'openai', keys: [{ id: 'ann' }] } },
  traffic: [{ shape: 'burst', provider: 'openai', calls: 1, atMs: 0, overMs: 0, patienceMs: 1000 }],
} as const;

/** What is said of a scenario with something else in that place. */
async function saidOf(place: string, value: unknown): Promise<string> {
  const scenario = structuredClone(GOOD) as unknown as Record<string, unknown>;
  const path = place.split('.');
  let parent = scenario;
  for (const part of path.slice(0, -1)) parent = parent[part] as Record<string, unknown>;
  parent[path.at(-1)!] = value;
  const error: unknown = await simulate(scenario as unknown as Scenario, [guardPolicy]).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  return (error as ConfigError).issues.map(({ path: where, message }) => `${where}: ${message}`).join('\n');
}

describe('a scenario is refused', () => {
  test.each([
    ['startAt', 'tomorrow', 'startAt: expected an ISO time with its offset, such as `2026-11-20T12:00:00Z`, found a string'],
    ['startAt', '20 November', 'startAt: expected an ISO time with its offset, such as `2026-11-20T12:00:00Z`, found a string'],
    ['startAt', '2026-11-20T12:00', 'startAt: expected an ISO time with its offset, such as `2026-11-20T12:00:00Z`, found a string; did you mean `2026-11-20T12:00:00Z`?'],
    ['durationMs', -1, 'durationMs: expected a number above 0, found the number -1'],
    ['providers.openai.dialect', 'opnai', 'providers.openai.dialect: expected one of `gemini`, `openai`, `anthropic`, `binance`, `plain`, found a string; did you mean `openai`?'],
    ['providers.openai.keys', 'ann', 'providers.openai.keys: expected an array, found a string'],
    ['providers.openai.keys.1', { id: 'ann' }, 'providers.openai.keys[1].id: expected an id of its own, found "ann" again'],
    ['providers.openai.quotas', [{ of: 'key', counts: 'requests', limit: -1, per: 'minute', form: 'fixed' }], 'providers.openai.quotas[0].limit: expected a number, 0 or more, found the number -1'],
    ['providers.openai.troubles', [{ kind: 'revoked', keys: ['ben'], fromMs: 0 }], 'providers.openai.troubles[0].keys[0]: expected the id of a key, found "ben"'],
    ['providers.openai.troubles', [{ kind: 'outage', fromMs: 5, untilMs: 4 }], 'providers.openai.troubles[0].untilMs: expected 5 or more, as it begins then, found 4'],
    ['providers.openai.troubles', [{ kind: 'slow', fromMs: 0 }], 'providers.openai.troubles[0].factor: expected how many times longer answers take, found none'],
    ['providers', {}, 'providers: expected one at least, found none'],
    ['traffic.0.provider', 'gemini', 'traffic[0].provider: expected one of "openai", found "gemini"'],
    ['traffic.0.shape', 'wave', 'traffic[0].shape: expected one of `steady`, `ramp`, `burst`, `diurnal`, `trace`, found a string'],
    ['traffic.0.calls', -1, 'traffic[0].calls: expected a number, 0 or more, found the number -1'],
    ['traffic.0.sessions', 1.5, 'traffic[0].sessions: expected a whole number, 1 or more, found the number 1.5'],
    ['proceses', 2, 'proceses: unknown option `proceses`, did you mean `processes`?'],
  ])('%s', async (place, value, said) => {
    expect(await saidOf(place, value)).toBe(said);
  });

  test('a day that ends at no midnight', async () => {
    const quota = { of: 'key', counts: 'requests', limit: 1, per: 'day', form: 'fixed', timeZone: 'Mars/Olympus' };
    expect(await saidOf('providers.openai.quotas', [quota])).toContain('timeZone: expected an IANA time zone');
  });

  test('a trace of calls to nobody', async () => {
    const trace = { shape: 'trace', provider: 'openai', patienceMs: 1, calls: [{ time: 0, provider: 'nobody' }] };
    expect(await saidOf('traffic', [trace])).toBe('traffic[0].calls[0].provider: expected one of "openai", found "nobody"');
  });
});

test('a scenario of which nothing is wrong is run', async () => {
  expect(await simulate(GOOD, [guardPolicy])).toMatchObject({ guard: { served: 1 } });
});
