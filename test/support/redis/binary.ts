import { execFileSync } from 'node:child_process';
import path from 'node:path';

/** The path of the server's program. @throws Error saying what to install, where it is not on the PATH */
export function redisBinary(): string {
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
  throw new Error('The tests need Redis: install redis-server (or valkey-server), so that it is on the PATH.');
}
