import type { Receipt } from '../store.ts';
import type { RedisMember } from './member.ts';

/**
 * `counted` where the store has it, `owed` where it is to be told, `unsure` where it was asked and nothing was heard.
 */
export type ReceiptState = 'counted' | 'owed' | 'unsure';

/** What a receipt needs of its pool. */
export interface Bookkeeper {
  correct(receipt: RedisReceipt, requests: number, tokens: number): void;
  release(receipt: RedisReceipt): void;
}

/** What was reserved for one attempt, of a key and of its group. */
export class RedisReceipt implements Receipt {
  state: ReceiptState;
  readonly id: string;
  /** Those with limits. */
  readonly members: readonly RedisMember[];
  /** Fields of the gates that the attempt probes, as the store knows. */
  probes: string;
  /** By the clock of this process. */
  readonly at: number;
  /** When it was counted, by the store's clock; 0 while it is not. */
  stamp: number;
  readonly expiresAt: number;
  /** Where it was asked for as well, and may have been given to what was not used. */
  readonly elsewhere: readonly RedisMember[];
  requests = 1;
  tokens: number;
  isOver = false;
  private readonly bookkeeper: Bookkeeper;

  constructor(
    bookkeeper: Bookkeeper,
    state: ReceiptState,
    { id, members, elsewhere = [], probes, at, stamp, tokens, expiresAt }: Pick<
      RedisReceipt,
      'id' | 'members' | 'probes' | 'at' | 'stamp' | 'tokens' | 'expiresAt'
    > &
      Partial<Pick<RedisReceipt, 'elsewhere'>>,
  ) {
    this.bookkeeper = bookkeeper;
    this.state = state;
    this.id = id;
    this.members = members;
    this.elsewhere = elsewhere;
    this.probes = probes;
    this.at = at;
    this.stamp = stamp;
    this.tokens = tokens;
    this.expiresAt = expiresAt;
  }

  get hasPlaces(): boolean {
    return this.members.some(member => member.hasPlaces);
  }

  /** Its end is of interest to the others. */
  get holdsSomething(): boolean {
    return this.hasPlaces || this.probes !== '';
  }

  correct(requests: number, tokens: number): void {
    this.requests += requests;
    this.tokens += tokens;
    this.bookkeeper.correct(this, requests, tokens);
  }

  release(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.bookkeeper.release(this);
  }
}
