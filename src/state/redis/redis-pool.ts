import type {
  Candidate,
  GateName,
  LeaseAnswer,
  LeaseRequest,
  Limits,
  Member,
  MemberKind,
  Note,
  PoolListener,
  PoolStore,
  Receipt,
  Refusal,
  SharedGate,
} from '../store.ts';
import { COUNTED_OF } from '../store.ts';
import { Blocks } from './blocks.ts';
import { GateExchange } from './gate-exchange.ts';
import { NoteExchange } from './note-exchange.ts';
import { modelSuffix } from './gate-record.ts';
import { leaseCall, leaseId, type Ask } from './lease-call.ts';
import { Ledger } from './ledger.ts';
import { HELLO, LEASE } from './lua.ts';
import { RedisMember } from './member.ts';
import type { PoolNames } from './names.ts';
import type { PoolLink } from './pool-link.ts';
import { RedisReceipt } from './receipt.ts';
import { isRefusal, list, text } from './replies.ts';
import { Script } from './script.ts';
import { Together } from './together.ts';

const leaseScript = new Script(LEASE);
const helloScript = new Script(HELLO);

/** A process counts among those that share the limits for so long after it was last heard of. */
const ALIVE_MS = 30_000;
const HELLO_EVERY_MS = 10_000;
/** How long what is taken ahead may be spent; the store counts it as if it were spent at the end. */
const BLOCK_MS = 1000;
/** Leases asked for in one script, so that none keeps the server for long; it has a bit for each in what it remembers. */
const MOST_AT_ONCE = 50;

/** One pool's part of the store. */
export class RedisPool implements PoolStore {
  readonly names: PoolNames;
  private readonly link: PoolLink;
  private readonly listener: PoolListener;
  private readonly ledger: Ledger;
  private readonly gates: GateExchange;
  private readonly notes: NoteExchange;
  private readonly blocks: Blocks;
  private readonly asks = new Together<Ask>(MOST_AT_ONCE, asks => this.send(asks));
  /** Blocks that were asked for, by key and group. */
  private readonly asked = new Map<string, Promise<LeaseAnswer>>();
  private readonly members = new Map<string, RedisMember>();
  /** Of the gates, as far as they are known here. */
  private version = '';
  private processes = 1;
  /** When they were so many, by the store's clock. */
  private processesAt = 0;
  private helloAt = -Infinity;
  private scripts = 0;
  private isRefreshing = false;

  constructor(names: PoolNames, link: PoolLink, listener: PoolListener) {
    this.names = names;
    this.link = link;
    this.listener = listener;
    this.ledger = new Ledger(names, link);
    this.gates = new GateExchange(names, link, listener);
    this.notes = new NoteExchange(names, link, listener, () => this.ledger.offsetMs);
    this.blocks = new Blocks(link, block => this.ledger.giveBack(block));
  }

  member(kind: MemberKind, identity: string, limits: Limits | undefined, entry?: string): Member {
    const name = this.names.member(kind, identity, entry);
    const known = this.members.get(name);
    const member = new RedisMember(name, this.names.entry(name), limits, known?.journal, this.ledger.offsetMs);
    if (known?.limitsText === member.limitsText) return known;
    this.members.set(name, member);
    return member;
  }

  nameOf(kind: MemberKind, identity: string): string {
    return this.names.member(kind, identity);
  }

  lease(request: LeaseRequest): LeaseAnswer | Promise<LeaseAnswer> {
    if (this.link.isUp) return this.link.blockSize > 1 ? this.leaseOfBlock(request) : this.ask(request, 1);
    if (this.link.isOpening) return this.link.opened().then(() => this.lease(request));
    return this.withoutStore(request);
  }

  record(candidate: Candidate, request: Omit<LeaseRequest, 'candidates'>): Receipt | undefined {
    const members = this.limitedOf(candidate);
    if (members.length === 0) return undefined;
    const receipt = this.ledger.owed({ ...this.drawn(request), id: leaseId(this.nextScriptId(), 0), members });
    if (this.link.isUp) this.ledger.tell(members, false);
    return receipt;
  }

  changeGate(name: GateName, gate: SharedGate, isOld: boolean): void {
    this.gates.change(name, gate, isOld);
  }

  note(note: Note, isOld: boolean): void {
    this.notes.note(note, isOld);
  }

