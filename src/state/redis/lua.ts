import { DAY_MS, MINUTE_MS } from '../../faults/durations.ts';
import { ON_THE_WAY_MS } from '../on-the-way.ts';
import { CORRECT_LEVEL, LEVEL, LEVEL_FIT, LEVEL_SIZE, LEVEL_WAIT, LEVELS, TELL_LEVEL } from './level.ts';

const HEAD_SIZE = 355;
const WITH_LEVEL = HEAD_SIZE + LEVEL_SIZE;

/**
 * Messages are sent by `pcall`: where this user may send none, what a script has written before stands all the same, and
 * must not be taken for not done.
 *
 * A member's state is one string, a head of fixed length and a body. As a rule the head is all that is read and written.
 *
 * The head holds until when the string lives, the end of the provider's day, whether somebody waits and whether there is
 * a level, how many entries the body has, the scripts that counted last, and of each window what it holds in all, its
 * oldest entry's time and its current entry. The body has the earlier entries of the minute and of the day (time, requests, tokens), oldest first,
 * and the attempts under way (expiry, id). Neighbours closer than a step share an entry, under the later time: memory
 * is bounded, nothing counts for less than its window, nor for more than a step longer.
 *
 * Where a limit of the minute refills, a level stands between head and body, beside the window; see level.ts. Who takes
 * something, or gives it back, does so of both: each process goes by what it has heard of the limit, and none forgets
 * what was used.
 */
