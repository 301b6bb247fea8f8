import type { Clock } from '../clock.ts';
import type {
  BreakerListener,
  BreakerStore,
  Candidate,
  GateName,
  LeaseAnswer,
  LeaseRequest,
  Member,
  MemberKind,
  PoolListener,
  PoolStore,
  Receipt,
  Refusal,
  SharedGate,
  StateStore,
  StoreConnection,
} from '../state/store.ts';
import { COUNTED_OF } from '../state/store.ts';
import { SharedAccount } from './shared-account.ts';

/** To the store and back. */
const ROUND_TRIP_MS = 1;

/** A store that simulated processes share: as Redis would, it counts for all, and tells each what the others know. */
export class SharedStore implements StateStore {
  private readonly clock: Clock;
  private readonly pools = new Map<string, CentralPool>();
  private readonly openUntil = new Map<string, number>();
  private readonly listeners = new Set<BreakerListener>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  open(): StoreConnection {
    return {
      pool: (pattern, listener) => this.poolOf(pattern).join(listener),
      breakers: listener => this.breakers(listener),
      ready: () => Promise.resolve(),
      close: () => undefined,
    };
  }

  private poolOf(pattern: string): CentralPool {
    let pool = this.pools.get(pattern);
    if (!pool) this.pools.set(pattern, (pool = new CentralPool(this.clock)));
    return pool;
  }

  private breakers(listener: BreakerListener): BreakerStore {
    this.listeners.add(listener);
    return {
      openUntil: provider => this.openUntil.get(provider) ?? 0,
      tell: (provider, openUntil) => {
        this.openUntil.set(provider, openUntil);
        this.clock.setTimeout(() => {
          for (const other of this.listeners) if (other !== listener) other.breakerChanged(provider, openUntil);
        }, ROUND_TRIP_MS);
      },
    };
  }
}

function nameOf(kind: MemberKind, identity: string, entry?: string): string {
  return entry === undefined ? `${kind} ${identity}` : `${kind} ${identity} ${entry}`;
}

class CentralPool {
  private readonly clock: Clock;
  private readonly accounts = new Map<string, SharedAccount>();
  private readonly gates = new Map<string, SharedGate>();
  private readonly listeners = new Set<PoolListener>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  join(listener: PoolListener): PoolStore {
    this.listeners.add(listener);
    return {
      member: (kind, identity, limits, entry) => ({ name: nameOf(kind, identity, entry), limits }),
      nameOf,
      lease: request =>
        new Promise(resolve => {
          this.clock.setTimeout(() => resolve(this.lease(request)), ROUND_TRIP_MS);
        }),
      record: (candidate, request) => this.reserve(candidate, request),
      changeGate: (name, gate) => this.changeGate(name, gate, listener),
      note: note => this.tell(other => other.noted(note), listener),
      joined: () => undefined,
    };
  }

  private lease(request: LeaseRequest): LeaseAnswer {
    const refusals: Refusal[] = [];
    for (const [position, candidate] of request.candidates.entries()) {
      const shut = this.shutGates(candidate, request.model);
      const now = this.clock.now();
      // One that is due gets one attempt, over all processes.
      if (shut.some(([, { probeUntil, until }]) => until > now || probeUntil > now)) continue;
      const refusal = this.refusalOf(candidate, position, request);
      if (refusal) {
        refusals.push(refusal);
        continue;
      }
      for (const [field, gate] of shut) this.gates.set(field, { ...gate, probeUntil: now + request.leaseMs });
      const receipt = this.reserve(candidate, request);
      const release = (): void => {
        for (const [field] of shut) this.gates.set(field, { ...this.gates.get(field)!, probeUntil: 0 });
        receipt.release();
      };
      return { granted: position, receipt: { correct: (requests, more) => receipt.correct(requests, more), release }, refusals };
    }
    return { granted: undefined, receipt: undefined, refusals };
  }

  private refusalOf(asked: Candidate, candidate: number, request: LeaseRequest): Refusal | undefined {
    const now = this.clock.now();
    for (const of of COUNTED_OF) {
      const member = asked[of];
      if (!member) continue;
      const shortage = this.accountOf(member, request).shortage(request.tokens, now);
      if (shortage) return { candidate, of, ...shortage };
    }
    return undefined;
  }

  private reserve(candidate: Candidate, request: Omit<LeaseRequest, 'candidates'>): Receipt {
    const { model, tokens } = request;
    const reservedAt = this.clock.now();
    const members = COUNTED_OF.flatMap(of => candidate[of] ?? []).filter(({ limits }) => limits !== undefined);
    const accounts = members.map(member => this.accountOf(member, request));
    for (const account of accounts) account.reserve(tokens, reservedAt, model);
    const free = (): void => {
      for (const listener of this.listeners) listener.freed(members.map(({ name }) => name));
    };
    return {
      correct: (requests, more) => {
        for (const account of accounts) account.correct(requests, more, reservedAt, this.clock.now());
        if (requests < 0 || more < 0) free();
      },
      release: () => {
        for (const account of accounts) account.underWay--;
        if (members.some(({ limits }) => limits?.concurrency !== undefined)) free();
      },
    };
  }

  /** A longer rest is not shortened by what another process knows. */
  private changeGate(name: GateName, gate: SharedGate, from: PoolListener): void {
    const field = `${name.member} ${name.model ?? ''}`;
    const known = this.gates.get(field);
    if (known && known.state !== 'ready' && gate.state !== 'ready' && known.until > gate.until) return;
    this.gates.set(field, gate);
    this.tell(other => other.gateChanged(name, gate), from);
  }

  private tell(what: (other: PoolListener) => void, from: PoolListener): void {
    this.clock.setTimeout(() => {
      for (const listener of this.listeners) if (listener !== from) what(listener);
    }, ROUND_TRIP_MS);
  }

  private shutGates({ group, key }: Candidate, model: string | undefined): [field: string, gate: SharedGate][] {
    const fields = [key, group].flatMap(({ name }) => [`${name} `, ...(model === undefined ? [] : [`${name} ${model}`])]);
    return fields.flatMap(field => {
      const gate = this.gates.get(field);
      return gate && gate.state !== 'ready' ? [[field, gate]] : [];
    });
  }

  private accountOf({ limits, name }: Member, { dayReset }: Pick<LeaseRequest, 'dayReset'>): SharedAccount {
    let account = this.accounts.get(name);
    if (!account) this.accounts.set(name, (account = new SharedAccount()));
    account.limitTo(limits, dayReset, this.clock.now());
    return account;
  }
}
