import { homedir } from 'node:os';
import path from 'node:path';
import * as z from 'zod';
import { describeIssues } from '../guard/config/issues.ts';
import { parseConfig } from '../guard/config/parse.ts';
import type { ExecutionGuardConfig, ResolvedConfig } from '../guard/config/types.ts';
import { ConfigError } from '../guard/errors.ts';
import { readConfigFile } from '../register/config-file.ts';
import { RegisterError } from '../register/error.ts';
import { withVariables, type Variables } from './variables.ts';

/** The `options` of the transformer: what `new ExecutionGuard()` takes, and a few more. */
export interface GuardTransformerOptions extends ExecutionGuardConfig {
  /**
   * A file that holds all other options, as JSON, YAML or a module. A relative path is one from the directory of the
   * router's own config.json, `~/.claude-code-router`.
   */
  readonly configFile?: string | undefined;
  /** Longest time of one attempt until its headers are there, in ms; no limit where absent. */
  readonly attemptTimeoutMs?: number | undefined;
  /** Longest time of a whole request until its headers are there, waiting for a key included, in ms. */
  readonly deadlineMs?: number | undefined;
  /** See `estimateTokens` of a guarded fetch. Default false. */
  readonly estimateTokens?: boolean | undefined;
}

/** Options that make a guard, and what holds for every request. */
export interface TransformerSettings {
  readonly config: ResolvedConfig;
  readonly attemptTimeoutMs: number | undefined;
  readonly deadlineMs: number | undefined;
  readonly estimateTokens: boolean | undefined;
  /** What paths in error messages begin with. */
  readonly origin: string;
}

const fileError = 'the path of a file';
const durationError = 'a number of ms, 1 or more';
const duration = z.number({ error: durationError }).min(1, { error: durationError }).optional();

const own = z.looseObject(
  {
    configFile: z.string({ error: fileError }).regex(/\S/, { error: fileError }).optional(),
    attemptTimeoutMs: duration,
    deadlineMs: duration,
    estimateTokens: z.boolean({ error: '`true` or `false`' }).optional(),
  },
  { error: 'an object of options' },
);

/** They have nothing within. */
const BESIDE = { configFile: [], attemptTimeoutMs: [], deadlineMs: [], estimateTokens: [] };

/**
 * @param env where the variables are that the options name
 * @throws ConfigError naming each option that is wrong by its path
 */
export function readOptions(options: unknown, env: Variables): TransformerSettings {
  const given = parse(options ?? {}, 'options');
  const { configFile } = given;
  if (configFile === undefined) return settingsOf(parse(withVariables(given, env), 'options'), 'options');
  const others = Object.keys(given).filter(name => name !== 'configFile');
  if (others.length > 0) {
    const message = 'belongs into the file that `configFile` names';
    throw new ConfigError(others.map(name => ({ path: `options.${name}`, message })));
  }
  return settingsOf(parse(contentOf(configFile, env), configFile), configFile);
}

/** The same error, the paths of its issues beginning with `origin`. */
export function placed(error: unknown, origin: string): unknown {
  if (!(error instanceof ConfigError)) return error;
  return new ConfigError(error.issues.map(({ path: at, message }) => ({ path: under(origin, at), message })));
}

function under(origin: string, at: string): string {
  if (at === '') return origin;
  if (origin !== 'options') return `${origin}: ${at}`;
  return at.startsWith('[') ? `${origin}${at}` : `${origin}.${at}`;
}

function parse(input: unknown, origin: string): z.infer<typeof own> {
  const result = own.safeParse(input, { jitless: true });
  if (result.success) return result.data;
  throw placed(new ConfigError(describeIssues(result.error.issues, input)), origin);
}

function settingsOf(given: z.infer<typeof own>, origin: string): TransformerSettings {
  const { attemptTimeoutMs, deadlineMs, estimateTokens, ...rest } = given;
  try {
    const config = parseConfig(rest, BESIDE);
    if (Object.keys(config.keyManagement.providers).length === 0) {
      throw new ConfigError([{ path: 'keyManagement.providers', message: 'expected at least one pool of keys' }]);
    }
    return { config, attemptTimeoutMs, deadlineMs, estimateTokens, origin };
  } catch (error) {
    throw placed(error, origin);
  }
}

function contentOf(configFile: string, env: Variables): unknown {
  try {
    return readConfigFile(configFile, { cwd: path.join(homedir(), '.claude-code-router'), env })?.content;
  } catch (error) {
    if (!(error instanceof RegisterError)) throw error;
    throw new ConfigError([{ path: 'options.configFile', message: error.message }]);
  }
}
