import { MINUTE_MS } from '../../faults/durations.ts';
import { ON_THE_WAY_MS } from '../on-the-way.ts';

/** When it was so, parts of requests and of tokens, and the limits by which they fall; 0 where one does not refill. */
export const LEVEL = '<I6I6I7I4I6';
export const LEVEL_SIZE = 29;

/** A level is counted in parts of one, so that all is whole: a limit of so many gives back as many parts in a ms. */
const PARTS = MINUTE_MS;
const MOST_REQUESTS = 2 ** 32 - 1;
const MOST_TOKENS = 2 ** 36;
/** As high as it has room for. */
const HIGHEST_REQUESTS = 2 ** 48 - 1;
const HIGHEST_TOKENS = 2 ** 53;

/**
 * Limits of the minute that refill, as a bucket: what is used is a level, which falls by the limit in a minute, and is
 * no higher than the limit.
 *
 * The provider's level falls from when a request has arrived. Each is taken to arrive as late as it can: a level that is
 * lower than what falls by then is taken to be as high. So ours is never below the provider's. Of a bucket that was
 * empty the last few requests wait for so long, and what fits an empty one only for as much longer; where a limit is in
 * constant use nothing is lost.
 *
 * What is here runs for every member, so it takes its numbers as text and not from around it.
 */
export const LEVELS = `
-- Brings the level up to now, and adds what is to arrive then or later.
local function raise(v, requests, tokens, at, now)
  local max, min = math.max, math.min
  local past = now - v.at
  if past > 0 then
    v.requests, v.tokens, v.at = max(0, v.requests - past * v.rpm), max(0, v.tokens - past * v.tpm), now
  elseif past < -${MINUTE_MS + ON_THE_WAY_MS} then
    -- Time went back by more than the clocks of two servers differ.
    v.at = now
  end
  local ahead = max(0, at - v.at) + ${ON_THE_WAY_MS}
  if requests > 0 and v.rpm > 0 then
    v.requests = min(max(v.requests, ahead * v.rpm) + requests * ${PARTS}, ${HIGHEST_REQUESTS})
  end
  if tokens > 0 and v.tpm > 0 then
    v.tokens = min(max(v.tokens, ahead * v.tpm) + tokens * ${PARTS}, ${HIGHEST_TOKENS})
  end
end

-- These limits count by the level. What was a window until now comes to as much, or more; what was used before anybody
-- counted, a process may have heard of.
local function refill(e, text, now)
  local max, min, v, m = math.max, math.min, e.level, e.minute
  if not v then
    load(e)
    v = { at = now, requests = 0, tokens = 0, rpm = 0, tpm = 0 }
    e.level = v
  end
  local at, rpm, tpm = v.at, v.rpm, v.tpm
  raise(v, 0, 0, now, now)
  e.levelRpm, e.levelTpm = 0, 0
  local wholeAt = string.match(text, '(%d+)r')
  if wholeAt then
    e.levelRpm, e.rpm = min(e.rpm, ${MOST_REQUESTS}), 0
    if v.rpm == 0 then v.requests = min(max(m.requests * ${PARTS}, (wholeAt - now) * e.levelRpm), e.levelRpm * ${PARTS}) end
    v.rpm = e.levelRpm
  end
  wholeAt = string.match(text, '(%d+)t')
  if wholeAt then
    e.levelTpm, e.tpm = min(e.tpm, ${MOST_TOKENS}), 0
    if v.tpm == 0 then v.tokens = min(max(m.tokens * ${PARTS}, (wholeAt - now) * e.levelTpm), e.levelTpm * ${PARTS}) end
    v.tpm = e.levelTpm
  end
  if at > v.at or rpm ~= v.rpm or tpm ~= v.tpm then e.isNew = true end
end
`;

/** How long it takes until so much more fits; 0 where it does. */
export const LEVEL_WAIT = `
local function levelWait(v, level, limit, asked, now)
  if limit == 0 then return 0 end
  if asked > limit then return ${MINUTE_MS} end
  local excess = level + (asked - limit) * ${PARTS}
  -- Should it arrive late, only an empty bucket has room for it.
  if asked * ${PARTS} > limit * ${MINUTE_MS - ON_THE_WAY_MS} then excess = level end
  return excess > 0 and v.at - now + math.ceil(excess / limit) or 0
end
`;

