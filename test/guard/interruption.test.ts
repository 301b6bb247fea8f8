import { describe, expect, test } from 'vitest';
import type { ExecuteOptions, ExecutionGuardConfig } from '../../src/index.ts';
import type { Bench } from './support.ts';
import { benchOf, fateOf, held, httpError, rejectionOf, scripted, settle } from './support.ts';

const ONE_KEY = { keyManagement: { providers: { p: { keys: [{ key: 'secret', limits: { concurrency: 1 } }] } } } };
const ONE_PER_HOUR = {
  rateLimiting: { onLimit: 'wait', maxWaitMs: 7_200_000, rules: { burst: { requests: 1, windowMs: 3_600_000 } } },
} as const;

/** One place in which a call can wait: how to get another call into it, and what waits there then. */
interface WaitingPlace {
  readonly name: string;
  readonly config: ExecutionGuardConfig;
  /** Runs before the call. Returns what ends it again. */
  readonly before?: (bench: Bench) => Promise<() => void>;
  readonly fn?: () => unknown;
  readonly options?: ExecuteOptions;
  /** Attempts the waiting call has made. */
  readonly attempts?: number;
}

async function occupy({ guard }: Bench, options: ExecuteOptions = { providerName: 'p' }): Promise<() => void> {
  const holder = held();
  fateOf(guard.execute(holder.fn, options));
  await settle();
  return () => holder.finish('x');
}

const PLACES: WaitingPlace[] = [
  { name: 'waits for a slot', config: { queue: { concurrency: 1 } }, before: occupy },
  { name: 'waits for its turn', config: { queue: { minDelayMs: 3_600_000 } }, before: occupy },
  {
    name: 'is in back-off',
    config: { retry: { initialBackoffMs: 3_600_000, maxBackoffMs: 3_600_000 } },
    fn: scripted(httpError(503)).fn,
    attempts: 1,
  },
  { name: 'waits for a key', config: ONE_KEY, before: occupy },
  { name: 'waits for a rate limit', config: ONE_PER_HOUR, before: occupy },
  { name: 'has an attempt in flight', config: {}, fn: held().fn },
  { name: 'has an attempt in flight, which holds a slot', config: { queue: { concurrency: 1 } }, fn: held().fn },
  { name: 'has an attempt in flight, which holds a key', config: ONE_KEY, fn: held().fn },
  {
    name: 'follows an equal call',
    config: {},
    before: bench => occupy(bench, { providerName: 'p', req: { url: '/a' } }),
    options: { req: { url: '/a' } },
  },
];

/** Nothing may stay behind: no count, no timer, no slot. */
async function expectCleanAfter({ guard, clock }: Bench, end: (() => void) | undefined): Promise<void> {
  end?.();
  await settle();
  expect(guard.getStats().queue).toMatchObject({ currentSize: 0, processing: false });
  for (const { waiting, keys } of Object.values(guard.getStats().keys)) {
    expect(waiting).toBe(0);
    for (const { inFlight } of keys) expect(inFlight).toBe(0);
  }
  expect(clock.pending).toEqual({ foreground: 0, background: 0 });
}

