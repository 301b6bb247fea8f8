import type { Clock } from '../clock.ts';

/** What several processes know together: what is used of each quota, which keys rest, which providers are left alone. */
export interface StateStore {
  /** A guard begins to use it. Nothing is waited for: what cannot be reached yet is so for the calls that come. */
  open(host: StoreHost): StoreConnection;
}

/** What a store reads of the guard. */
export interface StoreHost {
  readonly clock: Clock;
  /** Hears that the store has gone away, and that it is back. */
  readonly warn: (message: string) => void;
}

/** One guard's use of a store. */
export interface StoreConnection {
  pool(pattern: string, listener: PoolListener): PoolStore;
  breakers(listener: BreakerListener): BreakerStore;
  /** Resolves when the store can be asked, or is known to be away. */
  ready(): Promise<void>;
  /** Gives back what is held and not spent, and ends what the store has opened. */
  close(): void;
}

/** Limits over time and at once, of all models together or of some; absent ones do not apply. */
export interface Limits {
  readonly rpm?: number | undefined;
  readonly tpm?: number | undefined;
  readonly rpd?: number | undefined;
  readonly tpd?: number | undefined;
  readonly concurrency?: number | undefined;
  /** Where they come back evenly, as into a bucket, and not a minute after they were used. */
  readonly rpmRefills?: Refilling | undefined;
  readonly tpmRefills?: Refilling | undefined;
}

export interface Refilling {
  /** When all of it is back, as far as is known where it is first counted; epoch ms. */
  readonly wholeAt: number;
}

/** A key or a group, or the limits of either for some models, as the processes know it: by a name that gives no secret away. */
export interface Member {
  readonly name: string;
  /** Undefined where nothing is counted. */
  readonly limits: Limits | undefined;
}

/** A key that would do for a call. */
export interface Candidate {
  readonly key: Member;
  readonly group: Member;
  /** What the key, and its group, are limited to for the call's model alone; undefined where they are not. */
  readonly keyModel?: Member | undefined;
  readonly groupModel?: Member | undefined;
  /** A gate of it is shut as far as this process knows, and would be probed. */
  readonly probes: boolean;
}

/** What one attempt asks for. */
export interface LeaseRequest {
  /** In the order they are wanted; one at least. */
  readonly candidates: readonly Candidate[];
  readonly model: string | undefined;
  /** Estimated tokens; 0 where unknown. */
  readonly tokens: number;
  readonly leaseMs: number;
  /** When the provider's day ends after an epoch ms; undefined for a rolling day. */
  readonly dayReset: ((now: number) => number) | undefined;
}

/** What of a candidate is counted. */
export const COUNTED_OF = ['key', 'group', 'keyModel', 'groupModel'] as const satisfies readonly (keyof Candidate)[];
export type CountedOf = (typeof COUNTED_OF)[number];

/** Why a candidate has no room: its requests, its tokens, or its attempts at once. */
export type Shortfall = 'requests' | 'tokens' | 'busy';

/** A candidate that was asked for and has no room. */
export interface Refusal {
  readonly candidate: number;
  readonly of: CountedOf;
  readonly why: Shortfall;
  /** When it has room, provided nothing is given back before; epoch ms. */
  readonly at: number;
}

/** What was reserved for one attempt. Both methods return at once. */
export interface Receipt {
  /** Adds to what is counted, or takes from it. */
  correct(requests: number, tokens: number): void;
  /** The attempt is over: its place is free. */
  release(): void;
}

export interface LeaseAnswer {
  /** Position of the candidate that was reserved; undefined where none was. */
  readonly granted: number | undefined;
  /** Undefined where nothing is counted. */
  readonly receipt: Receipt | undefined;
  readonly refusals: readonly Refusal[];
  /** Set where the store cannot be asked, and nobody may go on without it. */
  readonly unavailable?: { readonly cause: unknown } | undefined;
  /** Set where the store was asked, and not heard: among how many processes the limits are to be shared. */
  readonly unheard?: number | undefined;
}

