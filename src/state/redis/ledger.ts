import { ADD, SETTLE } from './lua.ts';
import type { RedisMember } from './member.ts';
import type { PoolNames } from './names.ts';
import { Numbering } from './numbering.ts';
import type { PoolLink } from './pool-link.ts';
import { RedisReceipt, type Bookkeeper } from './receipt.ts';
import { isRefusal } from './replies.ts';
import { Script } from './script.ts';
import { Together } from './together.ts';

const settleScript = new Script(SETTLE);
const addScript = new Script(ADD);

/** Members told of, or leases settled, in one script, so that none keeps the server for long. */
const MOST_AT_ONCE = 50;
/** What could not be given back while the store was away, and is then; the oldest is forgotten first. */
const MOST_DEBTS = 10_000;

/** What the store is to be told of one lease that it has counted. */
interface Settlement {
  readonly id: string;
  readonly members: readonly RedisMember[];
  /** When it was counted, by the store's clock. */
  readonly stamp: number;
  readonly requests: number;
  readonly tokens: number;
  readonly isOver: boolean;
  readonly probes: string;
}

/** What this process has reserved, and what of it the store is still to be told. */
export class Ledger implements Bookkeeper {
  /** The store's time less this process's. */
  offsetMs = 0;
  private readonly names: PoolNames;
  private readonly link: PoolLink;
  /** Attempts under way that hold a place or are probes, and those the store may have counted or not. */
  private readonly open = new Set<RedisReceipt>();
  private readonly debts = new Set<() => void>();
  /** How often the store was told of what is owed. */
  private told = 0;
  private readonly settlements = new Together<Settlement>(MOST_AT_ONCE, settlements => this.send(settlements));

  constructor(names: PoolNames, link: PoolLink) {
    this.names = names;
    this.link = link;
  }

  /** The store is to hear of the end of an attempt under way. */
  get isHolding(): boolean {
    for (const { state } of this.open) if (state === 'counted') return true;
    return false;
  }

  /** The store has counted it. */
  counted(receipt: Pick<RedisReceipt, 'id' | 'members' | 'probes' | 'at' | 'stamp' | 'tokens' | 'expiresAt'>): RedisReceipt {
    return this.enter(new RedisReceipt(this, 'counted', receipt));
  }

  /** The store is to be told when it is there. */
  owed(receipt: Pick<RedisReceipt, 'id' | 'members' | 'at' | 'tokens' | 'expiresAt'>): RedisReceipt {
    return this.enter(new RedisReceipt(this, 'owed', { ...receipt, probes: '', stamp: 0 }));
  }

  /** The store was asked, and has not been heard. */
  unsure(receipt: Pick<RedisReceipt, 'id' | 'members' | 'elsewhere' | 'at' | 'tokens' | 'expiresAt'>): RedisReceipt {
    const unsure = new RedisReceipt(this, 'unsure', { ...receipt, probes: '', stamp: 0 });
    this.open.add(unsure);
    return unsure;
  }

  /** The store has counted it after all, and said so late; `given` is what it has given. */
  heardOf(unsure: RedisReceipt, given: RedisReceipt): void {
    this.open.delete(given);
    if (unsure.state !== 'unsure') {
      for (const { journal } of given.members) journal.note(given.at, -1, -given.tokens, true);
      return;
    }
    unsure.state = 'counted';
    unsure.stamp = given.stamp;
    unsure.probes = given.probes;
    const [requests, tokens] = [unsure.requests - 1, unsure.tokens - given.tokens];
    if (requests !== 0 || tokens !== 0) this.correct(unsure, requests, tokens);
    if (unsure.isOver) this.release(unsure);
    else if (!unsure.holdsSomething) this.open.delete(unsure);
  }

  /** The store has not counted it. */
  notHeardOf(unsure: RedisReceipt): void {
    if (unsure.state !== 'unsure') return;
    unsure.state = 'owed';
    if (unsure.isOver || !unsure.hasPlaces) this.open.delete(unsure);
    for (const { journal } of unsure.members) journal.note(unsure.at, unsure.requests, unsure.tokens, false);
    if (this.link.isUp) this.tell(unsure.members, false);
  }

  /** Sends what is still to be sent. */
  flush(): void {
    this.settlements.flush();
  }

  /** Gives back what was taken ahead and not spent. */
  giveBack({ id, members, requests, tokens, stamp }: Pick<RedisReceipt, 'id' | 'members' | 'requests' | 'tokens' | 'stamp'>): void {
    this.settle({ id, members, stamp, requests: -requests, tokens: -tokens, isOver: false, probes: '' });
  }

  correct(receipt: RedisReceipt, requests: number, tokens: number): void {
    if (receipt.state === 'unsure') return;
    const isCounted = receipt.state === 'counted';
    for (const { journal } of receipt.members) journal.note(receipt.at, requests, tokens, isCounted);
    const { id, members, stamp } = receipt;
    if (isCounted) this.settle({ id, members, stamp, requests, tokens, isOver: false, probes: '' });
  }

  release(receipt: RedisReceipt): void {
    if (receipt.state === 'unsure') return;
    this.open.delete(receipt);
    if (receipt.state !== 'counted' || !receipt.holdsSomething) return;
    const { id, members, stamp, probes } = receipt;
    this.settle({ id, members, stamp, requests: 0, tokens: 0, isOver: true, probes });
  }

