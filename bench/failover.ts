import { timeInRounds, type Contender } from './rounds.ts';
import type { Section } from './section.ts';
import type { Subject } from './subject.ts';

/** Each failed attempt uses a key up; there must be enough for all rounds. */
const BAD_KEYS = 50_000;
const GOOD_KEYS = 10;
const ROUNDS = { rounds: 11, roundMs: 20 };

/** As an SDK throws it: status, headers, parsed body. */
class ApiError extends Error {
  readonly status: number;
  readonly headers: Headers;
  readonly error: object;

  constructor(status: number, headers: Headers, error: { message: string; code: string }) {
    super(`${status} ${error.message}`);
    this.status = status;
    this.headers = headers;
    this.error = error;
  }
}

const headers = new Headers({ 'content-type': 'application/json', 'x-request-id': 'req-1' });
const badKey = new ApiError(401, headers, { message: 'Incorrect API key provided', code: 'invalid_api_key' });
const overQuota = new ApiError(429, headers, { message: 'Rate limit reached', code: 'rate_limit_exceeded' });

/** What it costs to move on to the next key after a failure, and be answered there. */
export async function failover(subject: Subject): Promise<Section> {
  const answered = contender(subject, 'answered at once', undefined);
  const refused = contender(subject, '401, then answered by the next key', badKey);
  const limited = contender(subject, '429, then answered by the next key', overQuota);
  const byHand: Contender = { label: 'by hand: a loop over the keys, 401', run: loopByHand };
  const construction: Contender = { label: 'the making of such an error, by itself', run: makeErrors };
  const times = await timeInRounds([answered, refused, limited, byHand, construction], ROUNDS);
  const base = times.get(answered.label) ?? NaN;
  const rows = [...times].map(([label, value]) => ({ label, value, unit: 'µs', ratio: value / base }));
  const extra = ({ label }: Contender): number => (times.get(label) ?? NaN) - base;
  return {
    name: 'fail-over',
    note: 'The error is made beforehand. The ratio is over a call that is answered at once.',
    rows: [
      ...rows,
      { label: 'per failed attempt, 401', value: extra(refused), unit: 'µs' },
      { label: 'per failed attempt, 429', value: extra(limited), unit: 'µs' },
    ],
  };
}

/** A call asks for a key nobody has used, which fails, and goes on to one of the few that are always answered. */
function contender({ ExecutionGuard }: Subject, label: string, failure: Error | undefined): Contender {
  const keys = Array.from({ length: GOOD_KEYS + BAD_KEYS }, (_, i) => ({
    id: `key-${i}`,
    key: `bench-secret-${i}`,
    limits: { rpm: 1e9 },
    priority: i < GOOD_KEYS ? 0 : 1,
  }));
  const guard = new ExecutionGuard({ keyManagement: { providers: { openai: { keys } } } });
  let used = GOOD_KEYS;
  const fn = ({ attempt }: { attempt: number }): Promise<string> =>
    failure !== undefined && attempt === 1 ? Promise.reject(failure) : Promise.resolve('answer');
  return {
    label,
    run: async count => {
      if (failure !== undefined && used + count > keys.length) throw new Error(`${label}: the keys are used up`);
      for (let i = 0; i < count; i++) {
        const keyId = failure === undefined ? `key-${i % GOOD_KEYS}` : `key-${used++}`;
        await guard.execute(fn, { providerName: 'openai', keyId });
      }
    },
  };
}

async function loopByHand(count: number): Promise<void> {
  const keys = ['bench-secret-0', 'bench-secret-1'];
  const fn = (key: string | undefined): Promise<string> =>
    key === keys[0] ? Promise.reject(badKey) : Promise.resolve('answer');
  for (let i = 0; i < count; i++) {
    for (const key of keys) {
      try {
        await fn(key);
        break;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 401) throw error;
      }
    }
  }
}

function makeErrors(count: number): void {
  for (let i = 0; i < count; i++) new ApiError(401, headers, { message: 'Incorrect API key', code: 'invalid_api_key' });
}
