import { createHmac } from 'node:crypto';
import * as z from 'zod';
import type { GateSnapshot } from '../../keys/gate.ts';
import type { GroupData, KeyData } from '../../keys/snapshot.ts';
import type { ProviderData } from '../provider-state.ts';

const FORMAT = 'execution-guard-state';
const VERSION = 1;
/** Less is jitter, and changes nothing. */
const JITTER_MS = 5000;
/** Where times stand; beside them, every other number of a list of events is one. */
const TIMES = new Set(['until', 'since', 'leftAt', 'resetAt', 'retryAt', 'toldAt', 'lastFailureAt', 'openUntil', 'bannedUntil']);

/** What is known of something, and the day somebody last had it in use, epoch ms. */
export interface Entry<Data> {
  readonly seen: number;
  readonly data: Data;
}

export interface KeyEntry extends Entry<KeyData> {
  readonly pool: string;
  /** For who reads the file; the token is what counts. */
  readonly id: string;
  readonly token: string;
}

export interface GroupEntry extends Entry<GroupData> {
  readonly pool: string;
  readonly group: string;
}

export interface ProviderEntry extends Entry<ProviderData> {
  readonly provider: string;
}

/** What survives a restart. By the token of the key, by {@link groupName}, by the name of the provider. */
export interface StateData {
  /** Undefined while nothing was ever written. */
  readonly salt: string | undefined;
  readonly keys: ReadonlyMap<string, KeyEntry>;
  readonly groups: ReadonlyMap<string, GroupEntry>;
  readonly providers: ReadonlyMap<string, ProviderEntry>;
}

export const NOTHING_KNOWN: StateData = { salt: undefined, keys: new Map(), groups: new Map(), providers: new Map() };

/** Why a file is none of ours, for a warning. */
export class UnreadableState extends Error {}

/** Stands for a key of a pool: the same in every process that has the file, and of no use without it. */
export function keyToken(salt: string, pool: string, id: string, secret: string): string {
  return createHmac('sha256', salt).update(JSON.stringify([pool, id, secret])).digest('hex').slice(0, 32);
}

export function groupName(pool: string, group: string): string {
  return JSON.stringify([pool, group]);
}

/** One line for each thing that is known. What was used twice a second is the same text twice, but for `savedAt`. */
export function stateText(state: StateData, savedAt: number): string {
  return `{"format":"${FORMAT}","version":${VERSION},"savedAt":${savedAt},${bodyOf(state)}\n`;
}

/** All of the text that tells something. */
export function bodyOf({ salt, keys, groups, providers }: StateData): string {
  const listOf = (entries: ReadonlyMap<string, unknown>): string =>
    entries.size === 0 ? '[]' : `[\n${[...entries.values()].map(entry => JSON.stringify(entry)).join(',\n')}\n]`;
  const lists = `"keys":${listOf(keys)},\n"groups":${listOf(groups)},\n"providers":${listOf(providers)}`;
  return `"salt":${JSON.stringify(salt)},\n${lists}}`;
}

/**
 * Reads a text of {@link stateText}. Where it was written later than `now`, the clock was set back since: what lies
 * ahead comes as soon as it would have come.
 *
 * @throws UnreadableState
 */
export function parseState(text: string, now: number): StateData {
  const { salt, keys, groups, providers } = checked(text, now);
  return {
    salt,
    keys: new Map(keys.map(entry => [entry.token, entry])),
    groups: new Map(groups.map(entry => [groupName(entry.pool, entry.group), entry])),
    providers: new Map(providers.map(entry => [entry.provider, entry])),
  };
}

function checked(text: string, now: number): z.output<Schemas['file']> {
  const { envelope, file } = schemas();
  const found = readJson(text);
  const begin = envelope.safeParse(found);
  if (!begin.success || begin.data.format !== FORMAT) throw new UnreadableState('is not a state file of a guard');
  if (begin.data.version !== VERSION) throw new UnreadableState('was written by another version of the guard');
  const byMs = begin.data.savedAt - now;
  const state = file.safeParse(byMs > JITTER_MS ? setBack(found, byMs) : found);
  if (!state.success) throw new UnreadableState('is damaged');
  return state.data;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UnreadableState(text.trim() === '' ? 'is empty' : 'is damaged');
  }
}