  /** The store is there again: it hears of what it does not know. Where it has forgotten everything, that is all. */
  reconcile(members: Iterable<RedisMember>, isForgotten: boolean): void {
    // What the store hears afterwards must not be in what it is told here.
    this.flush();
    const debts = [...this.debts];
    this.debts.clear();
    this.tell(members, isForgotten);
    if (!isForgotten) for (const pay of debts) pay();
  }

  /** Tells of these members what is owed. */
  tell(members: Iterable<RedisMember>, isForgotten: boolean): void {
    const now = this.link.now();
    const places = this.placesOwed(now, isForgotten);
    let keys: string[] = [];
    let args: (string | number)[] = [];
    const send = (): void => {
      if (keys.length === 0) return;
      const [theKeys, theArgs] = [keys, args];
      const id = this.nextId();
      keys = [];
      args = [];
      const pay = (): void => {
        this.link
          .run(addScript, [this.names.version, this.names.gates, ...theKeys], [id, 0, ...theArgs])
          // It is known by its id: what was done is not done twice.
          .catch((error: unknown) => this.unpaid(error, pay, true, now));
      };
      pay();
    };
    for (const member of members) {
      const told = member.journal.settle(now, isForgotten) + (places.get(member) ?? '');
      if (told === '' || member.limitsText === '') continue;
      keys.push(member.entry);
      args.push(member.limitsText, told);
      if (keys.length === MOST_AT_ONCE) send();
    }
    send();
  }

  /** Of ten characters, and none that a lease has. */
  private nextId(): string {
    return `${this.link.processId}.${(this.told++ % 36 ** 4).toString(36).padStart(4, '0')}`;
  }

  private enter(receipt: RedisReceipt): RedisReceipt {
    for (const { journal } of receipt.members) journal.note(receipt.at, 1, receipt.tokens, receipt.state === 'counted');
    if (receipt.holdsSomething) this.open.add(receipt);
    return receipt;
  }

  /** The places that attempts under way hold, and the attempts of which nobody knows, by member. */
  private placesOwed(now: number, isForgotten: boolean): Map<RedisMember, string> {
    const owed = new Map<RedisMember, string>();
    const add = (member: RedisMember, told: string): void => void owed.set(member, (owed.get(member) ?? '') + told);
    for (const receipt of this.open) {
      const { id, members, at, expiresAt, isOver, requests, state, tokens } = receipt;
      const leftMs = Math.round(expiresAt - now);
      if (state === 'counted' && !isForgotten) continue;
      if (state === 'unsure' && !isForgotten) this.freeUnheard(receipt);
      for (const member of members) {
        if (member.hasPlaces && leftMs > 0 && !isOver) add(member, `p ${id} ${leftMs} 0,`);
        if (state !== 'unsure' || requests <= 0) continue;
        // A store that has forgotten everything is told the whole journal.
        if (!isForgotten) add(member, `u ${id} ${Math.max(0, now - at)} ${tokens},`);
        member.journal.note(at, 1, tokens, true);
      }
      receipt.state = 'counted';
      receipt.stamp = at + this.offsetMs;
      if (isOver || leftMs <= 0 || !receipt.hasPlaces) this.open.delete(receipt);
    }
    return owed;
  }

  /** Places that the store may have given to it, and that nobody uses: it knows by the id. */
  private freeUnheard({ id, elsewhere, isOver, members }: RedisReceipt): void {
    const unused = (isOver ? [...members, ...elsewhere] : elsewhere).filter(({ hasPlaces }) => hasPlaces);
    if (unused.length === 0) return;
    this.settle({ id, members: unused, stamp: 0, requests: 0, tokens: 0, isOver: true, probes: '' });
  }

  private settle(settlement: Settlement): void {
    if (this.link.isUp) this.settlements.add(settlement);
    else this.owe(() => this.settlements.add(settlement));
  }

  private send(settlements: readonly Settlement[]): void {
    if (!this.link.isUp) {
      for (const settlement of settlements) this.settle(settlement);
      return;
    }
    const { channel, gates, version } = this.names;
    const numbering = new Numbering();
    const args: (string | number)[] = [channel];
    for (const { id, members, stamp, requests, tokens, isOver, probes } of settlements) {
      let which = '';
      for (const { name } of members) which += numbering.codeOf(name);
      args.push(id, stamp, requests, tokens, isOver ? 1 : 0, probes, which);
    }
    const keys = [version, gates];
    for (const name of numbering.names) keys.push(this.names.entry(name));
    const now = this.link.now();
    this.link.run(settleScript, keys, args).catch((error: unknown) => {
      for (const settlement of settlements) {
        const { requests, tokens } = settlement;
        // What may have been done must not be done twice, but for a place that is given back.
        if (isRefusal(error) || (requests === 0 && tokens === 0)) this.owe(() => this.settlements.add(settlement));
      }
      this.link.failed(error, now);
    });
  }

  private unpaid(error: unknown, pay: () => void, isToBePaid: boolean, askedAt: number): void {
    if (isToBePaid) this.owe(pay);
    this.link.failed(error, askedAt);
  }

  private owe(pay: () => void): void {
    for (const oldest of this.debts) {
      if (this.debts.size < MOST_DEBTS) break;
      this.debts.delete(oldest);
    }
    this.debts.add(pay);
  }
}
