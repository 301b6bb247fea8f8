import { secretId } from './mask.ts';
import { placeholder } from './placeholder.ts';

/** Environment variables by name, `process.env` for one. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A key found in the environment. */
export interface LoadedKey {
  /**
   * The suffix of `X_KEY_{id}`; for every other variable an id derived from the secret. A number or a
   * place in a list says nothing about the key that stands there: with the id taken from it, a swap of
   * two variables would hand one key's cool-down and statistics to the other, and a replaced key would
   * start with its predecessor's faults.
   */
  readonly id: string;
  readonly key: string;
  /** 1 for a backup; absent otherwise. */
  readonly priority?: number;
  /** The variable the key was read from. */
  readonly variable: string;
}

/** One variable that holds keys of the provider asked for. */
interface Source {
  /** Groups come in this order: the name itself, plain and numbered, lists, named, backups. */
  readonly rank: number;
  /** Order within the group. */
  readonly number: number;
  readonly variable: string;
  readonly id?: string;
  readonly isList?: boolean;
  readonly isBackup?: boolean;
}

const EXACT = -1;
const SINGLE = 0;
const LIST = 1;
const NAMED = 2;
const BACKUP = 3;

/**
 * The keys of one provider, by the variable of exactly that name, and by the variables `X_API_KEY`, `X_API_KEY_1` and `X_API_KEY2` (gaps allowed),
 * `X_API_KEYS` (separated by commas or white space), `X_KEY_{id}` and `X_API_KEY_BACKUP_1`, in this order.
 * `X` is `name` in the spelling of variables: `google-gemini` reads `GOOGLE_GEMINI_API_KEY`. Values are
 * trimmed and unquoted, blank ones and placeholders left out; a secret that occurs twice is taken where it comes first.
 */
export function loadKeysFromEnv(name: string, env: Environment = process.env): LoadedKey[] {
  const base = variableBase(name);
  if (base === '') return [];
  const loaded = new Map<string, LoadedKey>();
  const ids = new Set<string>();
  for (const source of sourcesOf(name, base, Object.keys(env))) {
    for (const key of secretsOf(source, env[source.variable])) {
      if (loaded.has(key)) continue;
      // X_KEY_a and X_KEY_A are two variables but one id.
      const id = source.id === undefined || ids.has(source.id) ? secretId(key) : source.id;
      ids.add(id);
      loaded.set(key, { id, key, ...(source.isBackup && { priority: 1 }), variable: source.variable });
    }
  }
  return [...loaded.values()];
}

/**
 * The one key the environment holds for a provider whose pool has none: the variable named after the
 * pattern's own letters (`*gemini*` reads `GEMINI_API_KEY`), else after the provider. Never a variable
 * that belongs to somebody else.
 */
export function environmentKeyFor(
  provider: string,
  pattern: string,
  env: Environment = process.env,
): string | undefined {
  for (const name of [pattern, provider]) {
    const base = variableBase(name);
    const secret = base === '' ? '' : clean(env[`${base}_API_KEY`]);
    if (isSecret(secret)) return secret;
  }
  return undefined;
}

/** `google-gemini`, `*google*gemini*` and `GOOGLE_GEMINI_API_KEY` all become `GOOGLE_GEMINI`. */
export function variableBase(name: string): string {
  return name
    .toUpperCase()
    .split(/[^A-Z0-9]+/)
    .filter((word) => word !== '')
    .join('_')
    .replace(/_API_KEYS?$/, '');
}

function sourcesOf(name: string, base: string, variables: readonly string[]): Source[] {
  return variables
    .map((variable) => {
      const source = variable.startsWith(`${base}_`) ? sourceOf(variable, variable.slice(base.length + 1)) : undefined;
      return source ?? (variable === name ? { rank: EXACT, number: 0, variable } : undefined);
    })
    .filter((source) => source !== undefined)
    .sort((a, b) => a.rank - b.rank || a.number - b.number || compareText(a.variable, b.variable));
}

function sourceOf(variable: string, suffix: string): Source | undefined {
  if (suffix === 'API_KEY') return { rank: SINGLE, number: -1, variable };
  if (suffix === 'API_KEYS') return { rank: LIST, number: 0, variable, isList: true };
  const numbered = /^API_KEY_?(\d+)$/.exec(suffix);
  if (numbered !== null) return { rank: SINGLE, number: Number(numbered[1]), variable };
  const backup = /^API_KEY_BACKUP(?:_?(\d+))?$/.exec(suffix);
  if (backup !== null) return { rank: BACKUP, number: Number(backup[1] ?? -1), variable, isBackup: true };
  const named = /^KEY_(.*[^_].*)$/.exec(suffix);
  return named === null ? undefined : { rank: NAMED, number: 0, variable, id: named[1]!.toLowerCase() };
}

function secretsOf(source: Source, value: string | undefined): string[] {
  // A list may be quoted as a whole or item by item, so its quotes go after it has been split.
  const secrets = source.isList
    ? (value ?? '').split(/[\s,]+/).map((item) => item.replace(/^["']+|["']+$/g, ''))
    : [clean(value)];
  return secrets.filter(isSecret);
}

/** A program that was started by a guarded one may find a placeholder in the place of a key. */
function isSecret(value: string): boolean {
  return value !== '' && placeholder(value) === undefined;
}

/** Trimmed, and without the quotes that a copied `.env` line leaves round the value. */
function clean(value: string | undefined): string {
  const trimmed = value?.trim() ?? '';
  const unquoted = /^(["'])(.*)\1$/s.exec(trimmed)?.[2];
  return unquoted === undefined ? trimmed : unquoted.trim();
}

// Not localeCompare: the order must not depend on the machine's language.
function compareText(a: string, b: string): number {
  return a < b ? -1 : 1;
}
