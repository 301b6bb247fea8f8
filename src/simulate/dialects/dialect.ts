import type { Meter } from '../meter.ts';
import type { Trouble } from '../scenario.ts';

/** Why an attempt failed. Those of the same `id` have the same cause: who has seen it once knows of it. */
export type Cause =
  | { readonly kind: Trouble['kind']; readonly id: string; readonly trouble: Trouble }
  | { readonly kind: 'quota'; readonly id: string; readonly meter: Meter; readonly retryAt: number };

/** What a provider says beside the content of an answer. */
export interface Wording {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** The key that was used, as far as answers speak of it. */
export interface Subject {
  readonly model: string;
  readonly organization: string;
  readonly meters: readonly Meter[];
}

/** How a provider words its answers. */
export interface Dialect {
  /** The headers of every answer that is about a key. */
  headers(subject: Subject, now: number): Readonly<Record<string, string>>;
  refuse(cause: Cause, subject: Subject, now: number): Wording;
}

export function secondsUntil(time: number, now: number): string {
  return String(Math.max(1, Math.ceil((time - now) / 1000)));
}

/** Such as `tokens per day`, as most providers write it. */
export function nameOf({ quota }: Meter): string {
  return `${quota.counts} per ${quota.per}`;
}