  joined(): void {
    // What is not known to be up to date is asked for with the next lease.
    if (this.version !== '') this.version = `${epochOf(this.version)}.`;
  }

  /** Attempts under way have something to give back when they end. */
  get isHolding(): boolean {
    return this.ledger.isHolding;
  }

  close(): void {
    this.blocks.clear();
    this.ledger.flush();
  }

  // The connection's part

  /** Asks for what was missed. Nothing is changed by the question. */
  hello(): Promise<unknown> {
    const { channel, processes, gates, version } = this.names;
    this.helloAt = this.link.now();
    const args = [this.link.processId, ALIVE_MS, this.version, channel];
    return this.link.run(helloScript, [version, gates, processes], args);
  }

  /** The answer: what each has missed of the other is told. */
  welcome(reply: unknown): void {
    const isForgotten = this.read(reply);
    this.listener.dividedBy(1);
    if (isForgotten) {
      this.recall();
      return;
    }
    this.ledger.reconcile(this.members.values(), false);
    this.gates.tell();
    this.notes.tell();
  }

  /** The store is away: each process makes do with its share. */
  away(): void {
    this.listener.dividedBy(this.processes);
  }

  /** A message of another process, or of this one. */
  hear({ freed, processes, gate, note, record, now, before, version, by }: Readonly<Record<string, unknown>>): void {
    if (typeof processes === 'number') this.count(processes, Number(now));
    if (Array.isArray(freed)) this.listener.freed(freed.map(text));
    const [field, exchange] = typeof gate === 'string' ? [gate, this.gates] : [note, this.notes];
    if (typeof field !== 'string' || typeof record !== 'string') return;
    if (by === this.link.processId) exchange.acknowledge(field, record);
    else exchange.adopt(field, record, Number(now));
    if (before === this.version) this.version = text(version);
  }

  /** Messages and answers come on two connections, in any order. */
  private count(processes: number, at: number): void {
    if (at < this.processesAt && this.processesAt - at < ALIVE_MS) return;
    // Of two of the same millisecond, the one that counts more is the later one, as a rule: processes come one by one.
    this.processes = Math.max(1, processes, at === this.processesAt ? this.processes : 0);
    this.processesAt = at;
  }

  /** True where the store has lost what it knew. */
  private read(hello: unknown): boolean {
    const [now, version, processes, found] = list(hello);
    const gates = list(found);
    this.ledger.offsetMs = Number(now) - this.link.now();
    this.count(Number(processes), Number(now));
    const isForgotten = this.version !== '' && epochOf(this.version) !== epochOf(text(version));
    this.version = text(version);
    const records: [field: string, record: string][] = [];
    for (let i = 0; i + 1 < gates.length; i += 2) records.push([text(gates[i]), text(gates[i + 1])]);
    // Which keys share a group is to be known before anything is said of it.
    for (const [field, record] of records.sort(([one], [other]) => (one < other ? -1 : 1))) {
      if (NoteExchange.isField(field)) this.notes.adopt(field, record, Number(now));
    }
    for (const [field, record] of records) if (!NoteExchange.isField(field)) this.gates.adopt(field, record, Number(now));
    return isForgotten;
  }

  /** Asks for what was missed; one question at a time. */
  private async refresh(): Promise<void> {
    if (this.isRefreshing) return;
    this.isRefreshing = true;
    const askedAt = this.link.now();
    try {
      const reply = await this.hello();
      if (this.read(reply)) this.recall();
    } catch (error) {
      this.link.failed(error, askedAt);
    } finally {
      this.isRefreshing = false;
    }
  }

  /** The store was emptied: it is told all that this process knows. */
  private recall(): void {
    this.ledger.reconcile(this.members.values(), true);
    this.gates.forgotten();
    this.gates.tell();
    this.notes.forgotten();
    this.notes.tell();
  }

