import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { shownName } from '../guard/config/issues.ts';
import { RegisterError } from './error.ts';
import { expanded } from './expansion.ts';
import { readJson, readYaml } from './text-formats.ts';

/** Names the configuration file, relative to the current directory. */
export const VARIABLE = 'EXECUTION_GUARD_CONFIG';

const BASE = 'execution-guard.config';
const SEARCHED = ['.json', '.yaml', '.yml', '.mjs'];
const ALLOWED = [...SEARCHED, '.js', '.cjs'];

export interface ConfigFile {
  /** As the user knows it: relative to the current directory where it was searched for. */
  readonly name: string;
  /** What the file says, unchecked. */
  readonly content: unknown;
}

/** Where to look. */
export interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * The file `named`, else the one that `EXECUTION_GUARD_CONFIG` names, else `execution-guard.config.*` in the
 * current directory; undefined where there is none.
 *
 * @throws RegisterError
 */
export function readConfigFile(named: string | undefined, { cwd, env }: Surroundings): ConfigFile | undefined {
  const fromVariable = env[VARIABLE]?.trim() || undefined;
  const name = named ?? fromVariable ?? search(cwd);
  if (name === undefined) return undefined;
  const extension = path.extname(name).toLowerCase();
  if (!ALLOWED.includes(extension)) {
    throw new RegisterError(`${name}: a configuration file ends in ${listed(ALLOWED)}`);
  }
  const file = path.resolve(cwd, name);
  if (!existsSync(file)) {
    const who = named === undefined ? `; ${VARIABLE} names it` : '';
    throw new RegisterError(`${name}: there is no such file in ${cwd}${who}`);
  }
  return { name, content: contentOf(file, name, extension, env) };
}

/** Where no configuration was found, a line that says so; undefined where a blank `EXECUTION_GUARD_CONFIG` allows it. */
export function nothingFound({ cwd, env }: Surroundings): string | undefined {
  if (env[VARIABLE]?.trim() === '') return undefined;
  const [first = '', ...others] = SEARCHED;
  const searched = [BASE + first, ...others].join(', ');
  const [other] = ['.cjs', '.js'].map(extension => BASE + extension).filter(name => existsSync(path.join(cwd, name)));
  const hint = other === undefined ? '' : `; ${other} is there: name it in ${VARIABLE}`;
  return `no configuration found in ${cwd} (${searched}); guards nothing${hint}`;
}

function search(cwd: string): string | undefined {
  const [first, ...others] = SEARCHED.map(extension => BASE + extension).filter(name =>
    existsSync(path.join(cwd, name)),
  );
  if (first === undefined || others.length === 0) return first;
  const names = [first, ...others].join(', ');
  throw new RegisterError(`there is more than one configuration file: ${names}; keep one, or name it in ${VARIABLE}`);
}

function contentOf(file: string, name: string, extension: string, env: Surroundings['env']): unknown {
  if (!['.json', '.yaml', '.yml'].includes(extension)) return exportOf(file, name);
  const read = extension === '.json' ? readJson : readYaml;
  return expanded(read(textOf(file, name), name), env);
}

function textOf(file: string, name: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new RegisterError(`${name}: cannot be read (${codeOf(error) ?? 'unknown error'})`);
  }
}

/** At once, as a preloader of CommonJS must: an ES module must not await anything at its top level. */
function exportOf(file: string, name: string): unknown {
  let loaded: unknown;
  try {
    const load: (id: string) => unknown = createRequire(file);
    loaded = load(file);
  } catch (error) {
    throw new RegisterError(`${name}: ${whyNotLoaded(error, file)}`);
  }
  if (typeof loaded === 'object' && loaded !== null && 'default' in loaded) return loaded.default;
  if (Object.prototype.toString.call(loaded) === '[object Module]') {
    throw new RegisterError(`${name}: there is no default export; write \`export default { ... }\``);
  }
  return loaded;
}

/** Without the error's message: it may quote the file, and so a key. Of modules and exports it gives the names. */
function whyNotLoaded(error: unknown, file: string): string {
  const code = codeOf(error);
  if (code === 'ERR_REQUIRE_ASYNC_MODULE') return '`await` at the top level of a configuration file is not supported';
  const { name = typeof error, message = '', stack = '' } = error instanceof Error ? error : {};
  const line = lineIn(stack, file) ?? (name === 'SyntaxError' ? lineOfSyntaxError(file) : undefined);
  const where = line === undefined ? '' : ` at line ${line}`;
  const missing = /^Cannot find (?:module|package) '([^']+)'/.exec(message)?.[1];
  if (missing !== undefined) return `the module ${moduleName(missing, file)}, which it loads${where}, is not there`;
  const [, from, wanted] = /^The requested module '([^']+)' does not provide an export named '([^']+)'/.exec(message) ?? [];
  if (from !== undefined && wanted !== undefined) {
    return `the module ${moduleName(from, file)} has no export ${shownName(wanted)}`;
  }
  return `loading it threw ${name}${where}${code === undefined ? '' : ` (${code})`}`;
}

function moduleName(name: string, file: string): string {
  return shownName(path.isAbsolute(name) ? path.relative(path.dirname(file), name) : name);
}

function lineIn(text: string, file: string): string | undefined {
  const [, ...mentions] = text.split(path.basename(file));
  return mentions.map(rest => /^:(\d+)/.exec(rest)?.[1]).find(found => found !== undefined);
}

/** Of an ES module the error does not tell. The check runs nothing of the file, and is not preloaded itself. */
function lineOfSyntaxError(file: string): string | undefined {
  const env = { ...process.env, NODE_OPTIONS: '' };
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  return lineIn(String(spawnSync(process.execPath, ['--check', file], { env }).stderr), file);
}

function codeOf(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

function listed(names: readonly string[]): string {
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}