describe.each(PLACES)('a call that $name', ({ config, before, fn = () => 'ran', options, attempts = 0 }) => {
  test('is rejected at once when its caller aborts', async () => {
    const bench = benchOf(config);
    const end = await before?.(bench);
    const controller = new AbortController();
    const call = fateOf(bench.guard.execute(fn, { providerName: 'p', ...options, signal: controller.signal }));
    await bench.clock.advance(100);
    expect(call.state).toBe('pending');
    const reason = new Error('user left');
    controller.abort(reason);
    await settle();
    expect(call).toMatchObject({ state: 'rejected', value: { name: 'AbortError', code: 'ABORTED', cause: reason } });
    if (!options?.req) expect(call.value).toMatchObject({ attempts: { length: attempts } });
    await expectCleanAfter(bench, end);
  });

  test('is rejected when the guard is closed', async () => {
    const bench = benchOf(config);
    await before?.(bench);
    const call = fateOf(bench.guard.execute(fn, { providerName: 'p', ...options, deadlineMs: 10_000_000 }));
    await bench.clock.advance(100);
    bench.guard.close();
    await settle();
    expect(call).toMatchObject({ state: 'rejected', value: { code: 'CLOSED' } });
    expect(bench.clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('is never begun where its signal is aborted already', async () => {
    const bench = benchOf(config);
    const end = await before?.(bench);
    let runs = 0;
    const counted = (): unknown => {
      runs++;
      return fn();
    };
    const signal = AbortSignal.abort(new Error('too late'));
    expect(
      await rejectionOf(bench.guard.execute(counted, { providerName: 'p', ...options, signal })),
    ).toMatchObject({ code: 'ABORTED', cause: { message: 'too late' } });
    expect(runs).toBe(0);
    await expectCleanAfter(bench, end);
  });
});

// A back-off or a wait for a window that would outlast the deadline is not begun at all: see their own tests.
describe.each(PLACES.filter(({ config, attempts }) => config !== ONE_PER_HOUR && attempts === undefined))(
  'a call that $name',
  ({ config, before, fn = () => 'ran', options }) => {
    test('is rejected when its deadline passes', async () => {
      const bench = benchOf(config);
      const end = await before?.(bench);
      const call = fateOf(bench.guard.execute(fn, { providerName: 'p', ...options, deadlineMs: 500 }));
      await bench.clock.advance(499);
      expect(call.state).toBe('pending');
      await bench.clock.advance(1);
      expect(call).toMatchObject({ state: 'rejected', value: { code: 'DEADLINE_EXCEEDED' } });
      await expectCleanAfter(bench, end);
    });
  },
);

describe('the signal of a callback', () => {
  test('is aborted with the caller\'s own reason', async () => {
    const { guard } = benchOf();
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const call = rejectionOf(
      guard.execute(
        ({ signal }) => {
          seen = signal;
          return held().fn();
        },
        { signal: controller.signal },
      ),
    );
    const reason = new Error('user left');
    controller.abort(reason);
    await call;
    expect(seen?.reason).toBe(reason);
  });

  test('is aborted when the deadline passes, or the attempt\'s time is up', async () => {
    const { guard, clock } = benchOf({ retry: { enabled: false } });
    const signals: AbortSignal[] = [];
    const fn = ({ signal }: { signal: AbortSignal }): Promise<string> => {
      signals.push(signal);
      return held().fn();
    };
    const calls = [guard.execute(fn, { deadlineMs: 100 }), guard.execute(fn, { attemptTimeoutMs: 50 })];
    calls.forEach(fateOf);
    await clock.advance(50);
    expect(signals.map(({ reason }) => (reason as { code?: string } | undefined)?.code)).toEqual([
      undefined,
      'ATTEMPT_TIMEOUT',
    ]);
    await clock.advance(50);
    expect(signals[0]?.reason).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  test('is aborted when the guard is closed, also where nothing bounds the call', async () => {
    const { guard } = benchOf();
    const call = rejectionOf(
      guard.execute(
        ({ signal }) =>
          new Promise((_resolve, reject) => {
            // As fetch does.
            signal.addEventListener('abort', () => reject(signal.reason as Error));
          }),
      ),
    );
    await settle();
    guard.close();
    expect(await call).toMatchObject({ code: 'CLOSED' });
  });

  test('tells a callback that asks for it too late', async () => {
    const { guard, clock } = benchOf({ retry: { enabled: false } });
    let isAborted: boolean | undefined;
    const call = rejectionOf(
      guard.execute(
        context =>
          new Promise<void>(resolve => {
            clock.setTimeout(() => {
              isAborted = context.signal.aborted;
              resolve();
            }, 100);
          }),
        { attemptTimeoutMs: 50 },
      ),
    );
    await clock.advance(100);
    await call;
    expect(isAborted).toBe(true);
  });

  test('is the same at each look, and not aborted when all went well', async () => {
    const { guard } = benchOf();
    let seen: AbortSignal | undefined;
    await guard.execute(
      context => {
        expect(context.signal).toBe(context.signal);
        seen = context.signal;
      },
      { attemptTimeoutMs: 100, signal: new AbortController().signal },
    );
    guard.close();
    expect(seen?.aborted).toBe(false);
  });
});

describe('attemptTimeoutMs', () => {
  test('is for each attempt: the next one has the whole time again', async () => {
    const { guard, clock } = benchOf({ retry: { initialBackoffMs: 10 } });
    const [never, slow] = [held(), held()];
    const fns = [never.fn, slow.fn];
    const call = guard.execute(() => fns.shift()!(), { providerName: 'p', attemptTimeoutMs: 100 });
    await clock.advance(110);
    expect(slow.runs()).toBe(1);
    await clock.advance(99);
    slow.finish('in time');
    expect(await call).toBe('in time');
    expect(clock.pending.foreground).toBe(0);
  });

  test('does not count the wait before the attempt', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 1000 } });
    await guard.execute(() => 1, 'p');
    const call = guard.execute(() => 'fine', { providerName: 'p', attemptTimeoutMs: 100 });
    await clock.advance(1000);
    expect(await call).toBe('fine');
  });

  test('a late failure of an attempt that timed out is nobody\'s unhandled rejection', async () => {
    const { guard, clock } = benchOf({ retry: { enabled: false } });
    const slow = held();
    const call = rejectionOf(guard.execute(slow.fn, { attemptTimeoutMs: 100 }));
    await clock.advance(100);
    expect(await call).toMatchObject({ code: 'ATTEMPT_TIMEOUT', message: expect.stringContaining('100ms') as string });
    slow.fail(new Error('late'));
    await settle();
  });

  test('a Response that comes too late is let go: unread, it would keep its connection', async () => {
    const { guard, clock } = benchOf({ retry: { enabled: false } });
    let isCancelled = false;
    const body = new ReadableStream({
      cancel() {
        isCancelled = true;
      },
    });
    const slow = held<Response>();
    const call = rejectionOf(guard.execute(slow.fn, { attemptTimeoutMs: 100 }));
    await clock.advance(100);
    await call;
    slow.finish(new Response(body));
    await settle();
    expect(isCancelled).toBe(true);
  });
});

describe('deadlineMs', () => {
  test('is for the whole call: waiting, attempts and back-off', async () => {
    const { guard, clock } = benchOf({ queue: { minDelayMs: 300 }, retry: { initialBackoffMs: 300 } });
    await guard.execute(() => 1, 'p');
    const never = held();
    const { fn: fail } = scripted(httpError(503));
    const fns = [fail, never.fn];
    const call = fateOf(guard.execute(() => fns.shift()!(), { providerName: 'p', deadlineMs: 1000 }));
    await clock.advance(999);
    expect(never.runs()).toBe(1);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call.value).toMatchObject({ code: 'DEADLINE_EXCEEDED', attempts: [{ status: 503 }] });
  });

  test('ends the call in time though the clock is set back, and measures no negative time', async () => {
    const { guard, clock } = benchOf();
    const backInTime = (): never => {
      clock.set(clock.now() - 3_600_000);
      throw httpError(503);
    };
    const fns = [backInTime, held().fn];
    const call = fateOf(guard.execute(() => fns.shift()!(), { providerName: 'p', deadlineMs: 2000 }));
    await clock.advance(1999);
    expect(call.state).toBe('pending');
    await clock.advance(1);
    expect(call.value).toMatchObject({ code: 'DEADLINE_EXCEEDED', attempts: [{ durationMs: 0 }] });
    await guard.execute(() => clock.set(clock.now() - 3_600_000), 'q');
    expect(guard.getStats().providers.q?.responseTime).toBe(0);
    expect(clock.pending.foreground).toBe(0);
  });

  test('of a follower is his own: the leader goes on', async () => {
    const { guard, clock } = benchOf();
    const leader = held<undefined>();
    const leading = guard.execute(leader.fn, { req: { url: '/a' } });
    const following = rejectionOf(guard.execute(leader.fn, { req: { url: '/a' }, deadlineMs: 100 }));
    await clock.advance(100);
    expect(await following).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    // An answer that every follower would have to ask for himself.
    leader.finish(undefined);
    await leading;
    await settle();
    expect(leader.runs()).toBe(1);
    expect(clock.pending.foreground).toBe(0);
  });

  test('of a leader is not his followers\': one of them takes the lead', async () => {
    const { guard, clock } = benchOf();
    const leading = rejectionOf(guard.execute(held().fn, { req: { url: '/a' }, deadlineMs: 100 }));
    const gone = rejectionOf(guard.execute(() => 'gone', { req: { url: '/a' }, deadlineMs: 50 }));
    const following = ['mine', 'his'].map(name => guard.execute(() => name, { req: { url: '/a' } }));
    await clock.advance(100);
    expect(await leading).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(await gone).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(await Promise.all(following)).toEqual(['mine', 'mine']);
  });
});

