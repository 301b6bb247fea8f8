import { withMaskedKeysRestored } from './masked.ts';
import { parseConfig } from './parse.ts';
import { isOptions, ownMember } from './plain.ts';
import type { ExecutionGuardConfig, ResolvedConfig } from './types.ts';

/**
 * The configuration after an update: what the update does not name stays, `undefined` means keep, an
 * array takes the place of the old one, and `keyManagement.providers` and `fallbacks` replace the whole map, so
 * that a key or a chain that is not named any more is gone. Neither argument is changed, nor referred to afterwards.
 *
 * @throws {ConfigError} as {@link parseConfig}, for the configuration as a whole
 */
export function mergeConfig(current: ExecutionGuardConfig | ResolvedConfig, update: unknown): ResolvedConfig {
  // Parsed first, so that a flat knob of old does not win over a section named now.
  const base = parseConfig(current);
  return update === undefined ? base : parseConfig(overlay(base, update, [], base));
}

function overlay(below: unknown, above: unknown, path: readonly string[], current: ResolvedConfig): unknown {
  if (path.join('.') === 'keyManagement.providers') return withMaskedKeysRestored(above, current);
  if (path.length === 1 && (path[0] === 'fallbacks' || path[0] === 'store')) return above;
  if (!isOptions(below) || !isOptions(above)) return above;
  // From entries, because assigning `__proto__` would set the prototype.
  const merged = new Map<string, unknown>(Object.entries(below));
  for (const [name, value] of Object.entries(above)) {
    if (value !== undefined) merged.set(name, overlay(ownMember(below, name), value, [...path, name], current));
  }
  return Object.fromEntries(merged);
}
