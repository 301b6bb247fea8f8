import { describe, expect, test } from 'vitest';
import type { Bench } from './support.ts';
import {
  benchOf,
  fateOf,
  heard,
  held,
  httpError,
  networkError,
  rejectionOf,
  scripted,
  settle,
  tripBreaker,
} from './support.ts';

const OPEN = { code: 'CIRCUIT_OPEN' };

function breaker(failureThreshold: number, recoveryTimeMs = 10_000): Bench {
  return benchOf({ retry: { enabled: false }, circuitBreaker: { failureThreshold, recoveryTimeMs } });
}

function stateOf({ guard }: Bench, provider = 'p'): string | undefined {
  return guard.getStats().providers[provider]?.circuitBreakerState;
}

describe('opens', () => {
  test('after failureThreshold failed calls in a row, and lets nothing through then', async () => {
    const bench = breaker(3);
    await tripBreaker(bench, 'p', 2);
    expect(stateOf(bench)).toBe('CLOSED');
    await tripBreaker(bench, 'p', 1);
    expect(stateOf(bench)).toBe('OPEN');
    const { fn, runs } = scripted('x');
    expect(await rejectionOf(bench.guard.execute(fn, 'p'))).toMatchObject(OPEN);
    expect(runs()).toBe(0);
  });

  test('for one provider: others are not touched', async () => {
    const bench = breaker(1);
    await tripBreaker(bench, 'p', 1);
    expect(await bench.guard.execute(() => 'fine', 'other')).toBe('fine');
    expect(stateOf(bench, 'other')).toBe('CLOSED');
  });

  test('not while an answer comes between the failures', async () => {
    const bench = breaker(2);
    for (let i = 0; i < 5; i++) {
      await tripBreaker(bench, 'p', 1);
      await bench.guard.execute(() => 'fine', 'p');
    }
    expect(stateOf(bench)).toBe('CLOSED');
  });

  test('on network errors and timeouts, too', async () => {
    const bench = breaker(2);
    await rejectionOf(bench.guard.execute(scripted(networkError()).fn, 'p'));
    const timedOut = rejectionOf(bench.guard.execute(held().fn, { providerName: 'p', attemptTimeoutMs: 10 }));
    await bench.clock.advance(10);
    expect(await timedOut).toMatchObject({ code: 'ATTEMPT_TIMEOUT' });
    expect(stateOf(bench)).toBe('OPEN');
  });

  test('on error Responses that are returned, too', async () => {
    const bench = breaker(2);
    for (let i = 0; i < 2; i++) await bench.guard.execute(() => new Response('down', { status: 503 }), 'p');
    expect(stateOf(bench)).toBe('OPEN');
  });
});

describe('counts a call once', () => {
  test('however many attempts it took', async () => {
    const bench = benchOf({
      retry: { maxRetries: 4, initialBackoffMs: 10 },
      circuitBreaker: { failureThreshold: 2 },
    });
    const { fn, runs } = scripted(httpError(503));
    const call = fateOf(bench.guard.execute(fn, 'p'));
    await bench.clock.advance(10_000);
    expect(call.state).toBe('rejected');
    expect(runs()).toBe(5);
    expect(stateOf(bench)).toBe('CLOSED');
  });

  test('and not at all where its last attempt was answered', async () => {
    const bench = benchOf({ retry: { initialBackoffMs: 10 }, circuitBreaker: { failureThreshold: 1 } });
    const call = bench.guard.execute(scripted(httpError(503), httpError(503), 'fine').fn, 'p');
    await bench.clock.advance(1000);
    expect(await call).toBe('fine');
    expect(stateOf(bench)).toBe('CLOSED');
  });
});

