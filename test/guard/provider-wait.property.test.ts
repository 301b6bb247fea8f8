import fc from 'fast-check';
import { expect, test } from 'vitest';
import { benchOf, fateOf, httpError, settle, type Fate } from '../guard/support.ts';

const event = fc.oneof(
  fc.record({ kind: fc.constant('call' as const), deadlineMs: fc.option(fc.integer({ min: 100, max: 40_000 }), { nil: undefined }), leaveMs: fc.option(fc.integer({ min: 0, max: 20_000 }), { nil: undefined }), same: fc.boolean() }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 6000 }) }),
  fc.record({ kind: fc.constant('up' as const), isUp: fc.boolean() }),
  fc.record({ kind: fc.constant('reset' as const) }),
);

test.each([['pool', true], ['no pool', false]])('every held call ends in time, one trial at a time, no timer is left: %s', async (_name, pooled) => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3000 }), async (events, concurrency, tookMs) => {
      const bench = benchOf({
        circuitBreaker: { onOpen: 'wait', failureThreshold: 2, recoveryTimeMs: 10_000, maxWaitMs: 20_000 },
        queue: { concurrency, minDelayMs: 0 },
        retry: { maxRetries: 2, initialBackoffMs: 300, jitterMs: 0 },
        deduplication: { enabled: true },
        ...(pooled && { keyManagement: { maxWaitMs: 20_000, providers: { p: { keys: [{ id: 'a', key: 'sa', limits: { rpm: 5 } }, { id: 'b', key: 'sb', limits: { rpm: 5 } }] } } } }),
      });
      const { clock, guard } = bench;
      let isUp = false;
      let probing = 0;
      let worst = 0;
      let n = 0;
      const fates: Fate[] = [];
      const fn = async () => {
        const wasOpen = guard.getStats().providers.p?.circuitBreakerState !== 'CLOSED';
        if (wasOpen) worst = Math.max(worst, ++probing);
        await new Promise<void>(resolve => void clock.setTimeout(resolve, tookMs));
        if (wasOpen) probing--;
        if (!isUp) throw httpError(503);
        return 'fine';
      };
      for (const each of events) {
        if (each.kind === 'call') {
          const leave = new AbortController();
          if (each.leaveMs !== undefined) clock.setTimeout(() => leave.abort(), each.leaveMs);
          fates.push(fateOf(guard.execute(fn, { providerName: 'p', signal: leave.signal, deduplicationKey: each.same ? 'same' : `k${n++}`, ...(each.deadlineMs !== undefined && { deadlineMs: each.deadlineMs }) })));
        } else if (each.kind === 'wait') await clock.advance(each.ms);
        else if (each.kind === 'up') isUp = each.isUp;
        else guard.resetCircuitBreaker();
      }
      isUp = true;
      await clock.advance(400_000);
      await settle();
      expect(fates.filter(({ state }) => state === 'pending')).toEqual([]);
      expect(clock.pending.foreground).toBe(0);
      const resets = events.some(({ kind }) => kind === 'reset');
      if (!resets) expect(worst).toBeLessThanOrEqual(1);
      guard.close();
    }),
    { numRuns: 150 },
  );
});
