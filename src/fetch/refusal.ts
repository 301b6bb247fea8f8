import type { GuardErrorCode } from '../guard/errors.ts';

/** What a refusal of the guard looks like to a client of HTTP. The others are errors of the program itself. */
const STATUSES: Partial<Record<GuardErrorCode, number>> = {
  RATE_LIMITED: 429,
  POOL_EXHAUSTED: 429,
  QUEUE_FULL: 503,
  CIRCUIT_OPEN: 503,
  NO_KEY: 503,
  DEADLINE_EXCEEDED: 503,
  ATTEMPT_TIMEOUT: 503,
  CLOSED: 503,
};

/** Says to the SDKs that the guard has tried already. */
export const NO_RETRY = ['x-should-retry', 'false'] as const;

/** The answer that stands for a refusal of the guard; undefined for any other error. */
export function refusalOf(error: unknown): Response | undefined {
  // By what it says: the package may be loaded twice, as ESM and as CommonJS.
  if (!(error instanceof Error) || !('attempts' in error) || !('code' in error)) return undefined;
  const { code, message } = error;
  const status = typeof code === 'string' && isKnown(code) ? STATUSES[code] : undefined;
  if (status === undefined) return undefined;
  const retryAfterMs = 'retryAfterMs' in error ? error.retryAfterMs : undefined;
  return answer(status, code, message, typeof retryAfterMs === 'number' ? retryAfterMs : undefined);
}

/** The answer to a request whose placeholder stands for no key. */
export function noPoolAnswer(why: string): Response {
  return answer(503, 'NO_POOL', `The request has a placeholder in place of its key, and was not sent: ${why}`);
}

function answer(status: number, code: unknown, message: string, retryAfterMs?: number): Response {
  const headers = new Headers([['content-type', 'application/json'], [...NO_RETRY]]);
  if (retryAfterMs !== undefined) headers.set('retry-after', String(Math.ceil(retryAfterMs / 1000)));
  return new Response(JSON.stringify({ error: { type: 'execution_guard', code, message } }), { status, headers });
}

function isKnown(code: string): code is GuardErrorCode {
  return Object.hasOwn(STATUSES, code);
}