describe('does not count', () => {
  test.each([
    ['a bad request', httpError(400)],
    ['a 404', httpError(404)],
    ['a refused key', httpError(401)],
    ['a limit', httpError(429)],
    ['an error of the callback itself', new Error('bug')],
    ['an abort', new DOMException('aborted', 'AbortError')],
  ])('%s', async (_name, error) => {
    const bench = breaker(1);
    await rejectionOf(bench.guard.execute(scripted(error).fn, 'p'));
    expect(stateOf(bench)).toBe('CLOSED');
  });

  test('the guard\'s own rejections', async () => {
    const bench = benchOf({
      circuitBreaker: { failureThreshold: 1 },
      queue: { concurrency: 1, maxQueueSize: 0 },
      rateLimiting: { rules: { burst: 3 } },
      keyManagement: { providers: { empty: { keys: [] } } },
    });
    const { guard } = bench;
    const running = held();
    const call = guard.execute(running.fn, 'p');
    expect(await rejectionOf(guard.execute(() => 1, 'p'))).toMatchObject({ code: 'QUEUE_FULL' });
    expect(await rejectionOf(guard.execute(() => 1, 'empty'))).toMatchObject({ code: 'NO_KEY' });
    await guard.execute(() => 1, 'q');
    await guard.execute(() => 1, 'q');
    expect(await rejectionOf(guard.execute(() => 1, 'q'))).toMatchObject({ code: 'RATE_LIMITED' });
    running.finish('x');
    await call;
    expect(guard.getStats().rateLimiting.circuitBreakerState).toBe('CLOSED');
  });

  test('the caller\'s abort, nor his deadline', async () => {
    const bench = breaker(1);
    const controller = new AbortController();
    const aborted = rejectionOf(bench.guard.execute(held().fn, { providerName: 'p', signal: controller.signal }));
    const late = rejectionOf(bench.guard.execute(held().fn, { providerName: 'p', deadlineMs: 100 }));
    await settle();
    controller.abort();
    await bench.clock.advance(100);
    expect(await aborted).toMatchObject({ code: 'ABORTED' });
    expect(await late).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(stateOf(bench)).toBe('CLOSED');
    expect(bench.guard.isProviderHealthy('p')).toBe(true);
  });

  test('a call that its caller aborts between two attempts', async () => {
    const bench = benchOf({ retry: { initialBackoffMs: 1000 }, circuitBreaker: { failureThreshold: 1 } });
    const controller = new AbortController();
    const call = rejectionOf(
      bench.guard.execute(scripted(httpError(503)).fn, { providerName: 'p', signal: controller.signal }),
    );
    await bench.clock.advance(100);
    controller.abort();
    expect(await call).toMatchObject({ code: 'ABORTED', attempts: [{ fault: 'overloaded', status: 503 }] });
    expect(stateOf(bench)).toBe('CLOSED');
    expect(bench.guard.isProviderHealthy('p')).toBe(true);
  });

  test('nor does an abort in between count as an answer', async () => {
    const bench = breaker(2);
    await tripBreaker(bench, 'p', 1);
    const controller = new AbortController();
    const call = rejectionOf(bench.guard.execute(held().fn, { providerName: 'p', signal: controller.signal }));
    controller.abort();
    await call;
    await tripBreaker(bench, 'p', 1);
    expect(stateOf(bench)).toBe('OPEN');
  });
});