const STATE = `
local MINUTE, DAY = ${MINUTE_MS + ON_THE_WAY_MS}, ${DAY_MS + ON_THE_WAY_MS}
local MINUTE_STEP, DAY_STEP = 500, 900000
local HEAD, HEAD_SIZE = '<I6I6BI2I2I2I6I4I6I6I4I6I6I4I6I6I4I6c272', ${HEAD_SIZE}
local ENTRY, PLACE, COUNTED, COUNTED_SIZE = '<I6I4I6', '<I6c11', '<c10I7', 17
local call, pack, read = redis.call, struct.pack, struct.unpack
local sub, byte, floor, max, min = string.sub, string.byte, math.floor, math.max, math.min

local function time()
  local t = call('TIME')
  return t[1] * 1000 + floor(t[2] / 1000)
end

local function load(e)
  if e.isLoaded then return end
  local s = call('GETRANGE', e.key, e.level and ${WITH_LEVEL} or HEAD_SIZE, -1)
  local day = e.minutes * 16 + 1
  local place = day + e.days * 16
  e.minute.log, e.day.log, e.places = sub(s, 1, day - 1), sub(s, day, place - 1), sub(s, place)
  e.isLoaded = true
end

${LEVELS}
-- Time went back by more than the clocks of two servers differ: what counts, counts from now on.
local function setBack(w, now)
  local entries = {}
  for from = 1, #w.log, 16 do
    local t, r, k = read(ENTRY, w.log, from)
    entries[#entries + 1] = pack(ENTRY, min(t, now), r, k)
  end
  w.log, w.at = table.concat(entries), now
end

local function forget(e, w, span, now)
  local isAhead = w.at > now + MINUTE
  if not isAhead and w.at + span > now and (w.oldest == 0 or w.oldest + span > now) then return end
  load(e)
  if isAhead then
    setBack(w, now)
    e.isNew = true
  end
  local log, from = w.log, 1
  while from < #log do
    local t, r, k = read(ENTRY, log, from)
    if t + span > now then break end
    w.requests, w.tokens, from = max(0, w.requests - r), max(0, w.tokens - k), from + 16
  end
  if from > 1 then w.log = sub(log, from) end
  if w.at + span <= now then w.requests, w.tokens, w.at, w.r, w.k = 0, 0, 0, 0, 0 end
end

local function open(key, now)
  local s = call('GETRANGE', key, 0, ${WITH_LEVEL - 1})
  if s == '' then
    return { key = key, lives = 0, reset = 0, waits = 0, places = '', counted = string.rep(' ', 272), isLoaded = true,
      minute = { log = '', requests = 0, tokens = 0, at = 0, r = 0, k = 0 },
      day = { log = '', requests = 0, tokens = 0, at = 0, r = 0, k = 0 } }
  end
  local lives, reset, waits, minutes, days, places, mo, mr, mt, ma, m1, m2, d0, dr, dt, da, d1, d2, counted = read(HEAD, s)
  local minute = { oldest = mo, requests = mr, tokens = mt, at = ma, r = m1, k = m2 }
  local day = { oldest = d0, requests = dr, tokens = dt, at = da, r = d1, k = d2 }
  local e = { key = key, lives = lives, reset = reset, waits = waits, minutes = minutes, days = days, taken = places,
    counted = counted, minute = minute, day = day }
  if waits > 1 then
    local at, requests, tokens, rpm, tpm = read('${LEVEL}', s, HEAD_SIZE + 1)
    e.waits, e.level = waits - 2, { at = at, requests = requests, tokens = tokens, rpm = rpm, tpm = tpm }
  end
  if ma > 0 then forget(e, minute, MINUTE, now) end
  if reset > 0 then
    if now >= reset then e.reset, day.requests, day.tokens = 0, 0, 0 end
  elseif da > 0 then
    forget(e, day, DAY, now)
  end
  return e
end

local function headOf(e)
  local m, d, v = e.minute, e.day, e.level
  local head = pack(HEAD, e.lives, e.reset, v and e.waits + 2 or e.waits, e.minutes, e.days, e.taken, m.oldest, m.requests,
    m.tokens, m.at, m.r, m.k, d.oldest, d.requests, d.tokens, d.at, d.r, d.k, e.counted)
  return v and head .. pack('${LEVEL}', v.at, v.requests, v.tokens, v.rpm, v.tpm) or head
end

local function save(e, now)
  local m, d = e.minute, e.day
  local ends = m.at > 0 and m.at + MINUTE or 0
  if e.reset > 0 then ends = max(ends, e.reset)
  elseif d.at > 0 then ends = max(ends, d.at + DAY) end
  if not e.isLoaded then
    local isLonger = ends > e.lives
    if isLonger then e.lives = ends + MINUTE end
    call('SETRANGE', e.key, 0, headOf(e))
    if isLonger then call('PEXPIRE', e.key, e.lives - now) end
    return
  end
  local v = e.level
  if v and v.requests > 0 then ends = max(ends, v.at + math.ceil(v.requests / v.rpm)) end
  if v and v.tokens > 0 then ends = max(ends, v.at + math.ceil(v.tokens / v.tpm)) end
  for from = 1, #e.places, 17 do ends = max(ends, (read('<I6', e.places, from))) end
  if ends <= now then return call('DEL', e.key) end
  e.lives, e.minutes, e.days, e.taken = ends + MINUTE, #m.log / 16, #d.log / 16, #e.places / 17
  m.oldest = m.log ~= '' and read('<I6', m.log) or 0
  d.oldest = d.log ~= '' and read('<I6', d.log) or 0
  call('SET', e.key, headOf(e) .. m.log .. d.log .. e.places, 'PX', e.lives - now)
end

-- rpm tpm rpd tpd concurrency; 0 stands for none. Where rpm or tpm refills there follows when it is whole, and an r or a t.
local function limit(e, text, now)
  local rpm, tpm, rpd, tpd, places = string.match(text, '(%d+) (%d+) (%d+) (%d+) (%d+)')
  e.rpm, e.tpm, e.rpd, e.tpd, e.most = rpm + 0, tpm + 0, rpd + 0, tpd + 0, places + 0
  if byte(text, -1) > 57 then refill(e, text, now) end
  return e
end

-- Where the current entry is of the same step it takes the new one in; else it joins the log.
local function append(e, w, at, requests, tokens, step)
  w.requests, w.tokens = w.requests + requests, w.tokens + tokens
  if at < w.at then at = w.at end
  if at - at % step == w.at - w.at % step then
    w.at, w.r, w.k = at, w.r + requests, w.k + tokens
    return
  end
  load(e)
  if w.at > 0 then w.log = w.log .. pack(ENTRY, w.at, w.r, w.k) end
  w.at, w.r, w.k = at, requests, tokens
end

-- From now on the day ends when the provider's does.
local function endDay(e, reset)
  load(e)
  local day = e.day
  e.reset, day.log, day.at, day.r, day.k = reset, '', 0, 0, 0
end

local function reserve(e, requests, tokens, at, now, reset)
  if e.level then raise(e.level, requests, tokens, at, now) end
  if e.rpm > 0 or e.tpm > 0 or e.level then append(e, e.minute, at, requests, tokens, MINUTE_STEP) end
  if e.rpd > 0 or e.tpd > 0 then
    if e.reset == 0 and reset > now then endDay(e, reset) end
    if e.reset == 0 then
      append(e, e.day, at, requests, tokens, DAY_STEP)
    else
      e.day.requests, e.day.tokens = e.day.requests + requests, e.day.tokens + tokens
    end
  end
end

local function place(e, expiry, id)
  load(e)
  e.places = e.places .. pack(PLACE, expiry, id)
end

-- Of so many scripts it is known which of their leases they have counted: a bit for each.
local function remember(e, script, leases)
  e.counted = sub(e.counted, COUNTED_SIZE + 1) .. pack(COUNTED, script, leases)
end
`;

