import { holdsSecret, maskSecret } from '../../keys/mask.ts';
import { parseConfig } from './parse.ts';
import { isOptions, ownMember } from './plain.ts';
import type { ResolvedConfig, ResolvedKey, ResolvedKeyProvider } from './types.ts';

type Keys = NonNullable<ResolvedKeyProvider['keys']>;

/**
 * A copy that is safe to print and to hand out: every secret is replaced by a mask. It shares nothing
 * with the original but strategies, profiles and functions.
 */
export function maskedConfig(config: ResolvedConfig): ResolvedConfig {
  const copy = parseConfig(config);
  const providers = Object.entries(copy.keyManagement.providers).map(
    ([pattern, provider]) => [pattern, maskProvider(provider)] as const,
  );
  return { ...copy, keyManagement: { ...copy.keyManagement, providers: Object.fromEntries(providers) } };
}

function maskProvider({ keys, models, ...provider }: ResolvedKeyProvider): ResolvedKeyProvider {
  return {
    ...provider,
    ...(keys && { keys: maskKeys(keys) }),
    ...(models && { models: maskLists(models) }),
  };
}

function maskLists(models: Readonly<Record<string, Keys>>): Record<string, Keys> {
  return Object.fromEntries(Object.entries(models).map(([model, list]) => [model, maskKeys(list)]));
}

function maskKeys(keys: Keys): Keys {
  if ('env' in keys) return keys;
  return keys.map(entry => {
    if (typeof entry === 'string') return mask(entry);
    return typeof entry?.key === 'string' ? maskEntry(entry, entry.key) : entry;
  });
}

function maskEntry(entry: ResolvedKey, secret: string): ResolvedKey {
  const masked = { ...entry, key: mask(secret) };
  // Such an id was replaced when the pool was made, and would show the key here all the same.
  return entry.id !== undefined && holdsSecret(entry.id, secret.trim()) ? { ...masked, id: undefined } : masked;
}

/** Blank entries are no keys; masked, they would look like one. */
function mask(secret: string): string {
  return secret.trim() === '' ? '' : maskSecret(secret.trim());
}

/**
 * The opposite, for a configuration that was read masked, edited and sent back: a mask becomes the key
 * it stands for, where that is beyond doubt. Other masks stay, and the schema refuses them.
 *
 * @param providers the new map, not validated yet
 */
export function withMaskedKeysRestored(providers: unknown, current: ResolvedConfig): unknown {
  if (!isOptions(providers)) return providers;
  const restored = Object.entries(providers).map(([pattern, provider]) => {
    const known = ownMember(current.keyManagement.providers, pattern);
    if (!isOptions(provider)) return [pattern, provider] as const;
    const keys = restoreList(ownMember(provider, 'keys'), ownMember(known, 'keys'));
    const models = restoreLists(ownMember(provider, 'models'), ownMember(known, 'models'));
    const lists = { ...(keys !== undefined && { keys }), ...(models !== undefined && { models }) };
    return [pattern, { ...provider, ...lists }] as const;
  });
  return Object.fromEntries(restored);
}

function restoreLists(lists: unknown, known: unknown): unknown {
  if (!isOptions(lists)) return lists;
  return Object.fromEntries(
    Object.entries(lists).map(([model, list]) => [model, restoreList(list, ownMember(known, model))]),
  );
}

function restoreList(keys: unknown, known: unknown): unknown {
  return Array.isArray(keys) && Array.isArray(known) ? restoreKeys(keys, known) : keys;
}

function restoreKeys(keys: readonly unknown[], known: readonly unknown[]): unknown[] {
  const masks = known.map(entry => maskOf(entry));
  const unchanged = keys.length === known.length && keys.every((entry, at) => secretOf(entry) === masks[at]);
  return keys.map((entry, position) => {
    const secret = secretOf(entry);
    const id = ownMember(entry, 'id');
    const candidates = known.filter((candidate, at) => {
      if (secret === undefined || secret !== masks[at]) return false;
      return unchanged ? at === position : id === undefined || id === ownMember(candidate, 'id');
    });
    const original = candidates.length === 1 ? secretOf(candidates[0]) : undefined;
    if (original === undefined) return entry;
    return isOptions(entry) ? { ...entry, key: original } : original;
  });
}

function secretOf(entry: unknown): string | undefined {
  const secret = typeof entry === 'string' ? entry : ownMember(entry, 'key');
  return typeof secret === 'string' ? secret : undefined;
}

function maskOf(entry: unknown): string | undefined {
  const secret = secretOf(entry);
  return secret === undefined ? undefined : mask(secret);
}
