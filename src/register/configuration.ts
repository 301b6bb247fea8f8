import { kindOf } from '../guard/config/issues.ts';
import { parseConfig } from '../guard/config/parse.ts';
import { isOptions } from '../guard/config/plain.ts';
import type { ExecutionGuardConfig, ResolvedConfig } from '../guard/config/types.ts';
import { ConfigError, type ConfigIssue } from '../guard/errors.ts';
import { RegisterError } from './error.ts';
import { readSection, SECTION_OPTIONS, type RegisterSection } from './section.ts';

/** A configuration that holds, taken apart. */
export interface Configuration {
  /** What the guard is given. */
  readonly guard: ExecutionGuardConfig;
  /** The same with every default, for whoever reads it. */
  readonly resolved: ResolvedConfig;
  readonly section: RegisterSection;
}

/**
 * @param name what the configuration is called in errors: its file
 * @throws RegisterError naming everything that is wrong, at once
 */
export function checked(content: unknown, name: string): Configuration {
  if (content !== undefined && !isOptions(content)) {
    const found = typeof content === 'object' && content !== null ? kindOf(content) : `a ${typeof content}`;
    throw invalid(name, [{ path: '', message: `expected an object of options, found ${content === null ? 'null' : found}` }]);
  }
  const { register, ...guard } = content ?? {};
  const read = readSection(register);
  const issues = [...(read.issues ?? [])];
  try {
    const resolved = parseConfig(guard, { register: SECTION_OPTIONS });
    if (!read.issues) return { guard, resolved, section: read.section };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    issues.unshift(...error.issues);
  }
  throw invalid(name, issues);
}

export function invalid(name: string, issues: readonly ConfigIssue[]): RegisterError {
  const lines = issues.map(({ path, message }) => `\n  ${path === '' ? 'config' : path}: ${message}`);
  return new RegisterError(`${name} is not valid; please correct:${lines.join('')}`);
}
