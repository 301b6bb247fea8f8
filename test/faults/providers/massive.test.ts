import { massive } from '../../../src/faults/providers/massive.ts';
import { DAY_MS, describeRows, MINUTE_MS, NOW } from './rows.ts';
import type { Row } from './rows.ts';

const ROWS: Row[] = [
  [
    'an unknown key',
    401,
    { status: 'ERROR', request_id: '6a7e466379af0a71039d60cc78e72282', error: 'Unknown API Key' },
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  [
    'no key',
    401,
    { status: 'ERROR', request_id: '429', error: 'API Key was not provided' },
    { scope: 'key', action: 'probation' },
  ],
  [
    'data the plan has not got',
    403,
    {
      status: 'NOT_AUTHORIZED',
      request_id: '429',
      message: 'You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing',
    },
    { kind: 'permission', scope: 'key+model', action: 'cool', until: NOW + DAY_MS, model: 'm' },
  ],
  [
    'too many requests',
    429,
    {
      status: 'ERROR',
      request_id: '401',
      error: "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue.",
    },
    { kind: 'rate_limit', scope: 'key', action: 'cool', coolMs: MINUTE_MS, until: 'absent' },
  ],
  ['nothing there', 404, { status: 'NOT_FOUND', message: 'Data not found.' }, { scope: 'request', action: 'fail' }],
];

describeRows(massive, ROWS);
