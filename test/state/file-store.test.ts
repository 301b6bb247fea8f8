import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeOf, withFileLock } from '../../src/state/file-lock.ts';
import { FileStore } from '../../src/state/file-store.ts';

let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'file-store-'));
  file = path.join(directory, 'state.json');
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** A store that has seen what there is. */
function open(): FileStore {
  const store = new FileStore(file);
  store.read();
  return store;
}

const ways = [
  ['in the background', (store: FileStore, text: string) => store.replace(text)],
  ['at once', (store: FileStore, text: string) => Promise.resolve(store.replaceSync(text))],
] as const;

describe.each(ways)('replaced %s', (_, replace) => {
  test('it says what was written, and nothing is left beside it', async () => {
    const store = open();
    expect(await replace(store, 'one')).toBe(true);
    expect(await replace(store, 'two')).toBe(true);
    expect(store.hasChanged).toBe(false);
    expect(readFileSync(file, 'utf8')).toBe('two');
    expect(readdirSync(directory)).toEqual(['state.json']);
  });

  test('it is left alone where it was not read, or is another one since', async () => {
    writeFileSync(file, 'theirs');
    expect(await replace(new FileStore(file), 'mine')).toBe(false);
    const store = open();
    expect(open().replaceSync('theirs again')).toBe(true);
    expect(store.hasChanged).toBe(true);
    expect(await replace(store, 'mine')).toBe(false);
    expect(readFileSync(file, 'utf8')).toBe('theirs again');
    expect(store.read()).toBe('theirs again');
    expect(await replace(store, 'mine')).toBe(true);
    expect(readdirSync(directory)).toEqual(['state.json']);
  });

  test('it is left alone while another process replaces it', async () => {
    const store = open();
    writeFileSync(`${file}.lock`, '');
    expect(await replace(store, 'mine')).toBe(false);
    expect(readdirSync(directory)).toEqual(['state.json.lock']);
  });

  test('it is as it was where that fails', async () => {
    mkdirSync(file);
    const attempt = new Promise(resolve => resolve(replace(new Impatient(file), 'mine')));
    await expect(attempt).rejects.toMatchObject({ code: 'EISDIR' });
    expect(readdirSync(directory)).toEqual(['state.json']);
  });
});

/** Takes whatever is there for what it has seen. */
class Impatient extends FileStore {
  override get hasChanged(): boolean {
    return false;
  }
}

test('what is written at once has the last word over what is on its way', async () => {
  const store = open();
  const slow = store.replace('old');
  expect(store.replaceSync('new')).toBe(true);
  expect(await slow).toBe(false);
  expect(readFileSync(file, 'utf8')).toBe('new');
  expect(readdirSync(directory)).toEqual(['state.json']);
});

test('a file that is not there has no text; one that is a folder cannot be read', () => {
  expect(new FileStore(file).read()).toBeUndefined();
  mkdirSync(file);
  expect(() => new FileStore(file).read()).toThrow(expect.objectContaining({ code: 'EISDIR' }) as Error);
});

test.runIf(process.platform === 'linux')('a pipe or a device in its place cannot be read, and stays where it is', () => {
  execFileSync('mkfifo', [file]);
  expect(() => new FileStore(file).read()).toThrow(expect.objectContaining({ code: 'ENOTFILE' }) as Error);
  rmSync(file);
  symlinkSync('/dev/null', file);
  expect(() => new FileStore(file).read()).toThrow(expect.objectContaining({ code: 'ENOTFILE' }) as Error);
  expect(lstatSync(file).isSymbolicLink()).toBe(true);
});

test('one that cannot be set aside has to be read again before it is replaced', () => {
  writeFileSync(file, 'damaged');
  const store = open();
  rmSync(file);
  expect(() => store.setAside(0)).toThrow(expect.objectContaining({ code: 'ENOENT' }) as Error);
  expect(store.hasChanged).toBe(true);
});

test('sweeping a folder that is not there does nothing', () => {
  new FileStore(path.join(directory, 'nowhere', 'state.json')).sweep(0);
  expect(readdirSync(directory)).toEqual([]);
});

test('drafts that may still be written are not swept', () => {
  const draft = `${file}.1-00000000.draft`;
  writeFileSync(draft, '');
  utimesSync(draft, 1000, 1000);
  const store = new FileStore(file);
  store.sweep(1_060_000);
  expect(existsSync(draft)).toBe(true);
  store.sweep(1_060_001);
  expect(existsSync(draft)).toBe(false);
});

describe('a lock', () => {
  test('is had by one at a time, and given back, whatever happens', () => {
    const lock = path.join(directory, 'lock');
    let inner: boolean | undefined;
    const outer = withFileLock(lock, 0, () => {
      inner = withFileLock(lock, 0, () => undefined);
    });
    expect([outer, inner]).toEqual([true, false]);
    const fail = (): never => {
      throw new Error('a bug');
    };
    expect(() => withFileLock(lock, 0, fail)).toThrow('a bug');
    expect(existsSync(lock)).toBe(false);
  });

  test('of a process that has died is taken over', () => {
    const lock = path.join(directory, 'lock');
    writeFileSync(lock, '');
    utimesSync(lock, 1000, 1000);
    expect(withFileLock(lock, 1_005_000, () => undefined)).toBe(false);
    expect(withFileLock(lock, 1_005_001, () => undefined)).toBe(true);
    expect(existsSync(lock)).toBe(false);
  });

  test('that cannot be made is an error', () => {
    expect(() => withFileLock(path.join(directory, 'nowhere', 'lock'), 0, () => undefined)).toThrow('ENOENT');
  });

  test('may be gone before it is given back', () => {
    const lock = path.join(directory, 'lock');
    expect(withFileLock(lock, 0, () => rmSync(lock))).toBe(true);
  });
});

test('the code of an error is a text, or none', () => {
  expect(codeOf(Object.assign(new Error('x'), { code: 'EIO' }))).toBe('EIO');
  expect([new Error('x'), Object.assign(new Error('x'), { code: 5 }), 'EIO', null].map(codeOf)).toEqual(Array(4).fill(undefined));
});
