import { loadKeysFromEnv, variableBase, type Environment } from './environment.ts';
import { holdsSecret, secretId } from './mask.ts';

/** Limits of one key; absent ones do not apply. */
export interface KeyLimits {
  /** Requests per minute. */
  readonly rpm?: number | undefined;
  /** Tokens per minute. */
  readonly tpm?: number | undefined;
  /** Requests per day. */
  readonly rpd?: number | undefined;
  /** Tokens per day. */
  readonly tpd?: number | undefined;
  /** Attempts under way at once. */
  readonly concurrency?: number | undefined;
}

/** What may be said of a key beside its secret. */
interface KeyTraits {
  /** Globs of the models the key serves; all where absent. */
  readonly models?: readonly string[] | undefined;
  readonly excludeModels?: readonly string[] | undefined;
  /** Keys of one group share a quota. */
  readonly group?: string | undefined;
  readonly limits?: KeyLimits | undefined;
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

/**
 * The usable keys among a pool's entries. Blank entries, repeated secrets and repeated ids are left
 * out with a warning, so that a missing environment variable costs one key and not the pool.
 */
export function normalizeKeys(
  entries: readonly KeyEntry[] | { readonly env: string },
  context: NormalizeContext,
): NormalizedKey[] {
  return 'env' in entries ? fromEnvironment(entries.env, context) : fromEntries(entries, context);
}

function fromEnvironment(name: string, { pattern, env, warn }: NormalizeContext): NormalizedKey[] {
  const loaded = loadKeysFromEnv(name, env);
  if (loaded.length === 0) {
    warn(`${placeOf(pattern)} found no key in the environment: ${variableBase(name)}_API_KEY is not set`);
  }
  return loaded.map((key) => ({ ...withDefaults(key, key.id, key.key), variable: key.variable }));
}

function fromEntries(entries: readonly KeyEntry[], { pattern, warn }: NormalizeContext): NormalizedKey[] {
  const keys: NormalizedKey[] = [];
  const positionOfSecret = new Map<string, number>();
  const positionOfId = new Map<string, number>();

  entries.forEach((entry, position) => {
    const place = `${placeOf(pattern)}[${position}]`;
    const config: KeyConfigLike = typeof entry === 'string' ? { key: entry } : (entry ?? {});
    const secret = config.key?.trim() ?? '';
    if (secret === '') {
      warn(`${place} is blank and was left out`);
      return;
    }
    const sameSecret = positionOfSecret.get(secret);
    if (sameSecret !== undefined) {
      warn(`${place} is the same key as keys[${sameSecret}] and was left out`);
      return;
    }
    let id = config.id?.trim() ?? '';
    if (holdsSecret(id, secret)) {
      warn(`${place} has its own secret in its id, which is shown; the id was replaced`);
      id = '';
    }
    if (id === '') id = secretId(secret);
    const sameId = positionOfId.get(id);
    if (sameId !== undefined) {
      warn(`${place} has the same id as keys[${sameId}] and was left out`);
      return;
    }
    positionOfSecret.set(secret, position);
    positionOfId.set(id, position);
    keys.push(withDefaults(config, id, secret));
  });
  return keys;
}

function withDefaults(config: KeyConfigLike, id: string, key: string): NormalizedKey {
  const { weight = 1, priority = 0, tags = [], models, excludeModels, group, limits, tier, region } = config;
  return { id, key, weight, priority, tags, models, excludeModels, group, limits, tier, region };
}

function placeOf(pattern: string): string {
  return `keyManagement.providers[${JSON.stringify(pattern)}].keys`;
}
