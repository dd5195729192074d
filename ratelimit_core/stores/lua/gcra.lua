-- GCRA for one or several quotas; prepended to the scripts that use it. All numbers are integer microseconds.
--
-- KEYS     one per quota: its theoretical arrival time (TAT), epoch microseconds
-- ARGV[1]  the time, or -1 to read the server's clock (once: TIME moves inside a script before Redis 7.2)
-- ARGV     then for each key: tolerance, increment, group (0: the charges that stand or fall together)
--
-- Numbers are handed to redis.call as numbers: Redis writes them with 17 digits, while tostring would round them.
-- Whether a key still counts is decided by comparing deadlines; its TTL is only garbage collection.

local function time_us()
  local given = tonumber(ARGV[1])
  if given >= 0 then
    return given
  end
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end

-- A TTL in whole milliseconds, rounded up; an hour at least under a test's clock, which the server does not follow.
local function ttl_ms(us)
  local ms = math.max(math.ceil(us / 1000), 1)
  return ARGV[1] == '-1' and ms or math.max(ms, 3600000)
end

local function expire(key, us)
  redis.call('PEXPIRE', key, ttl_ms(us))
end

-- The same for a key that several share: never sooner than another needs it.
local function extend(key, us)
  if redis.call('PTTL', key) < ttl_ms(us) then
    expire(key, us)
  end
end

-- The room that `increment` would leave at `key`, and whether a charge of this quota can have left what is stored
-- (a longer quota, or a clock that jumped back, can leave more); nil for a value that is no arrival time.
local function room_of(key, now_us, tolerance, increment)
  local stored = redis.call('GET', key)
  local debt, excess = 0, false
  if stored then
    local tat = tonumber(stored)
    if not tat or tat % 1 ~= 0 then
      return nil
    end
    debt, excess = math.min(math.max(tat - now_us, 0), tolerance), tat - now_us > tolerance
  end
  return tolerance - debt - increment, excess
end

local function store(key, now_us, tolerance, room)
  redis.call('SET', key, now_us + tolerance - room, 'PX', ttl_ms(tolerance - room))
end

-- The room each of the first `count` charges would leave, by group whether all of it fits, and the excessive debts.
local function measure(now_us, count)
  local rooms, fits, excessive = {}, {}, {}
  for i = 1, count do
    local room, excess = room_of(KEYS[i], now_us, tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]))
    if not room then
      return nil, redis.error_reply('CORRUPT a value that is no arrival time')
    end
    rooms[i], excessive[i] = room, excess
    if room < 0 then
      fits[ARGV[3 * i + 1]] = false
    end
  end
  return rooms, fits, excessive
end

-- Write the groups that fit; nothing at all where group 0 does not. What is refused for an excessive debt has its clamp
-- stored: else waiting would never end it.
local function charge(now_us, count, rooms, fits, excessive)
  for i = 1, count do
    local tolerance, increment, group = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), ARGV[3 * i + 1]
    if increment > 0 and fits['0'] ~= false and fits[group] ~= false then
      store(KEYS[i], now_us, tolerance, rooms[i])
    elseif increment > 0 and excessive[i] then
      store(KEYS[i], now_us, tolerance, 0)
    end
  end
end
