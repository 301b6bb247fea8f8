import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { OK, PATTERN, poolBench, PROVIDER } from './keys-bench.ts';
import { settle } from './support.ts';

const unread = (): Response => new Response('never read');

describe('answers that nobody reads', () => {
  test('do not make their key look busy once their lease has expired', async () => {
    const bench = poolBench(['a', 'b'], { strategy: 'least-used', leaseMs: 60_000 });
    bench.replies.a = [unread, unread, unread, 'ok'];
    const answers = [];
    for (let i = 0; i < 3; i++) answers.push((await bench.ask({ keyId: 'a' })).value);
    await bench.clock.advance(60_000);
    bench.asked.length = 0;
    for (let i = 0; i < 20; i++) await bench.ask({}, 1000);
    expect(bench.asked.filter(id => id === 'a').length).toBeGreaterThan(5);
    expect(answers).toHaveLength(3);
  });

  test('are not counted by reports beyond that, and do not hold up a key that leaves', async () => {
    const bench = poolBench(['a', 'b'], { leaseMs: 60_000 });
    bench.replies.a = unread;
    const { value } = await bench.ask({ keyId: 'a' });
    expect(bench.key('a').inFlight).toBe(1);
    await bench.clock.advance(60_000);
    expect(bench.key('a').inFlight).toBe(0);
    const again = await bench.ask({ keyId: 'a' });
    bench.guard.keys.remove(PATTERN, 'a');
    expect(bench.states()).toEqual({ a: 'draining', b: 'ready' });
    await bench.clock.advance(60_000);
    expect(bench.states()).toEqual({ b: 'ready' });
    expect([value, again.value]).toHaveLength(2);
  });

  test('leave nothing behind on a signal that lives on', async () => {
    const bench = poolBench(['a'], { leaseMs: 60_000 });
    const { signal } = new AbortController();
    bench.replies.a = unread;
    const { value } = await bench.ask({ signal });
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await bench.clock.advance(60_000);
    bench.guard.keys.list();
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
    expect(value).toBeInstanceOf(Response);
  });
});

test('a shorter lease holds for attempts under way too', async () => {
  const keys = [{ id: 'a', key: 'secret-of-a-0123456789', limits: { concurrency: 2 } }];
  const bench = poolBench(keys, { leaseMs: 600_000 });
  bench.replies.a = [() => new Promise(() => undefined), () => new Promise(() => undefined), 'ok'];
  bench.call();
  await settle();
  bench.guard.updateConfig({ keyManagement: { providers: { [PATTERN]: { keys, leaseMs: 1000 } } } });
  bench.call({ providerName: PROVIDER });
  expect(await bench.ask({}, 1000)).toEqual(OK('a'));
});
