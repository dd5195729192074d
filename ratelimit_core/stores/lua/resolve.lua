-- End a claim whose outcome is unknown, whoever held it.
--
-- KEYS     record
-- ARGV     time (as gcra.lua), outcome (c completed, d declined, r released), answer, retention, memory
--
-- Replies {now, state}: 1 resolved, 0 no such record, 2 being worked on, 3 completed already.

local now_us = time_us()
local found = redis.call('HMGET', KEYS[1], 's', 'd', 'u', 'l')
local state = found[1]
if not state or now_us >= (tonumber(found[4]) or 0) or now_us >= (tonumber(found[3]) or 0) or state == 'r' then
  return { now_us, 0 }
elseif state == 'p' and now_us < (tonumber(found[2]) or 0) then
  return { now_us, 2 }
elseif state == 'c' then
  return { now_us, 3 }
end

local retention = tonumber(ARGV[4])
if ARGV[2] == 'd' then
  redis.call('DEL', KEYS[1])
else
  local life = retention + (ARGV[2] == 'c' and 0 or tonumber(ARGV[5]))
  redis.call('HSET', KEYS[1], 's', ARGV[2], 'd', now_us, 'u', now_us + retention, 'l', now_us + life, 'a', ARGV[3])
  redis.call('HDEL', KEYS[1], 't')
  expire(KEYS[1], life)
end
return { now_us, 1 }