describe('half-open', () => {
  test('after recoveryTimeMs, without a timer', async () => {
    const bench = breaker(1);
    await tripBreaker(bench, 'p', 1);
    expect(bench.clock.pending).toEqual({ foreground: 0, background: 0 });
    await bench.clock.advance(9999);
    expect(stateOf(bench)).toBe('OPEN');
    await bench.clock.advance(1);
    expect(stateOf(bench)).toBe('HALF_OPEN');
  });

  test('lets one call through, and no second one while that is under way', async () => {
    const bench = breaker(1);
    await tripBreaker(bench, 'p', 1);
    await bench.clock.advance(10_000);
    const probe = held();
    const first = bench.guard.execute(probe.fn, 'p');
    const error = await rejectionOf(bench.guard.execute(() => 1, 'p'));
    expect(error).toMatchObject(OPEN);
    // Nobody knows when the probe will be answered: "now" would be wrong.
    expect(error).not.toHaveProperty('retryAfterMs');
    probe.finish('alive');
    expect(await first).toBe('alive');
    expect(stateOf(bench)).toBe('CLOSED');
    expect(await bench.guard.execute(() => 'next', 'p')).toBe('next');
  });

  test('closes on any answer: one that refuses the request shows the provider alive', async () => {
    for (const error of [httpError(400), httpError(429)]) {
      const bench = breaker(1);
      await tripBreaker(bench, 'p', 1);
      await bench.clock.advance(10_000);
      expect(await rejectionOf(bench.guard.execute(scripted(error).fn, 'p'))).toBe(error);
      expect(stateOf(bench)).toBe('CLOSED');
    }
  });

  test('opens again, for the whole time, when its probe fails', async () => {
    const bench = breaker(3);
    await tripBreaker(bench, 'p', 3);
    await bench.clock.advance(10_000);
    const error = httpError(500);
    expect(await rejectionOf(bench.guard.execute(scripted(error).fn, 'p'))).toBe(error);
    expect(stateOf(bench)).toBe('OPEN');
    expect(await rejectionOf(bench.guard.execute(() => 1, 'p'))).toMatchObject({ ...OPEN, retryAfterMs: 10_000 });
  });

  test('starts counting anew after it has closed', async () => {
    const bench = breaker(2);
    await tripBreaker(bench, 'p', 2);
    await bench.clock.advance(10_000);
    await bench.guard.execute(() => 'fine', 'p');
    await tripBreaker(bench, 'p', 1);
    expect(stateOf(bench)).toBe('CLOSED');
  });

  test('lets the next call probe where the first one said nothing of the provider', async () => {
    const bench = breaker(1);
    await tripBreaker(bench, 'p', 1);
    await bench.clock.advance(10_000);
    const controller = new AbortController();
    const aborted = rejectionOf(bench.guard.execute(held().fn, { providerName: 'p', signal: controller.signal }));
    controller.abort();
    await aborted;
    expect(stateOf(bench)).toBe('HALF_OPEN');
    expect(await bench.guard.execute(() => 'fine', 'p')).toBe('fine');
    expect(stateOf(bench)).toBe('CLOSED');
  });

  test('is not blocked for good by a probe that never comes back, nor moved by its late answer', async () => {
    const bench = breaker(1);
    await tripBreaker(bench, 'p', 1);
    await bench.clock.advance(10_000);
    const lost = held();
    const first = fateOf(bench.guard.execute(lost.fn, 'p'));
    await bench.clock.advance(60_000);
    const second = held();
    const probing = bench.guard.execute(second.fn, 'p');
    lost.finish('late');
    await settle();
    expect(first).toEqual({ state: 'resolved', value: 'late' });
    expect(stateOf(bench)).toBe('HALF_OPEN');
    second.finish('alive');
    await probing;
    expect(stateOf(bench)).toBe('CLOSED');
  });

  test('a probe may move on to another key', async () => {
    const keys = ['a', 'b'].map(id => ({ id, key: `secret-${id}` }));
    const bench = benchOf({
      retry: { enabled: false },
      circuitBreaker: { failureThreshold: 1, recoveryTimeMs: 1000 },
      keyManagement: { providers: { p: { keys } } },
    });
    await tripBreaker(bench, 'p', 1);
    await bench.clock.advance(1000);
    expect(await bench.guard.execute(scripted(httpError(429), 'fine').fn, 'p')).toBe('fine');
    expect(stateOf(bench)).toBe('CLOSED');
  });
});

