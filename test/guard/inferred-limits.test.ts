import { expect, test } from 'vitest';
import { benchOf, type Bench } from './support.ts';

const MINUTE_MS = 60_000;

/** A provider of five requests in any minute that says nothing but 429. */
function silent({ clock, guard }: Bench): () => Promise<number> {
  let log: number[] = [];
  return () =>
    guard
      .execute(
        () => {
          const now = clock.now();
          log = log.filter(at => at + MINUTE_MS > now);
          if (log.length >= 5) return new Response(null, { status: 429 });
          log.push(now);
          return new Response(null);
        },
        { providerName: 'acme', model: 'm' },
      )
      .then(({ status }) => status, () => 0);
}

test('a provider that says nothing but 429 is asked no more than it lets through, and explain says why', async () => {
  const bench = benchOf({
    retry: { maxRetries: 0 },
    keyManagement: { maxWaitMs: 0, providers: { acme: { keys: [{ id: 'ann', key: 'secret-of-ann' }] } } },
  });
  const call = silent(bench);
  const statuses: number[] = [];
  for (let second = 0; second < 600; second += 2) {
    statuses.push(await call());
    await bench.clock.advance(2000);
  }
  const late = statuses.slice(150);
  expect(late.filter(status => status === 200).length).toBeGreaterThanOrEqual(23);
  expect(late.filter(status => status === 429).length).toBeLessThanOrEqual(2);
  const [ann] = bench.guard.explain('acme', { model: 'm' }).keys;
  expect(ann).toMatchObject({ state: 'exhausted', why: 'requests are used up, as far as can be inferred from refusals (model m)' });
  expect(bench.guard.getStats().keys['acme']?.keys[0]?.learned).toMatchObject([{ model: 'm', limit: 5, inferredMs: MINUTE_MS }]);
});