const GATES = `
-- state|until|since|strikes|last in line|probe until|probe id|revision|reason
local function shutFor(record, now)
  local state, till, probe = string.match(record, '^(%a+)|(%d+)|%d+|%d+|%d|(%d+)|')
  if state == 'ready' then return nil end
  return max(till + 0, probe + 0) - now
end

local function withProbe(record, till, id)
  return (string.gsub(record, '^(%a+|%d+|%d+|%d+|%d|)%d+|[^|]*|', '%1' .. string.format('%d', till) .. '|' .. id .. '|'))
end

local function bump(key, now)
  local known = call('GET', key)
  local epoch, count = string.match(known or '', '^(%d+)%.(%d+)$')
  local version = epoch and epoch .. '.' .. (count + 1) or string.format('%d.1', now)
  call('SET', key, version)
  return known or '', version
end
`;

/**
 * Takes for each lease the first of its candidates that has room, one lease after the other.
 *
 * KEYS: version, gates, then members.
 * ARGV: known version, the script's id, lease ms, end of the provider's day or 0, by how many ms calls beyond the first
 * may be made later; the limits of each member; then per lease its tokens, `/model` or nothing, calls wanted, and nine
 * characters per candidate: the members that are its key, its group, and what these are limited to for the model, as two
 * digits to the base of 64 each or `//` for none, and whether its gates are half-open. A lease's id is the script's and a digit.
 * Answer: now, version; per lease the position granted or 0, and calls granted; then per refusal the lease, the
 * position, `key`, `group`, `keyModel`, `groupModel` or a gate's field, ms to wait, and why; a gate's record stands for the latter.
 */
