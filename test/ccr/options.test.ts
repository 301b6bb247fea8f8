import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { placed, readOptions, type TransformerSettings } from '../../src/ccr/options.ts';
import { ConfigError } from '../../src/index.ts';
import { page } from '../docs/pages.ts';
import { isRecord } from '../support/loopback/json.ts';

const SECRET = 'a-secret-nobody-may-see';
const pools = { keyManagement: { providers: { gemini: { keys: [SECRET] } } } };

function keysOf({ config }: TransformerSettings): unknown {
  return config.keyManagement.providers['gemini']?.keys;
}

/** What a person would read in the router's log. */
function complaint(options: unknown): string {
  try {
    readOptions(options, {});
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split('\n').slice(1).join('\n').trim();
    throw error;
  }
  throw new Error('nothing is wrong');
}

test('are the configuration of a guard, with times and estimates for all requests', () => {
  const settings = readOptions(
    { ...pools, maxRetries: 2, attemptTimeoutMs: 10, deadlineMs: 20, estimateTokens: true },
    {},
  );
  expect(settings).toMatchObject({
    config: { retry: { maxRetries: 2 } },
    attemptTimeoutMs: 10,
    deadlineMs: 20,
    estimateTokens: true,
  });
  expect(keysOf(settings)).toEqual([SECRET]);
});

test('name environment variables as the rest of the file does', () => {
  const options = { keyManagement: { providers: { gemini: { keys: ['$A_KEY', { id: 'b', key: '${B_KEY}' }] } } } };
  const settings = readOptions(options, { A_KEY: 'one', B_KEY: 'two' });
  expect(keysOf(settings)).toEqual(['one', expect.objectContaining({ id: 'b', key: 'two' })]);
});

test('are accepted as the documentation shows them', () => {
  const [block] = page('docs/integrations/claude-code-router.md').blocks.filter(({ language }) => language === 'json');
  const config: unknown = JSON.parse(block?.text ?? '');
  const [entry] = isRecord(config) && Array.isArray(config.transformers) ? (config.transformers as unknown[]) : [];
  const settings = readOptions(isRecord(entry) ? entry.options : undefined, { GEMINI_ANN: 'one' });
  expect(keysOf(settings)).toEqual([expect.objectContaining({ key: 'one' }), expect.objectContaining({ key: '' })]);
});

test.each([
  [undefined, 'options.keyManagement.providers: expected at least one pool of keys'],
  [{ keyManagement: {} }, 'options.keyManagement.providers: expected at least one pool of keys'],
  [[pools], 'options: expected an object of options, found an array'],
  [{ ...pools, deadlineMs: 0 }, 'options.deadlineMs: expected a number of ms, 1 or more, found the number 0'],
  [{ ...pools, estimateTokens: 1 }, 'options.estimateTokens: expected `true` or `false`, found the number 1'],
  [{ ...pools, 'no-such': 1 }, expect.stringContaining('options["no-such"]: unknown option `no-such`; known here: ')],
  [{ ...pools, deadlineMS: 1 }, 'options.deadlineMS: unknown option `deadlineMS`, did you mean `deadlineMs`?'],
  [{ configFile: ' ' }, 'options.configFile: expected the path of a file, found a blank string'],
  [{ ...pools, maxRetriez: 2 }, 'options.maxRetriez: unknown option `maxRetriez`, did you mean `maxRetries`?'],
  [
    { keyManagement: { providers: { '*gemini*': { keys: [{ key: SECRET, weight: SECRET }] } } } },
    'options.keyManagement.providers["*gemini*"].keys[0].weight: expected a number, 0 or more, found a string',
  ],
])('name what is wrong by its path: %#', (options, message) => {
  expect(complaint(options)).toEqual(message);
});

test('no other error is taken for one of theirs', () => {
  const error = new TypeError('something else');
  expect(placed(error, 'options')).toBe(error);
});

describe('in a file', () => {
  let home: string;
  const write = (name: string, content: string): string => {
    const file = path.join(home, '.claude-code-router', name);
    writeFileSync(file, content);
    return file;
  };

  beforeEach(() => {
    home = mkdtempSync(path.join(tmpdir(), 'home-'));
    mkdirSync(path.join(home, '.claude-code-router'));
    vi.stubEnv('HOME', home);
    vi.stubEnv('USERPROFILE', home);
  });

  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(home, { recursive: true });
  });

  test('are read from beside the config.json of the router', () => {
    write('keys.json', JSON.stringify({ ...pools, deadlineMs: 20 }));
    const settings = readOptions({ configFile: 'keys.json' }, {});
    expect(settings.deadlineMs).toBe(20);
    expect(keysOf(settings)).toEqual([SECRET]);
  });

  test('are read from wherever an absolute path says, with its variables', () => {
    const file = write('elsewhere.yaml', 'keyManagement: { providers: { gemini: { keys: ["${A_KEY}"] } } }');
    expect(keysOf(readOptions({ configFile: file }, { A_KEY: 'one' }))).toEqual(['one']);
  });

  test('have their variables in the keys by model, too', () => {
    const file = write('models.json', '{ "keyManagement": { "providers": { "gemini": { "models": { "pro": ["${A_KEY}"] } } } } }');
    const { config } = readOptions({ configFile: file }, { A_KEY: 'one' });
    expect(config.keyManagement.providers['gemini']?.models).toEqual({ pro: ['one'] });
  });

  test('are wrong in that file', () => {
    write('keys.json', JSON.stringify({ ...pools, deadlineMs: -1 }));
    expect(complaint({ configFile: 'keys.json' })).toMatch(/^keys\.json: deadlineMs: expected a number of ms/);
    write('keys.json', JSON.stringify({ ...pools, retry: 3 }));
    expect(complaint({ configFile: 'keys.json' })).toMatch(/^keys\.json: retry: expected an object of options/);
    write('keys.json', '[]');
    expect(complaint({ configFile: 'keys.json' })).toMatch(/^keys\.json: expected an object of options/);
  });

  test('stand in one place only', () => {
    write('keys.json', JSON.stringify(pools));
    const message = 'options.deadlineMs: belongs into the file that `configFile` names';
    expect(complaint({ configFile: 'keys.json', deadlineMs: 20 })).toBe(message);
  });

  test('are missed where the file cannot be read, and not quoted where it is no JSON', () => {
    expect(complaint({ configFile: 'none.json' })).toMatch(/^options\.configFile: none\.json: there is no such file/);
    write('keys.json', `{ "keys": "${SECRET}" `);
    expect(complaint({ configFile: 'keys.json' })).toMatch(/^options\.configFile: keys\.json: not valid JSON/);
  });
});
