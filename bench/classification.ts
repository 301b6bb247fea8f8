import { timeInRounds, type Contender } from './rounds.ts';
import type { Section } from './section.ts';
import type { Subject } from './subject.ts';

const ROUNDS = { rounds: 11, roundMs: 20 };

const quota = {
  error: {
    code: 429,
    status: 'RESOURCE_EXHAUSTED',
    message: 'You exceeded your current quota, please check your plan and billing details.',
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
        violations: [
          {
            quotaMetric: 'generativelanguage.googleapis.com/generate_content_free_tier_requests',
            quotaId: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
            quotaValue: '15',
          },
        ],
      },
      { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '38s' },
    ],
  },
};

/** What it takes to say whose fault a failure was, from the error or the Response to the fault. */
export async function classification(subject: Subject): Promise<Section> {
  const { classify, profileFor, readEvidence, systemClock } = subject;
  const headers = new Headers({ 'content-type': 'application/json', 'retry-after': '20', 'x-request-id': 'req-1' });
  const thrown = (status: number, body: unknown): Error =>
    Object.assign(new Error(`${status} refused`), { status, headers, error: body });
  const contender = (label: string, provider: string, outcome: () => Parameters<typeof readEvidence>[0]): Contender => {
    const profile = profileFor(provider);
    return {
      label,
      run: async count => {
        for (let i = 0; i < count; i++) {
          const evidence = await readEvidence(outcome(), systemClock);
          classify(evidence, { profile, now: systemClock.now(), model: 'some-model' });
        }
      },
    };
  };
  const openai = thrown(401, { code: 'invalid_api_key', type: 'invalid_request_error', message: 'Incorrect API key.' });
  const gemini = thrown(429, quota);
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  const text = JSON.stringify(quota);
  const base: Contender = {
    label: 'the reading of such a Response, by itself',
    run: async count => {
      for (let i = 0; i < count; i++) JSON.parse(await new Response(text, { status: 429, headers }).clone().text());
    },
  };
  const times = await timeInRounds(
    [
      base,
      contender('an error of the OpenAI SDK', 'openai', () => ({ error: openai })),
      contender('an error with the body of a Gemini quota', 'gemini', () => ({ error: gemini })),
      contender('a connection that was reset', 'openai', () => ({ error: reset })),
      contender('a Response with the body of a Gemini quota', 'gemini', () => ({
        value: new Response(text, { status: 429, headers }),
      })),
    ],
    ROUNDS,
  );
  const baseUs = times.get(base.label) ?? NaN;
  return {
    name: 'classification',
    note: 'Per failure. The ratio is over reading and parsing a Response of 600 bytes.',
    rows: [...times].map(([label, value]) => ({ label, value, unit: 'µs', ratio: value / baseUs })),
  };
}
