import { describe, expect, test } from 'vitest';
import { classify } from '../../../src/faults/classify.ts';
import { readErrorInSuccess, readEvidence } from '../../../src/faults/evidence.ts';
import type { Fault, FaultProfile } from '../../../src/faults/fault.ts';
import { ManualClock } from '../manual-clock.ts';
import { json, openaiError } from '../sdk-errors.ts';

export const NOW = Date.parse('2026-11-20T11:00:00Z');
export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

export type Outcome = { value: unknown } | { error: unknown };
export type Headers = Record<string, string>;
/** `absent` in the place of `until` means that the provider does not say. */
export type Expected = Partial<Fault> | (Omit<Partial<Fault>, 'until'> & { until: 'absent' });
export type Row = readonly [what: string, status: number, body: unknown, fault: Expected, headers?: Headers];

export async function faultOf(profile: FaultProfile, outcome: Outcome): Promise<Fault> {
  return classify(await readEvidence(outcome, new ManualClock(NOW)), { profile, now: NOW, model: 'm' });
}

export async function faultOfAnswer(
  profile: FaultProfile,
  status: number,
  body: unknown,
  headers?: Headers,
): Promise<Fault> {
  return faultOf(profile, { value: json(status, body, headers) });
}

/** The fault in an answer of status 200; undefined where it is a success. */
export async function faultOfSuccess(profile: FaultProfile, value: unknown): Promise<Fault | undefined> {
  const { errorInSuccess } = profile;
  if (!errorInSuccess) throw new Error(`${profile.name} does not look into successes`);
  const evidence = await readErrorInSuccess(value, errorInSuccess, new ManualClock(NOW));
  return evidence && classify(evidence, { profile, now: NOW, model: 'm' });
}

export function expectFault(fault: Fault | undefined, expected: Expected): void {
  const { until, ...rest } = expected;
  expect(fault).toMatchObject(until === undefined || until === 'absent' ? rest : expected);
  if (until === 'absent') expect(fault).not.toHaveProperty('until');
}

/** Each row as what a fetch gives, and as what clients that keep the whole answer throw. */
export function describeRows(profile: FaultProfile, rows: readonly Row[]): void {
  describe.for(rows)('%s', ([, status, body, expected, headers = {}]) => {
    test('as a Response', async () => {
      expectFault(await faultOfAnswer(profile, status, body, headers), { ...expected, status });
    });

    test('as an error of axios', async () => {
      const error = Object.assign(new Error(`Request failed with status code ${status}`), {
        name: 'AxiosError',
        code: 'ERR_BAD_REQUEST',
        response: { status, headers, data: body },
      });
      expectFault(await faultOf(profile, { error }), { ...expected, status });
    });

    test('as an error of the AI SDK', async () => {
      const error = Object.assign(new Error('failed'), {
        name: 'AI_APICallError',
        statusCode: status,
        responseHeaders: headers,
        responseBody: JSON.stringify(body),
      });
      const retried = { name: 'AI_RetryError', lastError: error };
      expectFault(await faultOf(profile, { error: retried }), { ...expected, status });
    });
  });
}

/** Each row as what the `openai` package throws, which compatible APIs are called with. */
export function describeOpenaiRows(profile: FaultProfile, rows: readonly Row[]): void {
  test.for(rows)('%s, as an error of openai', async ([, status, body, expected, headers = {}]) => {
    const error = await openaiError(() => Promise.resolve(json(status, body, headers)));
    expectFault(await faultOf(profile, { error }), { ...expected, status });
  });
}

/** Each row as a Response of status 200, as its parsed body, and as an answer of axios. */
export function describeSuccessRows(
  profile: FaultProfile,
  rows: readonly (readonly [what: string, body: unknown, fault: Expected])[],
): void {
  describe.for(rows)('%s', ([, body, expected]) => {
    test('as a Response', async () => {
      const response = json(200, body);
      expectFault(await faultOfSuccess(profile, response), expected);
      expect(await response.json()).toEqual(body);
    });

    test('as its parsed body', async () => {
      expectFault(await faultOfSuccess(profile, body), expected);
    });

    test('as an answer of axios', async () => {
      expectFault(await faultOfSuccess(profile, { status: 200, headers: {}, data: body, config: {} }), expected);
    });
  });
}
