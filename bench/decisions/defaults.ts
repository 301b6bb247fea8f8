// Run: npx tsx bench/decisions/defaults.ts
import { ManualClock } from '../../test/support/manual-clock.ts';
import { ExecutionGuard, type ExecutionGuardConfig } from '../../src/index.ts';
import { oldGuardDefaults } from '../../scripts/lib/examples.ts';

const CALLS = 20;
const LATENCY_MS = 1000;

/** 20 calls at once over four idle keys, each answered after a second; on a clock that is moved by hand. */
async function burst(label: string, config: ExecutionGuardConfig): Promise<void> {
  const clock = new ManualClock();
  const startedAt = clock.now();
  const keyManagement = { providers: { provider: { keys: ['first', 'second', 'third', 'fourth'] } } };
  const guard = new ExecutionGuard({ ...config, persistence: { enabled: false }, keyManagement }, { clock });
  let answered = 0;
  let refused = 0;
  let lastAnswerMs = 0;
  const upstream = (): Promise<number> => new Promise(resolve => clock.setTimeout(() => resolve(0), LATENCY_MS));
  for (let i = 0; i < CALLS; i++) {
    guard.execute(upstream, 'provider').then(
      () => {
        answered++;
        lastAnswerMs = clock.now() - startedAt;
      },
      () => refused++,
    );
  }
  await clock.advance(3_600_000);
  guard.close();
  console.log(`${label}: ${answered} answered, the last after ${lastAnswerMs / 1000} s; ${refused} refused`);
}

await burst('own defaults', {});
await burst('old defaults', oldGuardDefaults);
await burst('old defaults without rules', { ...oldGuardDefaults, rateLimiting: { enabled: false } });
