import type { ExecutionGuardConfig, KeyProviderConfig } from '../index.ts';

/** Who shares a quota. `address`: all that comes from here, whatever the key. */
export type QuotaScope = 'key' | 'project' | 'organization' | 'address';

/** A limit as the provider has it. */
export interface SimulatedQuota {
  readonly of: QuotaScope;
  readonly counts: 'requests' | 'tokens';
  readonly limit: number;
  readonly per: 'minute' | 'day';
  /**
   * `sliding`: no minute, or day, has more than the limit. `fixed`: a minute of the clock has, or a day from midnight to
   * midnight. `refill`: a bucket that fills evenly.
   */
  readonly form: 'sliding' | 'fixed' | 'refill';
  /** Each model has as much, by itself. */
  readonly perModel?: boolean;
  /** Whose midnight ends a fixed day, as in `America/Los_Angeles`; default UTC. */
  readonly timeZone?: string;
}

/** A key as the provider knows it. */
export interface SimulatedKey {
  readonly id: string;
  /** Whom it belongs to; a key that names none has a project, or organization, of its own. */
  readonly project?: string;
  readonly organization?: string;
  /** How many times the limit of the quotas of a key it has; default 1. */
  readonly scale?: number;
}

/** Something that goes wrong. */
export interface Trouble {
  /**
   * `revoked`, `suspended` and `billing` are troubles of keys. `overloaded` answers 503 or 529, `outage` not at all,
   * `slow` later.
   */
  readonly kind: 'revoked' | 'suspended' | 'billing' | 'overloaded' | 'outage' | 'slow';
  /** Ids of the keys it hits; all where absent. */
  readonly keys?: readonly string[];
  /** Since the beginning. */
  readonly fromMs: number;
  /** Since the beginning; lasts to the end where absent. */
  readonly untilMs?: number;
  /** It is over when so many attempts were hit. */
  readonly attempts?: number;
  /** How many times longer a slow answer takes. */
  readonly factor?: number;
}

/** A provider, modelled. */
export interface SimulatedProvider {
  /** How its failures and headers read; `plain` says no more than a status. */
  readonly dialect: 'gemini' | 'openai' | 'anthropic' | 'binance' | 'plain';
  readonly keys: readonly SimulatedKey[];
  readonly quotas?: readonly SimulatedQuota[];
  readonly troubles?: readonly Trouble[];
  /** How long an answer takes, in ms: half of them at most the median, spread as a log-normal. */
  readonly latency?: { readonly medianMs: number; readonly sigma: number };
  /** Between how many ms and how many a request is on its way until it is counted. */
  readonly uplinkMs?: readonly [least: number, most: number];
  /** Within how many ms the provider remembers a session's prompt; a call it remembers costs a tenth of its tokens. */
  readonly promptCacheMs?: number;
  /** What the operator knows, and has put in the configuration. */
  readonly told?: { readonly limits?: boolean; readonly groups?: boolean };
}

/** When calls come. Rates are per minute, and the times between calls left to chance. */
export type TrafficShape =
  | { readonly shape: 'steady'; readonly perMinute: number }
  | { readonly shape: 'ramp'; readonly fromPerMinute: number; readonly toPerMinute: number }
  | { readonly shape: 'burst'; readonly calls: number; readonly atMs: number; readonly overMs: number }
  | { readonly shape: 'diurnal'; readonly perMinute: number; readonly peakHour: number }
  | { readonly shape: 'trace'; readonly calls: readonly TraceCall[] };

/** A call of a recorded trace: one line of JSON. */
export interface TraceCall {
  /** Epoch ms or ISO; the first call stands for the beginning. */
  readonly time: number | string;
  readonly provider: string;
  readonly model?: string;
  readonly tokens?: number;
  readonly session?: string;
}

/** Calls of one kind. */
export type Traffic = TrafficShape & {
  readonly provider: string;
  readonly model?: string;
  /** Of each call. */
  readonly tokens?: number;
  /** How many conversations the calls belong to. */
  readonly sessions?: number;
  /** How long a caller waits for the answer, in ms. */
  readonly patienceMs: number;
  /** The share of callers who leave earlier without a word, each at a time left to chance. */
  readonly leaving?: number;
};

/** What is simulated, whoever chooses the keys. */
export interface Scenario {
  readonly name: string;
  /** In a sentence. */
  readonly about: string;
  /** ISO, with its offset. */
  readonly startAt: string;
  readonly durationMs: number;
  readonly providers: Readonly<Record<string, SimulatedProvider>>;
  readonly traffic: readonly Traffic[];
  /** Processes that share the keys, each with a guard of its own and calls in turn; default 1. */
  readonly processes?: number;
  /** How the guard is configured beside its keys. */
  readonly guard?: ScenarioGuard;
}

/** Options of the guard, and of each of its pools. */
export interface ScenarioGuard {
  readonly options?: Omit<ExecutionGuardConfig, 'keyManagement' | 'store'>;
  readonly pool?: Omit<KeyProviderConfig, 'keys' | 'groups'>;
}