  /** Spends what was taken ahead, or takes ahead. */
  private leaseOfBlock(request: LeaseRequest): LeaseAnswer | Promise<LeaseAnswer> {
    const [first] = request.candidates;
    const members = first ? this.limitedOf(first) : [];
    if (!first || first.probes || members.length === 0 || members.some(({ hasPlaces }) => hasPlaces)) {
      return this.ask(request, 1);
    }
    const name = blockName(first);
    const drawn = this.drawn(request);
    const block = this.blocks.spend(name, drawn.tokens);
    if (block) {
      const receipt = this.ledger.counted({ ...drawn, id: block.id, members, probes: '', stamp: block.stamp });
      return { granted: 0, receipt, refusals: [] };
    }
    const asked = this.asked.get(name);
    // What was refused to another call a moment ago is not asked for again.
    if (asked) return asked.then(answer => (answer.refusals.some(({ candidate }) => candidate === 0) ? refusedAs(answer) : this.lease(request)));
    const answer = this.ask(request, this.link.blockSize).finally(() => this.asked.delete(name));
    this.asked.set(name, answer);
    return answer;
  }

  private ask(request: LeaseRequest, calls: number): Promise<LeaseAnswer> {
    return new Promise(resolve => this.asks.add({ request, calls, resolve }));
  }

  /** In one script. What holds for all of them changes with the configuration only. */
  private send(asks: readonly Ask[]): void {
    const { leaseMs, dayReset } = asks[0]!.request;
    const isAlike = ({ request }: Ask): boolean => request.leaseMs === leaseMs && request.dayReset === dayReset;
    if (!asks.every(isAlike)) {
      const others = asks.filter(ask => !isAlike(ask));
      this.send(asks.filter(isAlike));
      this.send(others);
      return;
    }
    // Who asks after something was given back finds it.
    this.ledger.flush();
    const scriptId = this.nextScriptId();
    const askedAt = this.link.now();
    if (askedAt - this.helloAt > HELLO_EVERY_MS) void this.refresh();
    const { keys, args } = leaseCall(this.names, this.members, asks, {
      version: this.version,
      scriptId,
      leaseMs,
      dayReset: () => (dayReset ? Math.round(dayReset(askedAt + this.ledger.offsetMs)) : 0),
      laterMs: BLOCK_MS,
    });
    const reply = this.link.run(leaseScript, keys, args);
    this.link.inTime(reply).then(
      answer => {
        const answers = this.answers(answer, asks, scriptId, askedAt);
        for (const [i, { resolve }] of asks.entries()) resolve(answers[i]!);
      },
      (error: unknown) => this.unanswered(error, reply, asks, scriptId, askedAt),
    );
  }

  /** What the script's answer says to each of them. */
  private answers(reply: unknown, asks: readonly Ask[], scriptId: string, askedAt: number): LeaseAnswer[] {
    const values = list(reply);
    const now = Number(values[0]);
    this.ledger.offsetMs = now - this.link.now();
    const isOutOfDate = text(values[1]) !== this.version;
    if (isOutOfDate) void this.refresh();
    const refusals = asks.map((): Refusal[] => []);
    for (let i = 2 + 2 * asks.length; i + 4 < values.length; i += 5) {
      const [what, waitMs, why] = [text(values[i + 2]), Number(values[i + 3]), text(values[i + 4])];
      const of = COUNTED_OF.find(each => each === what);
      if (!of) this.gates.adopt(what, why, now);
      else if (why === 'requests' || why === 'tokens' || why === 'busy') {
        const refusal: Refusal = { candidate: Number(values[i + 1]) - 1, of, why, at: this.link.now() + waitMs };
        refusals[Number(values[i]) - 1]?.push(refusal);
      }
    }
    return asks.map((ask, i) => {
      const [position, calls] = [Number(values[2 + 2 * i]) - 1, Number(values[3 + 2 * i])];
      const candidate = ask.request.candidates[position];
      if (!candidate) return { granted: undefined, receipt: undefined, refusals: refusals[i]! };
      const probes = candidate.probes || isOutOfDate ? this.fieldsOf(candidate, ask.request.model) : '';
      const receipt = this.granted(leaseId(scriptId, i), ask.request, candidate, calls, probes, now, askedAt);
      return { granted: position, receipt, refusals: refusals[i]! };
    });
  }

