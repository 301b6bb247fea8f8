/** Google's days begin at midnight here. */
export const PACIFIC = 'America/Los_Angeles';

interface Day {
  readonly startMs: number;
  readonly endMs: number;
}

const formatters = new Map<string, Intl.DateTimeFormat>();
/** The last day asked for in each zone: quotas ask again and again about today. */
const days = new Map<string, Day>();

// Longer than any day or month a calendar has had, days repeated at the date line included.
const LONGEST_DAY_MS = 50 * 3_600_000;
const LONGEST_MONTH_MS = 33 * 24 * 3_600_000;

/**
 * The first instant of the day after `now` in an IANA zone, in epoch ms: 00:00, or the end of the gap
 * where daylight saving time skips midnight. Throws a RangeError for an unknown zone.
 */
export function nextMidnight(now: number, timeZone: string): number {
  return dayOf(now, timeZone).endMs;
}

/**
 * The first instant of the month after `now`'s in an IANA zone, in epoch ms. Throws a RangeError for an
 * unknown zone.
 */
export function nextMonth(now: number, timeZone: string): number {
  const month = Math.floor(localDate(now, timeZone) / 100);
  return firstInstant(now, now + LONGEST_MONTH_MS, (time) => Math.floor(localDate(time, timeZone) / 100) > month);
}

function dayOf(now: number, timeZone: string): Day {
  const known = days.get(timeZone);
  if (known && now >= known.startMs && now < known.endMs) return known;
  const today = localDate(now, timeZone);
  const day = {
    startMs: firstInstant(now - LONGEST_DAY_MS, now, (time) => localDate(time, timeZone) >= today),
    endMs: firstInstant(now, now + LONGEST_DAY_MS, (time) => localDate(time, timeZone) > today),
  };
  days.set(timeZone, day);
  return day;
}

/**
 * The first whole ms after `before` that has been reached, where `until` has. Searching the zone's own
 * calendar needs no arithmetic with offsets, which has a wrong answer for every kind of transition.
 */
function firstInstant(before: number, until: number, reached: (time: number) => boolean): number {
  let low = Math.floor(before);
  let high = Math.floor(until);
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    if (reached(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** The local date as a number that sorts, such as 20261120. */
function localDate(time: number, timeZone: string): number {
  const [month, day, year] = formatter(timeZone).format(time).split('/');
  return Number(year) * 10_000 + Number(month) * 100 + Number(day);
}

function formatter(timeZone: string): Intl.DateTimeFormat {
  let known = formatters.get(timeZone);
  if (!known) {
    known = new Intl.DateTimeFormat('en-US', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' });
    formatters.set(timeZone, known);
  }
  return known;
}