test('a callback may abort its own caller\'s signal', async () => {
  const { guard, clock } = benchOf();
  const controller = new AbortController();
  const call = rejectionOf(
    guard.execute(
      ({ signal }) => {
        controller.abort(new Error('not worth it'));
        expect(signal.aborted).toBe(true);
        return held().fn();
      },
      { signal: controller.signal, attemptTimeoutMs: 1000 },
    ),
  );
  expect(await call).toMatchObject({ code: 'ABORTED' });
  expect(clock.pending.foreground).toBe(0);
});

test('an aborted follower leaves the leader and the other followers alone', async () => {
  const { guard } = benchOf();
  const leader = held();
  const controller = new AbortController();
  const calls = [1, 2].map(() => guard.execute(leader.fn, { req: { url: '/a' } }));
  const aborted = rejectionOf(guard.execute(leader.fn, { req: { url: '/a' }, signal: controller.signal }));
  controller.abort();
  expect(await aborted).toMatchObject({ code: 'ABORTED' });
  leader.finish('fine');
  expect(await Promise.all(calls)).toEqual(['fine', 'fine']);
});

test('a leader whose caller aborts hands the lead to a follower', async () => {
  const { guard } = benchOf();
  const controller = new AbortController();
  const leading = rejectionOf(guard.execute(held().fn, { req: { url: '/a' }, signal: controller.signal }));
  const following = guard.execute(() => 'mine', { req: { url: '/a' } });
  controller.abort();
  expect(await leading).toMatchObject({ code: 'ABORTED' });
  expect(await following).toBe('mine');
});

