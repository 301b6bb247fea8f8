import { execFileSync } from 'node:child_process';
import { findRedis } from './binary.ts';

/** Once, before all tests: files run side by side, and would get into each other's way. */
export default function installRedis(): void {
  if (findRedis() !== undefined || process.env['REDIS_URL']) return;
  const options = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const;
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'redis-server']]) {
    try {
      execFileSync('apt-get', args, options);
    } catch {
      // The last word is whether it is there.
    }
  }
  if (findRedis() !== undefined) return;
  throw new Error(
    'The tests need Redis: install redis-server (or valkey-server), so that it is on the PATH. With REDIS_URL those run that ' +
      'do with a server they may neither pause nor end.',
  );
}
