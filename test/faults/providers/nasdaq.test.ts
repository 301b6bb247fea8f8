import { nasdaq } from '../../../src/faults/providers/nasdaq.ts';
import { DAY_MS, describeRows, NOW } from './rows.ts';
import type { Row } from './rows.ts';

function body(code: string, message: string): unknown {
  return { quandl_error: { code, message } };
}

const ROWS: Row[] = [
  [
    'a wrong key',
    400,
    body('QEAx01', 'We could not recognize your API key. Please check your API key and try again.'),
    { kind: 'invalid_key', scope: 'key', action: 'disable', certainty: 'likely' },
  ],
  ...['QELx01', 'QELx04', 'QELx07'].map(
    (code): Row => [
      `a used-up limit, ${code}`,
      429,
      body(code, 'You have exceeded the API speed limit.'),
      { kind: 'rate_limit', scope: 'key', action: 'cool', coolMs: 10_000, until: 'absent' },
    ],
  ),
  [
    'a table that is not subscribed to',
    403,
    body('QEPx04', 'You do not have permission to view this dataset. Please subscribe to this database.'),
    { kind: 'permission', scope: 'key+model', action: 'cool', until: NOW + DAY_MS },
  ],
  ['a wrong code', 404, body('QECx02', 'You have submitted an incorrect code.'), { scope: 'request', action: 'fail' }],
  ['a request too large', 422, body('QELx08', 'Too much was asked for.'), { scope: 'request', action: 'fail' }],
  ['another 400', 400, body('QESx04', 'You have submitted incorrect query parameters.'), { scope: 'request' }],
];

describeRows(nasdaq, ROWS);
