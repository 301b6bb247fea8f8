/**
 * A member's state is one string: `GET`, some arithmetic, `SET`, however many windows it has.
 *
 * The head holds the end of the provider's day, what the minute and the day hold in all, and how many entries follow.
 * A log has entries of (time, requests, tokens), oldest first. Neighbours closer than a step share an entry, under the
 * later time: memory is bounded, nothing counts for less than its window, nor for more than a step longer. Then come
 * the attempts under way (expiry, id), and the ids counted last.
 */
const STATE = `
local MINUTE, DAY = 60000, 86400000
local MINUTE_STEP, DAY_STEP = 500, 900000
local HEAD, ENTRY, PLACE = '<I6I4I6I4I6I2I2I2I2B', '<I6I4I6', '<I6c10'
local MOST_IDS = 16
local spread, pack, read = unpack, struct.pack, struct.unpack
local sub, floor, max, min = string.sub, math.floor, math.max, math.min

local function time()
  local t = redis.call('TIME')
  return t[1] * 1000 + floor(t[2] / 1000)
end

local function forget(log, requests, tokens, span, now)
  local from = 1
  while from < #log do
    local t, r, k = read(ENTRY, log, from)
    if t + span > now then break end
    requests, tokens, from = requests - r, tokens - k, from + 16
  end
  if from > 1 then log = sub(log, from) end
  return log, max(0, requests), max(0, tokens)
end

-- Time went back by more than the clocks of two servers differ: what counts, counts from now on.
local function setBack(log, now)
  if #log == 0 or read(ENTRY, log, #log - 15) <= now + MINUTE then return log end
  local entries = {}
  for from = 1, #log, 16 do
    local t, r, k = read(ENTRY, log, from)
    entries[#entries + 1] = pack(ENTRY, min(t, now), r, k)
  end
  return table.concat(entries)
end

local function open(s, now)
  if not s then
    return { reset = 0, mr = 0, mt = 0, dr = 0, dt = 0, waits = 0, minute = '', day = '', places = '', ids = '' }
  end
  local reset, mr, mt, dr, dt, minutes, days, places, ids, waits, at = read(HEAD, s)
  local day, place, id = at + minutes * 16, at + (minutes + days) * 16, at + (minutes + days + places) * 16
  local e = { reset = reset, dr = dr, dt = dt, waits = waits, day = sub(s, day, place - 1),
    places = sub(s, place, id - 1), ids = sub(s, id, id + ids * 10 - 1) }
  e.minute, e.mr, e.mt = forget(setBack(sub(s, at, day - 1), now), mr, mt, MINUTE, now)
  if reset > 0 then
    if now >= reset then e.reset, e.dr, e.dt, e.day = 0, 0, 0, '' end
  elseif days > 0 then
    e.day, e.dr, e.dt = forget(setBack(e.day, now), dr, dt, DAY, now)
  end
  return e
end

local function expire(e, now)
  local kept = {}
  for from = 1, #e.places, 16 do
    if read('<I6', e.places, from) > now then kept[#kept + 1] = sub(e.places, from, from + 15) end
  end
  e.places = table.concat(kept)
end

local function save(key, e, now)
  local left = 0
  if #e.minute > 0 then left = read(ENTRY, e.minute, #e.minute - 15) + MINUTE - now end
  if e.reset > 0 then left = max(left, e.reset - now)
  elseif #e.day > 0 then left = max(left, read(ENTRY, e.day, #e.day - 15) + DAY - now) end
  for from = 1, #e.places, 16 do left = max(left, read('<I6', e.places, from) - now) end
  if left <= 0 then return redis.call('DEL', key) end
  redis.call('SET', key, pack(HEAD, e.reset, e.mr, e.mt, e.dr, e.dt, #e.minute / 16, #e.day / 16, #e.places / 16,
    #e.ids / 10, e.waits) .. e.minute .. e.day .. e.places .. e.ids, 'PX', left + 1000)
end

-- rpm tpm rpd tpd concurrency; 0 stands for none
local function limitsOf(text)
  local rpm, tpm, rpd, tpd, places = string.match(text, '(%d+) (%d+) (%d+) (%d+) (%d+)')
  return { rpm = rpm + 0, tpm = tpm + 0, rpd = rpd + 0, tpd = tpd + 0, places = places + 0 }
end

-- Where the last entry is of the same step it takes the new one in; else the log grows by one.
local function append(log, at, requests, tokens, step)
  if #log > 0 then
    local t, r, k = read(ENTRY, log, #log - 15)
    at = max(at, t)
    if floor(t / step) == floor(at / step) then
      return sub(log, 1, #log - 16) .. pack(ENTRY, at, r + requests, k + tokens)
    end
  end
  return log .. pack(ENTRY, at, requests, tokens)
end

local function reserve(e, limits, requests, tokens, at, now, reset)
  if limits.rpm > 0 or limits.tpm > 0 then
    e.minute, e.mr, e.mt = append(e.minute, at, requests, tokens, MINUTE_STEP), e.mr + requests, e.mt + tokens
  end
  if limits.rpd > 0 or limits.tpd > 0 then
    e.dr, e.dt = e.dr + requests, e.dt + tokens
    if e.reset == 0 and reset > now then e.reset, e.day = reset, '' end
    if e.reset == 0 then e.day = append(e.day, at, requests, tokens, DAY_STEP) end
  end
end

local function place(e, expiry, id)
  e.places = e.places .. pack(PLACE, expiry, id)
end

local function remember(e, id)
  e.ids = sub(e.ids .. id, -MOST_IDS * 10)
end

local function free(e, id)
  local from = string.find(e.places, id, 1, true)
  if not from then return false end
  e.places = sub(e.places, 1, from - 7) .. sub(e.places, from + 10)
  return true
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
  local known = redis.call('GET', key)
  local epoch, count = string.match(known or '', '^(%d+)%.(%d+)$')
  local version = epoch and epoch .. '.' .. (count + 1) or string.format('%d.1', now)
  redis.call('SET', key, version)
  return known or '', version
end
`;

