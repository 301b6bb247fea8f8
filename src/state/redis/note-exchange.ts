import type { Note, PoolListener, SharedLimit } from '../store.ts';
import { modelSuffix, nameOf } from './gate-record.ts';
import { NOTE } from './lua.ts';
import type { PoolNames } from './names.ts';
import type { PoolLink } from './pool-link.ts';
import { list, text } from './replies.ts';
import { Script } from './script.ts';

const noteScript = new Script(NOTE);

/** Notes told in one script, so that none keeps the server for long. */
const MOST_AT_ONCE = 100;

interface Untold {
  readonly note: Note;
  readonly isOld: boolean;
}

/** What persons have said and answers have taught, as this process and the others know. The last word counts. */
export class NoteExchange {
  private readonly names: PoolNames;
  private readonly link: PoolLink;
  private readonly listener: PoolListener;
  /** The store's time less this process's. */
  private readonly offsetMs: () => number;
  /** Of what this process has heard, by field. */
  private readonly revisions = new Map<string, number>();
  /** Fields whose last word was its own. */
  private readonly own = new Set<string>();
  /** What it has to tell, and the store has not confirmed. */
  private readonly untold = new Map<string, Untold>();

  constructor(names: PoolNames, link: PoolLink, listener: PoolListener, offsetMs: () => number) {
    this.names = names;
    this.link = link;
    this.listener = listener;
    this.offsetMs = offsetMs;
  }

  /** True for the field of a note, which stands among those of gates. */
  static isField(field: string): boolean {
    return field.includes(':');
  }

  note(note: Note, isOld: boolean): void {
    this.untold.set(fieldOf(note), { note, isOld });
    if (this.link.isUp) this.tell();
  }

  /** The store has lost all of it. */
  forgotten(): void {
    this.revisions.clear();
    this.own.clear();
    for (const note of this.listener.notes()) this.untold.set(fieldOf(note), { note, isOld: false });
  }

  tell(): void {
    const told = [...this.untold];
    for (let from = 0; from < told.length; from += MOST_AT_ONCE) this.tellSome(told.slice(from, from + MOST_AT_ONCE));
  }

  /** A note as another process has left it, at `now` of the store's time. */
  adopt(field: string, record: string, now: number): void {
    // What is to be told here is newer, unless it is older than this process.
    if (this.untold.get(field)?.isOld === false) return;
    const revision = revisionOf(record);
    const known = this.revisions.get(field) ?? 0;
    if (revision < known || (revision === known && this.own.has(field))) return;
    this.own.delete(field);
    this.untold.delete(field);
    this.revisions.set(field, revision);
    const note = readNote(field, record.slice(record.indexOf('|') + 1), now - this.link.now());
    if (note) this.listener.noted(note);
  }

  /** This process's own doing. */
  acknowledge(field: string, record: string): void {
    const revision = revisionOf(record);
    if (revision < (this.revisions.get(field) ?? 0)) return;
    this.revisions.set(field, revision);
    this.own.add(field);
  }

  private tellSome(some: readonly (readonly [field: string, untold: Untold])[]): void {
    const askedAt = this.link.now();
    const { channel, gates, version } = this.names;
    const args = some.flatMap(([field, { note, isOld }]) => [field, valueOf(note, this.offsetMs()), isOld ? 1 : 0]);
    this.link.run(noteScript, [version, gates], [channel, this.link.processId, ...args]).then(
      reply => this.told(some, reply),
      (error: unknown) => this.link.failed(error, askedAt),
    );
  }

  private told(some: readonly (readonly [field: string, untold: Untold])[], reply: unknown): void {
    const [now, ...records] = list(reply);
    for (const [position, [field, untold]] of some.entries()) {
      if (this.untold.get(field) === untold) this.untold.delete(field);
      else continue;
      const record = text(records[position]);
      if (untold.isOld) this.adopt(field, record, Number(now));
      else this.acknowledge(field, record);
    }
  }
}

function fieldOf(note: Note): string {
  return `${note.about}:${note.member}${note.about === 'limits' ? modelSuffix(note.model) : ''}`;
}

function revisionOf(record: string): number {
  return Number(record.slice(0, record.indexOf('|')));
}

/** Times are those of the store. */
function valueOf(note: Note, offsetMs: number): string {
  if (note.about === 'held') return note.held ? '1' : '';
  if (note.about === 'group') return note.name ?? '';
  return note.limits.length === 0 ? '' : JSON.stringify(note.limits.map(limit => shifted(limit, offsetMs)));
}

/** Undefined for what no version of this package has written. */
function readNote(field: string, value: string, offsetMs: number): Note | undefined {
  const end = field.indexOf(':');
  const [about, rest] = [field.slice(0, end), field.slice(end + 1)];
  if (about === 'held') return { about, member: rest, held: value !== '' };
  if (about === 'group') return { about, member: rest, name: value === '' ? undefined : value };
  if (about !== 'limits') return undefined;
  const limits = value === '' ? [] : readLimits(value);
  return limits && { about, ...nameOf(rest), limits: limits.map(limit => shifted(limit, -offsetMs)) };
}

function shifted<Limit extends SharedLimit>(limit: Limit, byMs: number): Limit {
  const times = TIMES.flatMap(name => {
    const time = limit[name];
    return time === undefined ? [] : [[name, time + byMs] as const];
  });
  return { ...limit, ...Object.fromEntries(times) };
}

function readLimits(value: string): SharedLimit[] | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    return Array.isArray(parsed) && parsed.every(isLimit) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

const TIMES = ['leftAt', 'resetAt', 'retryAt', 'toldAt'] as const;
const NUMBERS = ['limit', 'windowMs', 'remaining', 'left', 'refillMs', 'slidingMs', 'spanMs', ...TIMES] as const;

function isLimit(value: unknown): value is SharedLimit {
  if (typeof value !== 'object' || value === null) return false;
  const fields: Readonly<Record<string, unknown>> = { ...value };
  const isAbsentOr = (type: string, name: string): boolean => fields[name] === undefined || typeof fields[name] === type;
  return typeof fields['counts'] === 'string' && isAbsentOr('string', 'heardFrom') && NUMBERS.every(name => isAbsentOr('number', name));
}