describe('a call that began before it opened', () => {
  test('does not close it by a late answer', async () => {
    const bench = breaker(1);
    const early = held();
    const call = bench.guard.execute(early.fn, 'p');
    await tripBreaker(bench, 'p', 1);
    early.finish('late');
    expect(await call).toBe('late');
    expect(stateOf(bench)).toBe('OPEN');
  });

  test('does not leave it half-open, nor close it, while a probe is out', async () => {
    const bench = breaker(1);
    const early = held();
    const call = bench.guard.execute(early.fn, 'p');
    await tripBreaker(bench, 'p', 1);
    await bench.clock.advance(10_000);
    const probe = held();
    const probing = bench.guard.execute(probe.fn, 'p');
    early.finish('late');
    await call;
    expect(stateOf(bench)).toBe('HALF_OPEN');
    probe.finish('alive');
    await probing;
    expect(stateOf(bench)).toBe('CLOSED');
  });

  test('does not open it again after a reset', async () => {
    const bench = breaker(1);
    const early = held();
    const call = rejectionOf(bench.guard.execute(early.fn, 'p'));
    bench.guard.resetCircuitBreaker();
    early.fail(httpError(500));
    await call;
    expect(stateOf(bench)).toBe('CLOSED');
  });
});

describe('resetting', () => {
  test('closes every breaker, or one', async () => {
    const bench = breaker(1);
    await tripBreaker(bench, 'a', 1);
    await tripBreaker(bench, 'b', 1);
    bench.guard.resetCircuitBreaker('a');
    expect([stateOf(bench, 'a'), stateOf(bench, 'b')]).toEqual(['CLOSED', 'OPEN']);
    bench.guard.resetCircuitBreaker('unknown');
    bench.guard.resetCircuitBreaker();
    expect(stateOf(bench, 'b')).toBe('CLOSED');
  });

  test('while closed forgets the count', async () => {
    const bench = breaker(3);
    await tripBreaker(bench, 'p', 2);
    bench.guard.resetCircuitBreaker();
    await tripBreaker(bench, 'p', 2);
    expect(stateOf(bench)).toBe('CLOSED');
  });
});

describe('a call that waits while the breaker opens', () => {
  const queued = { retry: { enabled: false }, queue: { concurrency: 1 } };

  test('is cut off before its attempt, and gives its place under the rate limit back', async () => {
    const bench = benchOf({ ...queued, circuitBreaker: { failureThreshold: 3 }, rateLimiting: { rules: { burst: 20 } } });
    const { fn, runs } = scripted(httpError(500));
    const calls = Array.from({ length: 10 }, () => fateOf(bench.guard.execute(fn, 'p')));
    await bench.clock.advance(1);
    expect(runs()).toBe(3);
    for (const call of calls.slice(0, 3)) expect(call.value).toMatchObject({ message: 'HTTP 500' });
    for (const call of calls.slice(3)) expect(call).toMatchObject({ state: 'rejected', value: OPEN });
    expect(bench.guard.getStats().rateLimiting.rulesUsage.burstUsage.current).toBe(3);
    expect(bench.guard.getStats().queue).toMatchObject({ currentSize: 0, processing: false });
  });

  test('is not sent into a ban of this address', async () => {
    const bench = benchOf(queued);
    let runs = 0;
    const banned = (): Response => {
      runs++;
      return new Response('{"code":-1003}', { status: 418, headers: { 'retry-after': '120' } });
    };
    const calls = Array.from({ length: 10 }, () => fateOf(bench.guard.execute(banned, 'binance')));
    await until(() => calls.every(({ state }) => state !== 'pending'));
    expect(runs).toBe(1);
    expect(calls[9]).toMatchObject({ value: { ...OPEN, retryAfterMs: 120_000 } });
  });

  test('ends with what its last attempt came to', async () => {
    const bench = benchOf({
      queue: { minDelayMs: 1000 },
      circuitBreaker: { failureThreshold: 1 },
      retry: { maxRetries: 0 },
      keyManagement: { providers: { p: { keys: ['a-key', 'b-key'] } } },
    });
    const refused = scripted(httpError(401));
    const call = fateOf(bench.guard.execute(refused.fn, 'p'));
    await settle();
    expect(refused.runs()).toBe(1);
    expect(call.state).toBe('pending');
    await rejectionOf(bench.guard.execute(scripted(httpError(500)).fn, { providerName: 'p', skipQueue: true }));
    expect(stateOf(bench)).toBe('OPEN');
    await bench.clock.advance(1000);
    expect(call).toMatchObject({ state: 'rejected', value: { message: 'HTTP 401' } });
    expect(refused.runs()).toBe(1);
  });

  test('may go, and has its say, where the breaker has closed again', async () => {
    const bench = benchOf({ retry: { enabled: false }, queue: { minDelayMs: 60_000 }, circuitBreaker: { failureThreshold: 1 } });
    const first = fateOf(bench.guard.execute(scripted(httpError(500)).fn, 'p'));
    const waiting = fateOf(bench.guard.execute(scripted(httpError(500)).fn, 'p'));
    await settle();
    expect(first.state).toBe('rejected');
    bench.guard.resetCircuitBreaker('p');
    await bench.clock.advance(60_000);
    expect(waiting).toMatchObject({ value: { message: 'HTTP 500' } });
    expect(stateOf(bench)).toBe('OPEN');
  });
});

