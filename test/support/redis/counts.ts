import type { Redis } from 'ioredis';

/** Requests of the last minute in the head of an entry; see STATE in lua.ts. */
const MINUTE_REQUESTS = 25;
const DAY_REQUESTS = 57;

/** Attempts under way in it. */
const PLACES = 17;

/** What a server has counted of each limited key whose name begins so, in no order. */
export async function countedIn(client: Redis, prefix = 'eg:', window: 'minute' | 'day' = 'minute'): Promise<number[]> {
  const counts: number[] = [];
  for (const name of await client.keys(`${prefix}*:k*`)) {
    const entry = await client.getBuffer(name);
    if (entry) counts.push(entry.readUInt32LE(window === 'minute' ? MINUTE_REQUESTS : DAY_REQUESTS));
  }
  return counts;
}

/** How many attempts under way a server knows of each limited key whose name begins so, in no order. */
export async function placesIn(client: Redis, prefix = 'eg:'): Promise<number[]> {
  const counts: number[] = [];
  for (const name of await client.keys(`${prefix}*:k*`)) {
    const entry = await client.getBuffer(name);
    if (entry) counts.push(entry.readUInt16LE(PLACES));
  }
  return counts;
}
