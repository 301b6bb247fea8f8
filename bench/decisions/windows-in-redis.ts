// Run: npx tsx bench/decisions/windows-in-redis.ts
// What a lease costs the server by how Redis keeps four windows of a key: requests and tokens per minute and per day.
import { LEASE } from '../../src/state/redis/lua.ts';
import { RedisServer } from '../../test/support/redis/server.ts';
import { median } from '../rounds.ts';

const ROUNDS = 40;
const PER_ROUND = 150;
/** How full the windows are: calls of the last minute, and of the last day before that. */
const PER_MINUTE = 600;
const PER_DAY = 10_000;
const LIMITS = '1000000 1000000000 1000000 1000000000 0';
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const TIME = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/** A member per call, in a sorted set per span; what they come to in all is in a hash. */
const SORTED_SETS = `${TIME}
local id, tokens = ARGV[1], ARGV[2] + 0
for i, span in ipairs({ ${MINUTE_MS}, ${DAY_MS} }) do
  local gone = redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now - span)
  if #gone > 0 then
    local sum = 0
    for _, member in ipairs(gone) do sum = sum + string.match(member, ' (%d+)$') end
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - span)
    redis.call('HINCRBY', KEYS[3], i .. 'r', -#gone)
    redis.call('HINCRBY', KEYS[3], i .. 'k', -sum)
  end
end
local sums = redis.call('HMGET', KEYS[3], '1r', '1k', '2r', '2k')
for i = 1, 4 do
  if (sums[i] or 0) + (i % 2 == 1 and 1 or tokens) > ARGV[2 + i] + 0 then return 0 end
end
for i, span in ipairs({ ${MINUTE_MS}, ${DAY_MS} }) do
  redis.call('ZADD', KEYS[i], now, id .. ' ' .. tokens)
  redis.call('PEXPIRE', KEYS[i], span)
  redis.call('HINCRBY', KEYS[3], i .. 'r', 1)
  redis.call('HINCRBY', KEYS[3], i .. 'k', tokens)
end
redis.call('PEXPIRE', KEYS[3], ${DAY_MS})
return 1
`;

/** A field per step and figure in a hash per span, sums beside them; fields are swept when a step ends. */
const HASHES = `${TIME}
local tokens = ARGV[2] + 0
local steps = { 500, 900000 }
for i, span in ipairs({ ${MINUTE_MS}, ${DAY_MS} }) do
  local step = math.floor(now / steps[i])
  local head = redis.call('HMGET', KEYS[i], 'step', 'r', 'k')
  local requests, all = (head[2] or 0) + 0, (head[3] or 0) + 0
  if head[1] ~= tostring(step) then
    local fields = redis.call('HGETALL', KEYS[i])
    local oldest = math.floor((now - span) / steps[i])
    for f = 1, #fields, 2 do
      local kind, at = string.match(fields[f], '^([RK])(%d+)$')
      if kind and at + 0 < oldest then
        if kind == 'R' then requests = requests - fields[f + 1] else all = all - fields[f + 1] end
        redis.call('HDEL', KEYS[i], fields[f])
      end
    end
  end
  if requests + 1 > ARGV[1 + 2 * i] + 0 or all + tokens > ARGV[2 + 2 * i] + 0 then return 0 end
  redis.call('HSET', KEYS[i], 'step', step, 'r', requests + 1, 'k', all + tokens)
  redis.call('HINCRBY', KEYS[i], 'R' .. step, 1)
  redis.call('HINCRBY', KEYS[i], 'K' .. step, tokens)
  redis.call('PEXPIRE', KEYS[i], span)
end
return 1
`;

/** The same, but that the whole of the string is read and written each time. */
const WHOLE_STRING = LEASE.replace('  if ma > 0 then forget(', '  load(e)\n  if ma > 0 then forget(');
const STATE = LEASE.slice(0, LEASE.indexOf('local known, script'));
const FILL_STRING = `${STATE}
local e, now = limit(open(KEYS[1], time()), '${LIMITS}'), time()
for i = 95, 1, -1 do append(e, e.day, now - i * DAY_STEP, ${Math.round(PER_DAY / 96)}, ${Math.round(PER_DAY / 96)} * 100, DAY_STEP) end
for i = 119, 1, -1 do append(e, e.minute, now - i * MINUTE_STEP, ${PER_MINUTE / 120}, ${PER_MINUTE / 120} * 100, MINUTE_STEP) end
save(e, now)
`;