export const LEASE = `${STATE}${GATES}
local known, script, leaseMs, reset, laterMs = ARGV[1], ARGV[2], ARGV[3] + 0, ARGV[4] + 0, ARGV[5] + 0
-- How much further on in ARGV than in KEYS a member is.
local LIMITS = 3
local now = time()
local version = call('GET', KEYS[1]) or ''

local changed = {}
local function change(e)
  if not e.isChanged then
    e.isChanged = true
    changed[#changed + 1] = e
  end
end

-- By where they are in KEYS; false where nothing is counted.
local members = {}
local function memberAt(c1, c2)
  if c1 == 47 then return false end
  local i = (c1 - 48) * 64 + c2 - 45
  local e = members[i]
  if e == nil then
    local limits = ARGV[i + LIMITS]
    e = limits ~= '' and limit(open(KEYS[i], now), limits, now)
    members[i] = e
    -- From when on it counts has to be known to the next script, though nothing is taken now.
    if e and e.isNew then change(e) end
  end
  return e
end

local answer = { now, version }
local refusals = {}

local function refuse(lease, position, what, wait, why)
  local n = #refusals
  refusals[n + 1], refusals[n + 2], refusals[n + 3], refusals[n + 4], refusals[n + 5] = lease, position, what, max(1, wait), why
end

-- Of many leases that are refused each asks: no entry is read twice, nor before it is needed.
local function waitFor(e, w, excess, field, span)
  load(e)
  if w.entriesOf ~= w.log then w.entries, w.entriesOf = {}, w.log end
  local entries = w.entries
  for i = 1, #w.log / 16 * 3, 3 do
    if not entries[i] then entries[i], entries[i + 1], entries[i + 2] = read(ENTRY, w.log, (i - 1) / 3 * 16 + 1) end
    excess = excess - entries[i + field]
    if excess <= 0 then return entries[i] + span - now end
  end
  excess = excess - (field == 1 and w.r or w.k)
  return excess <= 0 and w.at + span - now or span
end

-- When a place is free; nil where one is.
local function firstFree(e)
  load(e)
  if #e.places / 17 < e.most then return nil end
  local kept, first = {}, nil
  for from = 1, #e.places, 17 do
    local expiry = read('<I6', e.places, from)
    if expiry > now then
      kept[#kept + 1] = sub(e.places, from, from + 16)
      first = min(first or expiry, expiry)
    end
  end
  e.places = table.concat(kept)
  return #kept >= e.most and first or nil
end

${LEVEL_WAIT}
local function shortage(e, tokens)
  if e.most > 0 then
    local first = firstFree(e)
    if first then return first - now, 'busy' end
  end
  local m, d = e.minute, e.day
  local asked = max(1, tokens)
  local wait, why = 0, ''
  if e.rpm > 0 and m.requests >= e.rpm then wait, why = waitFor(e, m, m.requests + 1 - e.rpm, 1, MINUTE), 'requests' end
  if e.rpd > 0 and d.requests >= e.rpd then
    local ms = e.reset > 0 and e.reset - now or waitFor(e, d, d.requests + 1 - e.rpd, 1, DAY)
    if ms > wait then wait, why = ms, 'requests' end
  end
  if e.tpm > 0 and m.tokens + asked > e.tpm then
    local ms = waitFor(e, m, m.tokens + asked - e.tpm, 2, MINUTE)
    if ms > wait then wait, why = ms, 'tokens' end
  end
  if e.tpd > 0 and d.tokens + asked > e.tpd then
    local ms = e.reset > 0 and e.reset - now or waitFor(e, d, d.tokens + asked - e.tpd, 2, DAY)
    if ms > wait then wait, why = ms, 'tokens' end
  end
  if e.levelRpm then
    local v = e.level
    local ms = levelWait(v, v.requests, e.levelRpm, 1, now)
    if ms > wait then wait, why = ms, 'requests' end
    ms = levelWait(v, v.tokens, e.levelTpm, asked, now)
    if ms > wait then wait, why = ms, 'tokens' end
  end
  return wait, why
end

-- Of so many calls, how many fit.
local function fit(calls, e, tokens)
  if not e then return calls end
  if e.most > 0 then return 1 end
  if e.rpm > 0 then calls = min(calls, e.rpm - e.minute.requests) end
  if e.rpd > 0 then calls = min(calls, e.rpd - e.day.requests) end
  if tokens > 0 and e.tpm > 0 then calls = min(calls, floor((e.tpm - e.minute.tokens) / tokens)) end
  if tokens > 0 and e.tpd > 0 then calls = min(calls, floor((e.tpd - e.day.tokens) / tokens)) end
${LEVEL_FIT}  return max(1, calls)
end

local function hasRoom(lease, position, what, e, tokens)
  local wait, why = shortage(e, tokens)
  if wait <= 0 then return true end
  refuse(lease, position, what, wait, why)
  if e.waits == 0 then
    e.waits = 1
    change(e)
  end
  return false
end

local function idOf(lease)
  return script .. string.char(47 + lease)
end

local function take(e, lease, calls, tokens)
  reserve(e, calls, calls * tokens, calls > 1 and now + laterMs or now, now, reset)
  if e.most > 0 then place(e, now + leaseMs, idOf(lease)) end
  e.leases = (e.leases or 0) + 2 ^ (lease - 1)
  change(e)
end

-- Records of the gates that were looked at.
local records = {}

-- The fields that would be probed, with their records; nil where one is shut.
local function gatesOf(lease, position, key, group, model)
  local nameAt = #KEYS[1]
  local fields = { sub(KEYS[key], nameAt), sub(KEYS[group], nameAt) }
  if model ~= '' then fields[3], fields[4] = fields[1] .. model, fields[2] .. model end
  local probed = {}
  for i = 1, #fields do
    local field = fields[i]
    if records[field] == nil then records[field] = call('HGET', KEYS[2], field) end
    local wait = records[field] and shutFor(records[field], now)
    if wait and wait > 0 then
      refuse(lease, position, field, wait, records[field])
      return nil
    end
    if wait then
      probed[#probed + 1] = field
      probed[#probed + 1] = withProbe(records[field], now + leaseMs, idOf(lease))
    end
  end
  return probed
end

local function admit(lease, position, tokens, what, e)
  return not e or hasRoom(lease, position, what, e, tokens)
end

local lease = 0
for at = #KEYS + LIMITS + 1, #ARGV, 4 do
  lease = lease + 1
  local tokens, calls, order = ARGV[at] + 0, ARGV[at + 2] + 0, ARGV[at + 3]
  local granted, position = 0, 0
  for from = 1, #order, 9 do
    position = position + 1
    local k1, k2, g1, g2, p1, p2, q1, q2, isProbe = byte(order, from, from + 8)
    local probed
    local isOpen = true
    if version ~= known or isProbe == 49 then
      probed = gatesOf(lease, position, (k1 - 48) * 64 + k2 - 45, (g1 - 48) * 64 + g2 - 45, ARGV[at + 1])
      isOpen = probed ~= nil
    end
    if isOpen then
      local key, group, ofKey, ofGroup = memberAt(k1, k2), memberAt(g1, g2), memberAt(p1, p2), memberAt(q1, q2)
      if admit(lease, position, tokens, 'key', key) and admit(lease, position, tokens, 'group', group)
        and admit(lease, position, tokens, 'keyModel', ofKey) and admit(lease, position, tokens, 'groupModel', ofGroup) then
        if calls > 1 then
          calls = fit(fit(fit(fit(calls, key, tokens), group, tokens), ofKey, tokens), ofGroup, tokens)
        end
        if key then take(key, lease, calls, tokens) end
        if group then take(group, lease, calls, tokens) end
        if ofKey then take(ofKey, lease, calls, tokens) end
        if ofGroup then take(ofGroup, lease, calls, tokens) end
        if probed and #probed > 0 then
          call('HSET', KEYS[2], unpack(probed))
          for i = 1, #probed, 2 do records[probed[i]] = probed[i + 1] end
        end
        granted = position
        break
      end
    end
  end
  answer[2 * lease + 1], answer[2 * lease + 2] = granted, calls
end
for i = 1, #changed do
  local e = changed[i]
  if e.leases then remember(e, script, e.leases) end
  save(e, now)
end
local n = #answer
for i = 1, #refusals do answer[n + i] = refusals[i] end
return answer
`;

