import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { nothingFound, readConfigFile, type ConfigFile } from '../../src/register/config-file.ts';
import { RegisterError } from '../../src/register/error.ts';

let cwd: string;

beforeEach(() => {
  cwd = mkdtempSync(path.join(tmpdir(), 'execution-guard-config-'));
});

afterEach(() => {
  rmSync(cwd, { recursive: true });
});

function read(files: Record<string, string>, named?: string, env: Record<string, string> = {}): ConfigFile | undefined {
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(cwd, name), text);
  return readConfigFile(named, { cwd, env });
}

function refusal(...args: Parameters<typeof read>): string {
  try {
    read(...args);
  } catch (error) {
    if (error instanceof RegisterError) return error.message;
    throw error;
  }
  throw new Error('it was read');
}

test('is no file where there is none, and a blank variable names none', () => {
  expect(read({ 'other.json': '{}' }, undefined, { EXECUTION_GUARD_CONFIG: ' ' })).toBeUndefined();
});

test('that there is none is said, with a file that is not looked for, unless a blank variable allows it', () => {
  const said = `no configuration found in ${cwd} (execution-guard.config.json, .yaml, .yml, .mjs); guards nothing`;
  expect(nothingFound({ cwd, env: {} })).toBe(said);
  expect(nothingFound({ cwd, env: { EXECUTION_GUARD_CONFIG: ' ' } })).toBeUndefined();
  writeFileSync(path.join(cwd, 'execution-guard.config.js'), '');
  expect(nothingFound({ cwd, env: {} })).toBe(
    `${said}; execution-guard.config.js is there: name it in EXECUTION_GUARD_CONFIG`,
  );
});

test.each([
  ['execution-guard.config.json', '\uFEFF{ "maxRetries": 2 }'],
  ['execution-guard.config.yaml', 'maxRetries: 2'],
  ['execution-guard.config.yml', 'base: &base 2\nmaxRetries: *base'],
  ['execution-guard.config.mjs', 'export default { maxRetries: 2 }'],
])('%s is found', (name, text) => {
  expect(read({ [name]: text })).toMatchObject({ name, content: { maxRetries: 2 } });
});

test('what is named goes before the variable, and that before what is found', () => {
  const files = {
    'execution-guard.config.json': '{ "maxRetries": 1 }',
    'second.json': '{ "maxRetries": 2 }',
    'third.cjs': 'module.exports = { maxRetries: 3 }',
  };
  const env = { EXECUTION_GUARD_CONFIG: 'second.json' };
  expect(read(files)?.content).toEqual({ maxRetries: 1 });
  expect(read(files, undefined, env)?.content).toEqual({ maxRetries: 2 });
  expect(read(files, 'third.cjs', env)?.content).toEqual({ maxRetries: 3 });
});

test('an empty YAML file says nothing', () => {
  expect(read({ 'execution-guard.config.yml': '# nothing yet\n' })?.content).toBeUndefined();
});

test('keys are taken from the environment where they are written so, and nothing else is', () => {
  const pools = (keys: unknown): object => ({ keyManagement: { providers: { '${ONE}': { keys, strategy: '${ONE}' } } } });
  const text = JSON.stringify(
    pools(['${ONE}', 'plain', 'a-${ONE}-${TWO}', { id: '${ONE}', key: '${TWO}' }, '${MISSING}', 'x${MISSING}', null, 5]),
  );
  const env = { ONE: ' first ', TWO: 'second', MISSING: ' ' };
  expect(read({ 'a.json': text }, 'a.json', env)?.content).toEqual(
    pools(['first', 'plain', 'a-first-second', { id: '${ONE}', key: 'second' }, '', '', null, 5]),
  );
  for (const other of ['[]', '{ "keyManagement": 1 }', '{ "keyManagement": { "providers": [] } }']) {
    expect(read({ 'a.json': other }, 'a.json', env)?.content).toEqual(JSON.parse(other));
  }
  const byModel = (keys: unknown): object => ({ keyManagement: { providers: { a: { models: { '${ONE}': keys, m: { env: '${ONE}' } } } } } });
  const models = JSON.stringify(byModel(['${ONE}', { key: '${TWO}' }, '${MISSING}']));
  expect(read({ 'a.json': models }, 'a.json', env)?.content).toEqual(byModel(['first', { key: 'second' }, '']));
  const odd = { keyManagement: { providers: { a: { models: ['${ONE}'] } } } };
  expect(read({ 'a.json': JSON.stringify(odd) }, 'a.json', env)?.content).toEqual(odd);
  const fromVariables = JSON.stringify(pools({ env: '${ONE}' }));
  expect(read({ 'a.json': fromVariables }, 'a.json', env)?.content).toEqual(pools({ env: '${ONE}' }));
});

