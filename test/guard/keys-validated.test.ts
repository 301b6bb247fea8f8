import { describe, expect, test, vi } from 'vitest';
import type { KeyValidation, KeyValidator } from '../../src/index.ts';
import { OK, PATTERN, poolBench, PROVIDER, secretOf, type PoolBenchOptions } from './keys-bench.ts';
import { heard, httpError, settle } from './support.ts';

/** A validation that answers as told, by key id, and remembers whom it was asked about. */
function validator(verdicts: Record<string, unknown> = {}) {
  const seen: KeyValidation[] = [];
  const validate = ((context: KeyValidation): unknown => {
    seen.push(context);
    const verdict = verdicts[context.keyId] ?? verdicts['*'];
    if (verdict instanceof Error) throw verdict;
    return typeof verdict === 'function' ? (verdict as () => unknown)() : verdict;
  }) as KeyValidator;
  return { validate, verdicts, seen, asked: () => seen.map(({ keyId }) => keyId) };
}

const never = (): Promise<never> => new Promise(() => undefined);

describe('a pool with a validate function', () => {
  test('validates a refused key when its time comes, and risks no call on it', async () => {
    const { validate, asked, seen } = validator({ a: true });
    const { ask, asked: called, replies, states, clock, guard } = poolBench(['a', 'b'], { validate });
    const changes = heard(guard, 'key');
    replies['a'] = [401, 'ok'];
    await ask();
    expect(asked()).toEqual([]);
    await clock.advance(600_000);
    expect(guard.explain(PROVIDER)).toMatchObject({
      keyId: 'b',
      keys: [{ id: 'a', state: 'disabled', why: 'disabled: unauthorized; validated before its next use' }, {}],
    });
    expect(await ask()).toEqual(OK('b'));
    expect(asked()).toEqual(['a']);
    expect(seen[0]).toMatchObject({ apiKey: secretOf('a'), keyId: 'a', provider: PATTERN });
    expect(states()).toEqual({ a: 'ready', b: 'ready' });
    expect(changes.at(-1)).toMatchObject({ keyId: 'a', from: 'disabled', to: 'ready', reason: 'validated' });
    expect(await ask()).toEqual(OK('a'));
    expect(called).toEqual(['a', 'b', 'b', 'a']);
  });

  test('a suspect that is good serves the very call that waits for it', async () => {
    const { validate, asked } = validator({ a: true });
    const { ask, replies } = poolBench(['a'], { validate, guard: { retry: { enabled: false } } });
    replies['a'] = [401, 'ok'];
    await ask();
    expect(await ask()).toEqual(OK('a'));
    expect(asked()).toEqual(['a']);
  });

  test('one found bad is disabled, for longer each time', async () => {
    const { validate, asked } = validator({ a: false });
    const { ask, replies, key, clock } = poolBench(['a', 'b'], { validate });
    replies['a'] = 401;
    await ask();
    const spans: number[] = [];
    for (let i = 0; i < 3; i++) {
      spans.push(key('a').until! - clock.now());
      await clock.advance(key('a').until! - clock.now());
      await ask();
      await ask();
    }
    expect(spans).toEqual([600_000, 1_200_000, 2_400_000]);
    expect(asked()).toEqual(['a', 'a', 'a']);
    expect(key('a')).toMatchObject({ state: 'disabled', reason: 'disabled: validation failed' });
  });

  test('asks once although many calls meet the key', async () => {
    const { validate, asked, verdicts } = validator();
    let verdict!: (good: boolean) => void;
    verdicts['a'] = () => new Promise(resolve => (verdict = resolve));
    const { ask, call, replies, clock } = poolBench(['a'], { validate, guard: { retry: { enabled: false } } });
    replies['a'] = [401, 'ok'];
    await ask();
    const fates = Array.from({ length: 10 }, () => call());
    await settle();
    expect(asked()).toEqual(['a']);
    verdict(true);
    await clock.advance(0);
    expect(fates.every(({ state }) => state === 'resolved')).toBe(true);
  });

  test.each([
    ['an error of the network', Object.assign(new Error('reset'), { code: 'ECONNRESET' })],
    ['an outage', httpError(503)],
    ['a rate limit', httpError(429)],
    ['a programming error', new TypeError('x is not a function')],
    ['an outage in a Response', new Response('', { status: 503 })],
  ])('that meets %s says nothing about the key: it is asked again after the first cool-down', async (_, verdict) => {
    const { validate, asked } = validator({ a: verdict });
    const { ask, replies, states, clock, key } = poolBench(['a', 'b'], { validate, guard: { retry: { enabled: false } } });
    replies['a'] = 401;
    replies['b'] = [400, 'ok'];
    await ask();
    for (let i = 0; i < 4; i++) await ask();
    expect(states()).toEqual({ a: 'suspect', b: 'ready' });
    expect(key('a').until).toBe(clock.now() + 30_000);
    expect(asked()).toHaveLength(1);
    await clock.advance(30_000);
    await ask();
    await ask();
    expect(asked()).toHaveLength(2);
  });

  test.each([
    ['false', false],
    ['a credential fault thrown', httpError(401)],
    ['a credential fault rejected', () => Promise.reject(httpError(401))],
    ['a Response that refuses', new Response('', { status: 401 })],
  ])('takes %s for a bad key', async (_, verdict) => {
    const { validate } = validator({ a: verdict });
    const { guard, states } = poolBench(['a', 'b'], { validate });
    expect(await guard.keys.test(PATTERN, 'a')).toBe(false);
    expect(states()).toEqual({ a: 'disabled', b: 'ready' });
  });

  test.each([
    ['true', true],
    ['nothing', undefined],
    ['a Response that is fine', new Response('{}')],
    ['a promise of nothing', () => Promise.resolve()],
  ])('takes %s for a good one', async (_, verdict) => {
    const { validate } = validator({ a: verdict });
    const { guard } = poolBench(['a'], { validate });
    expect(await guard.keys.test(PATTERN, 'a')).toBe(true);
  });

  test('that hangs is given up after its time-out, and told so', async () => {
    const { validate, seen, asked } = validator({ a: never });
    const { ask, call, replies, clock } = poolBench(['a'], {
      validate,
      healthCheck: { enabled: false, timeoutMs: 3000 },
      guard: { retry: { enabled: false } },
    });
    replies['a'] = [401, 'ok'];
    await ask();
    const waiting = call({ deadlineMs: 60_000 });
    await clock.advance(2999);
    expect(seen[0]!.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(seen[0]!.signal.aborted).toBe(true);
    expect(waiting.state).toBe('pending');
    await clock.advance(30_000);
    // It could not tell, and there is no other key: the call finds out.
    expect(asked()).toEqual(['a']);
    expect(waiting).toEqual(OK('a'));
  });

  test('does not let a rate-limited key off: it was asked for something else', async () => {
    const { validate } = validator({ a: true });
    const { ask, replies, states, guard } = poolBench([{ id: 'a', group: 'org' }, 'b'], { validate });
    replies['a'] = httpError(429, { 'retry-after': '600' });
    await ask();
    expect(await guard.keys.test(PATTERN, 'a')).toBe(true);
    expect(states()).toEqual({ a: 'cooling', b: 'ready' });
  });

  test('never shortens what stands', async () => {
    const { validate } = validator({ a: httpError(503) });
    const { ask, replies, guard, key, clock } = poolBench(['a', 'b'], { validate });
    replies['a'] = 401;
    await ask();
    expect(await guard.keys.test(PATTERN, 'a')).toBeUndefined();
    expect(key('a')).toMatchObject({ state: 'disabled', until: clock.now() + 600_000 });
  });
});

test('without one, testing a key says nothing and changes nothing', async () => {
  const { ask, replies, guard, key } = poolBench(['a', 'b'], { guard: { retry: { enabled: false } } });
  replies['a'] = 401;
  replies['b'] = 400;
  await ask();
  const before = key('a');
  expect(await guard.keys.test(PATTERN, 'a')).toBeUndefined();
  expect(key('a')).toEqual(before);
});

test('a key that is removed while it is validated is not spoken of any more', async () => {
  const { validate, verdicts } = validator();
  let verdict!: (good: boolean) => void;
  verdicts['a'] = () => new Promise(resolve => (verdict = resolve));
  const { guard } = poolBench(['a', 'b'], { validate });
  const changes = heard(guard, 'key');
  const tested = guard.keys.test(PATTERN, 'a');
  guard.keys.remove(PATTERN, 'a');
  verdict(false);
  expect(await tested).toBe(false);
  expect(changes.map(({ to }) => to)).toEqual(['removed']);
});

describe('health checks', () => {
  const MINUTE = 60_000;
  const checked = (keys: string[], verdicts: Record<string, unknown>, options: PoolBenchOptions = {}) => {
    const validation = validator(verdicts);
    const bench = poolBench(keys, { validate: validation.validate, healthCheck: { intervalMs: MINUTE, timeoutMs: 1000 }, ...options });
    return { ...bench, validation };
  };

  test('ask every key once per interval, in the background', async () => {
    const { clock, validation } = checked(['a', 'b', 'c'], { '*': true });
    expect(clock.pending).toEqual({ foreground: 0, background: 1 });
    await clock.advance(MINUTE - 1);
    expect(validation.asked()).toEqual([]);
    await clock.advance(1);
    expect(validation.asked()).toEqual(['a', 'b', 'c']);
    await clock.advance(2 * MINUTE);
    expect(validation.seen).toHaveLength(9);
    expect(clock.pending).toEqual({ foreground: 0, background: 1 });
  });

  test('disable a bad key before a call meets it, and bring it back', async () => {
    const { clock, validation, states, ask, asked } = checked(['a', 'b'], { a: false, b: true });
    await clock.advance(MINUTE);
    expect(states()).toEqual({ a: 'disabled', b: 'ready' });
    await ask();
    expect(asked).toEqual(['b']);
    validation.verdicts['a'] = true;
    await clock.advance(MINUTE);
    expect(states()).toEqual({ a: 'ready', b: 'ready' });
  });

  test('that find every key bad, or none good, blame none of them', async () => {
    const { clock, validation, states } = checked(['a', 'b', 'c'], { '*': false });
    await clock.advance(3 * MINUTE);
    expect(states()).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
    validation.verdicts['c'] = httpError(503);
    await clock.advance(MINUTE);
    expect(states()).toEqual({ a: 'ready', b: 'ready', c: 'ready' });
    validation.verdicts['c'] = true;
    await clock.advance(MINUTE);
    expect(states()).toEqual({ a: 'disabled', b: 'disabled', c: 'ready' });
  });

  test('of a single key have nothing to compare it with, and say what they see', async () => {
    const { clock, states } = checked(['a'], { a: false });
    await clock.advance(MINUTE);
    expect(states()).toEqual({ a: 'disabled' });
  });

  test('leave out keys that were taken out of use', async () => {
    const { clock, guard, validation } = checked(['a', 'b'], { '*': true });
    guard.keys.disable(PATTERN, 'a');
    await clock.advance(MINUTE);
    expect(validation.asked()).toEqual(['b']);
  });

  test('that hang are bounded, and hold up the others no longer', async () => {
    const { clock, validation, states } = checked(['a', 'b', 'c'], { a: never, b: false, c: true });
    await clock.advance(MINUTE + 1000);
    expect(validation.asked()).toEqual(['a', 'b', 'c']);
    expect(states()).toEqual({ a: 'ready', b: 'disabled', c: 'ready' });
    await clock.advance(MINUTE);
    expect(validation.seen.length).toBeGreaterThan(3);
  });

  test('stop when the guard is closed, in the middle of a round too', async () => {
    const { clock, guard, validation, states } = checked(['a', 'b'], { a: never, b: false });
    await clock.advance(MINUTE);
    guard.close();
    await clock.advance(10 * MINUTE);
    expect(validation.asked()).toEqual(['a']);
    expect(validation.seen[0]!.signal.aborted).toBe(true);
    expect(states()).toEqual({ a: 'ready', b: 'ready' });
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('stop when the pool is removed', async () => {
    const { clock, guard, validation } = checked(['a'], { '*': true });
    guard.updateConfig({ keyManagement: { providers: {} } });
    await clock.advance(10 * MINUTE);
    expect(validation.asked()).toEqual([]);
    expect(clock.pending).toEqual({ foreground: 0, background: 0 });
  });

  test('follow an update: another interval, off, on, and in the middle of a round', async () => {
    const { clock, guard, validation } = checked(['a'], { '*': true });
    const update = (healthCheck: object | undefined, validate: KeyValidator | undefined = validation.validate): void => {
      const keys = [{ id: 'a', key: secretOf('a') }];
      guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys, validate, healthCheck } } } });
    };
    update({ intervalMs: 10 * MINUTE });
    await clock.advance(9 * MINUTE);
    expect(validation.seen).toHaveLength(0);
    await clock.advance(MINUTE);
    expect(validation.seen).toHaveLength(1);
    update(undefined);
    await clock.advance(60 * MINUTE);
    expect(validation.seen).toHaveLength(1);
    let verdict!: (good: boolean) => void;
    validation.verdicts['a'] = () => new Promise(resolve => (verdict = resolve));
    update({ intervalMs: MINUTE });
    await clock.advance(MINUTE);
    update({ intervalMs: 2 * MINUTE });
    verdict(true);
    await settle();
    validation.verdicts['a'] = true;
    expect(clock.pending).toEqual({ foreground: 0, background: 1 });
    await clock.advance(4 * MINUTE);
    expect(validation.seen).toHaveLength(4);
  });

  test('begin when a validate function comes later', async () => {
    const { clock, guard, warnings } = poolBench(['a'], { healthCheck: { intervalMs: MINUTE } });
    expect(warnings).toEqual(['keyManagement.providers["*vendor*"].healthCheck has no effect without a validate function']);
    expect(clock.pending.background).toBe(0);
    const validate = vi.fn(() => true);
    const keys = [{ id: 'a', key: secretOf('a') }];
    guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys, validate, healthCheck: { intervalMs: MINUTE } } } } });
    await clock.advance(MINUTE);
    expect(validate).toHaveBeenCalledOnce();
  });

  test('are off where the pool says so', async () => {
    const { clock, validation } = checked(['a'], { '*': true }, { healthCheck: { enabled: false } });
    await clock.advance(60 * MINUTE);
    expect(validation.seen).toHaveLength(0);
  });
});

