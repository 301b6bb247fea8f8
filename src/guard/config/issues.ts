import type * as z from 'zod';
import { maskSecret } from '../../keys/mask.ts';
import type { ConfigIssue } from '../errors.ts';
import { nearest } from './nearest.ts';
import { ownMember } from './plain.ts';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** Options at the top that somebody else reads, and what each of them has within. */
export type Sections = Readonly<Record<string, readonly string[]>>;

/** What is often put a level too high. */
const SECTIONS: Sections = { keyManagement: ['providers'] };

/**
 * What is wrong, in sentences. A configuration may hold secrets anywhere, in the wrong place above all,
 * so what was found is named by its type: values appear only where they cannot be a key.
 */
export function describeIssues(issues: readonly Issue[], input: unknown, beside: Sections = {}): ConfigIssue[] {
  const described = issues.flatMap(issue => settleUnions(issue, [])).flatMap(issue => describe(issue, input, beside));
  const seen = new Set<string>();
  return described.filter(({ path, message }) => {
    const key = `${path}\n${message}`;
    return !seen.has(key) && seen.add(key);
  });
}

/** An option as one writes it in code: `keyManagement.providers["*gemini*"].keys[2].limits.rpm`. */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_]\w*$/.test(String(part))) text += `${text === '' ? '' : '.'}${shownName(String(part))}`;
    else text += `[${JSON.stringify(shownName(String(part)))}]`;
  }
  return text;
}

/** The issues of the alternative that was meant, or the union's own where none of them resembles the input. */
function settleUnions(issue: Issue, prefix: Path): Issue[] {
  const path = [...prefix, ...issue.path];
  if (issue.code !== 'invalid_union') return [{ ...issue, path }];
  const meant = issue.errors.filter(branch => !branch.some(isOtherKind));
  if (meant.length !== 1) return [{ ...issue, path }];
  return meant[0]!.flatMap(inner => settleUnions(inner, path));
}

function isOtherKind(issue: Issue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === 'invalid_type') return issue.expected !== 'int';
  return issue.code === 'invalid_value' || issue.code === 'custom' || issue.code === 'invalid_union';
}

function describe(issue: Issue, input: unknown, beside: Sections): ConfigIssue[] {
  if (issue.code === 'unrecognized_keys') {
    const known = alternatives(issue.message);
    if (issue.path.length > 0) return issue.keys.map(name => unknownOption(name, issue.path, known));
    return issue.keys.map(name => misplacedOption(name, beside) ?? unknownOption(name, [], [...known, ...Object.keys(beside)]));
  }
  if (issue.code === 'invalid_key') {
    const path = formatPath(issue.path);
    return issue.issues.map(({ message }) => ({ path, message: `the name must be ${message}` }));
  }
  const value = valueAt(input, issue.path);
  const meant = typeof value === 'string' ? nearest(value, alternatives(issue.message)) : undefined;
  const hint = meant === undefined ? '' : `; did you mean \`${meant}\`?`;
  return [{ path: formatPath(issue.path), message: `expected ${issue.message}, found ${found(value, issue)}${hint}` }];
}

function misplacedOption(name: string, beside: Sections): ConfigIssue | undefined {
  const [home] = Object.entries({ ...SECTIONS, ...beside }).find(([, within]) => within.includes(name)) ?? [];
  return home === undefined ? undefined : { path: name, message: `belongs under \`${home}\`: \`${home}.${name}\`` };
}

function unknownOption(name: string, parent: Path, known: readonly string[]): ConfigIssue {
  const meant = nearest(name, known);
  const place = formatPath([...parent, name]);
  if (meant !== undefined) return { path: place, message: `unknown option \`${name}\`, did you mean \`${meant}\`?` };
  const options = `known here: ${known.map(option => `\`${option}\``).join(', ')}`;
  // A pool of keys written as an object of its own puts a secret, or what it is called, in this place.
  if (isUnderKeys(parent) || !/^[A-Za-z_][\w-]{0,31}$/.test(name) || shownName(name) !== name) {
    const message = `unknown option (its name is not shown: it may be a secret); ${options}`;
    return { path: formatPath(parent), message };
  }
  return { path: place, message: `unknown option \`${name}\`; ${options}` };
}

/** The schema's error texts put the names one may choose from in backticks. */
function alternatives(allowed: string): string[] {
  return Array.from(allowed.matchAll(/`([^`]+)`/g), match => match[1]!);
}

function found(value: unknown, issue: Issue): string {
  switch (typeof value) {
    case 'undefined':
      return 'nothing';
    case 'boolean':
      return isUnderKeys(issue.path) ? 'a boolean' : `\`${value}\``;
    case 'number':
      return Number.isNaN(value) ? 'NaN' : mayShow(issue) ? `the number ${value}` : 'a number';
    case 'string':
      if (value.trim() === '') return 'a blank string';
      return mayShow(issue) && isHarmless(value) ? `the string "${value}"` : 'a string';
    case 'object':
      return value === null ? 'null' : kindOf(value);
    default:
      return `a ${typeof value}`;
  }
}

/** Under key management only what stands in the place of a number is shown, and of the keys nothing at all. */
function mayShow(issue: Issue): boolean {
  if (issue.path[0] !== 'keyManagement') return true;
  if (isUnderKeys(issue.path)) return false;
  if (issue.code === 'invalid_type') return issue.expected === 'int';
  return issue.code === 'too_small' || issue.code === 'too_big';
}

function isUnderKeys(path: Path): boolean {
  return path[0] === 'keyManagement' && path[1] === 'providers' && (path[3] === 'keys' || path[3] === 'models');
}

/** A number, a span or a flag in quotes: the usual slip, and no key. */
function isHarmless(text: string): boolean {
  return /^-?[\d.]{1,8} ?(ms|s|m|h|d)?$/i.test(text) || /^(true|false|yes|no|on|off)$/i.test(text);
}

/** A value's type in words. */
export function kindOf(value: object): string {
  if (Array.isArray(value)) return 'an array';
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (tag === 'Object') return 'an object';
  // A tag is the object's own word; only the platform's own are repeated.
  return /^(Map|Set|WeakMap|WeakSet|Date|RegExp|Promise|Error|URL|URLSearchParams|ArrayBuffer)$/.test(tag)
    ? `a ${tag}`
    : 'an object of another kind';
}

/** A name chosen by the user, masked where it looks like a key that was put in the place of a name. */
export function shownName(name: string): string {
  const mask = maskSecret(name);
  const digits = name.replace(/\D/g, '').length;
  const longRun = /(?=[A-Za-z]*\d)[A-Za-z\d]{16,}/.test(name);
  return mask !== '…' || longRun || digits >= 12 || name.length > 64 ? mask : name;
}

function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(ownMember, input);
}