/** Reading a body takes turns of its own. */
async function until(holds: () => boolean): Promise<void> {
  for (let turns = 0; !holds() && turns < 100; turns++) await settle();
}

describe('updating', () => {
  test('switching it off while open lets calls through at once', async () => {
    for (const update of [{ circuitBreaker: { enabled: false } }, { enabled: false }]) {
      const bench = breaker(1);
      await tripBreaker(bench, 'p', 1);
      bench.guard.updateConfig(update);
      expect(await bench.guard.execute(() => 'fine', 'p')).toBe('fine');
      expect(stateOf(bench)).toBe('CLOSED');
      await tripBreaker(bench, 'p', 5);
      expect(stateOf(bench)).toBe('CLOSED');
    }
  });

  test('a call from before the switch does not open it', async () => {
    const bench = breaker(1);
    const early = held();
    const call = rejectionOf(bench.guard.execute(early.fn, 'p'));
    bench.guard.updateConfig({ circuitBreaker: { enabled: false } });
    early.fail(httpError(500));
    await call;
    expect(stateOf(bench)).toBe('CLOSED');
  });

  test('a lower threshold and a shorter recovery hold at once', async () => {
    const bench = breaker(20);
    await tripBreaker(bench, 'p', 4);
    bench.guard.updateConfig({ circuitBreaker: { failureThreshold: 5 } });
    await tripBreaker(bench, 'p', 1);
    expect(stateOf(bench)).toBe('OPEN');
    bench.guard.updateConfig({ circuitBreaker: { recoveryTimeMs: 500 } });
    await bench.clock.advance(500);
    expect(stateOf(bench)).toBe('HALF_OPEN');
  });
});

test('a clock that is set back does not keep it open for longer than recoveryTimeMs', async () => {
  const bench = breaker(1);
  await tripBreaker(bench, 'p', 1);
  bench.clock.set(bench.clock.now() - 3_600_000);
  expect(stateOf(bench)).toBe('OPEN');
  await bench.clock.advance(10_000);
  expect(stateOf(bench)).toBe('HALF_OPEN');
});

test('breaker events tell each change once', async () => {
  const bench = breaker(1);
  const events = heard(bench.guard, 'breaker');
  await tripBreaker(bench, 'p', 1);
  await bench.clock.advance(10_000);
  const controller = new AbortController();
  const aborted = rejectionOf(bench.guard.execute(held().fn, { providerName: 'p', signal: controller.signal }));
  controller.abort();
  await aborted;
  await tripBreaker(bench, 'p', 1);
  await bench.clock.advance(10_000);
  await bench.guard.execute(() => 'fine', 'p');
  bench.guard.resetCircuitBreaker('p');
  expect(events.map(({ state }) => state)).toEqual(['OPEN', 'HALF_OPEN', 'OPEN', 'HALF_OPEN', 'CLOSED']);
});
