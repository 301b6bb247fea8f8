import { expect, test } from 'vitest';
import type { BreakerListener, StateStore } from '../../src/state/store.ts';
import { FINE, NO_RETRY, providerOf } from '../guard/provider-wait-bench.ts';
import { held, settle } from '../guard/support.ts';

const RECOVERY_MS = 5000;

/** A provider whose breaker other processes speak of. */
function shared(): { tell: (openUntil: number) => void; provider: ReturnType<typeof providerOf> } {
  let listener: BreakerListener | undefined;
  const store = {
    open: () => ({
      pool: () => { throw new Error('no pool'); },
      breakers: (each: BreakerListener) => {
        listener = each;
        return { openUntil: () => 0, tell: () => undefined };
      },
      close: () => undefined,
    }),
  } as unknown as StateStore;
  const provider = providerOf({ maxWaitMs: 30_000, recoveryTimeMs: RECOVERY_MS }, { retry: NO_RETRY, store });
  return { provider, tell: openUntil => listener!.breakerChanged('p', openUntil) };
}

test('who waits for a trial is woken when another process has opened the breaker meanwhile', async () => {
  const { provider, tell } = shared();
  const { clock } = provider;
  await provider.fail();
  const trial = held();
  provider.reply = trial.fn;
  provider.call('trial');
  const waiting = provider.call('waiting');
  await clock.advance(RECOVERY_MS);
  provider.reply = 'fine';
  // The trial of another process has failed at once; ours is still out.
  tell(clock.now() + RECOVERY_MS);
  await clock.advance(RECOVERY_MS + 10);
  // The provider may be asked again since, and answers.
  const late = provider.call('late');
  await clock.advance(10_000);
  expect([waiting, late]).toEqual([FINE, FINE]);
});

test('a trial that is answered closes the breaker, whatever another process has found out before', async () => {
  const { provider, tell } = shared();
  const { clock } = provider;
  await provider.fail();
  const trial = held();
  provider.reply = trial.fn;
  provider.call('trial');
  const waiting = provider.call('waiting');
  await clock.advance(RECOVERY_MS);
  provider.reply = 'fine';
  tell(clock.now() + RECOVERY_MS);
  await clock.advance(1000);
  trial.finish('fine');
  await settle();
  await clock.advance(20_000);
  expect(waiting).toEqual(FINE);
});
