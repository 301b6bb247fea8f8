import { nextMidnight, nextMonth } from './calendar.ts';
import type { FaultRule } from './fault.ts';

export const SECOND_MS = 1000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** A cool-down of a fixed length, for what no header shortens: credit is not back because a proxy says so. */
export function lasting(ms: number): Required<Pick<FaultRule, 'coolMs' | 'until'>> {
  return { coolMs: ms, until: (_evidence, now) => now + ms };
}

type CalendarCooldown = Required<Pick<FaultRule, 'until' | 'untilMeans'>>;

/** Until the provider's day ends, in an IANA zone, however soon it says to come back. */
export function untilMidnight(timeZone: string): CalendarCooldown {
  return { until: (_evidence, now) => nextMidnight(now, timeZone), untilMeans: `the next midnight, ${timeZone}` };
}

/** Until the provider's month ends, in an IANA zone. */
export function untilNextMonth(timeZone: string): CalendarCooldown {
  return { until: (_evidence, now) => nextMonth(now, timeZone), untilMeans: `the 1st of the next month, ${timeZone}` };
}
