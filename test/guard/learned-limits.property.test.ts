import fc from 'fast-check';
import { expect, test } from 'vitest';
import { benchOf } from './support.ts';

interface Provider {
  /** True where the request is served. */
  admit(now: number): boolean;
  left(now: number): number;
  resetInMs(now: number): number;
}

const WINDOW_MS = 60_000;

/** Whole again at every full minute. */
function fixedWindow(limit: number): Provider {
  let minute = -1;
  let used = 0;
  const look = (now: number): void => {
    if (Math.floor(now / WINDOW_MS) === minute) return;
    minute = Math.floor(now / WINDOW_MS);
    used = 0;
  };
  return {
    admit: now => {
      look(now);
      return ++used <= limit;
    },
    left: now => {
      look(now);
      return Math.max(0, limit - used);
    },
    resetInMs: now => WINDOW_MS - (now % WINDOW_MS),
  };
}

/** Refills evenly; the reset is when it is full. */
function bucket(limit: number): Provider {
  let level = limit;
  let at = 0;
  const look = (now: number): void => {
    level = Math.min(limit, level + ((now - at) * limit) / WINDOW_MS);
    at = now;
  };
  return {
    admit: now => {
      look(now);
      if (level < 1) return false;
      level--;
      return true;
    },
    left: now => {
      look(now);
      return Math.floor(level);
    },
    resetInMs: now => {
      look(now);
      return Math.ceil(((limit - level) * WINDOW_MS) / limit);
    },
  };
}

const traffic = fc.array(
  fc.record({ waitMs: fc.integer({ min: 0, max: 40_000 }), calls: fc.integer({ min: 1, max: 8 }) }),
  { minLength: 1, maxLength: 30 },
);

test.each([
  ['fixed windows', fixedWindow, 0],
  // Its reset is when it is full: until then one that has run empty is left alone.
  ['a bucket that refills', bucket, Infinity],
])('%s: a provider that tells what is left has nothing to refuse', async (_, providerOf, mostWithheld) => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 12 }), traffic, async (limit, steps) => {
      const { guard, clock } = benchOf({
        deduplication: { enabled: false },
        keyManagement: { maxWaitMs: 0, providers: { openai: { keys: ['a-secret-key'] } } },
      });
      const provider = providerOf(limit);
      let refusals = 0;
      let withheld = 0;
      const call = async (): Promise<void> => {
        const answered = guard.execute(() => {
          const now = clock.now();
          const isServed = provider.admit(now);
          if (!isServed) refusals++;
          const headers = {
            'x-ratelimit-limit-requests': String(limit),
            'x-ratelimit-remaining-requests': String(provider.left(now)),
            'x-ratelimit-reset-requests': `${provider.resetInMs(now)}ms`,
          };
          return new Response(null, { status: isServed ? 200 : 429, headers });
        }, { providerName: 'openai', model: 'gpt-4o' });
        await answered.catch(() => {
          withheld += provider.left(clock.now());
        });
      };
      await call();
      for (const { waitMs, calls } of steps) {
        await clock.advance(waitMs);
        for (let i = 0; i < calls; i++) await call();
      }
      guard.close();
      expect(refusals).toBe(0);
      expect(withheld).toBeLessThanOrEqual(mostWithheld);
    }),
    { numRuns: 60 },
  );
});