/**
 * Takes the first candidate that has room.
 *
 * KEYS: version, gates, then key and group of each candidate.
 * ARGV: lease id, tokens, lease ms, known version, `/model` or nothing, end of the provider's day or 0, calls wanted, by
 * how many ms they may be made later, a flag per candidate (1: its gates are half-open); then the limits of each key and
 * group.
 * Answer: position granted or 0, calls granted, now, version; then per refusal its position, `key`, `group` or a gate's
 * field, ms to wait, and why; a gate's record stands for the latter.
 */
export const LEASE = `${STATE}${GATES}
local function waitFor(log, excess, field, span, now)
  for from = 1, #log, 16 do
    local entry = { read(ENTRY, log, from) }
    excess = excess - entry[field]
    if excess <= 0 then return entry[1] + span - now end
  end
  return span
end

local function shortage(e, limits, tokens, now)
  if limits.places > 0 and #e.places / 16 >= limits.places then
    expire(e, now)
    if #e.places / 16 >= limits.places then
      local first = read('<I6', e.places, 1)
      for from = 17, #e.places, 16 do first = min(first, (read('<I6', e.places, from))) end
      return first - now, 'busy'
    end
  end
  local wait, why = 0, ''
  local function need(excess, log, field, span, reset, what)
    if excess <= 0 then return end
    local ms = reset > 0 and reset - now or waitFor(log, excess, field, span, now)
    if ms > wait then wait, why = ms, what end
  end
  if limits.rpm > 0 then need(e.mr + 1 - limits.rpm, e.minute, 2, MINUTE, 0, 'requests') end
  if limits.rpd > 0 then need(e.dr + 1 - limits.rpd, e.day, 2, DAY, e.reset, 'requests') end
  if limits.tpm > 0 then need(e.mt + max(1, tokens) - limits.tpm, e.minute, 3, MINUTE, 0, 'tokens') end
  if limits.tpd > 0 then need(e.dt + max(1, tokens) - limits.tpd, e.day, 3, DAY, e.reset, 'tokens') end
  return wait, why
end

-- Of so many calls, how many fit.
local function fit(calls, e, limits, tokens)
  if limits.places > 0 then return 1 end
  if limits.rpm > 0 then calls = min(calls, limits.rpm - e.mr) end
  if limits.rpd > 0 then calls = min(calls, limits.rpd - e.dr) end
  if tokens > 0 and limits.tpm > 0 then calls = min(calls, floor((limits.tpm - e.mt) / tokens)) end
  if tokens > 0 and limits.tpd > 0 then calls = min(calls, floor((limits.tpd - e.dt) / tokens)) end
  return calls
end

local id, tokens, leaseMs, known, model = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4], ARGV[5]
local reset, calls, laterMs, flags = ARGV[6] + 0, ARGV[7] + 0, ARGV[8] + 0, ARGV[9]
local now = time()
local seen = {}
local first = { KEYS[1] }
for i = 3, 4 do if ARGV[i + 7] ~= '' then first[#first + 1] = KEYS[i] end end
local states = redis.call('MGET', spread(first))
local version = states[1] or ''
for i = 2, #first do seen[first[i]] = open(states[i], now) end

local nameAt = #KEYS[1]
local refusals = {}
local function refuse(c, what, wait, why)
  local n = #refusals
  refusals[n + 1], refusals[n + 2], refusals[n + 3], refusals[n + 4] = c, what, max(1, wait), why
end

local function gatesOf(c)
  local fields = { sub(KEYS[1 + 2 * c], nameAt), sub(KEYS[2 + 2 * c], nameAt) }
  if model ~= '' then fields[3], fields[4] = fields[1] .. model, fields[2] .. model end
  local records = redis.call('HMGET', KEYS[2], spread(fields))
  local probed = {}
  for i = 1, #fields do
    local wait = records[i] and shutFor(records[i], now)
    if wait and wait > 0 then
      refuse(c, fields[i], wait, records[i])
      return nil
    end
    if wait then
      probed[#probed + 1] = fields[i]
      probed[#probed + 1] = withProbe(records[i], now + leaseMs, id)
    end
  end
  return probed
end

for c = 1, (#KEYS - 2) / 2 do
  local probed = {}
  if version ~= known or sub(flags, c, c) == '1' then probed = gatesOf(c) end
  if probed then
    local hasRoom = true
    local taken = {}
    for i = 1 + 2 * c, 2 + 2 * c do
      if ARGV[i + 7] ~= '' then
        local key, limits = KEYS[i], limitsOf(ARGV[i + 7])
        local e = seen[key]
        if not e then
          e = open(redis.call('GET', key), now)
          seen[key] = e
        end
        local wait, why = shortage(e, limits, tokens, now)
        if wait > 0 then
          refuse(c, i % 2 == 1 and 'key' or 'group', wait, why)
          if e.waits == 0 then
            e.waits = 1
            save(key, e, now)
          end
          hasRoom = false
          break
        end
        taken[#taken + 1] = { key, e, limits }
      end
    end
    if hasRoom then
      local granted = calls
      for _, each in ipairs(taken) do granted = fit(granted, each[2], each[3], tokens) end
      granted = max(1, granted)
      for _, each in ipairs(taken) do
        reserve(each[2], each[3], granted, granted * tokens, now + laterMs, now, reset)
        if each[3].places > 0 then place(each[2], now + leaseMs, id) end
        remember(each[2], id)
        save(each[1], each[2], now)
      end
      if #probed > 0 then redis.call('HSET', KEYS[2], spread(probed)) end
      return { c, granted, now, version, spread(refusals) }
    end
  end
end
return { 0, 0, now, version, spread(refusals) }
`;

