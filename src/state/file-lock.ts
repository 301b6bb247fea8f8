import { closeSync, openSync, statSync, unlinkSync } from 'node:fs';

/** Held for as long as a rename takes: whoever holds it for longer has died. */
const STALE_MS = 5000;

/**
 * Runs `action` while no other process runs one under the same lock; false where one does.
 *
 * @param nowMs the file system's present time
 */
export function withFileLock(path: string, nowMs: number, action: () => void): boolean {
  if (!tryLock(path)) {
    if (!isStale(path, nowMs)) return false;
    remove(path);
    if (!tryLock(path)) return false;
  }
  try {
    action();
  } finally {
    remove(path);
  }
  return true;
}

function tryLock(path: string): boolean {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function isStale(path: string, nowMs: number): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined || nowMs - found.mtimeMs > STALE_MS;
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** Such as `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