/** A gate as the processes share it; times in epoch ms. */
export interface SharedGate {
  readonly state: 'ready' | 'cooling' | 'suspect' | 'disabled';
  readonly until: number;
  readonly since: number;
  readonly strikes: number;
  readonly lastInLine: boolean;
  readonly probeUntil: number;
  readonly reason: string;
}

/** Which gate: that of a member for all models, or for one. */
export interface GateName {
  readonly member: string;
  readonly model: string | undefined;
}

/** A limit as an answer has told it; what is not known is absent. Times in epoch ms. */
export interface SharedLimit {
  readonly counts: string;
  readonly limit?: number | undefined;
  readonly windowMs?: number | undefined;
  readonly remaining?: number | undefined;
  readonly left?: number | undefined;
  /** When that was so. */
  readonly leftAt?: number | undefined;
  /** When a refusal last told the limit, where answers do not say what is left of it. */
  readonly toldAt?: number | undefined;
  /** After how many ms one more is there, where it comes back bit by bit. */
  readonly refillMs?: number | undefined;
  /** How long its window is, where that slides. */
  readonly slidingMs?: number | undefined;
  readonly resetAt?: number | undefined;
  readonly retryAt?: number | undefined;
  readonly spanMs?: number | undefined;
  /** The name of the key whose answer it was. */
  readonly heardFrom?: string | undefined;
}

/**
 * What a person has said of a key, or an answer of a key or a group: whether it is taken out of use; what the provider
 * calls its group, undefined where it is in none; which limits it has, none where they are to be forgotten.
 */
export type Note =
  | { readonly about: 'held'; readonly member: string; readonly held: boolean }
  | { readonly about: 'group'; readonly member: string; readonly name: string | undefined }
  | {
      readonly about: 'limits';
      readonly member: string;
      /** Undefined where they hold for all models. */
      readonly model: string | undefined;
      readonly limits: readonly SharedLimit[];
    };

/** What the other processes tell of a pool. */
export interface PoolListener {
  /** Another process has closed or opened it, or this one has learned of it at its start. */
  gateChanged(name: GateName, gate: SharedGate): void;
  /** Something was given back. */
  freed(members: readonly string[]): void;
  /** So many processes have to make do with the limits, each for itself: 1 while the store counts for all. */
  dividedBy(processes: number): void;
  /** The store is back, and may have forgotten everything: what is shut here is to be told again. */
  closedGates(): Iterable<{ readonly name: GateName; readonly gate: SharedGate }>;
  /** Another process has said so, or this one has learned of it at its start. */
  noted(note: Note): void;
  /** All that is known here, where the store has forgotten everything. */
  notes(): Iterable<Note>;
}

export type MemberKind = 'key' | 'own group' | 'group';

/** One pool's part of a store. */
export interface PoolStore {
  /**
   * The member for a key or a group, or for what it is limited to for the models of one entry. `identity` may be a
   * secret: it is kept nowhere.
   */
  member(kind: MemberKind, identity: string, limits: Limits | undefined, entry?: string): Member;
  /** What such a member is called, whether or not there is one. */
  nameOf(kind: MemberKind, identity: string): string;
  /** Takes the first candidate that has room, with all that it and its group are limited to. Never rejects. */
  lease(request: LeaseRequest): LeaseAnswer | Promise<LeaseAnswer>;
  /** Counts an attempt that is made whether or not there is room. */
  record(candidate: Candidate, request: Omit<LeaseRequest, 'candidates'>): Receipt | undefined;
  /** This process has closed the gate, or opened it. `isOld`: before its last start, so that others may know better. */
  changeGate(name: GateName, gate: SharedGate, isOld: boolean): void;
  /** This process has been told. `isOld` as for gates. */
  note(note: Note, isOld: boolean): void;
  /** There is a key that was not there when the store was asked for gates and notes. */
  joined(): void;
}

/** What the other processes tell of providers. */
export interface BreakerListener {
  /** Open until then; 0: closed again. */
  breakerChanged(provider: string, openUntil: number): void;
}

export interface BreakerStore {
  /** Until when the other processes leave the provider alone; 0 where they do not. */
  openUntil(provider: string): number;
  tell(provider: string, openUntil: number): void;
}
