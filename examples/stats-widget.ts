// Run: npx tsx examples/stats-widget.ts
import { ExecutionGuard, type ExecutionStats } from 'execution-guard';

/** What a page that shows the guard needs, as text. Every number is there from the first moment. */
export function widget({ deduplication, queue, retry, providers, keys }: ExecutionStats): string {
  const lines = [
    `queue     ${queue.currentSize} waiting, ${queue.averageWaitTime.toFixed(0)} ms on average`,
    `retries   ${retry.totalRetries}, ${retry.successAfterRetry} calls saved by them, ${retry.finalFailures} lost`,
    `cache     ${(100 * deduplication.cacheHitRate).toFixed(0)} % of comparable calls`,
  ];
  for (const { name, isOnline, circuitBreakerState, totalRequests } of Object.values(providers)) {
    lines.push(`${name}: ${isOnline ? 'online' : 'in recovery'}, breaker ${circuitBreakerState}, ${totalRequests} calls`);
  }
  for (const pool of Object.values(keys)) {
    lines.push(`pool ${pool.pattern}: ${pool.ready} of ${pool.keys.length} keys ready, strategy ${pool.strategy}`);
    for (const { id, mask, state, requests, rateLimitHits, healthScore, quota } of pool.keys) {
      const left = quota.rpm === undefined ? '' : `, ${quota.rpm.left} of ${quota.rpm.limit} left this minute`;
      const health = (100 * healthScore).toFixed(0);
      lines.push(`  ${id} (${mask}) ${state}: ${requests} attempts, ${rateLimitHits} times 429, health ${health} %${left}`);
    }
  }
  return lines.join('\n');
}

const guard = new ExecutionGuard({
  keyManagement: {
    providers: {
      openai: {
        keys: [
          { id: 'web', key: 'sk-proj-not-a-real-key-1', limits: { rpm: 20 } },
          { id: 'batch', key: 'sk-proj-not-a-real-key-2' },
        ],
      },
    },
  },
});
for (let i = 0; i < 6; i++) {
  await guard.execute(({ keyId }) => new Response('', { status: keyId === 'batch' ? 429 : 200 }), 'openai');
}
console.log(widget(guard.getStats()));
guard.close();
