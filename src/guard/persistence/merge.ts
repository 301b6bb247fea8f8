import { isDeepStrictEqual } from 'node:util';
import type { ZodType } from 'zod';
import type { Entry } from './state-data.ts';

type Entries<E> = ReadonlyMap<string, E>;
type Fields = Readonly<Record<string, unknown>>;

/**
 * What a file is to say, after two have gone on from what it said: this process (`mine`) and others (`theirs`). Whoever
 * has something new has the word; where both have, the graver one. Of what is not `mine`, what nobody has had in use
 * since `forgetBefore` is left out.
 */
export function mergeEntries<E extends Entry<unknown>>(
  base: Entries<E>,
  mine: Entries<E>,
  theirs: Entries<E>,
  schema: ZodType<E['data']>,
  forgetBefore: number,
): Map<string, E> {
  const merged = new Map<string, E>();
  for (const [name, entry] of mine) {
    const other = theirs.get(name);
    // Who does not know of it has not said that it is over.
    if (!other) {
      merged.set(name, entry);
      continue;
    }
    const data = mergeData(base.get(name)?.data ?? {}, entry.data, other.data);
    const seen = Math.max(entry.seen, other.seen);
    merged.set(name, { ...entry, seen, data: data === entry.data ? data : schema.parse(data) });
  }
  for (const [name, entry] of theirs) if (!mine.has(name) && entry.seen >= forgetBefore) merged.set(name, entry);
  return merged;
}

/** `mine` itself, where nothing of `theirs` is new. */
function mergeData(base: unknown, mine: unknown, theirs: unknown): unknown {
  if (isDeepStrictEqual(mine, theirs) || isDeepStrictEqual(base, theirs)) return mine;
  if (isDeepStrictEqual(base, mine)) return theirs;
  if (mine === undefined || theirs === undefined) return mine ?? theirs;
  if (!isContainer(mine) || !isContainer(theirs)) return graver(mine, theirs);
  const before = isContainer(base) ? base : {};
  const names = new Set([...Object.keys(mine), ...Object.keys(theirs)]);
  const fields = [...names].map(name => [name, mergeData(own(before, name), own(mine, name), own(theirs, name))] as const);
  return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
}

/** What is made of parts that change one by one. A gate, a limit and a provider change as a whole. */
function isContainer(value: unknown): value is Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { state, counts, failureCount } = value as Fields;
  return typeof state !== 'string' && typeof counts !== 'string' && typeof failureCount !== 'number';
}

function graver(mine: unknown, theirs: unknown): unknown {
  if (isTexts(mine) && isTexts(theirs)) return [...new Set([...mine, ...theirs])].sort();
  return gravity(theirs) > gravity(mine) ? theirs : mine;
}

/** The more, the longer the fewer calls go through. */
function gravity(value: unknown): number {
  if (typeof value === 'number') return value;
  if (Array.isArray(value)) return sumOfWeights(value);
  if (typeof value !== 'object' || value === null) return 0;
  const { until, resetAt, lastFailureAt } = value as Fields;
  return [until, resetAt, lastFailureAt].find(time => typeof time === 'number') ?? 0;
}

function sumOfWeights(events: readonly unknown[]): number {
  let sum = 0;
  for (let slot = 1; slot < events.length; slot += 2) sum += Number(events[slot]);
  return sum;
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && typeof value[0] === 'string';
}

function own(fields: Fields, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}
