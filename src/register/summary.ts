import type { ExecutionGuard } from '../guard/execution-guard.ts';

/** One line on what is guarded, without a secret. */
export function summary(guard: ExecutionGuard, pools: readonly string[], configName: string): string {
  const reports = guard.getStats().keys;
  const guarded = pools.map(pattern => {
    const count = reports[pattern]?.keys.length ?? 0;
    return `${pattern} (${count} ${count === 1 ? 'key' : 'keys'})`;
  });
  return `execution-guard: guards ${guarded.join(', ')}; config ${configName}`;
}