  private granted(
    id: string,
    request: LeaseRequest,
    candidate: Candidate,
    calls: number,
    probes: string,
    now: number,
    askedAt: number,
  ): RedisReceipt | undefined {
    const members = this.limitedOf(candidate);
    if (members.length === 0 && probes === '') return undefined;
    const drawn = this.drawn(request);
    const isBlock = calls > 1;
    const stamp = isBlock ? now + BLOCK_MS : now;
    const receipt = this.ledger.counted({ ...drawn, id, members, probes, at: askedAt, stamp });
    if (isBlock) {
      const more = calls - 1;
      const block = { id, members, requests: more, tokens: more * drawn.tokens, stamp, until: askedAt + BLOCK_MS };
      this.blocks.put(blockName(candidate), block);
    }
    return receipt;
  }

  private unanswered(
    error: unknown,
    reply: Promise<unknown>,
    asks: readonly Ask[],
    scriptId: string,
    askedAt: number,
  ): void {
    this.link.failed(error, askedAt);
    if (isRefusal(error)) {
      for (const { request, resolve } of asks) resolve({ ...this.withoutStore(request), unheard: this.processes });
      return;
    }
    const unsure = asks.map(({ request }, i) => {
      const [first, ...others] = request.candidates;
      const members = this.limitedOf(first!);
      if (this.link.isStrict || members.length === 0) return undefined;
      const elsewhere = others.flatMap(other => this.limitedOf(other)).filter(each => !members.includes(each));
      return this.ledger.unsure({ ...this.drawn(request), id: leaseId(scriptId, i), members, elsewhere, at: askedAt });
    });
    reply.then(
      late => {
        for (const [i, answer] of this.answers(late, asks, scriptId, askedAt).entries()) this.heardLate(answer, unsure[i]);
      },
      () => {
        // The connection was lost: when it is back, the store knows by the ids whether it has counted these.
      },
    );
    for (const [i, { request, resolve }] of asks.entries()) {
      const alone: LeaseAnswer = { granted: 0, receipt: unsure[i], refusals: [], unheard: this.processes };
      resolve(this.link.isStrict ? this.withoutStore(request) : alone);
    }
  }

  /** The attempt has gone on without it: what is not its own goes back. */
  private heardLate({ granted, receipt }: LeaseAnswer, unsure: RedisReceipt | undefined): void {
    if (unsure && granted === 0 && receipt instanceof RedisReceipt) {
      this.ledger.heardOf(unsure, receipt);
      return;
    }
    if (receipt instanceof RedisReceipt) {
      receipt.correct(-1, -receipt.tokens);
      receipt.release();
    }
    if (unsure) this.ledger.notHeardOf(unsure);
  }

  private withoutStore(request: LeaseRequest): LeaseAnswer {
    if (this.link.isStrict) {
      return { granted: undefined, receipt: undefined, refusals: [], unavailable: { cause: this.link.cause } };
    }
    return { granted: 0, receipt: this.record(request.candidates[0]!, request), refusals: [] };
  }

  private drawn({ leaseMs, tokens }: Pick<LeaseRequest, 'leaseMs' | 'tokens'>) {
    const at = this.link.now();
    return { at, tokens: Math.ceil(tokens), expiresAt: at + leaseMs };
  }

  private limitedOf(candidate: Candidate): RedisMember[] {
    const limited: RedisMember[] = [];
    for (const of of COUNTED_OF) {
      const counted = candidate[of];
      const member = counted && this.members.get(counted.name);
      if (member && member.limitsText !== '') limited.push(member);
    }
    return limited;
  }

  /** The fields of its gates. */
  private fieldsOf({ key, group }: Candidate, model: string | undefined): string {
    const fields = [key.name, group.name];
    if (model !== undefined) fields.push(...fields.map(name => name + modelSuffix(model)));
    return fields.join('\n');
  }

  private nextScriptId(): string {
    return this.link.processId + (this.scripts++ % 36 ** 5).toString(36).padStart(5, '0');
  }
}

function blockName({ key, group, keyModel, groupModel }: Candidate): string {
  const name = `${key.name} ${group.name}`;
  return keyModel || groupModel ? `${name} ${keyModel?.name ?? ''} ${groupModel?.name ?? ''}` : name;
}

/** What an answer says of the key that was wanted first. */
function refusedAs({ refusals }: LeaseAnswer): LeaseAnswer {
  return { granted: undefined, receipt: undefined, refusals: refusals.filter(({ candidate }) => candidate === 0) };
}

/** A store that was emptied begins a new one. */
function epochOf(version: string): string {
  return version.slice(0, version.indexOf('.'));
}