/**
 * Corrects what was counted for leases, and ends them, one after the other.
 *
 * KEYS: version, gates, then members. ARGV: channel; then per settlement the lease's id, when it was counted, requests
 * and tokens to add, 1 where its places and probes are free again, names of probed gates separated by a line feed, and
 * its members, as two digits to the base of 64 each.
 */
export const SETTLE = `${STATE}${GATES}
local AHEAD = 1000
-- Its own entry is of the same step, or of one that calls taken ahead have begun; a later one is somebody else's.
local function isOwn(t, at, step)
  return t >= at and t - t % step <= at + AHEAD
end

-- False where the lease counts no more.
local function adjust(e, w, at, requests, tokens, step)
  if at < w.at - w.at % step then
    load(e)
    local log, from = w.log, 1
    while from < #log and read('<I6', log, from) < at do from = from + 16 end
    if from < #log then
      local t, r, k = read(ENTRY, log, from)
      if not isOwn(t, at, step) then return false end
      local r2, k2 = max(0, r + requests), max(0, k + tokens)
      w.log = sub(log, 1, from - 1) .. pack(ENTRY, t, r2, k2) .. sub(log, from + 16)
      w.requests, w.tokens = w.requests + r2 - r, w.tokens + k2 - k
      return true
    end
  end
  if not isOwn(w.at, at, step) then return false end
  local r, k = max(0, w.r + requests), max(0, w.k + tokens)
  w.requests, w.tokens, w.r, w.k = w.requests + r - w.r, w.tokens + k - w.k, r, k
  return true
end

${CORRECT_LEVEL}
local function correct(e, at, requests, tokens, now)
  if e.level then correctLevel(e, at, requests, tokens, now)
  else adjust(e, e.minute, at, requests, tokens, MINUTE_STEP) end
  local day = e.day
  if e.reset == 0 then return adjust(e, day, at, requests, tokens, DAY_STEP) end
  -- Of an earlier day, it counts no more.
  if at > e.reset - DAY - 3600000 then
    day.requests, day.tokens = max(0, day.requests + requests), max(0, day.tokens + tokens)
  end
end

local function free(e, id)
  load(e)
  local from = string.find(e.places, id, 1, true)
  if not from then return false end
  e.places = sub(e.places, 1, from - 7) .. sub(e.places, from + 11)
  return true
end

local channel = ARGV[1]
local now = time()
local members, freed = {}, {}
for i = 3, #KEYS do
  local e = open(KEYS[i], now)
  if e.lives > 0 then members[i] = e end
end
for n = 2, #ARGV, 7 do
  local id, at, requests, tokens, isOver = ARGV[n], ARGV[n + 1] + 0, ARGV[n + 2] + 0, ARGV[n + 3] + 0, ARGV[n + 4] == '1'
  local probed, which = ARGV[n + 5], ARGV[n + 6]
  for from = 1, #which, 2 do
    local hi, lo = byte(which, from, from + 1)
    local e = members[(hi - 48) * 64 + lo - 45]
    if e then
      local gives = requests < 0 or tokens < 0
      if at > 0 and (requests ~= 0 or tokens ~= 0) then correct(e, at, requests, tokens, now) end
      if isOver and free(e, id) then gives = true end
      if gives and e.waits == 1 then
        e.waits = 0
        freed[#freed + 1] = sub(e.key, #KEYS[1])
      end
    end
  end
  for field in string.gmatch(probed, '[^\\n]+') do
    local record = call('HGET', KEYS[2], field)
    if record and string.match(record, '^%a+|%d+|%d+|%d+|%d|%d+|([^|]*)|') == id then
      record = withProbe(record, 0, '')
      call('HSET', KEYS[2], field, record)
      local before, version = bump(KEYS[1], now)
      redis.pcall('PUBLISH', channel, cjson.encode({ gate = field, record = record, now = now, before = before, version = version }))
    end
  end
end
for _, e in pairs(members) do save(e, now) end
if #freed > 0 then redis.pcall('PUBLISH', channel, cjson.encode({ freed = freed })) end
return now
`;

