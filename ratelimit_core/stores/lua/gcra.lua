-- GCRA for one or several quotas; prepended to the scripts that use it. All numbers are integer microseconds.
--
-- KEYS     one per quota: its theoretical arrival time (TAT), epoch microseconds
-- ARGV[1]  the time, or 0 to read the server's clock (once: TIME moves inside a script before Redis 7.2)
-- ARGV     then for each key: tolerance, increment, group (0: the charges that stand or fall together)
--
-- Numbers are handed to redis.call as numbers: Redis writes them with 17 digits, while tostring would round them.
-- Whether a key still counts is decided by comparing its TAT; its TTL is only garbage collection.

local function time_us()
  local given = tonumber(ARGV[1])
  if given ~= 0 then
    return given
  end
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end

-- The room each charge would leave, and by group whether all of it fits; an error reply for a foreign value.
local function measure(now_us)
  local rooms, fits = {}, {}
  for i = 1, #KEYS do
    local tolerance, increment, group = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), ARGV[3 * i + 1]
    local stored = redis.call('GET', KEYS[i])
    local debt = 0
    if stored then
      local tat = tonumber(stored)
      if not tat or tat % 1 ~= 0 then
        return nil, redis.error_reply('CORRUPT a value that is no arrival time')
      end
      debt = math.min(math.max(tat - now_us, 0), tolerance)
    end
    rooms[i] = tolerance - debt - increment
    if rooms[i] < 0 then
      fits[group] = false
    end
  end
  return rooms, fits
end