const BILLION = [
  'a: &a [x, x, x, x, x, x, x, x, x, x]',
  ...['b', 'c', 'd'].map((name, at) => `${name}: &${name} [${Array(10).fill(`*${'abc'[at]}`).join()}]`),
].join('\n');
const SECRET = 'sk-proj-0123456789abcdef';

test.each([
  ['unknown.json', '', undefined, /^unknown\.json: there is no such file in /],
  ['a.toml', '', 'a.toml', /^a\.toml: a configuration file ends in \.json, \.yaml, \.yml, \.mjs, \.js or \.cjs$/],
  ['a.json', `{ "a": ${SECRET} }`, 'a.json', /^a\.json: not valid JSON$/],
  ['a.json', `{\n  "a": "${SECRET}" "b": 1 }`, 'a.json', /^a\.json: not valid JSON at line 2, column \d+$/],
  ['a.yaml', `a: 1\na: ${SECRET}`, 'a.yaml', /^a\.yaml: not valid YAML at line 2, column 1 \(DUPLICATE_KEY\)$/],
  ['a.yaml', `a: 1\nb: *${SECRET}`, 'a.yaml', /^a\.yaml: not valid YAML at line 2, column 4: `\*` begins an alias, and it leads nowhere; quote/],
  ['a.yaml', `providers:\n  *gemini*:\n    keys: [${SECRET}]`, 'a.yaml', /^a\.yaml: not valid YAML at line 2, column 3: .*; quote what begins with `\*`$/],
  ['a.yaml', `a: "${SECRET}"\nkeys: ['\${A}', \${B}]`, 'a.yaml', /^a\.yaml: not valid YAML at line 2, column \d+ \([A-Z_]+\); quote `\${\.\.\.}`$/],
  ['a.yaml', `keys: [{ key: \${A} }]`, 'a.yaml', /^a\.yaml: not valid YAML at line 1, column \d+ \([A-Z_]+\); quote `\${\.\.\.}`$/],
  ['a.yaml', "keys: ['${A}'\nb: 1", 'a.yaml', /^a\.yaml: not valid YAML at line \d+, column \d+ \([A-Z_]+\)$/],
  ['a.yaml', BILLION, 'a.yaml', /^a\.yaml: not valid YAML: an alias leads to too much$/],
  ['a.mjs', `await 1;\nexport default '${SECRET}';`, 'a.mjs', /^a\.mjs: `await` at the top level .* is not supported$/],
  ['a.mjs', `export const key = '${SECRET}';`, 'a.mjs', /^a\.mjs: there is no default export/],
  ['a.cjs', `\n\nthrow new TypeError('${SECRET}');`, 'a.cjs', /^a\.cjs: loading it threw TypeError at line 3$/],
  ['a.cjs', `throw '${SECRET}';`, 'a.cjs', /^a\.cjs: loading it threw string$/],
  ['a.cjs', `const a = '${SECRET}`, 'a.cjs', /^a\.cjs: loading it threw SyntaxError at line 1$/],
  ['a.cjs', "\nrequire('./missing')", 'a.cjs', /^a\.cjs: the module \.\/missing, which it loads at line 2, is not there$/],
  ['a.mjs', "import './missing.mjs';\nexport default {};", 'a.mjs', /^a\.mjs: the module missing\.mjs, which it loads, is not there$/],
  ['a.mjs', "import 'no-package';\nexport default {};", 'a.mjs', /^a\.mjs: the module no-package, which it loads, is not there$/],
  ['a.mjs', "import { no } from 'node:path';\nexport default {};", 'a.mjs', /^a\.mjs: the module node:path has no export no$/],
  ['a.mjs', `export default {\n  key: '${SECRET}\n};`, 'a.mjs', /^a\.mjs: loading it threw SyntaxError at line 2$/],
])('%s that is wrong is refused, and not quoted: %s', (name, text, named, said) => {
  const message = refusal(named === undefined ? {} : { [name]: text }, named ?? name);
  expect(message).toMatch(said);
  expect(message).not.toContain(SECRET.slice(8));
});

test('a directory of that name cannot be read', () => {
  mkdirSync(path.join(cwd, 'a.json'));
  expect(refusal({}, 'a.json')).toBe('a.json: cannot be read (EISDIR)');
});

test('two files are one too many, and the variable settles it', () => {
  const files = { 'execution-guard.config.json': '{}', 'execution-guard.config.mjs': 'export default {}' };
  expect(refusal(files)).toContain('execution-guard.config.json, execution-guard.config.mjs; keep one');
  const env = { EXECUTION_GUARD_CONFIG: 'execution-guard.config.mjs' };
  expect(read(files, undefined, env)?.name).toBe('execution-guard.config.mjs');
});

test('a missing file says who has named it', () => {
  expect(refusal({}, undefined, { EXECUTION_GUARD_CONFIG: 'none.json' })).toContain('EXECUTION_GUARD_CONFIG names it');
  expect(refusal({}, 'none.json')).not.toContain('EXECUTION_GUARD_CONFIG');
});
