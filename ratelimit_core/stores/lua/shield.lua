-- acquire.lua with a lease, a claim or both: one atomic admission. First the record is looked up, then every quota,
-- then the lease; what is found first decides, and a refusal by any of them writes nothing of its group.
--
-- KEYS     the charges', then record, replay quota, lease (a charge's key stands in for an absent one)
-- ARGV     as gcra.lua, then: group, token,
--          claim (0/1), fingerprint, ttl, unknown ttl, memory, replay tolerance, replay increment, takeover (0/1),
--          backed (0/1), lease (0/1), capacity, ttl
--
-- Replies {{now, room, ...}, finding, wait, fence, generation, answer}; findings are those of commands.Finding.
--
-- A record is a hash: s state (p in progress, c completed, r released, u unknown), t token, f fingerprint,
-- d deadline of the work, u end of the state, l end of all (until then the generation is remembered), g generation,
-- b backed by a proof elsewhere (only such a one is taken over), a answer. Its deadlines are compared, its TTL is only garbage collection. A lease is a sorted set of tokens by
-- deadline; the member `#fence` keeps the last fencing number as a negative score, which no expiry by score reaches.

local HELD, LEASED_OUT, REPLAY, IN_PROGRESS, REUSED, UNKNOWN, REPLAY_LIMITED, NOT_REACHED = 0, 1, 2, 3, 4, 5, 6, 7

local count = #KEYS - 3
local record, replay, lease = KEYS[count + 1], KEYS[count + 2], KEYS[count + 3]
local at = 3 * count + 1
local group, token = ARGV[at + 1], ARGV[at + 2]
local claims, fingerprint, claim_ttl = ARGV[at + 3] == '1', ARGV[at + 4], tonumber(ARGV[at + 5])
local unknown_ttl, memory = tonumber(ARGV[at + 6]), tonumber(ARGV[at + 7])
local takeover, backed = ARGV[at + 10] == '1', ARGV[at + 11]
local leases, capacity, lease_ttl = ARGV[at + 12] == '1', tonumber(ARGV[at + 13]), tonumber(ARGV[at + 14])

local now_us = time_us()
local finding, wait, fence, generation, answer = HELD, 0, 0, 0, ''

-- A whole number in a field, or nil: `nan` and `inf` are numbers to Lua.
local function whole(text)
  local number = tonumber(text or '')
  return number and number % 1 == 0 and number or nil
end

-- Measured first, so that a corrupt value ends the script before anything is written.
local rooms, fits, excessive = measure(now_us, count)
if not rooms then
  return fits
end

if claims then
  local found = redis.call('HMGET', record, 's', 'f', 'd', 'u', 'l', 'g', 'a', 'b')
  local state = found[1]
  if state or redis.call('EXISTS', record) == 1 then
    local deadline, ends, life = whole(found[3]), whole(found[4]), whole(found[5])
    generation = whole(found[6])
    if not (state and deadline and ends and life and generation and string.find(state, '^[pcru]$')) then
      return redis.error_reply('CORRUPT a value that is no idempotency record')
    end
    if now_us >= life then
      state, generation = 'r', 0
    elseif now_us >= ends then
      state = 'r'
    elseif state == 'p' and now_us >= deadline then
      state = 'u'
    end
    if state == 'p' or (state ~= 'r' and not (takeover and found[8] == '1')) then
      finding = state == 'p' and IN_PROGRESS or state == 'c' and REPLAY or UNKNOWN
      if found[2] ~= fingerprint then
        finding = REUSED
      end
      answer = finding == REPLAY and found[7] or ''
    end
  end
end

if finding ~= HELD and group == '0' then
  local room = room_of(replay, now_us, tonumber(ARGV[at + 8]), tonumber(ARGV[at + 9]))
  if not room then
    return redis.error_reply('CORRUPT a value that is no arrival time')
  elseif room < 0 then
    finding, wait, answer = REPLAY_LIMITED, -room, ''
  else
    store(replay, now_us, tonumber(ARGV[at + 8]), room)
  end
end

if finding ~= HELD then
  fits[group] = false
elseif fits[group] == false or fits['0'] == false then
  finding = NOT_REACHED
elseif leases then
  redis.call('ZREMRANGEBYSCORE', lease, 0, now_us)
  local last = redis.call('ZSCORE', lease, '#fence')
  if redis.call('ZCARD', lease) - (last and 1 or 0) >= capacity then
    finding = LEASED_OUT
    fits[group] = false
  else
    fence = math.max(last and 1 - tonumber(last) or 0, now_us)
  end
end

charge(now_us, count, rooms, fits, excessive)
if finding == HELD then
  if leases then
    redis.call('ZADD', lease, now_us + lease_ttl, token, -fence, '#fence')
    extend(lease, lease_ttl)
  end
  if claims then
    if generation == 0 then
      generation = now_us
    end
    local life = claim_ttl + unknown_ttl + memory
    redis.call('DEL', record)
    redis.call('HSET', record, 's', 'p', 't', token, 'f', fingerprint, 'd', now_us + claim_ttl,
      'u', now_us + claim_ttl + unknown_ttl, 'l', now_us + life, 'g', generation, 'b', backed)
    expire(record, life)
  end
end
table.insert(rooms, 1, now_us)
return { rooms, finding, wait, fence, generation, answer }
