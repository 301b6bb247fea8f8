import { execFileSync } from 'node:child_process';
import path from 'node:path';

/** The path of the server's program; undefined where it is not on the PATH. */
export function findRedis(): string | undefined {
  for (const name of ['redis-server', 'valkey-server']) {
    for (const directory of (process.env['PATH'] ?? '').split(path.delimiter)) {
      const file = path.join(directory, name);
      try {
        execFileSync(file, ['--version'], { stdio: 'ignore' });
        return file;
      } catch {
        // Not there.
      }
    }
  }
  return undefined;
}

/** The same, for a test that pauses its server, or ends it. @throws Error saying what to install */
export function redisBinary(): string {
  const found = findRedis();
  if (found !== undefined) return found;
  throw new Error(
    'This test needs a Redis server of its own, whatever REDIS_URL says: install redis-server (or valkey-server), so that ' +
      'it is on the PATH.',
  );
}
