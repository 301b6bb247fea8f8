// Run: npx tsx bench/decisions/result-cache.ts
import { LRUCache } from 'lru-cache';
import { systemClock } from '../../src/clock.ts';
import { Call } from '../../src/guard/call.ts';
import { parseConfig } from '../../src/guard/config/parse.ts';
import { Generations, type Member } from '../../src/guard/deduplication/generations.ts';
import { Pipeline, type Handler, type Stage } from '../../src/guard/pipeline.ts';
import { ProviderTable } from '../../src/guard/provider-state.ts';
import { timeInRounds, type Contender } from '../rounds.ts';

/** What a guard has by default: answers kept, and for how long. */
const MAX = 1000;
const TTL_MS = 30_000;

/** Where calls under way and their answers are kept. Every call has a key of its own, as most have. */
interface Cache {
  begin(key: string): void;
  end(key: string, answer: unknown): void;
}

/** What there was before: a Map of the calls under way, and lru-cache for the answers. */
function lruCache(): Cache {
  const flights = new Map<string, object>();
  const answers = new LRUCache<string, object>({ max: MAX, ttl: TTL_MS, ttlResolution: 0, perf: systemClock });
  return {
    begin(key) {
      if (answers.get(key) === undefined && flights.get(key) === undefined) flights.set(key, { key });
    },
    end(key, answer) {
      flights.delete(key);
      answers.set(key, { answer });
    },
  };
}

class Entry implements Member {
  generation = 0;
  landedAt = 0;
  answer: unknown = undefined;

  get isHeld(): boolean {
    return this.landedAt === 0;
  }
}

function generations(): Cache {
  const table = new Generations<Entry>(MAX);
  return {
    begin(key) {
      if (table.get(key) === undefined) table.put(key, new Entry());
    },
    end(key, answer) {
      const entry = table.get(key);
      if (entry === undefined) throw new Error('A call under way was lost');
      entry.answer = answer;
      entry.landedAt = systemClock.now();
      table.put(key, entry);
    },
  };
}

/** Two generations in two Maps that are cleared and used again. */
function clearedMaps(): Cache {
  let young = new Map<string, Entry>();
  let old = new Map<string, Entry>();
  return {
    begin(key) {
      if (young.has(key) || old.has(key)) return;
      if (young.size >= MAX / 2) {
        old.clear();
        [young, old] = [old, young];
      }
      young.set(key, new Entry());
    },
    end(key, answer) {
      const entry = young.get(key) ?? old.get(key)!;
      entry.answer = answer;
      entry.landedAt = systemClock.now();
    },
  };
}

const answer = Promise.resolve({ text: 'an answer' });
const provider = new ProviderTable(parseConfig({}), systemClock, () => undefined).of('provider');
const last: Handler = () => answer;

function contender(label: string, cache: Cache | undefined): Contender {
  const stage: Stage = {
    enter(call, next) {
      if (call.options.deduplicationKey !== undefined) cache?.begin(call.options.deduplicationKey);
      return next(call);
    },
    callEnded({ options }, { outcome }) {
      if (options.deduplicationKey !== undefined) cache?.end(options.deduplicationKey, outcome);
    },
  };
  const pipeline = new Pipeline([stage], last);
  let calls = 0;
  return {
    label,
    run: async count => {
      for (let i = 0; i < count; i++) {
        const options = { deduplicationKey: `call-${calls++}` };
        const call = new Call(() => answer, options, provider, undefined, pipeline, systemClock.now());
        pipeline.callEnded(call, { rejected: false, outcome: await pipeline.handle(call) });
      }
    },
  };
}

const times = await timeInRounds(
  [
    contender('nothing kept', undefined),
    contender('a Map and lru-cache', lruCache()),
    contender('two generations', generations()),
    contender('two Maps, cleared and used again', clearedMaps()),
  ],
  { rounds: 31, roundMs: 100 },
);
const base = times.get('nothing kept') ?? NaN;
for (const [label, microseconds] of times) {
  console.log(`${label.padEnd(34)} ${microseconds.toFixed(2)} µs, ${(microseconds - base).toFixed(2)} µs of it for the cache`);
}