function setBack(value: unknown, byMs: number, name = ''): unknown {
  if (typeof value === 'number') return TIMES.has(name) && value > 0 ? Math.max(1, value - byMs) : value;
  if (Array.isArray(value)) {
    return value.map((each: unknown, index) => (typeof each === 'number' && index % 2 === 0 ? each - byMs : setBack(each, byMs)));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([each, inner]) => [each, setBack(inner, byMs, each)]));
}

type Schemas = ReturnType<typeof buildSchemas>;
let built: Schemas | undefined;

/** Of the data of each entry, too. Built when first asked for. */
export function schemas(): Schemas {
  return (built ??= buildSchemas());
}

function buildSchemas() {
  const amount = z.number().min(0);
  // A window holds 256 events, each with its weight.
  const events = z.array(z.number()).max(2048);
  const windows = { rpm: events.optional(), rpd: events.optional(), tpm: events.optional(), tpd: events.optional() };
  const quota = z.object({ ...windows, models: z.record(z.string(), z.object(windows)).optional() });
  const gate: z.ZodType<GateSnapshot> = z.object({
    state: z.enum(['ready', 'cooling', 'suspect', 'disabled']),
    until: z.number(),
    since: z.number(),
    strikes: amount.int(),
    reason: z.string(),
    lastInLine: z.boolean(),
  });
  const gateData = z.intersection(gate, z.object({ before: gate.optional() }));
  const gates = { gate: gateData.optional(), models: z.record(z.string(), gateData).optional() };
  const limits = z.record(
    z.string(),
    z.object({
      counts: z.string(),
      limit: z.number().optional(),
      windowMs: z.number().positive().optional(),
      remaining: z.number().optional(),
      left: z.number().optional(),
      leftAt: z.number().optional(),
      toldAt: z.number().optional(),
      refillMs: z.number().positive().optional(),
      slidingMs: z.number().positive().optional(),
      resetAt: z.number().optional(),
      retryAt: z.number().optional(),
      spanMs: amount.optional(),
      heardFrom: z.string().optional(),
      window: events.optional(),
      inferred: z
        .object({ limit: z.number().min(1), windowMs: z.number().positive(), form: z.enum(['sliding', 'clock']), window: events })
        .optional(),
    }),
  );
  const group: z.ZodType<GroupData> = z.object({
    ...gates,
    quota: quota.optional(),
    learned: z.object({ all: limits.optional(), models: z.record(z.string(), limits).optional() }).optional(),
    names: z.array(z.string()).optional(),
  });
  const key: z.ZodType<KeyData> = z.object({
    ...gates,
    quota: quota.optional(),
    held: z.literal(true).optional(),
    ramp: amount.optional(),
    doubted: z.literal(true).optional(),
    group: z.string().optional(),
    own: group.optional(),
  });
  const provider: z.ZodType<ProviderData> = z.object({
    failureCount: amount.optional(),
    lastFailureAt: z.number().optional(),
    errorRate: z.number().min(0).max(1).optional(),
    breaker: z.object({ failures: amount, openUntil: z.number(), bannedUntil: z.number() }).optional(),
  });
  const seen = z.number();
  return {
    envelope: z.object({ format: z.string(), version: z.number(), savedAt: z.number() }),
    file: z.object({
      salt: z.string().min(16),
      keys: z.array(z.object({ pool: z.string(), id: z.string(), token: z.string(), seen, data: key })),
      groups: z.array(z.object({ pool: z.string(), group: z.string(), seen, data: group })),
      providers: z.array(z.object({ provider: z.string(), seen, data: provider })),
    }),
    key,
    group,
    provider,
  };
}
