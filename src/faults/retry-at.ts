import type { Evidence, LimitHeaders } from './fault.ts';
import { readLimits } from './limits.ts';
import { retryDelayOf } from './read-body.ts';
import { after, decimal, parseDate, parseDuration, parseReset, UNIT_MS } from './reset.ts';

/** "Please try again in 6m0s", "Please retry in 20.04s", "retry after 7 seconds", "will reset after 4h28m20s". */
const SPOKEN =
  /\b(?:try again|retry|reset) (?:in|after) (\d[\d.a-z]{0,40})(?: (millisecond|second|minute|hour|day)s?\b)?/gi;

/**
 * When the provider says the call may be made again, in epoch ms and after `now`; undefined where it
 * does not say. In this order: retry-after-ms and AWS's name for it, retry-after, the body's own delay,
 * the reset of a limit of which nothing is left, and the message's words. A zero, or a time gone by,
 * says nothing.
 *
 * @param limits the provider's rate-limit headers, where they are not the usual ones.
 */
export function retryAtOf(evidence: Evidence, now: number, limits?: readonly LimitHeaders[]): number | undefined {
  const { header } = evidence;
  const serverNow = parseDate(header('date') ?? '') ?? now;
  const candidates = [
    () => after(decimal(header('retry-after-ms')), now),
    () => after(decimal(header('x-amz-retry-after')), now),
    () => parseReset(header('retry-after') ?? '', now, serverNow),
    () => parseReset(retryDelayOf(evidence.body) ?? '', now),
    () => resetOfExhausted(evidence, now, limits),
    () => spokenDelay(evidence.text, now),
  ];
  for (const candidate of candidates) {
    const at = candidate();
    if (at !== undefined && at > now) return at;
  }
  return undefined;
}

/** The latest reset among the limits of which nothing is left: all of them hold the call back. */
function resetOfExhausted(
  evidence: Evidence,
  now: number,
  limits: readonly LimitHeaders[] | undefined,
): number | undefined {
  let latest: number | undefined;
  for (const { remaining, resetAt } of readLimits(evidence, now, limits)) {
    if (remaining === 0 && resetAt !== undefined) latest = Math.max(latest ?? resetAt, resetAt);
  }
  return latest;
}

function spokenDelay(text: string, now: number): number | undefined {
  for (const [, amount = '', unit] of text.matchAll(SPOKEN)) {
    // The full stop of the sentence is caught as well.
    const figure = amount.replace(/\.+$/, '').toLowerCase();
    const unitMs = UNIT_MS.get(unit?.toLowerCase() ?? '');
    const delayMs = unitMs === undefined ? parseDuration(figure) : decimal(figure) * unitMs;
    const at = delayMs === undefined ? undefined : after(delayMs, now);
    if (at !== undefined) return at;
  }
  return undefined;
}
