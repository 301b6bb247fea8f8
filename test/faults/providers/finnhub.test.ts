import { finnhub } from '../../../src/faults/providers/finnhub.ts';
import { DAY_MS, describeRows, MINUTE_MS, NOW } from './rows.ts';
import type { Expected, Row } from './rows.ts';

const NOT_IN_PLAN: Expected = { kind: 'permission', scope: 'key+model', action: 'cool', until: NOW + DAY_MS };
const INVALID_KEY: Expected = { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' };
const RATE_LIMIT: Expected = { kind: 'rate_limit', scope: 'key', action: 'cool', coolMs: MINUTE_MS };
const LIMITED = { error: 'API limit reached. Please try again later. Remaining Limit: 0' };

const ROWS: Row[] = [
  ['data the plan has not got', 403, { error: "You don't have access to this resource." }, NOT_IN_PLAN],
  ['data the plan has not got, as 401', 401, { error: "You don't have access to this resource." }, NOT_IN_PLAN],
  ['a wrong key', 401, { error: 'Invalid API key' }, INVALID_KEY],
  ['no key', 401, { error: 'Please use an API key.' }, INVALID_KEY],
  ['another 403', 403, { error: 'Forbidden' }, { scope: 'key+model', action: 'cool', coolMs: 600_000 }],
  ['too many requests', 429, LIMITED, { ...RATE_LIMIT, until: 'absent' }],
  [
    'too many requests, and when to come back',
    429,
    LIMITED,
    { ...RATE_LIMIT, until: NOW + 23_000 },
    { 'x-ratelimit-limit': '60', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW / 1000 + 23) },
  ],
];

describeRows(finnhub, ROWS);
