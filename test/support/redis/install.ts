import { execFileSync } from 'node:child_process';
import { redisBinary } from './binary.ts';

/** Once, before all tests: files run side by side, and would get into each other's way. */
export default function installRedis(): void {
  try {
    redisBinary();
    return;
  } catch {
    // To be installed, then.
  }
  const options = { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } } as const;
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', 'redis-server']]) {
    try {
      execFileSync('apt-get', args, options);
    } catch {
      // The last word is whether it is there.
    }
  }
  redisBinary();
}