test('a thousand calls may share one signal', async () => {
  const { guard } = benchOf({ queue: { concurrency: 1, maxQueueSize: 2000 } });
  const controller = new AbortController();
  const warnings: string[] = [];
  const listen = (warning: Error): void => {
    warnings.push(warning.name);
  };
  process.on('warning', listen);
  const calls = Array.from({ length: 1000 }, () => fateOf(guard.execute(held().fn, { signal: controller.signal })));
  await settle();
  controller.abort();
  await settle();
  process.off('warning', listen);
  expect(calls.every(({ state }) => state === 'rejected')).toBe(true);
  expect(warnings).toEqual([]);
});

test('a call whose signal is aborted already takes nothing: no place, no quota, no count', async () => {
  const keys = [{ id: 'a', key: 'a-key', limits: { rpm: 5 } }];
  const { guard } = benchOf({ rateLimiting: { rules: { perMinute: 5 } }, keyManagement: { providers: { p: { keys } } } });
  const { fn, runs } = scripted('x');
  const reason = new Error('gone');
  for (let i = 0; i < 5; i++) {
    const error = await rejectionOf(guard.execute(fn, { providerName: 'p', signal: AbortSignal.abort(reason) }));
    expect(error).toMatchObject({ code: 'ABORTED', cause: reason });
  }
  expect(runs()).toBe(0);
  expect(guard.canMakeRequest()).toBe(true);
  expect(guard.getStats().rateLimiting.totalRequestsTracked).toBe(0);
  expect(guard.keys.get('p', 'a')).toMatchObject({ quota: { rpm: { used: 0 } } });
});

test('a call that is aborted in the moment it gets its slot takes no key', async () => {
  const keys = [{ id: 'a', key: 'a-key', limits: { rpm: 5 } }];
  const { guard } = benchOf({ queue: { concurrency: 1 }, keyManagement: { providers: { p: { keys } } } });
  const controller = new AbortController();
  const first = held();
  const { fn, runs } = scripted('x');
  const leading = guard.execute(first.fn, 'p');
  const call = fateOf(guard.execute(fn, { providerName: 'p', signal: controller.signal }));
  guard.on('queue', ({ what }) => {
    if (what === 'started') controller.abort();
  });
  await settle();
  first.finish('x');
  await leading;
  await settle();
  expect(call).toMatchObject({ state: 'rejected', value: { code: 'ABORTED' } });
  expect(runs()).toBe(0);
  expect(guard.keys.get('p', 'a')).toMatchObject({ quota: { rpm: { used: 1 } } });
  expect(guard.getStats().queue).toMatchObject({ currentSize: 0, processing: false });
});