/**
 * Says that a process is there, and what it has missed.
 *
 * KEYS: version, gates, processes. ARGV: the process, for how long it counts as alive, known version, channel.
 * Answer: now, version, processes alive; then a list of the fields and records of all gates and notes, empty where the version is the same.
 */
export const HELLO = `${STATE}
local now = time()
local version = call('GET', KEYS[1])
if not version then
  version = string.format('%d.0', now)
  call('SET', KEYS[1], version)
end
local aliveUntil = call('ZSCORE', KEYS[3], ARGV[1])
local isNew = not aliveUntil or aliveUntil + 0 <= now
-- The first thing written is one that a full server refuses, as it does leases: after any other it would let it pass.
call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
call('PEXPIRE', KEYS[3], ARGV[2])
local processes = call('ZCARD', KEYS[3])
if isNew then redis.pcall('PUBLISH', ARGV[4], cjson.encode({ processes = processes, now = now })) end
-- What was said once holds for as long as somebody is there.
call('PEXPIRE', KEYS[2], 32 * DAY)
return { now, version, processes, version == ARGV[3] and {} or call('HGETALL', KEYS[2]) }
`;

/**
 * Closes or opens gates, and tells the others. A closed one is merged: nothing shortens what is known for longer. One
 * that is opened, or put back, must be of the revision that its process has seen.
 *
 * KEYS: version, gates. ARGV: channel, the process; then per gate its field, revision seen (-1: the store knows better,
 * whatever it knows), state, ms to go, ms since,
 * strikes, whether it is last in line, reason.
 * Answer: now, version, then fields and records as they are now.
 */
