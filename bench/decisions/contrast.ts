// Run: npx tsx bench/decisions/contrast.ts
import { ManualClock } from '../../test/support/manual-clock.ts';
import { ExecutionGuard } from '../../src/index.ts';

const CALLS = 20;

/** 20 calls one after the other; `isRefused` says which keys are answered with a 401. */
async function run(label: string, size: number, isRefused: (keyId: string | undefined) => boolean): Promise<void> {
  const keys = Array.from({ length: size }, (_, i) => ({ id: `key ${i}`, key: `secret ${i}` }));
  const config = { keyManagement: { maxWaitMs: 0, providers: { provider: { keys } } } };
  const guard = new ExecutionGuard(config, { clock: new ManualClock() });
  let attempts = 0;
  const seen: Record<string, number> = {};
  for (let i = 0; i < CALLS; i++) {
    const outcome = await guard
      .execute(({ keyId }) => {
        attempts++;
        return new Response('', { status: isRefused(keyId) ? 401 : 200 });
      }, 'provider')
      .then(({ status }) => String(status), () => 'none ready');
    seen[outcome] = (seen[outcome] ?? 0) + 1;
  }
  const disabled = guard.explain('provider').keys.filter(({ state }) => state === 'disabled').length;
  guard.close();
  const outcomes = Object.entries(seen).map(([outcome, count]) => `${count} x ${outcome}`);
  console.log(`${label}, ${size} keys: ${outcomes.join(', ')}; ${attempts} attempts; ${disabled} disabled`);
}

for (const size of [1, 2, 3, 10]) {
  await run('one bad key', size, keyId => keyId === 'key 0');
  await run('wrong base URL', size, () => true);
}
