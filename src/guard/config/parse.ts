import { ConfigError, type ConfigIssue } from '../errors.ts';
import { describeIssues, formatPath, kindOf, type Sections } from './issues.ts';
import { isOptions } from './plain.ts';
import { guardConfigSchema } from './schema.ts';
import type { ResolvedConfig } from './types.ts';

/** Values that are objects with behaviour of their own, and are taken as they are. */
const TAKEN_AS_THEY_ARE: ReadonlySet<string> = new Set(['strategy', 'profile', 'validate', 'store']);

/**
 * Checks a configuration and fills in every default. The result shares nothing with the input but
 * strategies, profiles and functions. `undefined` is the empty configuration.
 *
 * @param beside options that the caller has taken out, for whoever reads what is wrong
 * @throws {ConfigError} naming everything that is wrong, at once; no value in it can be a secret
 */
export function parseConfig(input: unknown, beside?: Sections): ResolvedConfig {
  // Compiling the schema pays off after hundreds of parses only, and asks for `new Function`.
  const result = guardConfigSchema().safeParse(input ?? (input === null ? null : {}), { jitless: true });
  if (!result.success) throw new ConfigError(describeIssues(result.error.issues, input, beside));
  const impostors = findImpostors(input, []);
  if (impostors.length > 0) throw new ConfigError(impostors);
  return result.data;
}

/** A Map or a Date has no members of its own, so that the schema takes it for an empty section. */
function findImpostors(value: unknown, path: readonly PropertyKey[]): ConfigIssue[] {
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item, index) => findImpostors(item, [...path, index]));
  if (!isOptions(value)) {
    return [{ path: formatPath(path), message: `expected a plain object, found ${kindOf(value)}` }];
  }
  return Object.entries(value).flatMap(([name, member]) =>
    TAKEN_AS_THEY_ARE.has(name) ? [] : findImpostors(member, [...path, name]),
  );
}
