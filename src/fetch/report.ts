import type { Usage } from '../keys/lease.ts';

/** Hears what an answer tells beside its content. */
export interface Report {
  readonly usage: (usage: Usage) => void;
  /** The request has made something that belongs to its key. */
  readonly made: (resource: string) => void;
}
