import { describe, expect, test } from 'vitest';
import type { CallContext } from '../../src/guard/options.ts';
import { CircuitOpenError, ExecutionGuard } from '../../src/index.ts';
import { SharedStore } from '../../src/simulate/shared-store.ts';
import { FINE, namesOf, NO_RETRY, providerOf, RECOVERY_MS, timesOf, type Provider } from './provider-wait-bench.ts';
import { fateOf, heard, held, httpError, ManualClock, rejectionOf, settle, type Fate } from './support.ts';

describe('a call that comes while the breaker is open', () => {
  test('is held, and answered once the provider is back', async () => {
    const provider = providerOf();
    await provider.fail();
    const call = provider.call('a');
    await provider.clock.advance(RECOVERY_MS - 1);
    expect(call.state).toBe('pending');
    expect(provider.asked).toEqual([]);
    await provider.clock.advance(1);
    expect(call).toEqual(FINE);
    expect(timesOf(provider)).toEqual([RECOVERY_MS]);
    expect(provider.state()).toBe('CLOSED');
    expect(provider.clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('is rejected at once where calls are not to wait', async () => {
    const provider = providerOf({ onOpen: 'reject' });
    await provider.fail();
    const call = provider.call('a');
    await settle();
    expect(call).toMatchObject({ state: 'rejected', value: { code: 'CIRCUIT_OPEN', retryAfterMs: RECOVERY_MS } });
  });

  test('is rejected while another one finds out, where calls are not to wait', async () => {
    const provider = providerOf({ onOpen: 'reject' });
    await provider.fail();
    await provider.clock.advance(RECOVERY_MS);
    const trial = held();
    provider.reply = trial.fn;
    const first = provider.call('a');
    const second = provider.call('b');
    await settle();
    expect(second).toMatchObject({ state: 'rejected', value: { code: 'CIRCUIT_OPEN' } });
    trial.finish('fine');
    await settle();
    expect(first).toEqual(FINE);
  });

  test('leaves it to one at a time to find out, and follows when that one was answered', async () => {
    const provider = providerOf();
    await provider.fail();
    const trial = held();
    provider.reply = trial.fn;
    const calls = ['a', 'b', 'c'].map(name => provider.call(name));
    await provider.clock.advance(RECOVERY_MS + 5000);
    expect(namesOf(provider)).toEqual(['a']);
    const late = provider.call('late');
    await settle();
    expect(namesOf(provider)).toEqual(['a']);
    provider.reply = 'fine';
    trial.finish('fine');
    await settle();
    expect(namesOf(provider)).toEqual(['a', 'b', 'c', 'late']);
    expect([...calls, late]).toEqual([FINE, FINE, FINE, FINE]);
  });

  test('finds out itself where the one before it has failed', async () => {
    const provider = providerOf({ maxWaitMs: 60_000 });
    await provider.fail();
    provider.reply = httpError(503);
    const first = provider.call('a');
    const second = provider.call('b');
    await provider.clock.advance(RECOVERY_MS);
    expect(first).toMatchObject({ state: 'rejected', value: { status: 503 } });
    expect(second.state).toBe('pending');
    expect(provider.state()).toBe('OPEN');
    provider.reply = 'fine';
    await provider.clock.advance(RECOVERY_MS);
    expect(second).toEqual(FINE);
    expect(timesOf(provider)).toEqual([RECOVERY_MS, 2 * RECOVERY_MS]);
  });

  test('finds out itself, at once, where the one before it was aborted', async () => {
    const provider = providerOf();
    await provider.fail();
    provider.reply = held().fn;
    const leave = new AbortController();
    const first = provider.call('a', { signal: leave.signal });
    const second = provider.call('b');
    await provider.clock.advance(RECOVERY_MS);
    provider.reply = 'fine';
    leave.abort();
    await settle();
    expect(first).toMatchObject({ state: 'rejected', value: { code: 'ABORTED' } });
    expect(second).toEqual(FINE);
  });

  test('goes on at once when the breaker is closed by hand', async () => {
    const provider = providerOf();
    await provider.fail();
    const calls = [provider.call('a'), provider.call('b')];
    await settle();
    provider.guard.resetCircuitBreaker();
    await settle();
    expect(calls).toEqual([FINE, FINE]);
  });

  test('has its say in the breaker as one that came when it went', async () => {
    const provider = providerOf({ failureThreshold: 2 });
    await provider.fail();
    await provider.fail();
    const calls = ['a', 'b', 'c'].map(name => provider.call(name));
    await provider.clock.advance(RECOVERY_MS - 1);
    let count = 0;
    provider.reply = () => {
      if (count++ > 0) throw httpError(500);
      return 'fine';
    };
    await provider.clock.advance(1);
    expect(calls.map(({ state }) => state)).toEqual(['resolved', 'rejected', 'rejected']);
    expect(provider.state()).toBe('OPEN');
  });
});

describe('the order', () => {
  test('is that of priority, then of arrival', async () => {
    const provider = providerOf();
    await provider.fail();
    for (const [name, priority] of [['a', 0], ['b', 5], ['c', 0], ['d', 9], ['e', 5]] as const) {
      provider.call(name, { priority });
    }
    await provider.clock.advance(RECOVERY_MS);
    expect(namesOf(provider)).toEqual(['d', 'b', 'e', 'a', 'c']);
  });

  test('a call that comes when the time is up, while others wait, does not go before them', async () => {
    const provider = providerOf();
    await provider.fail();
    const trial = held();
    provider.reply = trial.fn;
    provider.call('a');
    provider.call('b');
    await provider.clock.advance(RECOVERY_MS);
    provider.reply = 'fine';
    trial.fail(new TypeError('a mistake of the caller'));
    const late = provider.call('late');
    await settle();
    expect(namesOf(provider)).toEqual(['a', 'b', 'late']);
    expect(late).toEqual(FINE);
  });

  test('of two providers, one that is down holds up nobody of the other', async () => {
    const provider = providerOf();
    await provider.fail();
    provider.call('a');
    expect(await provider.guard.execute(() => 'other', 'q')).toBe('other');
  });
});

describe('who cannot wait so long', () => {
  test('is rejected at once where the time is up after its deadline', async () => {
    const provider = providerOf();
    await provider.fail();
    const call = provider.call('a', { deadlineMs: RECOVERY_MS - 1 });
    await settle();
    expect(call.value).toBeInstanceOf(CircuitOpenError);
    expect(call.value).toMatchObject({ provider: 'p', retryAfterMs: RECOVERY_MS });
    expect(provider.clock.pending.foreground).toBe(0);
  });

  test('is rejected at once where there would be no time left for a usual answer', async () => {
    const provider = providerOf();
    const slow = held();
    provider.reply = slow.fn;
    provider.call('slow');
    await provider.clock.advance(1000);
    slow.finish('fine');
    await settle();
    await provider.fail();
    // Answers take a second, give or take half a one: few take longer than three and a half.
    const call = provider.call('a', { deadlineMs: RECOVERY_MS + 3499 });
    const patient = provider.call('b', { deadlineMs: RECOVERY_MS + 3500 });
    await settle();
    expect(call.value).toBeInstanceOf(CircuitOpenError);
    provider.reply = 'fine';
    await provider.clock.advance(RECOVERY_MS);
    expect(patient).toEqual(FINE);
  });

  test('waits until maxWaitMs where it has no deadline, and no longer', async () => {
    const provider = providerOf({ maxWaitMs: RECOVERY_MS });
    await provider.fail();
    const call = provider.call('a');
    await provider.clock.advance(RECOVERY_MS);
    expect(call).toEqual(FINE);
    const hurried = providerOf({ maxWaitMs: RECOVERY_MS - 1 });
    await hurried.fail();
    const refused = hurried.call('a');
    await settle();
    expect(refused).toMatchObject({ state: 'rejected', value: { code: 'CIRCUIT_OPEN', retryAfterMs: RECOVERY_MS } });
  });

  test('is told so when the one that finds out has taken too long', async () => {
    const provider = providerOf({ maxWaitMs: RECOVERY_MS + 5000 });
    await provider.fail();
    provider.reply = held().fn;
    provider.call('a');
    const call = provider.call('b');
    await provider.clock.advance(RECOVERY_MS + 4999);
    expect(call.state).toBe('pending');
    await provider.clock.advance(1);
    expect(call.value).toBeInstanceOf(CircuitOpenError);
    // Nobody knows when the trial call will be answered.
    expect(call.value).not.toHaveProperty('retryAfterMs');
  });

  test('is told so when the one that found out has failed, and the next trial comes too late', async () => {
    const provider = providerOf({ maxWaitMs: RECOVERY_MS + 5000 });
    await provider.fail();
    provider.reply = httpError(500);
    provider.call('a');
    const call = provider.call('b');
    await provider.clock.advance(RECOVERY_MS);
    expect(call).toMatchObject({ state: 'rejected', value: { code: 'CIRCUIT_OPEN', retryAfterMs: RECOVERY_MS } });
    expect(namesOf(provider)).toEqual(['a']);
  });

  test('ends at its deadline where that comes while another one finds out', async () => {
    const provider = providerOf();
    await provider.fail();
    provider.reply = held().fn;
    provider.call('a');
    const call = provider.call('b', { deadlineMs: RECOVERY_MS + 2000 });
    await provider.clock.advance(RECOVERY_MS + 2000);
    expect(call).toMatchObject({ state: 'rejected', value: { code: 'DEADLINE_EXCEEDED' } });
    expect(namesOf(provider)).toEqual(['a']);
  });
});

describe('while it is held', () => {
  test('a call is ended by its caller, and nobody else is', async () => {
    const provider = providerOf();
    await provider.fail();
    const leave = new AbortController();
    const gone = provider.call('a', { signal: leave.signal, priority: 5 });
    const stays = provider.call('b');
    await provider.clock.advance(1000);
    const reason = new Error('no longer needed');
    leave.abort(reason);
    await settle();
    expect(gone).toMatchObject({ state: 'rejected', value: { code: 'ABORTED', cause: reason } });
    await provider.clock.advance(RECOVERY_MS - 1000);
    expect(stays).toEqual(FINE);
    expect(namesOf(provider)).toEqual(['b']);
  });

  test('a call is ended with the guard', async () => {
    const provider = providerOf();
    await provider.fail();
    const call = provider.call('a');
    await settle();
    provider.guard.close();
    await settle();
    expect(call).toMatchObject({ state: 'rejected', value: { code: 'CLOSED' } });
    expect(provider.clock.pending.foreground).toBe(0);
  });

  test('a call counts as waiting, and is told of so', async () => {
    const provider = providerOf();
    const told = heard(provider.guard, 'queue');
    await provider.fail();
    provider.call('a');
    await settle();
    expect(told).toMatchObject([{ provider: 'p', what: 'waiting', size: 1 }]);
    await provider.clock.advance(RECOVERY_MS);
    expect(told.slice(1)).toMatchObject([{ what: 'started', size: 0 }]);
  });

  test('no more calls than may wait at all', async () => {
    const provider = providerOf({}, { retry: NO_RETRY, queue: { maxQueueSize: 2 } });
    await provider.fail();
    const calls = ['a', 'b'].map(name => provider.call(name));
    await settle();
    const third = provider.call('c');
    await settle();
    expect(third).toMatchObject({ state: 'rejected', value: { code: 'QUEUE_FULL' } });
    await provider.clock.advance(RECOVERY_MS);
    expect(calls).toEqual([FINE, FINE]);
  });

  test('a call goes on when the breaker is switched off', async () => {
    const provider = providerOf();
    await provider.fail();
    const call = provider.call('a');
    await settle();
    provider.guard.updateConfig({ circuitBreaker: { enabled: false } });
    await settle();
    expect(call).toEqual(FINE);
  });
});

describe('a call that waited for a key when the breaker opened', () => {
  /** One that waits for its key until 61 s, of a provider that is left alone since the first second. */
  async function waitingForKey(recoveryTimeMs: number): Promise<{ provider: Provider; call: Fate }> {
    const keys = [
      { id: 'a', key: 'secret-of-a', models: ['m'], limits: { rpm: 2 } },
      { id: 'b', key: 'secret-of-b', models: ['n'] },
    ];
    const keyManagement = { providers: { p: { keys } } };
    const provider = providerOf({ recoveryTimeMs, maxWaitMs: 5000 }, { retry: NO_RETRY, keyManagement });
    const early = held();
    provider.reply = early.fn;
    provider.call('early', { model: 'm' });
    provider.reply = 'fine';
    provider.call('filler', { model: 'm' });
    const call = provider.call('waiting', { model: 'm', deadlineMs: 120_000 });
    await provider.clock.advance(1000);
    early.fail(httpError(500));
    await settle();
    expect(provider.state()).toBe('OPEN');
    provider.asked.length = 0;
    return { provider, call };
  }

  test('waits for the provider then, and finds out', async () => {
    const { provider, call } = await waitingForKey(70_000);
    await provider.clock.advance(69_999);
    expect(call.state).toBe('pending');
    await provider.clock.advance(1);
    expect(call).toEqual(FINE);
    expect(timesOf(provider)).toEqual([71_000]);
    expect(provider.state()).toBe('CLOSED');
  });

  test('is rejected then where the provider is not back in time', async () => {
    const { provider, call } = await waitingForKey(600_000);
    await provider.clock.advance(62_000);
    expect(call.value).toBeInstanceOf(CircuitOpenError);
    expect(provider.asked).toEqual([]);
  });

  test('follows another one that found out', async () => {
    const { provider, call } = await waitingForKey(50_000);
    const finder = provider.call('finder', { model: 'n', deadlineMs: 120_000 });
    const trial = held();
    provider.reply = trial.fn;
    await provider.clock.advance(65_000);
    expect(timesOf(provider)).toEqual([51_000]);
    expect([call.state, finder.state]).toEqual(['pending', 'pending']);
    provider.reply = 'fine';
    trial.finish('fine');
    await settle();
    expect([call, finder]).toEqual([FINE, FINE]);
  });

  test('goes on with its key where the provider is back before', async () => {
    const { provider, call } = await waitingForKey(30_000);
    await provider.clock.advance(30_000);
    expect(call.state).toBe('pending');
    await provider.clock.advance(32_000);
    expect(call).toEqual(FINE);
  });
});

describe('calls with fallbacks', () => {
  test('are not held: they have somewhere else to go', async () => {
    const provider = providerOf({}, { retry: NO_RETRY, fallbacks: { p: ['q'] } });
    const down = ({ provider: name }: CallContext): string => {
      if (name === 'p') throw httpError(500);
      return 'fine';
    };
    expect(await provider.guard.execute(down, 'p')).toBe('fine');
    expect(provider.state()).toBe('OPEN');
    const call = provider.call('a');
    await settle();
    expect(call).toEqual(FINE);
    expect(provider.guard.getStats().providers.q).toMatchObject({ fallbacksTo: 2 });
    expect(provider.state()).toBe('OPEN');
  });
});

describe('a call that fails while others find the provider failing', () => {
  const retry = { maxRetries: 1, initialBackoffMs: 1000, jitterMs: 0 };

  test('waits for it after its back-off, and is answered', async () => {
    const provider = providerOf({}, { retry });
    provider.reply = httpError(500);
    const call = provider.call('a');
    await provider.clock.advance(500);
    await provider.fail();
    provider.reply = 'fine';
    await provider.clock.advance(RECOVERY_MS - 1);
    expect(call.state).toBe('pending');
    await provider.clock.advance(1);
    expect(call).toEqual(FINE);
    expect(timesOf(provider)).toEqual([0, 500 + RECOVERY_MS]);
    expect(provider.state()).toBe('CLOSED');
  });

  test('ends with its last failure where calls are not to wait', async () => {
    const provider = providerOf({ onOpen: 'reject' }, { retry });
    provider.reply = httpError(500);
    const call = provider.call('a');
    await provider.clock.advance(500);
    await provider.fail();
    await provider.clock.advance(RECOVERY_MS);
    expect(call).toMatchObject({ state: 'rejected', value: { status: 500 } });
    expect(timesOf(provider)).toEqual([0]);
  });

  test('ends with its last failure where the provider is not back in time', async () => {
    const provider = providerOf({}, { retry });
    provider.reply = httpError(500);
    const call = provider.call('a', { deadlineMs: 5000 });
    await provider.clock.advance(500);
    await provider.fail();
    await provider.clock.advance(500);
    expect(call).toMatchObject({ state: 'rejected', value: { status: 500 } });
    expect(timesOf(provider)).toEqual([0]);
  });

  test('tries again after it was the one that found out, and failed, as often as it has retries', async () => {
    const provider = providerOf({ maxWaitMs: 60_000 }, { retry: { ...retry, maxRetries: 2 } });
    await provider.fail();
    provider.reply = httpError(500);
    const call = provider.call('a');
    await provider.clock.advance(RECOVERY_MS);
    expect(call.state).toBe('pending');
    await provider.clock.advance(RECOVERY_MS);
    expect(call.state).toBe('pending');
    await provider.clock.advance(RECOVERY_MS);
    expect(call).toMatchObject({ state: 'rejected', value: { status: 500 } });
    expect(timesOf(provider)).toEqual([1, 2, 3].map(trials => trials * RECOVERY_MS));
  });

  test('leaves the next trial to those who wait already', async () => {
    const provider = providerOf({ maxWaitMs: 60_000 }, { retry: { ...retry, maxRetries: 2 } });
    await provider.fail();
    provider.reply = httpError(500);
    const first = provider.call('a');
    const second = provider.call('b');
    await provider.clock.advance(RECOVERY_MS);
    provider.reply = 'fine';
    await provider.clock.advance(RECOVERY_MS);
    expect([first, second]).toEqual([FINE, FINE]);
    expect(namesOf(provider)).toEqual(['a', 'b', 'a']);
  });

  test('as the one that finds out, ends at once with what no retry helps against', async () => {
    const provider = providerOf({}, { retry });
    await provider.fail();
    provider.reply = httpError(400);
    const call = provider.call('a');
    await provider.clock.advance(RECOVERY_MS);
    expect(call).toMatchObject({ state: 'rejected', value: { status: 400 } });
    // An answer, though a refusal, shows the provider alive.
    expect(provider.state()).toBe('CLOSED');
  });
});

describe('a provider that answers nobody', () => {
  /** Calls that come one after the other, each with retries left, until the provider was asked so often. */
  async function silence(onOpen: 'wait' | 'reject', calls = 5, everyMs = 250): Promise<Provider> {
    const retry = { maxRetries: 50, initialBackoffMs: 100_000, maxBackoffMs: 100_000, jitterMs: 0 };
    const provider = providerOf(
      { onOpen, failureThreshold: 20, recoveryTimeMs: 60_000, maxWaitMs: 600_000 },
      { retry: { ...retry, maxRetryAfterMs: 600_000 } },
    );
    provider.reply = httpError(503);
    for (let index = 0; index < calls; index++) {
      if (index > 0) await provider.clock.advance(everyMs);
      provider.call(`call ${index}`);
      await settle();
    }
    return provider;
  }

  test('of five calls, in a second, is left alone at once, however many retries they have', async () => {
    const provider = await silence('wait');
    expect(provider.asked).toHaveLength(5);
    expect(provider.state()).toBe('OPEN');
    provider.call('held');
    await settle();
    expect(provider.asked).toHaveLength(5);
  });

  test('is not where calls do not wait: none of them is lost yet', async () => {
    const provider = await silence('reject');
    expect(provider.state()).toBe('CLOSED');
  });

  test.each([
    ['four calls', 4, 400],
    ['less than a second', 5, 249],
  ])('is not after %s', async (_name, calls, everyMs) => {
    expect((await silence('wait', calls, everyMs)).state()).toBe('CLOSED');
  });

  test('is not where it has answered somebody in between', async () => {
    const provider = await silence('wait', 4);
    provider.reply = 'fine';
    expect(await provider.guard.execute(() => 'fine', 'p')).toBe('fine');
    provider.reply = httpError(503);
    await provider.clock.advance(1000);
    provider.call('fifth');
    await settle();
    expect(provider.state()).toBe('CLOSED');
  });

  test('is not where calls fail by themselves, or are refused', async () => {
    for (const error of [httpError(400), httpError(401), new TypeError('a mistake of the caller')]) {
      const provider = providerOf({ failureThreshold: 20 });
      provider.reply = error;
      for (let index = 0; index < 12; index++) {
        provider.call(`call ${index}`);
        await provider.clock.advance(300);
      }
      expect(provider.state()).toBe('CLOSED');
    }
  });

  test('is tried every 5 s, less often the longer it is silent, and as often as recoveryTimeMs says at least', async () => {
    const provider = await silence('wait');
    const silentFromMs = provider.asked[0]!.atMs;
    const openedAtMs = provider.asked.at(-1)!.atMs;
    for (let index = 0; index < 100; index++) {
      provider.call(`held ${index}`, { deadlineMs: 3_600_000, idempotent: false });
    }
    await provider.clock.advance(30 * 60_000);
    const trials = provider.asked.filter(({ name }) => name.startsWith('held')).map(({ atMs }) => atMs);
    expect(trials.at(-1)! - openedAtMs).toBeGreaterThan(28 * 60_000);
    let before = openedAtMs;
    for (const atMs of trials) {
      expect(atMs - before).toBe(Math.min(60_000, Math.max(5000, Math.round((before - silentFromMs) * 0.05))));
      before = atMs;
    }
  });

  test('starts with 5 s again after it has answered', async () => {
    const provider = await silence('wait');
    for (let index = 0; index < 3; index++) provider.call(`held ${index}`, { idempotent: false });
    await provider.clock.advance(15_000);
    provider.reply = 'fine';
    await provider.clock.advance(300_000);
    expect(provider.state()).toBe('CLOSED');
    provider.asked.length = 0;
    provider.reply = httpError(503);
    for (let index = 0; index < 5; index++) {
      provider.call(`again ${index}`);
      await provider.clock.advance(250);
    }
    expect(provider.state()).toBe('OPEN');
    const openedAtMs = provider.asked.at(-1)!.atMs;
    provider.asked.length = 0;
    provider.call('held');
    await provider.clock.advance(10_000);
    expect(timesOf(provider)).toEqual([openedAtMs + 5000]);
  });

  test('loses none of the calls when it comes back', async () => {
    const provider = providerOf(
      { failureThreshold: 20, recoveryTimeMs: 60_000 },
      { retry: { maxRetries: 5, initialBackoffMs: 1000, jitterMs: 0 } },
    );
    provider.reply = httpError(503);
    const calls: Fate[] = [];
    for (let index = 0; index < 40; index++) {
      calls.push(provider.call(`call ${index}`, { deadlineMs: 60_000 }));
      await provider.clock.advance(250);
    }
    expect(provider.asked.length).toBeLessThan(45);
    provider.reply = 'fine';
    await provider.clock.advance(60_000);
    expect(calls).toEqual(calls.map(() => FINE));
  });
});

describe('processes that share a store', () => {
  const circuitBreaker = { onOpen: 'wait', failureThreshold: 1, recoveryTimeMs: RECOVERY_MS } as const;

  function processes(): { clock: ManualClock; first: ExecutionGuard; second: ExecutionGuard } {
    const clock = new ManualClock();
    const store = new SharedStore(clock);
    const start = (): ExecutionGuard =>
      new ExecutionGuard({ retry: NO_RETRY, circuitBreaker, store }, { clock, random: () => 0, env: {} });
    return { clock, first: start(), second: start() };
  }

  const fail = (guard: ExecutionGuard): Promise<unknown> =>
    rejectionOf(guard.execute(() => Promise.reject(httpError(500)), 'p'));

  test('all hold calls when one has found the provider failing', async () => {
    const { clock, first, second } = processes();
    await second.execute(() => 'fine', 'p');
    await fail(first);
    await clock.advance(1);
    const call = fateOf(second.execute(() => 'fine', 'p'));
    await clock.advance(RECOVERY_MS - 2);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call).toEqual(FINE);
  });

  test('all let them go when one has found it back', async () => {
    const { clock, first, second } = processes();
    await second.execute(() => 'fine', 'p');
    await fail(first);
    await clock.advance(1);
    const call = fateOf(second.execute(() => 'fine', 'p'));
    await settle();
    first.resetCircuitBreaker();
    await clock.advance(1);
    expect(call).toEqual(FINE);
  });
});
