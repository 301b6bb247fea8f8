const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)$/;
const GO_DURATION = /^([+-]?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|[dhms]))+)$/;
const GO_TERM = /(\d+(?:\.\d+)?)(ns|us|µs|ms|[dhms])/g;
const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;
const HTTP_DATE = /^[A-Z][a-z]{2,8}, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT$/;
const ASCTIME = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/;

/** Units of a delay in ms, as Go writes them and in words. */
export const UNIT_MS: ReadonlyMap<string, number> = new Map([
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

/** RFC 3339 or one of the three forms of an HTTP date, as epoch ms; undefined for anything else. */
export function parseDate(text: string): number | undefined {
  let date = Number.NaN;
  if (RFC_3339.test(text)) date = Date.parse(text.toUpperCase().replace(' ', 'T'));
  else if (HTTP_DATE.test(text)) date = Date.parse(text);
  // This oldest form of HTTP date names no zone and means UTC.
  else if (ASCTIME.test(text)) date = Date.parse(`${text} GMT`);
  return Number.isNaN(date) ? undefined : date;
}

/** A decimal number; NaN for anything else, and for one of so many digits that it is no number any more. */
export function decimal(text = ''): number {
  const trimmed = text.trim();
  const number = NUMBER.test(trimmed) ? Number(trimmed) : Number.NaN;
  return Number.isFinite(number) ? number : Number.NaN;
}

/** `delayMs` from now, never in the past; undefined for what is no time. */
export function after(delayMs: number, now: number): number | undefined {
  const at = now + Math.max(0, delayMs);
  return Number.isFinite(at) && at <= LAST_MS ? at : undefined;
}