interface Way {
  readonly label: string;
  readonly script: string;
  readonly keys: readonly string[];
  readonly args: (id: string) => (string | number)[];
  /** Of one run. */
  readonly leases: number;
  readonly fill?: () => Promise<unknown>;
}

const server = await RedisServer.start();
const client = server.client();

const four = LIMITS.split(' ').slice(0, 4);
const leaseOf = (name: string, script: string, leases: number, isFull: boolean): Way => ({
  label: name,
  script,
  keys: ['{pool}:v', '{pool}:s', `{pool}:${name}`, '{pool}:group'],
  args: id => {
    const each = [100, '', 1, '0001////0'];
    return ['', id, 600_000, 0, 1000, LIMITS, '', ...Array.from({ length: leases }, () => each).flat()];
  },
  leases,
  ...(isFull && { fill: () => client.eval(FILL_STRING, 1, `{pool}:${name}`) }),
});

const ways: Way[] = [
  { label: 'nothing: return 1', script: 'return 1', keys: ['{pool}:v', '{pool}:s', '{pool}:k', '{pool}:g'], args: id => [id, 100, ...four], leases: 1 },
  {
    label: 'sorted sets, a member per call',
    script: SORTED_SETS,
    keys: ['{pool}:zm', '{pool}:zd', '{pool}:zs'],
    args: id => [id, 100, ...four],
    leases: 1,
    fill: async () => {
      const pipeline = client.pipeline();
      const now = Date.now();
      for (let i = 0; i < PER_MINUTE; i++) pipeline.zadd('{pool}:zm', now - i * (MINUTE_MS / PER_MINUTE), `abcde${i} 100`);
      for (let i = 0; i < PER_DAY; i++) pipeline.zadd('{pool}:zd', now - i * (DAY_MS / PER_DAY), `abcde${i} 100`);
      pipeline.hset('{pool}:zs', '1r', PER_MINUTE, '1k', PER_MINUTE * 100, '2r', PER_DAY, '2k', PER_DAY * 100);
      await pipeline.exec();
    },
  },
  {
    label: 'hashes, two fields per step',
    script: HASHES,
    keys: ['{pool}:hm', '{pool}:hd'],
    args: id => [id, 100, ...four],
    leases: 1,
    fill: async () => {
      const pipeline = client.pipeline();
      const now = Date.now();
      for (const [key, stepMs, steps, calls] of [['{pool}:hm', 500, 120, PER_MINUTE], ['{pool}:hd', 900_000, 96, PER_DAY]] as const) {
        for (let i = 1; i < steps; i++) {
          const step = Math.floor(now / stepMs) - i;
          pipeline.hset(key, `R${step}`, Math.round(calls / steps), `K${step}`, Math.round(calls / steps) * 100);
        }
        pipeline.hset(key, 'r', calls, 'k', calls * 100);
      }
      await pipeline.exec();
    },
  },
  leaseOf('one string, all of it', WHOLE_STRING, 1, true),
  leaseOf('one string, its head', LEASE, 1, true),
  leaseOf('one string, its head, windows empty', LEASE, 1, false),
  leaseOf('one string, its head, 50 at once', LEASE, 50, true),
];

const digests = new Map<Way, string>();
const times = new Map<Way, number[]>();
for (const way of ways) {
  digests.set(way, String(await client.script('LOAD', way.script)));
  times.set(way, []);
  await way.fill?.();
}
let ids = 0;
for (let round = 0; round < ROUNDS; round++) {
  for (const way of ways) {
    await client.config('RESETSTAT');
    const pipeline = client.pipeline();
    for (let i = 0; i < PER_ROUND; i++) {
      const args = way.args(`abcde${String(ids++).padStart(5, '0')}`);
      pipeline.evalsha(digests.get(way) ?? '', way.keys.length, ...way.keys, ...args);
    }
    for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
    const [, calls, micros] = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/.exec(await client.info('commandstats')) ?? [];
    times.get(way)?.push(Number(micros) / Number(calls) / way.leases);
  }
}
for (const way of ways) {
  const all = times.get(way) ?? [];
  let bytes = 0;
  for (const key of way.keys.slice(way.script.includes('local known, script') ? 2 : 0)) bytes += (await client.memory('USAGE', key)) ?? 0;
  console.log(
    `${way.label.padEnd(38)} ${median(all).toFixed(1).padStart(6)} µs of the server, ${Math.min(...all).toFixed(1).padStart(5)} at best, ` +
      `${(bytes / 1024).toFixed(1)} KB`,
  );
}
client.disconnect();
await server.close();
