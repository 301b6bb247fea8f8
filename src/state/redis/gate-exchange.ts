import type { GateName, PoolListener, SharedGate } from '../store.ts';
import { fieldOf, nameOf, readGate } from './gate-record.ts';
import { GATE } from './lua.ts';
import type { PoolNames } from './names.ts';
import type { PoolLink } from './pool-link.ts';
import { list, text } from './replies.ts';
import { Script } from './script.ts';

const gateScript = new Script(GATE);

/** Gates told of in one script, so that none keeps the server for long. */
const MOST_AT_ONCE = 100;
/** In place of a revision: told only where the store knows nothing of the gate. */
const UNKNOWN_ONLY = -1;
/** Two processes tell the time of one closing by so much apart. */
const TOLERANCE_MS = 1000;

/** Which gates are shut, as this process and the others know: what each changes the others hear. */
export class GateExchange {
  private readonly names: PoolNames;
  private readonly link: PoolLink;
  private readonly listener: PoolListener;
  /** What this process has seen, by field: who has seen less opens nothing. */
  private readonly revisions = new Map<string, number>();
  /** What it has changed, and the store has not confirmed. */
  private readonly untold = new Map<string, SharedGate>();
  /** Of that, what dates from before its last start. */
  private readonly old = new Set<string>();

  constructor(names: PoolNames, link: PoolLink, listener: PoolListener) {
    this.names = names;
    this.link = link;
    this.listener = listener;
  }

  change(name: GateName, gate: SharedGate, isOld: boolean): void {
    const field = fieldOf(name);
    this.untold.set(field, gate);
    if (isOld) this.old.add(field);
    else this.old.delete(field);
    if (this.link.isUp) this.tell();
  }

  /** The store has lost all of it. */
  forgotten(): void {
    this.revisions.clear();
    for (const { name, gate } of this.listener.closedGates()) this.untold.set(fieldOf(name), gate);
  }

  tell(): void {
    const told = [...this.untold];
    for (let from = 0; from < told.length; from += MOST_AT_ONCE) this.tellSome(told.slice(from, from + MOST_AT_ONCE));
  }

  /** A gate as another process has left it, at `now` of the store's time. */
  adopt(field: string, record: string, now: number): void {
    const gate = readGate(record);
    const known = this.revisions.get(field) ?? 0;
    if (!gate || gate.revision < known) return;
    // A probe of this process: it knows more.
    if (gate.revision === known && gate.probeId.startsWith(this.link.processId)) return;
    this.revisions.set(field, gate.revision);
    if (this.old.delete(field)) this.untold.delete(field);
    const toLocal = (time: number): number => (time > 0 ? time - now + this.link.now() : 0);
    const { until, since, probeUntil } = gate;
    this.listener.gateChanged(nameOf(field), {
      ...gate,
      until: toLocal(until),
      since: toLocal(since),
      probeUntil: toLocal(probeUntil),
    });
  }

  /** This process's own doing. */
  acknowledge(field: string, record: string): void {
    const revision = readGate(record)?.revision ?? 0;
    this.revisions.set(field, Math.max(revision, this.revisions.get(field) ?? 0));
  }

  private tellSome(some: readonly (readonly [field: string, gate: SharedGate])[]): void {
    const now = this.link.now();
    const args = some.flatMap(([field, { state, until, since, strikes, lastInLine, reason }]) => [
      field,
      this.old.has(field) ? UNKNOWN_ONLY : (this.revisions.get(field) ?? 0),
      state,
      Math.round(until - now),
      Math.round(now - since),
      strikes,
      lastInLine ? 1 : 0,
      reason,
    ]);
    const { channel, gates, version } = this.names;
    this.link.run(gateScript, [version, gates], [channel, this.link.processId, ...args]).then(
      reply => this.told(some, reply, now),
      (error: unknown) => this.link.failed(error, now),
    );
  }

  private told(some: readonly (readonly [field: string, gate: SharedGate])[], reply: unknown, askedAt: number): void {
    const [now, , ...records] = list(reply);
    const inStore = new Map<string, string>();
    for (let i = 0; i + 1 < records.length; i += 2) inStore.set(text(records[i]), text(records[i + 1]));
    for (const [field, gate] of some) {
      if (this.untold.get(field) !== gate) continue;
      this.untold.delete(field);
      this.old.delete(field);
      const record = inStore.get(field);
      const theirs = record === undefined ? undefined : readGate(record);
      if (record === undefined || !theirs) continue;
      const isOurs =
        theirs.state === gate.state && theirs.until - Number(now) <= Math.max(0, gate.until - askedAt) + TOLERANCE_MS;
      if (isOurs) this.acknowledge(field, record);
      else this.adopt(field, record, Number(now));
    }
  }
}