/**
 * Corrects what was counted for one lease, and ends it.
 *
 * KEYS: version, gates, then members. ARGV: lease id, when it was counted, requests and tokens to add, 1 where its places
 * and probes are free again, channel, names of probed gates separated by a line feed; then the limits of each member.
 */
export const SETTLE = `${STATE}${GATES}
local function adjust(log, at, requests, tokens)
  local from = 1
  while from < #log and read(ENTRY, log, from) < at do from = from + 16 end
  if from > #log then return log, 0, 0 end
  local t, r, k = read(ENTRY, log, from)
  local r2, k2 = max(0, r + requests), max(0, k + tokens)
  return sub(log, 1, from - 1) .. pack(ENTRY, t, r2, k2) .. sub(log, from + 16), r2 - r, k2 - k
end

local id, at, requests, tokens, isOver = ARGV[1], ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0, ARGV[5] == '1'
local channel, probed = ARGV[6], ARGV[7]
local now = time()
local freed = {}
for i = 3, #KEYS do
  local s = redis.call('GET', KEYS[i])
  if s then
    local e, limits = open(s, now), limitsOf(ARGV[i + 5])
    local gives = requests < 0 or tokens < 0
    if at > 0 and (requests ~= 0 or tokens ~= 0) then
      local r, k
      e.minute, r, k = adjust(e.minute, at, requests, tokens)
      e.mr, e.mt = e.mr + r, e.mt + k
      if e.reset > 0 then
        -- Of an earlier day, it counts no more.
        if at > e.reset - DAY - 3600000 then e.dr, e.dt = max(0, e.dr + requests), max(0, e.dt + tokens) end
      elseif limits.rpd > 0 or limits.tpd > 0 then
        e.day, r, k = adjust(e.day, at, requests, tokens)
        e.dr, e.dt = e.dr + r, e.dt + k
      end
    end
    if isOver and free(e, id) then gives = true end
    if gives and e.waits == 1 then
      e.waits = 0
      freed[#freed + 1] = sub(KEYS[i], #KEYS[1])
    end
    save(KEYS[i], e, now)
  end
end
if #freed > 0 then redis.call('PUBLISH', channel, cjson.encode({ freed = freed })) end
if probed ~= '' then
  for field in string.gmatch(probed, '[^\\n]+') do
    local record = redis.call('HGET', KEYS[2], field)
    if record and string.match(record, '^%a+|%d+|%d+|%d+|%d|%d+|([^|]*)|') == id then
      record = withProbe(record, 0, '')
      redis.call('HSET', KEYS[2], field, record)
      local before, version = bump(KEYS[1], now)
      redis.call('PUBLISH', channel, cjson.encode({ gate = field, record = record, now = now, before = before, version = version }))
    end
  end
end
return now
`;

