// Run: npx tsx bench/decisions/refill.ts
// A limit that refills evenly is left alone until it is full: what does that cost, and what does it save?
import { ExecutionGuard } from '../../src/index.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';

const MINUTE_MS = 60_000;
const MINUTES = 60;

/** A bucket as OpenAI and Anthropic have them; the reset in its headers is when it is full. */
class Bucket {
  served = 0;
  refused = 0;
  private level: number;
  private at: number;
  private readonly limit: number;

  constructor(limit: number, now: number) {
    this.limit = limit;
    this.level = limit;
    this.at = now;
  }

  answer(now: number, tells: boolean): Response {
    this.level = Math.min(this.limit, this.level + ((now - this.at) * this.limit) / MINUTE_MS);
    this.at = now;
    const isServed = this.level >= 1;
    if (isServed) this.level--;
    if (isServed) this.served++;
    else this.refused++;
    const resetMs = Math.ceil(((this.limit - this.level) * MINUTE_MS) / this.limit);
    const headers = new Headers();
    if (!isServed) headers.set('retry-after', String(Math.ceil(((1 - this.level) * MINUTE_MS) / this.limit / 1000)));
    if (tells) {
      headers.set('x-ratelimit-limit-requests', String(this.limit));
      headers.set('x-ratelimit-remaining-requests', String(Math.floor(this.level)));
      headers.set('x-ratelimit-reset-requests', `${resetMs}ms`);
    }
    return new Response(null, { status: isServed ? 200 : 429, headers });
  }
}

async function hour(limit: number, callsPerMinute: number, tells: boolean): Promise<string> {
  const clock = new ManualClock();
  const bucket = new Bucket(limit, clock.now());
  const guard = new ExecutionGuard(
    {
      queue: { maxQueueSize: 10_000 },
      keyManagement: { maxWaitMs: 2 * MINUTE_MS, providers: { openai: { keys: ['one-secret-key'] } } },
    },
    { clock, random: () => 0, env: {} },
  );
  const waits: number[] = [];
  const calls: Promise<void>[] = [];
  for (let call = 0; call < MINUTES * callsPerMinute; call++) {
    const askedAt = clock.now();
    const answered = guard.execute(() => bucket.answer(clock.now(), tells), { providerName: 'openai', model: 'm' });
    calls.push(
      answered.then(
        ({ ok }) => {
          if (ok) waits.push(clock.now() - askedAt);
        },
        () => undefined,
      ),
    );
    await clock.advance(MINUTE_MS / callsPerMinute);
  }
  const { served, refused } = bucket;
  await clock.advance(3 * MINUTE_MS);
  await Promise.all(calls);
  guard.close();
  const middle = waits.toSorted((a, b) => a - b)[waits.length >>> 1] ?? 0;
  return `| ${limit}/min, asked ${callsPerMinute}/min | ${tells ? 'yes' : 'no'} | ${served} | ${refused} | ${(middle / 1000).toFixed(1)} s |`;
}

console.log('| limit | told in headers | served in an hour | refused with 429 | median wait |');
for (const [limit, callsPerMinute] of [[10, 20], [10, 8], [60, 120], [500, 550]] as const) {
  for (const tells of [true, false]) console.log(await hour(limit, callsPerMinute, tells));
}