export const GATE = `${STATE}${GATES}
local RECORD = '^(%a+)|(%d+)|(%d+)|(%d+)|(%d)|(%d+)|([^|]*)|(%d+)|(.*)$'
local MONTH = 32 * DAY
local now = time()
local version = call('GET', KEYS[1]) or ''
local answer = { now, version }
for i = 3, #ARGV, 8 do
  local field, seen, state = ARGV[i], ARGV[i + 1] + 0, ARGV[i + 2]
  local till, since = max(0, now + ARGV[i + 3]), max(0, now - ARGV[i + 4])
  local strikes, last, reason = ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  local current = call('HGET', KEYS[2], field)
  local cState, cTill, cSince, cStrikes, cLast, cProbe, cId, cRevision, cReason
  if current then
    cState, cTill, cSince, cStrikes, cLast, cProbe, cId, cRevision, cReason = string.match(current, RECORD)
  end
  local isUnseen = current and (cRevision + 0) > seen
  local isKept = state == 'ready' and (isUnseen or not current) or seen < 0 and current
  if isUnseen and state ~= 'ready' and cState ~= 'ready' then
    till = max(till, cTill + 0)
    strikes = max(strikes + 0, cStrikes + 0)
    local isOlder = (cSince + 0) > since
    if cState == 'disabled' and state ~= 'disabled' or (isOlder and state ~= 'disabled') then
      state, since, last, reason = cState, cSince + 0, cLast, cReason
    end
  end
  if not isKept then
    if state == 'ready' then till = 0 end
    local revision = max(now, (cRevision or 0) + 1)
    current = string.format('%s|%d|%d|%d|%s|0||%d|%s', state, till, since, strikes, last, revision, reason)
    call('HSET', KEYS[2], field, current)
    local before
    before, version = bump(KEYS[1], now)
    redis.pcall('PUBLISH', ARGV[1], cjson.encode({ gate = field, record = current, now = now, before = before,
      version = version, by = ARGV[2] }))
  end
  if current then
    answer[#answer + 1] = field
    answer[#answer + 1] = current
  end
end
answer[2] = version
call('PEXPIRE', KEYS[2], MONTH)
return answer
`;

/**
 * Takes notes, and tells the others. They stand among the gates, under names of their own, and last as long.
 *
 * KEYS: version, gates. ARGV: channel, the process; then per note its field, its value, 1 where that is only to be known
 * if nothing is.
 * Answer: now, then the records as they are now.
 */
export const NOTE = `${STATE}${GATES}
local now = time()
local answer = { now }
for i = 3, #ARGV, 3 do
  local field, value = ARGV[i], ARGV[i + 1]
  local current = call('HGET', KEYS[2], field)
  local revision, known = string.match(current or '', '^(%d+)|(.*)$')
  if not (known and (ARGV[i + 2] == '1' or known == value)) then
    current = string.format('%d', max(now, (revision or 0) + 1)) .. '|' .. value
    call('HSET', KEYS[2], field, current)
    local before, version = bump(KEYS[1], now)
    redis.pcall('PUBLISH', ARGV[1], cjson.encode({ note = field, record = current, now = now, before = before,
      version = version, by = ARGV[2] }))
  end
  answer[#answer + 1] = current
end
call('PEXPIRE', KEYS[2], 32 * DAY)
return answer
`;

/**
 * Adds what was counted elsewhere while this was away.
 *
 * KEYS: version, gates, then members. ARGV: an id, under which a member hears this once; end of the provider's day or 0;
 * then per member its limits, and its entries, each a span: `m` or `d` for minute or day, ms ago, requests, tokens; or
 * `p`, id, ms left, 0; or `u`, id, ms ago, tokens, of a lease that may have been counted. Separated by spaces and commas.
 */
