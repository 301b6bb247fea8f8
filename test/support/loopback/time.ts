import { systemClock } from '../../../src/clock.ts';
import type { Clock } from '../../../src/clock.ts';

/** A whole clock, or only its reading: timers then run in real time. */
export type TimeSource = Clock | (() => number);

export function asClock(source: TimeSource | undefined): Clock {
  if (source === undefined) return systemClock;
  return typeof source === 'function' ? { ...systemClock, now: source } : source;
}

const PACIFIC = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/Los_Angeles',
  hourCycle: 'h23',
  year: 'numeric',
  month: 'numeric',
  day: 'numeric',
  hour: 'numeric',
});

function pacific(now: number): { year: number; month: number; day: number; hour: number } {
  const parts = Object.fromEntries(PACIFIC.formatToParts(now).map(({ type, value }) => [type, Number(value)]));
  return { year: parts.year!, month: parts.month!, day: parts.day!, hour: parts.hour! };
}

/** The next 00:00 America/Los_Angeles after `now`, epoch ms. */
export function nextPacificMidnight(now: number): number {
  const { year, month, day } = pacific(now);
  // Clocks change at 02:00 there, so midnight is 07:00 or 08:00 UTC and exists exactly once.
  const inSummer = Date.UTC(year, month - 1, day + 1, 7);
  return pacific(inSummer).hour === 0 ? inSummer : inSummer + 3_600_000;
}

/** As Go prints a duration: `12ms`, `1.5s`, `6m0s`, `1h0m0s`. */
export function goDuration(durationMs: number): string {
  const ms = Math.max(0, Math.ceil(durationMs));
  if (ms < 1000) return ms === 0 ? '0s' : `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}