/**
 * Says that a process is there, and what it has missed.
 *
 * KEYS: version, gates, processes. ARGV: the process, for how long it counts as alive, known version, channel.
 * Answer: now, version, processes alive; then the fields and records of all gates where the version is another one.
 */
export const HELLO = `${STATE}
local now = time()
local version = redis.call('GET', KEYS[1])
if not version then
  version = string.format('%d.0', now)
  redis.call('SET', KEYS[1], version)
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local isNew = redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1]) == 1
redis.call('PEXPIRE', KEYS[3], ARGV[2])
local processes = redis.call('ZCARD', KEYS[3])
if isNew then redis.call('PUBLISH', ARGV[4], cjson.encode({ processes = processes, now = now })) end
local gates = version == ARGV[3] and {} or redis.call('HGETALL', KEYS[2])
return { now, version, processes, spread(gates) }
`;

/**
 * Closes or opens gates, and tells the others. A closed one is merged: nothing shortens what is known for longer. One
 * that is opened, or put back, must be of the revision that its process has seen.
 *
 * KEYS: version, gates. ARGV: channel, the process; then per gate its field, revision seen, state, ms to go, ms since,
 * strikes, whether it is last in line, reason.
 * Answer: now, version, then fields and records as they are now.
 */
export const GATE = `${STATE}${GATES}
local RECORD = '^(%a+)|(%d+)|(%d+)|(%d+)|(%d)|(%d+)|([^|]*)|(%d+)|(.*)$'
local MONTH = 32 * DAY
local now = time()
local version = redis.call('GET', KEYS[1]) or ''
local answer = { now, version }
for i = 3, #ARGV, 8 do
  local field, seen, state = ARGV[i], ARGV[i + 1] + 0, ARGV[i + 2]
  local till, since = max(0, now + ARGV[i + 3]), max(0, now - ARGV[i + 4])
  local strikes, last, reason = ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  local current = redis.call('HGET', KEYS[2], field)
  local cState, cTill, cSince, cStrikes, cLast, cProbe, cId, cRevision, cReason
  if current then
    cState, cTill, cSince, cStrikes, cLast, cProbe, cId, cRevision, cReason = string.match(current, RECORD)
  end
  local isUnseen = current and (cRevision + 0) > seen
  local isKept = state == 'ready' and (isUnseen or not current)
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
    redis.call('HSET', KEYS[2], field, current)
    local before
    before, version = bump(KEYS[1], now)
    redis.call('PUBLISH', ARGV[1], cjson.encode({ gate = field, record = current, now = now, before = before,
      version = version, by = ARGV[2] }))
  end
  if current then
    answer[#answer + 1] = field
    answer[#answer + 1] = current
  end
end
answer[2] = version
redis.call('PEXPIRE', KEYS[2], MONTH)
return answer
`;