export const ADD = `${STATE}
local function insert(e, w, at, requests, tokens, step)
  if at >= w.at - w.at % step then return append(e, w, at, requests, tokens, step) end
  load(e)
  w.requests, w.tokens = w.requests + requests, w.tokens + tokens
  local log = w.log
  local from = #log - 15
  while from > 0 and read('<I6', log, from) > at do from = from - 16 end
  if from > 0 then
    local t, r, k = read(ENTRY, log, from)
    if t - t % step == at - at % step then
      w.log = sub(log, 1, from - 1) .. pack(ENTRY, at, r + requests, k + tokens) .. sub(log, from + 16)
      return
    end
  end
  w.log = sub(log, 1, from + 15) .. pack(ENTRY, at, requests, tokens) .. sub(log, from + 16)
end

${TELL_LEVEL}
local function isCounted(e, script, lease)
  for from = 1, #e.counted, COUNTED_SIZE do
    local each, leases = read(COUNTED, e.counted, from)
    if each == script and floor(leases / lease) % 2 == 1 then return true end
  end
  return false
end

-- Leases of one script stand together: many that are told of drive out no other script.
local function rememberLease(e, script, lease)
  for from = 1, #e.counted, COUNTED_SIZE do
    local each, leases = read(COUNTED, e.counted, from)
    if each == script then
      e.counted = sub(e.counted, 1, from - 1) .. pack(COUNTED, script, leases + lease) .. sub(e.counted, from + COUNTED_SIZE)
      return
    end
  end
  remember(e, script, lease)
end

local told, reset = ARGV[1], ARGV[2] + 0
local now = time()
for i = 3, #KEYS do
  local e = limit(open(KEYS[i], now), ARGV[2 * i - 3], now)
  local day = e.day
  local entries = ARGV[2 * i - 2]
  if isCounted(e, told, 1) then entries = '' else remember(e, told, 1) end
  for kind, a, b, c in string.gmatch(entries, '(%a) (%S+) (%S+) (%S+),') do
    if kind == 'p' then
      load(e)
      if not string.find(e.places, a, 1, true) then place(e, now + b, a) end
    elseif kind == 'u' then
      -- Whether the server has counted it was not heard: it knows the id if it has.
      if not isCounted(e, sub(a, 1, 10), 2 ^ (byte(a, 11) - 48)) then
        rememberLease(e, sub(a, 1, 10), 2 ^ (byte(a, 11) - 48))
        reserve(e, 1, c + 0, max(0, now - b), now, reset)
      end
    elseif kind == 'm' and a + 0 < MINUTE then
      insert(e, e.minute, now - a, b + 0, c + 0, MINUTE_STEP)
      if e.level then tellLevel(e, b + 0, c + 0, now) end
    elseif kind == 'd' and a + 0 < DAY then
      if e.reset == 0 and reset > now then endDay(e, reset) end
      if e.reset == 0 then
        insert(e, day, now - a, b + 0, c + 0, DAY_STEP)
      elseif now - a > e.reset - DAY - 3600000 then
        day.requests, day.tokens = day.requests + b, day.tokens + c
      end
    end
  end
  save(e, now)
end
return now
`;

/** KEYS: breakers. ARGV: channel, the process, a provider's name, ms it is to be left alone or 0. */
export const BREAKER = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local forMs = ARGV[4] + 0
if forMs > 0 then redis.call('HSET', KEYS[1], ARGV[3], string.format('%d', now + forMs))
else redis.call('HDEL', KEYS[1], ARGV[3]) end
redis.call('PEXPIRE', KEYS[1], 86400000)
redis.pcall('PUBLISH', ARGV[1], cjson.encode({ provider = ARGV[3], forMs = forMs, by = ARGV[2] }))
return 1
`;

/** KEYS: breakers. Answer: names of providers, and the ms for which each is still to be left alone. */
export const BREAKERS = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = redis.call('HGETALL', KEYS[1])
local open = {}
for i = 1, #found, 2 do
  if found[i + 1] + 0 > now then
    open[#open + 1] = found[i]
    open[#open + 1] = found[i + 1] - now
  else
    redis.call('HDEL', KEYS[1], found[i])
  end
end
return open
`;
