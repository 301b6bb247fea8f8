import { loadKeysFromEnv, variableBase, type Environment, type LoadedKey } from './environment.ts';
import { holdsSecret, secretId } from './mask.ts';
import { ModelLists, type ServesModel } from './model-lists.ts';
import type { QuotaLimits } from './quota.ts';

/** What may be said of a key beside its secret. */
interface KeyTraits {
  /** Globs of the models the key serves; all where absent. */
  readonly models?: readonly string[] | undefined;
  readonly excludeModels?: readonly string[] | undefined;
  /** Keys of one group share a quota. */
  readonly group?: string | undefined;
  readonly limits?: QuotaLimits | undefined;
  readonly tier?: string | undefined;
  readonly region?: string | undefined;
}

/** A key as a configuration declares it. */
export interface KeyConfigLike extends KeyTraits {
  readonly id?: string | undefined;
  readonly key?: string | null | undefined;
  readonly weight?: number | undefined;
  readonly priority?: number | undefined;
  readonly tags?: readonly string[] | undefined;
}

export type KeyEntry = string | KeyConfigLike | null | undefined;

/** A key as a pool takes it: trimmed, with an id of its own and every default filled in. */
export interface NormalizedKey extends KeyTraits {
  readonly id: string;
  readonly key: string;
  readonly weight: number;
  /** Lower comes first. */
  readonly priority: number;
  readonly tags: readonly string[];
  /** Where the pool has keys by model: which of them this one stands for. */
  readonly servesModel?: ServesModel | undefined;
  /** The environment variable the key was read from, where it was. */
  readonly variable?: string;
}

export interface NormalizeContext {
  /** The pool's pattern, for warnings. */
  readonly pattern: string;
  readonly env?: Environment;
  /** Hears of every entry that was left out or changed: by its position, never by its value. */
  readonly warn: (message: string) => void;
}

/** Keys as one list of a configuration has them. */
export type KeyEntries = readonly KeyEntry[] | { readonly env: string };

/** A pool's keys: those for every model, and those for models of their own. */
export interface KeyLists {
  readonly keys?: KeyEntries | undefined;
  /** By model or pattern. */
  readonly models?: Readonly<Record<string, KeyEntries>> | undefined;
}

/** As shells write a variable: no key looks like it. */
const VARIABLE = /^\$(?:[A-Za-z_]\w*|\{\w+\})$/;
const HOW_TO_WRITE_ONE = 'a JSON or YAML file that the preloader reads has `${NAME}` for it, code has `process.env`';

/** What an entry may say, and the variable it was read from. */
type Said = KeyConfigLike & { readonly variable?: string };

/** One key on its way, with all that its entries say of it. */
interface Found {
  said: Said;
  id: string;
  /** Where it stands first, for warnings. */
  readonly place: string;
  /** Undefined stands for `keys`. */
  readonly lists: Set<string | undefined>;
}

/**
 * The usable keys among a pool's entries. Blank entries, repeated secrets and repeated ids are left
 * out with a warning, so that a missing environment variable costs one key and not the pool. A secret that stands in
 * the lists of several models is one key, and what one entry does not say of it the next one may.
 */
export function normalizeKeys({ keys, models = {} }: KeyLists, context: NormalizeContext): NormalizedKey[] {
  const found = new Map<string, Found>();
  const ids = new Map<string, Found>();
  if (keys) collect(found, ids, undefined, keys, context);
  for (const [model, entries] of Object.entries(models)) collect(found, ids, model, entries, context);
  const byModel = modelListsOf(models);
  return [...found].map(([secret, { id, lists, said }]) => withDefaults(said, id, secret, byModel?.testOf(lists)));
}

/** The lists of a pool that has keys by model. */
export function modelListsOf(models: KeyLists['models'] = {}): ModelLists | undefined {
  const patterns = Object.keys(models);
  return patterns.length === 0 ? undefined : new ModelLists(patterns);
}

function collect(
  found: Map<string, Found>,
  ids: Map<string, Found>,
  list: string | undefined,
  entries: KeyEntries,
  { pattern, env, warn }: NormalizeContext,
): void {
  const place = placeOf(pattern, list);
  const all: readonly KeyEntry[] = 'env' in entries ? fromEnvironment(entries.env, place, env, warn) : entries;
  for (const [position, entry] of all.entries()) {
    const said: Said = typeof entry === 'string' ? { key: entry } : (entry ?? {});
    const secret = said.key?.trim() ?? '';
    const here = `${place}[${position}]`;
    const known = found.get(secret);
    if (secret === '') {
      warn(`${here} is blank and was left out`);
      continue;
    }
    if (known?.lists.has(list)) {
      warn(`${here} is the same key as ${shortened(known.place, pattern)} and was left out`);
      continue;
    }
    let ownId = said.id?.trim() ?? '';
    if (holdsSecret(ownId, secret)) {
      warn(`${here} has its own secret in its id, which is shown; the id was replaced`);
      ownId = '';
    }
    if (VARIABLE.test(secret)) {
      warn(`${here} is written like a variable but taken as the key itself; ${HOW_TO_WRITE_ONE}`);
    }
    const derivedId = secretId(secret);
    const isNamed = known !== undefined && known.id !== derivedId;
    const id = isNamed ? known.id : ownId || derivedId;
    const namesake = ids.get(id);
    if (namesake && namesake !== known) {
      warn(`${here} has the same id as ${shortened(namesake.place, pattern)} and was left out`);
      continue;
    }
    const key = known ?? { said, id, place: here, lists: new Set() };
    if (known) {
      known.said = { ...said, ...given(known.said) };
      ids.delete(known.id);
      known.id = id;
    }
    key.lists.add(list);
    found.set(secret, key);
    ids.set(id, key);
  }
}

function fromEnvironment(
  name: string,
  place: string,
  env: Environment | undefined,
  warn: NormalizeContext['warn'],
): readonly LoadedKey[] {
  const loaded = loadKeysFromEnv(name, env);
  if (loaded.length === 0) {
    const usual = `${variableBase(name)}_API_KEY`;
    // A provider's name is none of a variable.
    const isVariable = name !== usual && /^[A-Z_][A-Z0-9_]*$/.test(name);
    const what = isVariable ? `neither ${name} nor ${usual} is set` : `${usual} is not set`;
    warn(`${place} found no key in the environment: ${what}`);
  }
  return loaded;
}

function withDefaults(
  said: Said,
  id: string,
  key: string,
  servesModel: ServesModel | undefined,
): NormalizedKey {
  const { weight = 1, priority = 0, tags = [], models, excludeModels, group, limits, tier, region, variable } = said;
  const traits = { id, key, weight, priority, tags, models, excludeModels, servesModel, group, limits, tier, region };
  return variable === undefined ? traits : { ...traits, variable };
}

function given(said: Said): Said {
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

function placeOf(pattern: string, list: string | undefined): string {
  const lists = list === undefined ? 'keys' : `models[${JSON.stringify(list)}]`;
  return `${prefixOf(pattern)}${lists}`;
}

/** A place in the same pool. */
function shortened(place: string, pattern: string): string {
  return place.slice(prefixOf(pattern).length);
}

function prefixOf(pattern: string): string {
  return `keyManagement.providers[${JSON.stringify(pattern)}].`;
}