/**
 * Adds what was counted elsewhere while this was away.
 *
 * KEYS: version, gates, then members. ARGV: end of the provider's day or 0; then per member its limits, and its entries,
 * each a span: \`m\` or \`d\` for minute or day, ms ago, requests, tokens; or \`p\`, id, ms left, 1 where its window
 * counts too with the tokens. Separated by spaces and commas.
 */
export const ADD = `${STATE}
local function insert(log, at, requests, tokens, step)
  local from = #log - 15
  while from > 0 and read(ENTRY, log, from) > at do from = from - 16 end
  if from > 0 then
    local t, r, k = read(ENTRY, log, from)
    if floor(t / step) == floor(at / step) then
      return sub(log, 1, from - 1) .. pack(ENTRY, at, r + requests, k + tokens) .. sub(log, from + 16)
    end
  end
  return sub(log, 1, from + 15) .. pack(ENTRY, at, requests, tokens) .. sub(log, from + 16)
end

local reset = ARGV[1] + 0
local now = time()
for i = 3, #KEYS do
  local e, limits = open(redis.call('GET', KEYS[i]), now), limitsOf(ARGV[2 * i - 4])
  for kind, a, b, c in string.gmatch(ARGV[2 * i - 3], '(%a) (%S+) (%S+) (%S+),') do
    if kind == 'p' then
      if not string.find(e.places, a, 1, true) then place(e, now + b, a) end
    elseif kind == 'u' then
      -- Whether the server has counted it was not heard: it knows the id if it has.
      if not string.find(e.ids, a, 1, true) then
        remember(e, a)
        reserve(e, limits, 1, c + 0, max(0, now - b), now, reset)
      end
    elseif kind == 'm' and a + 0 < MINUTE then
      e.minute, e.mr, e.mt = insert(e.minute, now - a, b + 0, c + 0, MINUTE_STEP), e.mr + b, e.mt + c
    elseif kind == 'd' and a + 0 < DAY then
      if e.reset == 0 and reset > now then e.reset, e.day = reset, '' end
      if e.reset == 0 then
        e.day, e.dr, e.dt = insert(e.day, now - a, b + 0, c + 0, DAY_STEP), e.dr + b, e.dt + c
      elseif now - a > e.reset - DAY - 3600000 then
        e.dr, e.dt = e.dr + b, e.dt + c
      end
    end
  end
  save(KEYS[i], e, now)
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
redis.call('PUBLISH', ARGV[1], cjson.encode({ provider = ARGV[3], forMs = forMs, by = ARGV[2] }))
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
