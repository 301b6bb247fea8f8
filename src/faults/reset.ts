import type { Evidence, HeaderReader } from './fault.ts';
import { retryDelayOf } from './read-body.ts';

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/;
const GO_DURATION = /^([+-]?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[dhms]))+)$/;
const GO_TERM = /(\d+(?:\.\d+)?)(ns|us|µs|ms|[dhms])/g;
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;
const HTTP_DATE = /^[A-Z][a-z]{2,8}, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT$/;
const ASCTIME = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;

/** "Please try again in 6m0s", "Please retry in 20.04s", "retry after 7 seconds", "will reset after 4h28m20s". */
const SPOKEN =
  /\b(?:try again|retry|reset) (?:in|after) (\d[\d.a-z]{0,40})(?: (millisecond|second|minute|hour|day)s?\b)?/gi;

const UNIT_MS = new Map([
  ['ns', 1e-6],
  ['us', 1e-3],
  ['µs', 1e-3],
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
  ['millisecond', 1],
  ['second', 1000],
  ['minute', 60_000],
  ['hour', 3_600_000],
  ['day', 86_400_000],
]);

/** The longest time a JavaScript date can tell. */
const LAST_MS = 8.64e15;

/**
 * The pairs of headers that say what is left of a limit and when it is whole again. The limit is the
 * part in between: `requests`, `tokens`...
 */
const DIMENSIONS = [
  '',
  '-requests',
  '-tokens',
  '-input-tokens',
  '-output-tokens',
  '-tokens-prompt',
  '-tokens-generated',
];
const RESET_HEADERS: readonly (readonly [remaining: string, reset: string])[] = [
  ...DIMENSIONS.map((limit) => [`x-ratelimit-remaining${limit}`, `x-ratelimit-reset${limit}`] as const),
  ...DIMENSIONS.map((limit) => [`anthropic-ratelimit${limit}-remaining`, `anthropic-ratelimit${limit}-reset`] as const),
  ['ratelimit-remaining', 'ratelimit-reset'],
];

/**
 * When a reset header or a Retry-After says to come back, in epoch ms, never before `now`. A number
 * below 1e9 is seconds from now, from 1e9 epoch seconds, from 1e12 epoch ms; else a Go duration
 * (`6m0s`), RFC 3339 or an HTTP date. Undefined for anything else.
 *
 * @param serverNow the time of the response by the server's clock, epoch ms, which the server's own
 *   times are taken against.
 */
export function parseReset(value: string, now: number, serverNow = now): number | undefined {
  const text = value.trim();
  if (NUMBER.test(text)) {
    const number = Number(text);
    if (number < 1e9) return after(number * 1000, now);
    return after((number < 1e12 ? number * 1000 : number) - serverNow, now);
  }
  const duration = parseDuration(text);
  if (duration !== undefined) return after(duration, now);
  const date = parseDate(text);
  return date === undefined ? undefined : after(date - serverNow, now);
}

/** A Go duration such as `1h2m3.5s` or `12ms` in ms; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const match = GO_DURATION.exec(text);
  if (!match) return undefined;
  const [, sign, terms = ''] = match;
  let ms = 0;
  for (const [, amount, unit = ''] of terms.matchAll(GO_TERM)) ms += Number(amount) * (UNIT_MS.get(unit) ?? Number.NaN);
  return sign === '-' ? -ms : ms;
}

/**
 * When the provider says the call may be made again, in epoch ms and after `now`; undefined where it
 * does not say. In this order: retry-after-ms, retry-after, the body's own delay, the reset of a limit
 * of which nothing is left, and the message's words. A zero, or a time gone by, says nothing.
 */
export function retryAtOf(evidence: Evidence, now: number): number | undefined {
  const { header } = evidence;
  const serverNow = parseDate(header('date') ?? '') ?? now;
  const candidates = [
    () => after(decimal(header('retry-after-ms')), now),
    () => parseReset(header('retry-after') ?? '', now, serverNow),
    () => parseReset(retryDelayOf(evidence.body) ?? '', now),
    () => resetOfExhausted(header, now, serverNow),
    () => spokenDelay(evidence.text, now),
  ];
  for (const candidate of candidates) {
    const at = candidate();
    if (at !== undefined && at > now) return at;
  }
  return undefined;
}

/** The latest reset among the limits of which nothing is left: all of them hold the call back. */
function resetOfExhausted(header: HeaderReader, now: number, serverNow: number): number | undefined {
  let latest = draftReset(header('ratelimit') ?? '', now);
  for (const [remaining, reset] of RESET_HEADERS) {
    if (decimal(header(remaining)) !== 0) continue;
    const at = parseReset(header(reset) ?? '', now, serverNow);
    if (at !== undefined) latest = Math.max(latest ?? at, at);
  }
  return latest;
}

/** The IETF draft's `RateLimit: "default";r=0;t=30`, where `t` is seconds from now. */
function draftReset(value: string, now: number): number | undefined {
  let latest: number | undefined;
  for (const item of value.split(',')) {
    const parameters = new Map(item.split(';').map((part) => [part.trim().slice(0, 2), part.trim().slice(2)]));
    const seconds = parameters.get('t=') ?? '';
    if (parameters.get('r=') !== '0' || !/^\d+$/.test(seconds)) continue;
    const at = after(Number(seconds) * 1000, now);
    if (at !== undefined) latest = Math.max(latest ?? at, at);
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

function parseDate(text: string): number | undefined {
  let date = Number.NaN;
  if (RFC_3339.test(text)) date = Date.parse(text.toUpperCase().replace(' ', 'T'));
  else if (HTTP_DATE.test(text)) date = Date.parse(text);
  // This oldest form of HTTP date names no zone and means UTC.
  else if (ASCTIME.test(text)) date = Date.parse(`${text} GMT`);
  return Number.isNaN(date) ? undefined : date;
}

function decimal(text = ''): number {
  const trimmed = text.trim();
  return NUMBER.test(trimmed) ? Number(trimmed) : Number.NaN;
}

function after(delayMs: number, now: number): number | undefined {
  const at = now + Math.max(0, delayMs);
  return Number.isFinite(at) && at <= LAST_MS ? at : undefined;
}