/** Of so many calls, of which the last is made so much later, those that fit. */
export const LEVEL_FIT = `
  if e.levelRpm then
    local v, ahead = e.level, laterMs + ${ON_THE_WAY_MS}
    local requests, held = e.levelRpm * ${MINUTE_MS} - max(v.requests, ahead * e.levelRpm), e.levelTpm * ${MINUTE_MS} - max(v.tokens, ahead * e.levelTpm)
    if e.levelRpm > 0 then calls = min(calls, floor(requests / ${PARTS})) end
    if e.levelTpm > 0 and tokens > 0 then calls = min(calls, floor(held / (tokens * ${PARTS}))) end
  end
`;

/**
 * Corrects a level. Of what is given back some may have come back by itself: a bucket that has been empty since would
 * have been so for longer. So no more is given back than the level has held at any time since; the entries of the window
 * tell that, from the last one backwards.
 */
export const CORRECT_LEVEL = `
local function givenBack(e, at, amount, isTokens, level, limit)
  if amount <= 0 or limit == 0 then return 0 end
  load(e)
  local w, parts, now = e.minute, amount * ${PARTS}, e.level.at
  local log, from, t, each, seen, low = w.log, #w.log + 1, w.at, isTokens and w.k or w.r, now, level
  while true do
    level = level + max(0, seen - t) * limit
    local before = level - each * ${PARTS}
    if from == 1 or read('<I6', log, from - 16) < at then
      -- Others of the same step may have come when some of it had come back.
      if each > amount and before < MINUTE_STEP * limit then low = min(low, parts - (MINUTE_STEP - ${ON_THE_WAY_MS}) * limit) end
      break
    end
    if each > 0 then low = before > ${ON_THE_WAY_MS} * limit and min(low, before) or 0 end
    if low <= 0 then break end
    from = from - 16
    local earlier, r, k = read(ENTRY, log, from)
    level, seen, t, each = before, t, earlier, isTokens and k or r
  end
  return max(0, min(parts, low), parts - max(0, now - at) * limit)
end

local function correctLevel(e, at, requests, tokens, now)
  local v, m = e.level, e.minute
  raise(v, 0, 0, now, now)
  local r, k = givenBack(e, at, -requests, false, v.requests, v.rpm), givenBack(e, at, -tokens, true, v.tokens, v.tpm)
  local isKnown = adjust(e, m, at, requests, tokens, MINUTE_STEP)
  raise(v, requests, tokens, at, now)
  -- A lease the window has forgotten gives nothing back.
  if isKnown then v.requests, v.tokens = max(0, v.requests - r), max(0, v.tokens - k) end
  -- Nobody is on the way any more.
  if m.requests == 0 and v.requests <= ${ON_THE_WAY_MS} * v.rpm then v.requests = 0 end
  if m.tokens == 0 and v.tokens <= ${ON_THE_WAY_MS} * v.tpm then v.tokens = 0 end
end
`;

/**
 * Of what was taken a while ago some has come back; how much, only the whole past would tell. No bucket holds more than
 * was taken in the last minute, where it held no more than its limit before that. Nor does it hold more than its limit:
 * what was sent beyond that the provider has refused.
 */
export const TELL_LEVEL = `
local function tellLevel(e, requests, tokens, now)
  local v, m = e.level, e.minute
  raise(v, 0, 0, now, now)
  local r, k = v.requests, v.tokens
  raise(v, requests, tokens, now, now)
  v.requests = min(v.requests, max(r, min(m.requests, v.rpm) * ${PARTS} + v.rpm * ${ON_THE_WAY_MS}))
  v.tokens = min(v.tokens, max(k, min(m.tokens, v.tpm) * ${PARTS} + v.tpm * ${ON_THE_WAY_MS}))
end
`;
