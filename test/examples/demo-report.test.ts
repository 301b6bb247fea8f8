import { expect, test } from 'vitest';
import { report } from '../../examples/demo/report.ts';
import type { Observations } from '../../examples/demo/report.ts';
import { KEYS } from '../../examples/demo/scenario.ts';
import type { LoggedRequest } from '../support/loopback/index.ts';

function request(keyId: string, kind: string): LoggedRequest {
  const path = '/v1/models/m:generateContent';
  return { at: 0, method: 'POST', path, status: 200, aborted: false, keyId, group: 'g', model: 'm', kind };
}

const attempt = { provider: 'gemini', durationMs: 40 };
const call = { provider: 'gemini', model: 'm', error: undefined, userId: undefined, sessionId: undefined, tags: [] };

const SEEN: Observations = {
  keys: [
    { id: 'one', provider: 'gemini', group: 'g', secret: 'not shown' },
    { id: 'two', provider: 'gemini', group: 'h', secret: 'not shown' },
  ],
  calls: [{ ...call, ok: true, keyId: 'two', attempts: 2, durationMs: 80 }],
  attempts: [
    { ...attempt, keyId: 'one', attempt: 1, ok: false, fault: 'rate_limit' },
    { ...attempt, keyId: 'two', attempt: 2, ok: true },
  ],
  keyChanges: [
    {
      pool: 'gemini',
      keyId: 'one',
      from: 'ready',
      to: 'cooling',
      reason: 'rate_limit',
      group: 'g',
      model: 'm',
      until: Date.UTC(2026, 0, 2, 3, 4, 5),
      atMs: 1200,
    },
  ],
  failovers: [{ provider: 'gemini', model: 'm', from: 'one', to: 'two', fault: 'rate_limit' }],
  requests: { gemini: [request('one', 'rpm'), request('two', 'ok')], openai: [] },
  breakers: { changes: [], failureThreshold: 20 },
  outlook: new Map([['one', { state: 'cooling', until: Date.UTC(2026, 0, 2, 3, 4, 5) }]]),
};

test('the report says who served, what was set aside, and what was wasted upstream', () => {
  const lines = report(SEEN).split('\n').map((line) => line.trim().replaceAll(/ {2,}/g, ' | '));
  expect(lines).toContain('gemini | 1 | 1 | 0 | 1 | 80 | 80');
  expect(lines).toContain('one | gemini | g | 1 | 0 | 1 rate_limit | cooling | 2026-01-02 03:04:05 UTC');
  expect(lines).toContain('two | gemini | h | 1 | 1 | - | - | -');
  expect(lines).toContain('1.2 s | group g | m | ready -> cooling | rate_limit | 2026-01-02 03:04:05 UTC');
  expect(lines).toContain('gemini | 2 | 1 | 1 | 1 rpm (one)');
  expect(lines).toContain('The guard counts 2 attempts, the providers 2 requests.');
  expect(lines).toContain('1 times a call went on with another key, after: 1 rate_limit.');
});

test('an outage without an open breaker is explained, and one with it is named', () => {
  expect(report(SEEN)).toContain('No breaker opened: that takes 20 failed calls in a row');
  const breakers = { changes: [{ provider: 'openai', state: 'OPEN' as const }], failureThreshold: 20 };
  expect(report({ ...SEEN, breakers })).toContain('Breakers opened: 1 openai.');
});

test('the table of keys fits a terminal of 110 columns', () => {
  const until = Date.UTC(2026, 0, 2, 3, 4, 5);
  const outlook = new Map(KEYS.map(({ id }) => [id, { state: 'disabled' as const, until }]));
  const attempts = KEYS.map(({ id }) => ({ ...attempt, keyId: id, attempt: 1, ok: false, fault: 'invalid_key' }));
  const lines = report({ ...SEEN, keys: KEYS, attempts, outlook }).split('\n');
  const titles = lines.findIndex((line) => line.startsWith('  key '));
  expect(titles).toBeGreaterThan(-1);
  const widths = lines.slice(titles, titles + KEYS.length + 2).map(({ length }) => length);
  expect(Math.max(...widths)).toBeLessThan(110);
});

test('the report shows no secret', () => {
  expect(report(SEEN)).not.toContain('not shown');
});
