import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
  type BigIntStats,
} from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, withFileLock } from './file-lock.ts';

/** For its owner alone: it says which keys there are, and what they were used for. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;
/** A write takes no such time: what it has left is of a process that has died. */
const LEFT_BEHIND_MS = 60_000;
const ABSENT = 'absent';

/**
 * A small file that several processes may share. It is read and replaced as a whole: whoever reads it sees it as it was
 * or as it is, never half of it, whenever a process dies.
 */
export class FileStore {
  readonly path: string;
  /** What the file was when it was last read or written here; undefined before that. */
  private seen: string | undefined;
  private writes = 0;
  /** What is being written in the background. */
  private draft: string | undefined;

  constructor(file: string) {
    this.path = path.resolve(file);
  }

  /** True where it is not what was last read or written here. */
  get hasChanged(): boolean {
    return this.identity() !== this.seen;
  }

  /**
   * Its text; undefined where there is none.
   *
   * @throws what the file system says, such as EACCES
   */
  read(): string | undefined {
    let descriptor: number;
    try {
      // Who opens a pipe waits for somebody to write into it.
      descriptor = openSync(this.path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      this.seen = ABSENT;
      return undefined;
    }
    try {
      const found = fstatSync(descriptor);
      // A device is empty, and would be set aside: nobody could use it any more.
      if (!found.isFile() && !found.isDirectory()) throw Object.assign(new Error('Not a file'), { code: 'ENOTFILE' });
      const text = readFileSync(descriptor, 'utf8');
      this.seen = identityOf(fstatSync(descriptor, { bigint: true }));
      return text;
    } finally {
      closeSync(descriptor);
    }
  }

  /**
   * Replaces what was last read; false where it is not there any more, or another process is about to replace it, or a
   * later write of this one has.
   *
   * @throws what the file system says, such as ENOSPC; the file is as it was then
   */
  async replace(text: string): Promise<boolean> {
    const write = ++this.writes;
    mkdirSync(path.dirname(this.path), { recursive: true, mode: DIRECTORY_MODE });
    const draft = this.draftName();
    this.draft = draft;
    try {
      const file = await open(draft, 'wx', FILE_MODE);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      // At once, and not in the background: a synchronous write may come meanwhile, and must have the last word.
      if (write === this.writes && this.commit(draft)) return true;
    } catch (error) {
      await unlink(draft).catch(() => undefined);
      throw error;
    }
    await unlink(draft).catch(() => undefined);
    return false;
  }

  /** As {@link replace}, before it returns. */
  replaceSync(text: string): boolean {
    this.writes++;
    // There may be no time left for who writes it to tidy up.
    if (this.draft !== undefined) discard(this.draft);
    this.draft = undefined;
    mkdirSync(path.dirname(this.path), { recursive: true, mode: DIRECTORY_MODE });
    const draft = this.draftName();
    try {
      const descriptor = openSync(draft, 'wx', FILE_MODE);
      try {
        writeFileSync(descriptor, text);
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      if (this.commit(draft)) return true;
    } catch (error) {
      discard(draft);
      throw error;
    }
    discard(draft);
    return false;
  }

  /** Gives the file another name, which it returns, so that nothing is lost and a new one can begin. */
  setAside(now: number): string {
    const aside = `${this.path}.damaged-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`;
    // Where this fails, what is there is not to be replaced without being read again.
    this.seen = undefined;
    renameSync(this.path, aside);
    this.seen = ABSENT;
    return aside;
  }

  /** Removes what processes have left that died while they wrote. */
  sweep(now: number): void {
    const directory = path.dirname(this.path);
    const prefix = `${path.basename(this.path)}.`;
    for (const name of namesIn(directory)) {
      if (!name.startsWith(prefix) || !name.endsWith('.draft')) continue;
      const draft = path.join(directory, name);
      const found = statSync(draft, { throwIfNoEntry: false });
      if (found && now - found.mtimeMs > LEFT_BEHIND_MS) discard(draft);
    }
  }

  private commit(draft: string): boolean {
    let isReplaced = false;
    const free = withFileLock(`${this.path}.lock`, statSync(draft).mtimeMs, () => {
      if (this.hasChanged) return;
      renameSync(draft, this.path);
      this.seen = this.identity();
      isReplaced = true;
    });
    return free && isReplaced;
  }

  private draftName(): string {
    return `${this.path}.${process.pid}-${randomBytes(4).toString('hex')}.draft`;
  }

  private identity(): string {
    const found = statSync(this.path, { bigint: true, throwIfNoEntry: false });
    return found ? identityOf(found) : ABSENT;
  }
}

function identityOf({ dev, ino, mtimeNs, size }: BigIntStats): string {
  return [dev, ino, mtimeNs, size].join(' ');
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function discard(draft: string): void {
  try {
    unlinkSync(draft);
  } catch {
    // It was not made, or is not ours to remove: there is another reason to speak of.
  }
}