describe('a validate function that never can tell', () => {
  const unable = (): never => {
    throw new Error('the models endpoint is not reachable');
  };

  test('leaves a lone key to one call that finds out', async () => {
    const { validate, asked } = validator({ a: unable });
    const { ask, asked: called, replies, states } = poolBench(['a'], { validate, maxWaitMs: 60_000 });
    replies['a'] = [401, 'ok'];
    await ask();
    expect(await ask({}, 60_000)).toEqual(OK('a'));
    expect(asked()).toEqual(['a']);
    expect(called).toEqual(['a', 'a']);
    expect(states()).toEqual({ a: 'ready' });
  });

  test('holds a key back a few times while others are good', async () => {
    const { validate, asked } = validator({ a: unable });
    const { ask, asked: called, replies, clock, states } = poolBench(['a', 'b'], { validate });
    replies['a'] = [401, 'ok'];
    await ask();
    for (let i = 0; i < 6; i++) {
      await clock.advance(400_000);
      await ask();
    }
    expect(asked()).toEqual(['a', 'a', 'a']);
    expect(called.slice(0, 5)).toEqual(['a', 'b', 'b', 'b', 'b']);
    expect(called.slice(5)).toContain('a');
    expect(states()).toEqual({ a: 'ready', b: 'ready' });
  });
});
