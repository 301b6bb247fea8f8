import type { Clock, Random } from '../clock.ts';
import type { ResolvedConfig } from './config/types.ts';
import type { Deduplicator } from './deduplication/deduplicator.ts';
import type { Events } from './events.ts';
import type { Interruptions } from './interruption.ts';
import type { SessionLimits } from './session-limits.ts';

/** What the stages share. They read `config` at each use, so that an update reaches calls under way. */
export interface Runtime {
  config: ResolvedConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly env: NodeJS.ProcessEnv;
  readonly events: Events;
  readonly interruptions: Interruptions;
  readonly deduplicator: Deduplicator;
  readonly limits: SessionLimits;
  readonly counters: Counters;
}

/** Totals over the life of the guard. */
export interface Counters {
  totalRetries: number;
  successAfterRetry: number;
  finalFailures: number;
}
