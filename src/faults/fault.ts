import type { LimitReading } from './limits.ts';

/** Whose fault an outcome is. */
export type FaultScope =
  | 'key'
  | 'key+model'
  | 'group'
  | 'group+model'
  | 'provider'
  | 'provider+model'
  | 'ip'
  | 'request';

/**
 * What follows from a fault.
 * - `disable`: the key is out until it has been validated again.
 * - `probation`: the key is a suspect until another key answers the same request.
 * - `cool`: out until a time.
 * - `breaker`: counts against the provider; no key is blamed.
 * - `retry`: the same key may be tried once more.
 * - `fail`: the caller gets the error; nobody is blamed.
 */
export type FaultAction = 'disable' | 'probation' | 'cool' | 'breaker' | 'retry' | 'fail';

/**
 * How sure the classification is.
 * - `certain`: the provider named the culprit beyond doubt; no contrast is needed.
 * - `likely`: a documented code or reason.
 * - `guess`: read from a status or a message alone.
 */
export type FaultCertainty = 'certain' | 'likely' | 'guess';

/** What one failed attempt says. */
export interface Fault {
  /** A short stable name such as `invalid_key`, `rate_limit`, `overloaded`; stats count by it. */
  readonly kind: string;
  readonly scope: FaultScope;
  readonly action: FaultAction;
  readonly certainty: FaultCertainty;
  /** When the culprit may be tried again, epoch ms; absent where the provider did not say. */
  readonly until?: number;
  /** The default cool-down in ms where `until` is absent and the rule knows one. */
  readonly coolMs?: number;
  readonly status?: number;
  /** The call's model, where the scope has a `+model` and the call named one. */
  readonly model?: string;
  /** The profile and rule that matched, such as `gemini/per-day-quota`. */
  readonly rule: string;
}

/** Reads one response header, whatever its container. */
export type HeaderReader = (name: string) => string | undefined;

/** What an outcome looks like to a rule: the same shape for a Response, an SDK error and a network error. */
export interface Evidence {
  readonly status?: number;
  readonly header: HeaderReader;
  /** The parsed JSON body; an array-wrapped Google error is unwrapped. */
  readonly body?: unknown;
  /** The body's text and the error's message, bounded; for matching, never for showing. */
  readonly text: string;
  /** A network error code such as `ECONNRESET`. */
  readonly networkCode?: string;
  /** True where the attempt ran into its own timeout. */
  readonly timedOut: boolean;
  /** True where the attempt was aborted by the caller. */
  readonly aborted: boolean;
  /** The path of the request without its query, where the outcome tells, such as `/api/v3/order`. */
  readonly path?: string;
}

/** Conditions of a rule; all that are given must hold. A rule without a status may match an error without one. */
export interface FaultMatch {
  readonly status?: number | readonly number[];
  /**
   * One of the machine-readable codes, types, reasons or statuses of the body, compared exactly but for
   * `*`, which stands for anything.
   */
  readonly code?: string | readonly string[];
  /** Tested against the provider's message, never against ids or headers. */
  readonly message?: RegExp;
  /** Whatever the data cannot say. */
  readonly test?: (evidence: Evidence) => boolean;
  /** What `test` looks for, in words; for the reference. */
  readonly testMeans?: string;
}

export interface FaultRule {
  /** Unique within the profile. */
  readonly name: string;
  /** Where the fact comes from: a documentation page, an SDK's source. */
  readonly source: string;
  readonly match: FaultMatch;
  /** The `kind` of the fault; the rule's name when absent. */
  readonly kind?: string;
  readonly scope: FaultScope;
  readonly action: FaultAction;
  /** `likely` for a rule that matches a code, else `guess`, when absent. */
  readonly certainty?: FaultCertainty;
  /** Default cool-down in ms, where neither headers nor body say. */
  readonly coolMs?: number;
  /** Overrides what headers and body say, for instance the provider's next midnight. Epoch ms. */
  readonly until?: (evidence: Evidence, now: number) => number | undefined;
  /** What `until` gives, in words, where it is not simply `coolMs` from now; for the reference. */
  readonly untilMeans?: string;
}

/** Where a provider's answers say how much of one limit is left. Names of headers, in lower case. */
export interface LimitHeaders {
  /** What is counted: `requests`, `tokens`, `weight`... */
  readonly counts: string;
  /** The length of the limit's window, where the provider documents one. */
  readonly windowMs?: number;
  readonly limit?: string;
  readonly remaining?: string;
  /** For a provider that tells what is used, not what is left. */
  readonly used?: string;
  /** When the limit is whole again, in any form `parseReset` reads. */
  readonly reset?: string;
  /** Set where nothing left means nothing unless the answer is a 429. */
  readonly zeroOnlyWith429?: true;
}

/** A limit on the address that calls, whatever the key. Its windows turn with the provider's clock. */
export interface AddressLimitSource {
  /** What is counted: `weight`, `requests`... */
  readonly counts: string;
  readonly windowMs: number;
  /** The header of every answer that tells how much is used, in lower case. */
  readonly used: string;
  /** What the body of a refusal says of the limit; undefined where it was refused for another reason. */
  readonly refusal: (body: unknown) => AddressRefusal | undefined;
}

export interface AddressRefusal {
  /** Undefined where it is not told. */
  readonly limit: number | undefined;
}

/** What is known of one provider's failures: data first. */
export interface FaultProfile {
  readonly name: string;
  /** Provider name patterns this profile is chosen for, such as `*gemini*`. */
  readonly providers: readonly string[];
  /** Patterns of providers that are not meant although `providers` fits them. */
  readonly exceptProviders?: readonly string[];
  /**
   * Hosts of its API: in full, as a suffix (`.openai.azure.com`), or with `*` for a part of one label
   * (`*-aiplatform.googleapis.com`).
   */
  readonly hosts?: readonly string[];
  /** Other names it may be declared by. */
  readonly aliases?: readonly string[];
  /** The first matching rule wins; the generic tail follows. */
  readonly rules: readonly FaultRule[];
  /** IANA zone whose midnight ends the provider's day, where daily quotas follow one. */
  readonly dayTimeZone?: string;
  /** Its rate-limit headers, where they are not the usual ones. */
  readonly limits?: readonly LimitHeaders[];
  /** What the headers speak of: the quota of one model, unless said otherwise. */
  readonly limitScope?: 'group' | 'group+model';
  /** Where answers tell of a limit on the address that calls. */
  readonly addressLimit?: AddressLimitSource;
  /** The limits a refusal tells in its body. */
  readonly limitsInBody?: (body: unknown) => readonly LimitReading[];
  /**
   * For a provider that says 200 and means an error: the error's body inside the parsed body of a
   * success, undefined where there is none. Asked about every success, so it has to be quick.
   */
  readonly errorInSuccess?: (body: unknown) => unknown;
}
